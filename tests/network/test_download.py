"""Downloads from servers that do not do what was agreed.   pytest tests/network/test_download.py"""

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.strange_servers import PAGE, WIRE, Script, StrangeServer, answer, redirect
from support.strange_texts import CONTROLS

from hf_spam import UserError
from hf_spam.network import download
from hf_spam.network.download import download as fetch

pytestmark = [
    pytest.mark.usefixtures("little_patience"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # sockets left behind
]


@pytest.fixture
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TIMEOUT": (1.0, 0.5), "LARGEST": 100_000, "LONGEST": 2.0, "WINDOW": 0.3}.items():
        monkeypatch.setattr(download, name, value)


@pytest.fixture(scope="module", autouse=True)
def left_open() -> Iterator[None]:
    """What a broken head leaves open is reported here, not in another file's test."""
    yield
    gc.collect()


def refuse_all(path: Path) -> bytes:
    raise UserError(f"expected another content, found {path.stat().st_size} bytes.")


SAID = {
    "a page": "found a web page",
    "a page that says it is a zip": "found a web page",
    "a login": "HTTP status 511",
    "no content": "HTTP status 204",
    "a part": "HTTP status 206",
    "to a file": "redirected to an address that is neither http nor https",
    "to ftp": "redirected to an address that is neither http nor https",
    "a loop": "more than 10 redirects",
    "too much promised": "expected at most 100,000 bytes, found 900000000000",
    "an endless body": "bytes",
    "a bomb": "bytes",
    "a dripping head": "bytes a second came",
    "a dripping body": "bytes a second came",
    "less than promised": "the answer was cut off",
    "hangs up": "no connection",
}


@pytest.mark.parametrize("name", WIRE)
def test_a_strange_server(name: str, tmp_path: Path) -> None:
    """One line with the reason, soon, and nothing is left behind."""
    began = time.monotonic()
    with StrangeServer(WIRE[name]) as server, pytest.raises(UserError) as error:
        fetch([f"{server.url}/file"], tmp_path / "cache" / "file", refuse_all, "Do without.")
    assert time.monotonic() - began < 8
    told, remedy = str(error.value).split("\n")
    assert told.startswith(f"could not download file ({server.url}/file: ")
    assert told.endswith(").")
    assert len(told) < 400
    assert not CONTROLS & set(told)
    assert remedy == "Do without."
    assert SAID.get(name, "") in told
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("name", ["a dripping head", "to a file", "a page", "less than promised", "a bomb"])
def test_the_next_address_is_tried(name: str, tmp_path: Path) -> None:
    with StrangeServer(WIRE[name]) as strange, StrangeServer(answer(b"HTTP/1.1 200 OK\r\n", b"content")) as good:
        fetch([strange.url, good.url], tmp_path / "file", Path.read_bytes, "")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def whole(body: bytes) -> Script:
    return answer(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n".encode(), body)


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 100_000])
def test_up_to_the_limit(size: int, tmp_path: Path) -> None:
    with StrangeServer(whole(b"x" * size)) as server:
        fetch([server.url], tmp_path / "file", Path.read_bytes, "")
    assert (tmp_path / "file").stat().st_size == size


@pytest.mark.parametrize("body", [b"x" * 100_001, PAGE, b" \n" + PAGE.lower()])
def test_beyond_the_limit_and_pages(body: bytes, tmp_path: Path) -> None:
    """Whoever would accept them."""
    with StrangeServer(whole(body)) as server, pytest.raises(UserError):
        fetch([server.url], tmp_path / "file", Path.read_bytes, "")
    assert list(tmp_path.iterdir()) == []


def test_a_limit_of_its_own(tmp_path: Path) -> None:
    with StrangeServer(whole(b"x" * 11)) as server, pytest.raises(UserError, match="expected at most 10 bytes"):
        fetch([server.url], tmp_path / "file", Path.read_bytes, "", largest=10)


def test_a_slow_server_is_no_strange_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the slowest rate, if not by much."""
    monkeypatch.setattr(download, "SLOWEST", 50_000.0)
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", *[b"x" * 5000] * 20]
    with StrangeServer(lambda client: client.drip(pieces, 0.04)) as server:
        fetch([server.url], tmp_path / "file", Path.read_bytes, "")
    assert (tmp_path / "file").stat().st_size == 100_000


def test_a_redirect_to_http_is_followed(tmp_path: Path) -> None:
    with StrangeServer(whole(b"content")) as good, StrangeServer(redirect(f"{good.url}/x")) as server:
        fetch([server.url], tmp_path / "file", Path.read_bytes, "")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "full").touch()
    with (
        StrangeServer(whole(b"content")) as server,
        pytest.raises(UserError, match="cannot write to the cache folder"),
    ):
        fetch([server.url], tmp_path / "file", Path.read_bytes, "")
