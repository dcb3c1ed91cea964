"""A Hub that answers with something else, or with names that lead elsewhere.   pytest tests/network/test_hub_download.py"""

import gc
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi
from support.loopback_hub import Fault, LoopbackHub
from support.strange_servers import ODD_JSON, STRANGE_PATHS, WIRE, StrangeServer
from support.strange_texts import CONTROLS

from hf_spam import UserError
from hf_spam.network import hub_download
from hf_spam.network.hub_download import download_repository

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # sockets left behind
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # the client's own
]
NAME, PATTERNS = "alice/spam", ["*.json", "model*.safetensors"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and little patience."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name, value in {"LONGEST": 4.0, "WINDOW": 1.0, "SLOWEST": 100.0, "LARGEST": 1_000_000}.items():
        monkeypatch.setattr(hub_download, name, value)
    return tmp_path / "cache"


@pytest.fixture(scope="module", autouse=True)
def left_open() -> Iterator[None]:
    """What a broken head leaves open is reported here, not in another file's test."""
    yield
    gc.collect()


@pytest.fixture
def filled(hub: LoopbackHub, cache: Path) -> LoopbackHub:
    """A repository with two files, and one that is not wanted."""
    api = HfApi(token="hf_alice")
    api.create_repo(NAME)
    for name, content in {"config.json": b"{}", "model.safetensors": b"weights" * 200, "notes.txt": b"x"}.items():
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=NAME)
    hub.requests.clear()
    return hub


def refusal(cache: Path) -> str:
    """What the user reads; outside the cache nothing has been written, and in it no half file."""
    began, around = time.monotonic(), {path for path in cache.parent.rglob("*") if cache not in path.parents}
    with pytest.raises(UserError) as error:
        download_repository(NAME, PATTERNS)
    assert time.monotonic() - began < 15
    told = str(error.value)
    assert not CONTROLS & set(told)
    assert {path for path in cache.parent.rglob("*") if cache not in path.parents} - {cache} == around - {cache}
    assert not list(cache.rglob("*.incomplete"))
    assert not list(cache.rglob("*escaped*"))
    return told


def test_what_is_downloaded(filled: LoopbackHub, cache: Path) -> None:
    folder = download_repository(NAME, PATTERNS)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "config.json": b"{}",
        "model.safetensors": b"weights" * 200,
    }
    hooks = huggingface_hub.get_session().event_hooks
    assert not any(hook.__module__ == hub_download.__name__ for hook in hooks["response"])
    filled.faults = [Fault("GET|HEAD", "", 500, times=99)]
    assert download_repository(NAME, PATTERNS) == folder  # from the cache, when the Hub is down


