"""`hf-spam serve` as real clients see it: huggingface_hub's, curl, and whoever gets something wrong.

pytest tests/serving/test_serving.py -m serve
"""

import http.client
import json
import re
import shutil
import subprocess
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from support.served import Served, Start

from hf_spam import SpamClassifier
from hf_spam.commands import serve as command
from hf_spam.serving.settings import Limits, Settings

TEXTS = ["You are a winner! Claim your $1000 prize", "See you at eight", "ü 🎉 \u0000 <script>alert(1)</script>"]
POINT = {"positive": "spam", "temperature": 1.5, "threshold": 0.7, "unsure": -1.0, "budget": 0.01, "confidence": 0.95}
POINT |= {"groups": 500, "stopped": 1, "bound": 0.0094, "caught": 0.9}


@pytest.fixture(scope="module")
def scores(tiny_run: Callable[[str], Path]) -> list[dict[str, float]]:
    """What the classifier says of the texts by itself."""
    return SpamClassifier.from_pretrained(tiny_run("sample")).all_scores(TEXTS)


def curl(served: Served, path: str, body: object = None, *options: str) -> tuple[int, Any]:
    """Ask with curl; return status and JSON, or text."""
    given = [] if body is None else ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    argv = ["curl", "-s", "-w", "\n%{http_code}", *given, *options, served.url + path]
    text, _, status = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.rpartition("\n")
    return int(status), json.loads(text) if text[:1] in ("[", "{") else text


def ask(
    served: Served, method: str, path: str, body: bytes | None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Ask with the standard library's client."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


# --- clients as they are ---------------------------------------------------------------------------------------------


@pytest.mark.serve
def test_the_hubs_client(served: Served, scores: list[dict[str, float]]) -> None:
    for place in (served.url, served.url + "/models/someone/spam-filter"):
        client = InferenceClient(base_url=place)
        for text, right in zip(TEXTS, scores, strict=True):
            found = client.text_classification(text)
            assert {label.label: label.score for label in found} == pytest.approx(right, abs=1e-5)
            assert [label.score for label in found] == sorted(right.values(), reverse=True)
    [best] = client.text_classification(TEXTS[0], top_k=1)
    assert best.label == max(scores[0], key=scores[0].__getitem__)
    raw = {label.label: label.score for label in client.text_classification(TEXTS[0], function_to_apply="none")}
    sigmoid = client.text_classification(TEXTS[0], function_to_apply="sigmoid")
    assert {label.label: label.score for label in sigmoid} == pytest.approx(
        {k: 1 / (1 + 2.718281828**-v) for k, v in raw.items()}
    )
    with pytest.raises(HfHubHTTPError, match="404"):
        InferenceClient(base_url=served.url + "/models/another").text_classification("x")


@pytest.mark.serve
def test_several_texts(served: Served, scores: list[dict[str, float]]) -> None:
    status, rows = curl(served, "/", {"inputs": TEXTS})
    assert status == 200
    for row, right in zip(rows, scores, strict=True):
        assert {label["label"]: label["score"] for label in row} == pytest.approx(right, abs=1e-5)


@pytest.mark.serve
def test_as_text_embeddings_inference(served: Served, scores: list[dict[str, float]]) -> None:
    _, one = curl(served, "/predict", {"inputs": TEXTS[0]})
    _, several = curl(served, "/predict", {"inputs": [[text] for text in TEXTS]})
    assert several == curl(served, "/predict", {"inputs": TEXTS})[1]
    assert [{label["label"]: label["score"] for label in row} for row in several] == [
        pytest.approx(right, abs=1e-5) for right in scores
    ]
    assert one == [pytest.approx(label, abs=1e-5) for label in several[0]]
    _, raw = curl(served, "/predict", {"inputs": TEXTS[0], "raw_scores": True})
    assert sum(label["score"] for label in raw) != pytest.approx(1)
    long = "word " * 500
    status, refused = curl(served, "/predict", {"inputs": long})
    assert (status, "tokens" in refused["error"]) == (413, True)
    assert curl(served, "/predict", {"inputs": long, "truncate": True})[0] == 200
    assert curl(served, "/predict", {"inputs": [["a", "b"]]})[0] == 422


@pytest.mark.serve
def test_as_vllm(served: Served, scores: list[dict[str, float]]) -> None:
    status, answer = curl(served, "/classify", {"model": "someone/spam-filter", "input": TEXTS})
    assert status == 200
    assert set(answer) == {"id", "object", "created", "model", "data", "usage"}
    assert answer["id"].startswith("classify-")
    for index, (row, right) in enumerate(zip(answer["data"], scores, strict=True)):
        assert (row["index"], row["num_classes"]) == (index, 2)
        assert row["probs"] == pytest.approx(list(right.values()), abs=1e-5)
        assert row["label"] == max(right, key=right.__getitem__)
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] > 3
    assert curl(served, "/classify", {"model": "another", "input": "x"})[0] == 404


