"""The page as programs see it: gradio_client, and whoever tries what is not offered.

pytest tests/page/test_page.py -m serve
"""

import base64
import csv
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from page.conftest import HOSTILE
from support.served import Served, Start

from hf_spam import SpamClassifier

pytestmark = pytest.mark.serve
TEXT = "You are a winner! Claim your $1000 prize"


def connect(served: Served, **options: Any) -> Any:
    """A client of Gradio's. It has no patience for the first visit, which imports Gradio."""
    import gradio_client

    fetch(served, "/")

    return gradio_client.Client(served.url, verbose=False, analytics_enabled=False, **options)


def fetch(served: Served, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
    """Status and body of an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(served.url + path, data, named), timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def upload(served: Served, name: str, content: bytes) -> tuple[int, str]:
    """Send a file as the page does."""
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="' + name.encode() + b'"\r\n\r\n'
    body += content + b"\r\n--x--\r\n"
    return fetch(served, "/gradio_api/upload", body, Content_Type="multipart/form-data; boundary=x")


def texts_scored(served: Served) -> int:
    """How many texts the server's scorer has scored."""
    found = re.search(r"^hf_spam_texts_total ([\d.]+)", fetch(served, "/metrics")[1], re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def test_the_api_stays_where_it_is(served: Served) -> None:
    """The page is at GET /, the Inference API at POST /; what neither has is refused as before."""
    status, page = fetch(served, "/")
    assert (status, page.lstrip()[:15]) == (200, "<!doctype html>")
    assert "<i>filter" not in page
    assert InferenceClient(base_url=served.url).text_classification(TEXT)[0].label in ("ham", "spam")
    for path, status in (
        ("/predict", 405),
        ("/nowhere", 404),
        ("/gradio_api/process_recording", 404),
        ("/login", 404),
    ):
        found, body = fetch(served, path)
        assert (found, list(json.loads(body))) == (status, ["error"])


def test_a_message(served: Served, tiny_run: Callable[[str], Path]) -> None:
    """By the same scorer, and what the library says: the label and the weight of each word."""
    from hf_spam.data.labels import task_of_config
    from hf_spam.inference.explaining import explain

    classifier = SpamClassifier.from_pretrained(tiny_run("sample"))
    before = texts_scored(served)
    found = connect(served).predict(TEXT, api_name="/classify")
    assert texts_scored(served) == before + 1 + 1 + len(TEXT.split()) + 1
    assert found["scores"] == pytest.approx(classifier.all_scores(TEXT), abs=1e-5)
    assert found["label"] == max(found["scores"], key=found["scores"].__getitem__)
    right = explain(classifier, TEXT, task_of_config(classifier.model.config))
    weights = found["explanation"]["weights"]
    assert [one["word"] for one in weights] == TEXT.split()
    assert [one["weight"] for one in weights] == pytest.approx([one.weight for one in right.weights], abs=1e-4)
    assert found["explanation"]["total"] == pytest.approx(sum(one.weight for one in right.weights), abs=1e-3)


@pytest.mark.parametrize(
    ("message", "error"),
    [(" ", "expected a message, found none"), ("x" * 20_001, "at most 20,000 characters, found 20,001")],
)
def test_no_message(served: Served, message: str, error: str) -> None:
    with pytest.raises(Exception, match=error):
        connect(served).predict(message, api_name="/classify")


def score(served: Served, path: Path) -> tuple[str, Path | None]:
    """What the page says of a file, and what it gives back."""
    from gradio_client import handle_file

    said, found = connect(served).predict(handle_file(path), api_name="/score_file")
    return said, Path(found["value"]) if found.get("value") else None


def test_ten_thousand_rows(served: Served, tiny_run: Callable[[str], Path], tmp_path: Path) -> None:
    """Each row comes back with its columns and what the classifier says of it."""
    texts = [f'message {number}, with a comma and a "quote"' + "\n" * (number % 3) for number in range(10_000)]
    with (tmp_path / "many.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "text"), *enumerate(texts)])
    said, found = score(served, tmp_path / "many.csv")
    assert "10,000 messages scored" in said
    assert found is not None
    assert found.name == "many-scored.csv"
    with found.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(number) for number in range(10_000)]
    assert [row["text"] for row in rows] == texts
    right = SpamClassifier.from_pretrained(tiny_run("sample"))(texts[:300])
    assert [row["label"] for row in rows[:300]] == [one.label for one in right]
    assert [float(row["score"]) for row in rows[:300]] == pytest.approx([one.score for one in right], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("empty.csv", b"", "empty.csv: expected messages, found an empty file"),
        ("no.csv", b"a,b\n1,2\n", "no.csv: "),
        ("image.png", b"\x89PNG\r\n\x1a\n" + bytes(200), "image.png: "),
        ("null.jsonl", b'{"text": "a"}\n{"text": null}\n', "null.jsonl, row 2: expected a text"),
    ],
)
def test_a_file_that_cannot_be_read(served: Served, tmp_path: Path, name: str, content: bytes, error: str) -> None:
    """The library's own line, about the name that its owner gave it."""
    (tmp_path / name).write_bytes(content)
    said, found = score(served, tmp_path / name)
    assert error in said
    assert found is None
    assert "hf-spam-page" not in said


def test_limits_of_a_file(start: Start, tiny_run: Callable[[str], Path], tmp_path: Path) -> None:
    bounded = start(tiny_run("sample"), "--max_rows", "10", "--max_upload", "5000", "--max_chars", "50")
    (tmp_path / "rows.csv").write_text("text\n" + "x\n" * 11)
    assert "rows.csv: expected at most 10 rows, found more" in score(bounded, tmp_path / "rows.csv")[0]
    (tmp_path / "ten.csv").write_text("text\n" + "x\n" * 10)
    assert "10 messages scored" in score(bounded, tmp_path / "ten.csv")[0]
    import gzip

    (tmp_path / "small.csv.gz").write_bytes(gzip.compress(b"text\n" + b"x" * 100_000))
    assert "at most 5,000 characters, found more" in score(bounded, tmp_path / "small.csv.gz")[0]
    assert upload(bounded, "a.csv", b"x" * 20_000)[0] == 413
    assert upload(bounded, "a.csv", b"x" * 6_000)[0] == 413
    (tmp_path / "large").write_bytes(b"x" * 1_100_000)
    argv = ["curl", "-s", "-H", "Content-Type: application/json", "-H", "Expect: 100-continue"]
    argv += ["--data-binary", f"@{tmp_path / 'large'}", f"{bounded.url}/gradio_api/queue/join"]
    assert "at most 1,000,000 bytes" in subprocess.run(argv, capture_output=True, text=True).stdout


def test_files_do_not_fill_the_disk(start: Start, tiny_run: Callable[[str], Path]) -> None:
    """All visitors' files together have a bound."""
    bounded = start(tiny_run("sample"), "--max_upload", "5000")
    fetch(bounded, "/")
    statuses = [upload(bounded, f"{number}.csv", b"%d" % number * 2400)[0] for number in range(10, 40)]
    assert statuses[:20] == [200] * 20
    assert statuses[-5:] == [503] * 5


def test_no_file_of_the_machine_is_given(served: Served, tiny_run: Callable[[str], Path]) -> None:
    fetch(served, "/")
    for path in ("/etc/passwd", str(tiny_run("sample") / "config.json"), str(served.folder / "log")):
        assert fetch(served, f"/gradio_api/file={path}")[0] in (403, 404)


def test_the_key_is_the_password(start: Start, tiny_run: Callable[[str], Path]) -> None:
    """A browser asks for it; nothing of the page is open without; the API takes no password."""
    locked = start(tiny_run("sample"), HF_SPAM_API_KEY="secret-1")
    right, wrong = (f"Basic {base64.b64encode(f'me:{key}'.encode()).decode()}" for key in ("secret-1", "secret-2"))
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=x", "/gradio_api/file=/x"):
        assert fetch(locked, path)[0] == 401
        for other in (wrong, "Basic ???", "Basic", "Bearer secret-2", "Basic secret-1"):
            assert fetch(locked, path, Authorization=other)[0] == 401
    assert upload(locked, "a.csv", b"text\nx\n")[0] == 401
    assert fetch(locked, "/", Authorization=right)[0] == 200
    assert fetch(locked, "/", Authorization="Bearer secret-1")[0] == 200
    asking = urllib.request.Request(locked.url + "/")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asking)
    assert refused.value.headers["WWW-Authenticate"].startswith("Basic ")
    assert fetch(locked, "/info", Authorization=right)[0] == 401
    client = connect(locked, headers={"Authorization": "Bearer secret-1"})
    assert client.predict(TEXT, api_name="/classify")["label"] in ("ham", "spam")
    other_site = {"Authorization": right, "Sec_Fetch_Site": "cross-site", "Content_Type": "application/json"}
    assert fetch(locked, "/gradio_api/queue/join", b"{}", **other_site)[0] == 403
    assert "secret" not in locked.log