@pytest.mark.parametrize("where", ["/revision/main", pytest.param("/tree/", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ODD_JSON)
def test_odd_json(filled: LoopbackHub, cache: Path, name: str, where: str) -> None:
    filled.faults = [Fault("GET", where, 200, body=ODD_JSON[name], times=99)]
    try:
        folder = download_repository(NAME, PATTERNS)
    except UserError as error:
        told = str(error)
        assert "\n" not in told
        assert not CONTROLS & set(told)
        assert told.startswith((f"could not download {NAME} from the Hugging Face Hub: ", f"{NAME}: refused"))
    else:  # an empty list is a repository without files
        assert list(folder.glob("*")) == []
    assert not list(cache.rglob("*.incomplete"))


def siblings(files: list[Any], sha: object = "0" * 40) -> bytes:
    return json.dumps({"id": NAME, "sha": sha, "siblings": files}).encode()


ODD_SIBLINGS: dict[str, list[Any]] = {
    "texts": ["model.safetensors"],
    "numbers": [5],
    "null": [None],
    "lists": [["model.safetensors"]],
    "without a name": [{"size": 5}],
    "a name of null": [{"rfilename": None}],
    "a name of numbers": [{"rfilename": 5}],
    "an empty name": [{"rfilename": ""}],
    "a size of text": [{"rfilename": "model.safetensors", "size": "5"}],
    "a negative size": [{"rfilename": "model.safetensors", "size": -5}],
    "a size of true": [{"rfilename": "model.safetensors", "size": True}],
    "a size with a fraction": [{"rfilename": "model.safetensors", "size": 0.5}],
    "lfs of text": [{"rfilename": "model.safetensors", "size": 5, "lfs": "x"}],
    "lfs without sizes": [{"rfilename": "model.safetensors", "size": 5, "lfs": {}}],
}


@pytest.mark.parametrize("files", ODD_SIBLINGS.values(), ids=ODD_SIBLINGS.keys())
def test_odd_siblings(filled: LoopbackHub, cache: Path, files: list[Any]) -> None:
    filled.faults = [Fault("GET", "/revision/main", 200, body=siblings(files), times=99)]
    told = refusal(cache)
    assert "\n" not in told


@pytest.mark.parametrize("sha", [None, 5, "", "main", "../../../../escaped", "0" * 39, "0" * 40 + "/..", ["0" * 40]])
def test_odd_commits(filled: LoopbackHub, cache: Path, sha: object) -> None:
    filled.faults = [Fault("GET", "/revision/main", 200, body=siblings([], sha), times=99)]
    assert "\n" not in refusal(cache)


@pytest.mark.parametrize("path", STRANGE_PATHS)
@pytest.mark.parametrize("where", ["/revision/main", pytest.param("/tree/", marks=pytest.mark.slow)])
def test_names_that_lead_elsewhere(filled: LoopbackHub, cache: Path, path: str, where: str) -> None:
    body = siblings([{"rfilename": path, "size": 5}])
    if where == "/tree/":
        body = json.dumps([{"type": "file", "path": path, "size": 5, "oid": "0" * 40}]).encode()
    filled.faults = [Fault("GET", where, 200, body=body, times=99)]
    if path.startswith(("/", "..", "C:")):  # none of the wanted, so it is left alone
        assert not list(download_repository(NAME, PATTERNS).rglob("*escaped*")) if where == "/tree/" else True
        return
    told = refusal(cache)
    assert told.startswith(f"{NAME}: refused, it has a file whose name could lead elsewhere: ")
    assert len(told) <= 1000


@pytest.mark.parametrize("oid", ["../../../../escaped", "/etc/escaped", "a/b", "", "a" * 300, "..\\..\\x"])
def test_content_whose_name_leads_elsewhere(filled: LoopbackHub, cache: Path, oid: str) -> None:
    lfs = {"oid": oid, "size": 5, "pointerSize": 5}
    body = json.dumps([{"type": "file", "path": "model.safetensors", "size": 5, "oid": "0" * 40, "lfs": lfs}]).encode()
    filled.faults = [Fault("GET", "/tree/", 200, body=body, times=99)]
    assert "could lead elsewhere" in refusal(cache)


@pytest.mark.parametrize(
    "headers",
    [{"ETag": '"../../../../escaped"'}, {"X-Linked-Etag": '"/etc/escaped"'}, {"X-Repo-Commit": "../../../escaped"}],
    ids=["etag", "linked etag", "commit"],
)
def test_heads_that_lead_elsewhere(filled: LoopbackHub, cache: Path, headers: dict[str, str]) -> None:
    answer = {"X-Repo-Commit": "0" * 40, "ETag": '"abc"', "Content-Length": "2", **headers}
    filled.faults = [Fault("GET|HEAD", "/resolve/", 200, body=b"{}", headers=answer, times=99)]
    assert "\n" not in refusal(cache)


@pytest.mark.parametrize("size", [1_000_001, 2**70])
@pytest.mark.parametrize("where", ["/revision/main", "/tree/"])
def test_more_than_the_limit_is_refused_before_it_is_downloaded(
    filled: LoopbackHub, cache: Path, size: int, where: str
) -> None:
    body = siblings([{"rfilename": "model.safetensors", "size": size}, {"rfilename": "notes.txt", "size": 1}])
    if where == "/tree/":
        body = json.dumps([{"type": "file", "path": "model.safetensors", "size": size, "oid": "0" * 40}]).encode()
    filled.faults = [Fault("GET", where, 200, body=body, times=99)]
    told = refusal(cache)
    assert told.startswith(f"{NAME}: refused, its files have {f'{size:,}'[:-1]}")
    assert told.endswith(" bytes; expected at most 1,000,000.")
    assert not [path for _, path, _ in filled.requests if "/resolve/" in path]


def test_files_that_are_not_wanted_do_not_count(filled: LoopbackHub, cache: Path) -> None:
    body = siblings([{"rfilename": "notes.txt", "size": 2**50}, {"rfilename": "../x.txt"}])
    filled.faults = [Fault("GET", "/revision/main", 200, body=body)]
    assert download_repository(NAME, PATTERNS).is_dir()


QUICK = ("a dripping head", "an endless body", "a page")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in WIRE]
)
def test_a_strange_server(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with StrangeServer(WIRE[name]) as server:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
        assert "\n" not in refusal(cache)


def test_a_file_that_drips(filled: LoopbackHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is as it should be."""
    filled.faults = [Fault("GET", "/resolve/.*/model.safetensors", drip=0.2, times=99)]
    assert "bytes a second came" in refusal(cache)