@pytest.mark.serve
def test_what_it_says_of_itself(served: Served) -> None:
    assert curl(served, "/health") == (200, {"status": "ok"})
    _, info = curl(served, "/info")
    assert (info["model"], info["kind"], info["labels"]) == ("someone/spam-filter", "checkpoint", ["ham", "spam"])
    assert (info["limits"]["max_texts"], info["max_length"], info["operating_point"]) == (64, 256, None)
    curl(served, "/", {"inputs": "x"})
    _, figures = curl(served, "/metrics")
    assert re.search(r'^hf_spam_requests_total{path="/",status="200"} [1-9]', figures, re.MULTILINE)
    assert re.search(r"^hf_spam_texts_total [1-9]", figures, re.MULTILINE)
    _, openapi = curl(served, "/openapi.json")
    assert {"/", "/models/{name}", "/predict", "/classify", "/decide"} <= set(openapi["paths"])


@pytest.mark.serve
def test_the_docs_load_nothing(start: Start, tiny_run: Callable[[str], Path]) -> None:
    """Names are shown as text, and the page is whole without a network."""
    named = start(tiny_run("sample"), "--name", "<b>&")
    _, page = curl(named, "/docs")
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page
    assert not re.search(r"<script|src=|@import|href=.http", page)
    assert all(f"POST {path}" in page for path in ("/", "/predict", "/classify", "/decide"))
    assert "default-src &#x27;none&#x27;" not in page
    assert "default-src 'none'" in ask(named, "GET", "/docs", None)[1]["content-security-policy"]


# --- mistakes --------------------------------------------------------------------------------------------------------

