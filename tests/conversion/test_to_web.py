"""The web export without a browser: what it writes, what it leaves out, what it refuses, and how it reads tables.

pip install -e ".[onnx]" && pytest tests/conversion/test_to_web.py -m "onnx or not onnx"
"""

import base64
import csv
import gzip
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.node import Node
from support.places import ROOT
from transformers import GPT2Tokenizer, PreTrainedTokenizerFast

from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification, UserError
from hf_spam.commands import export
from hf_spam.conversion import to_web
from hf_spam.conversion.to_web import LARGEST_MODEL, read_runtime, require_page_size

Run = Callable[..., tuple[int, str, str]]
WEB = ROOT / "hf_spam" / "conversion" / "web"
RUNTIME_FILES = {
    "ort.wasm.min.js": b"/*!\n * ONNX Runtime Web v1.2.3\n */",
    "ort-wasm-simd-threaded.mjs": b"export default 1",
    "ort-wasm-simd-threaded.wasm": b"\0asm",
}
FILES = {
    *("index.html", "page.css", "page.js", "page-bpe.js", "page-table.js", "page-model.js", "page-runtime.js"),
    *("ort.wasm.min.js", "onnxruntime-LICENSE.txt", "onnxruntime-ThirdPartyNotices.txt"),
    *("agreement.json", "manifest.json"),
}


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """An unpacked npm package, as far as it is read."""
    folder = tmp_path / "runtime"
    (folder / "dist").mkdir(parents=True)
    for name, content in RUNTIME_FILES.items():
        (folder / "dist" / name).write_bytes(content)
    return folder


def save_checkpoint(folder: Path, tokenizer: PreTrainedTokenizerFast, **settings: Any) -> Path:
    """A tiny checkpoint over the real vocabulary, with 20 messages that belong to it."""
    torch.manual_seed(0)
    sizes = {"context_length": 24, "emb_dim": 8, "n_heads": 2, "n_layers": 1, "initializer_range": 0.5}
    config = SpamGPTConfig(**{**sizes, "id2label": {0: "ham", 1: "<b>spam</b>"}, **settings})
    SpamGPTForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with (folder / "messages.csv").open("w", newline="") as file:
        rows = [[config.id2label[number % len(config.id2label)], f"message number {number}"] for number in range(20)]
        csv.writer(file).writerows([["label", "text"], *rows])
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizer: GPT2Tokenizer) -> Path:
    """One whose label is markup."""
    return save_checkpoint(tmp_path_factory.mktemp("private-place") / "markup", tokenizer)


def options_of(checkpoint: Path, runtime: Path | None = None) -> list[object]:
    given: list[object] = ["export", checkpoint, "--format", "web", "--data_file", checkpoint / "messages.csv"]
    return [*given, "--max_changed", "1", *(["--runtime", runtime] if runtime else [])]


def read_script(path: Path) -> dict[str, Any]:
    """The values that a generated script assigns."""
    first, *lines = path.read_text(encoding="ascii").splitlines()
    assert first == "globalThis.hfSpam ??= {};"
    found = [re.fullmatch(r"hfSpam\.(\w+) = (.*);", line) for line in lines]
    return {match[1]: json.loads(match[2]) for match in found if match}


def unpack(text: str) -> bytes:
    return gzip.decompress(base64.b64decode(text))


@pytest.mark.onnx
def test_what_it_writes(run: Run, checkpoint: Path, runtime: Path) -> None:
    """All that the page needs, and a model that runs."""
    import onnx

    code, output, error = run(*options_of(checkpoint, runtime), "--output_dir", "page")
    assert (code, error) == (0, "")
    assert "int8, " in output
    assert "saved to page; open page/index.html in a browser" in output.replace(str(Path.cwd()) + "/", "")
    assert {path.name for path in Path("page").iterdir()} == FILES
    for file in WEB.iterdir():
        assert Path("page", file.name).read_bytes() == file.read_bytes()
    for file in Path("page").iterdir():  # what is published names no place of this machine
        assert "private-place" not in file.read_text(encoding="utf-8"), file
    assert "Microsoft" in Path("page", "onnxruntime-LICENSE.txt").read_text()
    script = read_script(Path("page", "page-runtime.js"))
    assert {name: unpack(text) for name, text in script.items()} == {
        "starter": RUNTIME_FILES["ort-wasm-simd-threaded.mjs"],
        "binary": RUNTIME_FILES["ort-wasm-simd-threaded.wasm"],
    }
    script = read_script(Path("page", "page-model.js"))
    graph = onnx.load_from_string(unpack(script["model"])).graph
    assert any(node.op_type == "MatMulIntegerToFloat" for node in graph.node)
    assert json.loads(unpack(script["tokenizer"]))["vocabulary"]["!"] == 0
    assert script["settings"] == {
        "name": "markup",
        "labels": ["ham", "<b>spam</b>"],
        "problem_type": "single_label_classification",
        "max_length": 24,
        "pad_token_id": 50256,
        "point": None,
        "runtime": "1.2.3",
    }


@pytest.mark.onnx
def test_what_was_there_is_replaced(run: Run, checkpoint: Path, runtime: Path) -> None:
    """If that was asked for; also what an export left that was killed: its files are known as ours."""
    make_page = [*options_of(checkpoint, runtime), "--output_dir", "page"]
    for folder in ("page", "page.partial"):
        Path(folder).mkdir()
        for name in FILES - {"index.html", "manifest.json"}:
            Path(folder, name).write_text("{}")
    assert "page: holds a run already" in run(*make_page)[2]
    code, _, error = run(*make_page, "--overwrite_output_dir")
    assert (code, error) == (0, "")
    assert {path.name for path in Path().iterdir()} == {"page"}
    assert {path.name for path in Path("page").iterdir()} == FILES