@pytest.mark.parametrize("options", [["--no_page"], ["--workers", "2"]])
def test_without_a_page(start: Start, tiny_run: Callable[[str], Path], options: list[str]) -> None:
    """Where it is not wanted, and where its sessions would be in one of several processes. One line says so."""
    alone = start(tiny_run("sample"), *options)
    deadline = time.monotonic() + 30
    while "ok" not in fetch(alone, "/health")[1]:
        assert time.monotonic() < deadline
    assert fetch(alone, "/")[0] == 405
    assert fetch(alone, "/config")[0] == 404
    assert ("no page for browsers: it needs one process" in alone.log) == (options[0] == "--workers")


@pytest.fixture
def watched(tiny_run: Callable[[str], Path], tmp_path: Path) -> Iterator[tuple[Served, subprocess.Popen[bytes]]]:
    """A server with a home and a place for temporary files of its own, in an empty folder."""
    for name in ("home", "temporary", "work"):
        (tmp_path / name).mkdir()
    places = {"TMPDIR": str(tmp_path / "temporary"), "HOME": str(tmp_path / "home")}
    argv = [sys.executable, "-m", "hf_spam", "serve", tiny_run("sample"), "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "HF_H"))}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            argv, cwd=tmp_path / "work", env={**environment, **places}, stdout=log, stderr=log
        )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (found := re.search(r"http://.*:(\d+);", (tmp_path / "log").read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield Served(process.pid, int(found[1]), tmp_path, None), process  # type: ignore[arg-type]
    process.kill()
    process.wait()


def test_it_stops_while_somebody_looks(watched: tuple[Served, subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """An open page and a file half done do not hold the server up; nothing is printed, and nothing stays."""
    server, process = watched
    assert fetch(server, "/")[0] == 200
    places = sorted(path.name for path in (tmp_path / "temporary").iterdir())
    assert [name[:13] for name in places] == ["hf-spam-page-"]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/gradio_api/heartbeat/abc")
    answer = connection.getresponse()
    assert b"ALIVE" in answer.readline()
    (tmp_path / "long.csv").write_text("text\n" + "a message of some words\n" * 90_000)
    said: list[Any] = []

    def ask() -> None:
        try:
            said.append(score(server, tmp_path / "long.csv"))
        except Exception as error:  # the client may notice first
            said.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    deadline = time.monotonic() + 60
    while texts_scored(server) < 1000:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert time.monotonic() - began < 15
    answer.read()  # to its end, in order: otherwise it raises IncompleteRead
    connection.close()
    asking.join(60)
    assert said
    if isinstance(said[0], tuple):
        assert "the server stops" in said[0][0]
    assert re.fullmatch(r"serving .*\nstopped: \d+ requests answered\n", server.log), server.log
    for name in ("temporary", "home", "work"):
        assert [str(path) for path in (tmp_path / name).rglob("*")] == []


def test_gradio_is_imported_when_somebody_looks(start: Start, tiny_run: Callable[[str], Path]) -> None:
    """Neither the start nor the API waits for it."""
    fresh = start(tiny_run("sample"))
    assert fetch(fresh, "/", json.dumps({"inputs": "x"}).encode(), Content_Type="application/json")[0] == 200

    before = memory(fresh.pid)
    assert fetch(fresh, "/")[0] == 200
    assert memory(fresh.pid) > before + 20_000_000


def memory(pid: int) -> int:
    """Bytes that are a process's own."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def test_any_labels(start: Start, make_model: Callable[..., Path]) -> None:
    """Several classes, several labels at once, and a number."""
    several = start(make_model("a", "b", "c"))
    found = connect(several).predict("one two", api_name="/classify")
    assert sorted(found["scores"]) == ["a", "b", "c"]
    assert found["explanation"]["label"] == found["label"]
    many = start(make_model(*HOSTILE, problem_type="multi_label_classification"))
    assert list(connect(many).predict("one two", api_name="/classify")["scores"]) != []
    number = start(make_model("score", problem_type="regression"))
    assert isinstance(connect(number).predict("one two", api_name="/classify")["score"], float)
    for server in (many, number):
        page = fetch(server, "/")[1]
        assert "<b>bold" not in page
        assert "<img src=x" not in page