JSON = {"Content_Type": "application/json"}
MISTAKES = [
    ("POST", "/", b"{", JSON, 400, "expected JSON"),
    ("POST", "/", b"", JSON, 400, "expected JSON"),
    ("POST", "/", b'{"inputs": "\xff"}', JSON, 400, "expected JSON"),
    ("POST", "/", b"[" * 100_000, JSON, 400, "expected JSON"),
    ("POST", "/", b"[]", JSON, 422, "the body: expected"),
    ("POST", "/", b"{}", JSON, 422, "inputs: expected a value, found none"),
    ("POST", "/", b'{"inputs": null}', JSON, 422, "expected a string or a list of strings, found null"),
    ("POST", "/", b'{"inputs": []}', JSON, 422, "found an empty list"),
    ("POST", "/", b'{"inputs": ["a", 1]}', JSON, 422, "found a number at position 1"),
    ("POST", "/", b'{"inputs": "a", "parameters": {"top_k": "1"}}', JSON, 422, "parameters.top_k: expected a valid integer, found a string"),
    ("POST", "/", b'{"inputs": "a", "parameters": {"top_k": 0}}', JSON, 422, "greater than or equal to 1"),
    ("POST", "/", b'{"inputs": "a", "parameters": {"topk": 1}}', JSON, 422, "expected top_k or function_to_apply"),
    ("POST", "/", b'{"inputs": "a", "parameters": {"function_to_apply": "x"}}', JSON, 422, "'softmax', 'sigmoid' or 'none'"),
    ("POST", "/", b'{"inputs": "a"}', {}, 415, "expected application/json, found none"),
    ("POST", "/", b"inputs=a", {"Content_Type": "application/x-www-form-urlencoded"}, 415, "found application/x-www-form-urlencoded"),
    ("POST", "/", b"x", {**JSON, "Content_Encoding": "gzip"}, 415, "Content-Encoding"),
    ("POST", "/", b'{"inputs": "' + b"x" * 1_000_000 + b'"}', JSON, 413, "at most 1,000,000 bytes"),
    ("POST", "/", json.dumps({"inputs": ["x"] * 65}).encode(), JSON, 413, "at most 64 texts, found 65"),
    ("POST", "/", json.dumps({"inputs": "x" * 20_001}).encode(), JSON, 413, "at most 20,000 characters"),
    ("POST", "/nowhere", b"{}", JSON, 404, "/nowhere: expected a path"),
    ("POST", "/models/someone", b'{"inputs": "a"}', JSON, 404, "expected the model someone/spam-filter, found someone"),
    ("GET", "/predict", None, {}, 405, "expected POST, found GET"),
    ("DELETE", "/health", None, {}, 405, "expected GET, found DELETE"),
    ("POST", "/decide", b'{"inputs": "a"}', JSON, 424, "hf-spam calibrate"),
]  # fmt: skip


@pytest.mark.serve
@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "error"),
    MISTAKES,
    ids=[f"{row[4]} {row[5][:40]}" for row in MISTAKES],
)
def test_mistakes(
    served: Served, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int, error: str
) -> None:
    """Each gets its status, and an error that says what was expected and found."""
    found, _, content = ask(served, method, path, body, **headers)
    assert found == status
    assert error in json.loads(content)["error"]
    assert list(json.loads(content)) == ["error"]


@pytest.mark.serve
def test_the_key(start: Start, tiny_run: Callable[[str], Path]) -> None:
    by_environment = start(tiny_run("sample"), HF_SPAM_API_KEY="secret-1")
    assert curl(by_environment, "/health")[0] == 200
    for path, body in (("/", {"inputs": "x"}), ("/info", None), ("/metrics", None), ("/docs", None)):
        assert curl(by_environment, path, body)[0] == 401
        assert curl(by_environment, path, body, "-H", "Authorization: Bearer secret-2")[0] == 401
        assert curl(by_environment, path, body, "-H", "Authorization: Basic secret-1")[0] == 401
        assert curl(by_environment, path, body, "-H", "Authorization: Bearer secret-1")[0] == 200
    assert InferenceClient(base_url=by_environment.url, api_key="secret-1").text_classification("x")
    _, headers, content = ask(by_environment, "POST", "/", b'{"inputs": "x"}')
    assert headers["www-authenticate"] == "Bearer"
    assert "secret" not in content.decode() + by_environment.log


@pytest.mark.serve
def test_no_text_is_logged(start: Start, tiny_run: Callable[[str], Path]) -> None:
    logging = start(tiny_run("sample"), "--access_log")
    curl(logging, "/", {"inputs": "a very private message"})
    curl(logging, "/predict", {"inputs": {"a very private message": 1}})
    ask(logging, "POST", "/", b'{"inputs": a very private message', **JSON)
    assert logging.stop() == 0
    assert '"POST / HTTP/1.1" 200' in logging.log
    assert "private" not in logging.log