@pytest.mark.onnx
def test_a_page_that_changes_too_much(run: Run, checkpoint: Path, runtime: Path, monkeypatch: Any) -> None:
    """Refused, and nothing is left."""
    measured = export.measure_agreement
    monkeypatch.setattr(export, "measure_agreement", lambda *given: replace(measured(*given), changed=1))
    code, output, error = run(*options_of(checkpoint, runtime), "--output_dir", "page", "--max_changed", "0")
    assert (code, output) == (2, "")
    assert "Leave out --int8, which --format web implies, or allow more with --max_changed." in error
    assert list(Path().iterdir()) == []


@pytest.mark.onnx
def test_what_the_command_refuses(run: Run, checkpoint: Path, runtime: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Each in a line, before any work."""
    code, _, error = run("export", checkpoint, "--runtime", runtime, "--output_dir", "page")
    assert (code, "expected --runtime with --format web, found --format onnx" in error) == (2, True)
    (runtime / "dist" / "ort-wasm-simd-threaded.wasm").unlink()
    code, _, error = run(*options_of(checkpoint, runtime), "--output_dir", "page")
    assert (code, "expected ort.wasm.min.js, " in error) == (2, True)
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, error = run(*options_of(checkpoint), "--output_dir", "page")
    assert (code, "expected npm on the PATH, found none. Fetch the package onnxruntime-web" in error) == (2, True)
    assert list(Path().iterdir()) == []


def test_a_runtime_that_is_none(tmp_path: Path, runtime: Path) -> None:
    for place in (runtime, runtime / "dist"):
        assert read_runtime(str(place)).version == "1.2.3"
    with pytest.raises(UserError, match="expected a folder with the package onnxruntime-web, found none"):
        read_runtime(str(tmp_path / "nothing"))
    (runtime / "dist" / "ort.wasm.min.js").write_text("alert(1)")
    with pytest.raises(UserError, match="expected onnxruntime-web, which gives its version at the start"):
        read_runtime(str(runtime))


def test_the_runtime_from_npm(monkeypatch: Any) -> None:
    """The files of the tarball, of the version whose hash is recorded."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in RUNTIME_FILES.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    asked: list[str] = []
    monkeypatch.setattr(to_web, "fetch_npm_package", lambda *given: asked.extend(given) or data.getvalue())
    assert read_runtime(None) == (*RUNTIME_FILES.values(), "1.2.3")
    assert asked[:2] == ["onnxruntime-web", "1.30.0"]
    assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", asked[2])


def test_a_model_too_large_for_a_page() -> None:
    require_page_size(LARGEST_MODEL)
    with pytest.raises(UserError, match=r"at most 256 MiB in int8 for a page, found 257 MiB\. Train a smaller"):
        require_page_size(LARGEST_MODEL + 2**20)


# --- the page's own files ------------------------------------------------------------------------------------------


def test_the_page_may_connect_to_nothing() -> None:
    """Its policy, and that it names no other host; texts from elsewhere are never written as HTML."""
    html = (WEB / "index.html").read_text()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', html)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["connect-src"] == rules["form-action"] == rules["base-uri"] == "'none'"
    assert rules["script-src"] == "'self' blob: 'wasm-unsafe-eval'"
    everything = "".join(path.read_text(encoding="utf-8") for path in WEB.iterdir())
    assert not re.search(r"https?:|//\w|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|fetch\(", everything)
    assert html.count("<textarea") == html.count('spellcheck="false"') == 2  # a browser may send what it checks


@pytest.fixture(scope="module")
def table() -> Iterator[Node]:
    """The functions of `page-table.js`."""
    node = Node(WEB / "page-table.js")
    yield node
    node.close()


FIELDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['"', ",", "\r\n", "\n", "a"]
)


@given(rows=st.lists(st.lists(FIELDS, min_size=2, max_size=2).filter(any), min_size=1, max_size=8))
def test_csv_is_read_and_written_as_python_does(table: Node, rows: list[list[str]]) -> None:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows(rows)
    assert table.call("parseRows", written.getvalue(), ",") == rows
    text = table.call("toCsv", rows)
    assert text[0] == "\ufeff"
    assert list(csv.reader(io.StringIO(text[1:], newline=""))) == rows


def test_tables(table: Node) -> None:
    """The column of messages comes first: the one with a usual name, else the longest. Text has one, its lines."""

    def names(name: str, text: str) -> list[tuple[str, list[str]]]:
        return [(column["name"], column["texts"]) for column in table.call("readTable", name, text)]

    assert names("a.csv", 'label,text,note\nham,"a, b",looooong\nspam,c\n\n') == [
        ("text", ["a, b", "c"]),
        ("note", ["looooong", ""]),
        ("label", ["ham", "spam"]),
    ]
    assert names("A.CSV", "ham;see you\r\nspam;win now")[0] == ("column 2", ["see you", "win now"])
    assert names("a.tsv", 'ham\t"quoted" at\nspam\tb')[0] == ("column 2", ["quoted at", "b"])
    assert names("a.txt", "one, two\r\n\n  \nthree") == [("lines", ["one, two", "three"])]
    assert names("empty.csv", "") == [("lines", [])]
    with pytest.raises(RuntimeError, match="A quote that opens in row 2 is never closed"):
        table.call("readTable", "a.csv", 'text\n"never')


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1"])
def test_encodings(table: Node, encoding: str) -> None:
    """Node.js 20 itself takes Windows-1252 for Latin-1; test_page.py has what lies between."""
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    assert table.call("bytes", "decode", list(mark + "£10 café".encode(encoding))) == "£10 café"