@pytest.mark.serve
def test_no_log_by_default(served: Served) -> None:
    curl(served, "/", {"inputs": "x"})
    assert re.fullmatch(r"serving .*\n", served.log)


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.serve
def test_decisions(start: Start, tiny_run: Callable[[str], Path], tmp_path: Path) -> None:
    """Those of `SpamClassifier.decide`."""
    calibrated = tmp_path / "filter"
    shutil.copytree(tiny_run("sample"), calibrated)
    config = json.loads((calibrated / "config.json").read_text())
    (calibrated / "config.json").write_text(json.dumps(config | {"operating_point": POINT}))
    server = start(calibrated)
    status, rows = curl(server, "/decide", {"inputs": TEXTS})
    assert status == 200
    assert [row["decision"] for row in rows] == SpamClassifier.from_pretrained(calibrated).decide(TEXTS)
    assert set(rows[0]) == {"label", "score", "decision"}
    assert curl(server, "/info")[1]["operating_point"]["threshold"] == 0.7


def check_kind(start: Start, folder: Path, kind: str, *options: object) -> None:
    """A server says of a text what the classifier says."""
    server = start(folder, *options)
    assert curl(server, "/info")[1]["kind"] == kind
    _, [row] = curl(server, "/", {"inputs": TEXTS[0]})
    right = SpamClassifier.from_pretrained(folder).all_scores(TEXTS[0])
    assert {label["label"]: label["score"] for label in row} == pytest.approx(right, abs=1e-5)
    assert server.stop() == 0


@pytest.mark.serve
def test_an_export_to_gpt2(start: Start, tiny_run: Callable[[str], Path], tmp_path: Path, warm: Any) -> None:
    warm.run(["export", tiny_run("last_token"), "--format", "gpt2", "--output_dir", tmp_path / "stock"], tmp_path)
    check_kind(start, tmp_path / "stock", "gpt2")


@pytest.mark.serve
@pytest.mark.onnx
def test_an_int8_export(start: Start, tiny_run: Callable[[str], Path], tmp_path: Path, warm: Any) -> None:
    """Alone, and in two workers, of which each has its own."""
    pytest.importorskip("onnxruntime")
    warm.run(["export", tiny_run("sample"), "--int8", "--output_dir", tmp_path / "int8"], tmp_path)
    check_kind(start, tmp_path / "int8", "onnx")
    check_kind(start, tmp_path / "int8", "onnx", "--workers", "2")


@pytest.mark.serve
@pytest.mark.peft
def test_an_adapter(start: Start, few_messages: Path, gpt2_folder: Path, tmp_path: Path, warm: Any) -> None:
    pytest.importorskip("peft")
    argv = ["train", "--data_file", few_messages, "--weights", gpt2_folder, "--trainable", "lora", "--max_steps", "1"]
    warm.run([*argv, "--disable_tqdm", "true", "--output_dir", tmp_path / "lora"], tmp_path)
    check_kind(start, tmp_path / "lora", "adapter")


# --- what is told before it starts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "70000"], "--port: expected a whole number from 0 to 65,535"),
        (["--max_queue", "10"], "--max_queue: expected at least --max_texts, 256, found 10"),
        (["--read_timeout", "0"], "--read_timeout: expected a number above 0"),
        (["--workers", "0"], "--workers: expected"),
    ],
)
def test_options_out_of_range(options: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        limits_of(command.parse(["folder", *options]))


def limits_of(args: Namespace) -> Limits:
    """The limits that options ask for."""
    return Limits(max_queue=args.max_queue, max_texts=args.max_texts)


def test_a_key_that_no_header_can_carry() -> None:
    for key in ("", "two words", "ü", "a\nb"):
        with pytest.raises(ValueError, match="--api_key: expected printable ASCII"):
            Settings("name", api_key=key)
    assert "secret" not in repr(Settings("name", api_key="secret"))


def test_without_the_extra(run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _, errors = run("serve", "somewhere")
    assert code == 2
    assert re.search(r"hf-spam serve needs fastapi, found none\. Install it: pip install .*serve", errors)


@pytest.mark.serve
def test_a_port_that_is_taken(
    served: Served, run: Callable[..., tuple[int, str, str]], tiny_run: Callable[[str], Path]
) -> None:
    code, _, errors = run("serve", tiny_run("sample"), "--port", served.port)
    assert (code, "cannot listen there: Address already in use" in errors) == (2, True)
