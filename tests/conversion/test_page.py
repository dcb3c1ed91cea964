"""The web export in Chromium, from a disk without a network: labels as SpamClassifier's, and nothing leaves the page.

pip install -e ".[browser,onnx]" && pytest tests/conversion/test_page.py -m browser
"""

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.loopback_server import Answer, LoopbackServer

from hf_spam import SpamClassifier, UserError
from hf_spam.checkpoint.operating_point import OperatingPoint
from hf_spam.cli import main
from hf_spam.conversion.to_web import read_runtime

pytestmark = pytest.mark.browser
HOSTILE = ["<b>bold</b>", '"><img src=x onerror=alert(1)>']
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def exported(
    chromium: Any, tiny_run: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, SpamClassifier]:
    """A page of a tiny model that has trained, and its int8 export to ONNX, which scores each message by itself."""
    pytest.importorskip("onnxruntime", reason="the browser's tests: install the extra [onnx]")
    folder = tmp_path_factory.mktemp("page")
    try:
        runtime = read_runtime(None)
    except UserError as error:
        pytest.skip(f"the browser's tests: {error}")
    names = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
    for name, content in zip(names, runtime[:3], strict=True):
        (folder / name).write_bytes(content)
    options = ["export", str(tiny_run("sample")), "--max_changed", "0.05"]
    assert main([*options, "--format", "web", "--runtime", str(folder), "--output_dir", str(folder / "page")]) == 0
    assert main([*options, "--int8", "--output_dir", str(folder / "int8")]) == 0
    return folder / "page", SpamClassifier.from_pretrained(folder / "int8", token_budget=1)


@pytest.fixture
def visit(chromium: Any) -> Iterator[Open]:
    """Open a page from a disk, offline. At the end no error was written, no dialog was seen, nothing was asked."""
    contexts, asked, faults = [], [], []

    def open_it(place: Path | str, width: int = 1280, height: int = 900, **options: Any) -> Any:
        address = place if isinstance(place, str) else (place / "index.html").as_uri()
        context = chromium.new_context(
            viewport={"width": width, "height": height}, **{"offline": isinstance(place, Path), **options}
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: (faults.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        page.faults = faults
        page.goto(address)
        page.locator("#classify:enabled").wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert faults == []
    allowed = ("file:", "blob:", "data:,", "http://127.0.0.1:")
    assert [address for address in asked if not address.startswith(allowed)] == []


def classify_all(page: Any) -> list[dict[str, str]]:
    """Classify many messages and return the rows of the download."""
    page.click("#classify-many")
    page.locator("#download").wait_for()
    with page.expect_download() as download:
        page.click("#download")
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def with_settings(page: Path, folder: Path, **settings: Any) -> Path:
    """A copy of a page that says something else of its model."""
    shutil.copytree(page, folder)
    script = folder / "page-model.js"
    lines = script.read_text().split("\n")
    [place] = [number for number, line in enumerate(lines) if line.startswith("hfSpam.settings = ")]
    old = json.loads(lines[place].removeprefix("hfSpam.settings = ").removesuffix(";"))
    lines[place] = f"hfSpam.settings = {json.dumps({**old, **settings})};"
    script.write_text("\n".join(lines))
    return folder


def test_labels_are_the_classifiers(
    exported: tuple[Path, SpamClassifier], visit: Open, messages: pd.DataFrame
) -> None:
    """On 300 real messages; scores within 1e-3."""
    folder, classifier = exported
    texts = [text for text in messages["Text"].head(320) if not re.search(r"[\r\n]", text) and text.strip()][:300]
    page = visit(folder)
    page.fill("#lines", "\n".join(texts))
    rows = classify_all(page)
    assert [row["text"] for row in rows] == texts
    expected, scores = classifier(texts), classifier.all_scores(texts)
    assert {row["label"] for row in rows} == {"ham", "spam"}
    assert [row["label"] for row in rows] == [prediction.label for prediction in expected]
    for row, all_scores in zip(rows, scores, strict=True):
        assert {name: float(row[f"score_{name}"]) for name in all_scores} == pytest.approx(all_scores, abs=1e-3)
    assert "300 messages in " in page.inner_text("#many-state")
    assert page.locator("#many-results tbody tr").count() == 200
    print(page.inner_text("#state"), page.inner_text("#many-state"))


def test_one_message(exported: tuple[Path, SpamClassifier], visit: Open) -> None:
    """As one types, by the button and by the keyboard; a long one is cut as the library cuts it."""
    folder, classifier = exported
    page = visit(folder)
    assert page.locator("#result").is_hidden()
    page.locator("#message").press_sequentially("Win £1000 now!")
    page.locator("#result").wait_for()
    for text in ("Win £1000 now!", "see you at eight", "\ud83c\udf89 ok" * 300):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16")
        page.fill("#message", text)
        page.focus("#message")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_timeout(600)  # the answers to typing and to the button are in
        expected = classifier.all_scores(text)
        assert page.inner_text("#label") == max(expected, key=expected.get)
        shown = dict(
            row.split("\t") for row in page.locator("#scores tbody").inner_text().replace("\n", "").split("%") if row
        )
        assert {name: float(score) / 100 for name, score in shown.items()} == pytest.approx(expected, abs=1.5e-3)
    assert f"Only the first {classifier.max_length} tokens were read" in page.inner_text("#facts")
    page.click("#clear")
    assert page.locator("#result").is_hidden()


def test_decisions(exported: tuple[Path, SpamClassifier], visit: Open, messages: pd.DataFrame, tmp_path: Path) -> None:
    """Allow, unsure and block are those of the operating point."""
    folder, classifier = exported
    texts = [" ".join(text.split()) for text in messages["Text"].head(40)]
    logits = classifier.logits(texts)
    leads = (logits[:, 1] - logits[:, 0]).tolist()
    below = sorted(lead for lead in leads if lead < 0)
    unsure = (below[len(below) // 2] + below[len(below) // 2 + 1]) / 2
    point = OperatingPoint("spam", 1, 0, unsure, 0.01, 0.95, 100, 0, 0.01, 0.9)
    page = visit(with_settings(folder, tmp_path / "page", point=point.to_dict()))
    page.fill("#lines", "\n".join(texts))
    rows = classify_all(page)
    assert [row["decision"] for row in rows] == [point.decide(lead) for lead in leads]
    assert {row["decision"] for row in rows} == {"allow", "unsure", "block"}
    page.fill("#message", texts[0])
    page.locator("#result").wait_for()
    assert page.inner_text("#decision") == point.decide(leads[0])


def test_text_is_never_markup(exported: tuple[Path, SpamClassifier], visit: Open, tmp_path: Path) -> None:
    """Labels, messages and names of files and columns; no element comes of them, and no script runs."""
    page = visit(with_settings(exported[0], tmp_path / "page", labels=HOSTILE, name=HOSTILE[0]))
    page.fill("#message", HOSTILE[1])
    page.locator("#result").wait_for()
    assert page.inner_text("#label") in HOSTILE
    written = io.StringIO()
    csv.writer(written).writerows([["text", HOSTILE[0]], *([text, "x"] for text in HOSTILE)])
    table = written.getvalue()
    page.set_input_files("#file", {"name": f"{HOSTILE[0]}.csv", "mimeType": "text/csv", "buffer": table.encode()})
    page.get_by_text(f"2 messages in {HOSTILE[0]}.csv.").wait_for()
    assert [row["text"] for row in classify_all(page)] == HOSTILE
    assert page.locator("#many-results td:first-child").all_inner_texts() == HOSTILE
    assert page.locator("b, img").count() == 0
    assert all(label in page.inner_text("#about") for label in HOSTILE)


def test_several_labels_and_numbers(exported: tuple[Path, SpamClassifier], visit: Open, tmp_path: Path) -> None:
    """Sigmoids where a message may have several labels; the number itself with regression."""
    folder, classifier = exported
    logits = classifier.logits("see you")
    page = visit(with_settings(folder, tmp_path / "several", problem_type="multi_label_classification"))
    page.fill("#lines", "see you")
    [row] = classify_all(page)
    found = [float(row["score_ham"]), float(row["score_spam"])]
    assert found == pytest.approx(logits.sigmoid().tolist(), abs=1e-3)
    page = visit(with_settings(folder, tmp_path / "number", problem_type="regression", labels=["stars"]))
    page.fill("#lines", "see you")
    [row] = classify_all(page)
    assert list(row) == ["text", "score"]
    page.fill("#message", "see you")
    page.locator("#result").wait_for()
    assert float(page.inner_text("#label")) == pytest.approx(float(row["score"]), abs=1e-3)


def test_files(exported: tuple[Path, SpamClassifier], visit: Open) -> None:
    """A table in Windows-1252, whose column can be chosen; then lines again."""
    page = visit(exported[0])
    table = "id;text;other\r\n1;£10 – café;anything\r\n2;see you;more\r\n".encode("windows-1252")
    page.set_input_files("#file", {"name": "a.csv", "mimeType": "text/csv", "buffer": table})
    page.locator("#column-choice").wait_for()
    assert page.locator("#column option").all_inner_texts()[0] == "text"
    assert [row["text"] for row in classify_all(page)] == ["£10 – café", "see you"]
    page.select_option("#column", label="other")
    assert [row["text"] for row in classify_all(page)] == ["anything", "more"]
    page.fill("#lines", "one\n\ntwo")
    assert page.locator("#column-choice").is_hidden()
    assert [row["text"] for row in classify_all(page)] == ["one", "two"]
    page.fill("#lines", "")
    page.click("#classify-many")
    assert page.inner_text("#many-state") == "There are no messages yet."
    page.set_input_files("#file", {"name": "b.csv", "mimeType": "text/csv", "buffer": b'text\n"never closed'})
    page.get_by_text("This did not work: A quote that opens in row 2 is never closed.").wait_for()
    page.faults.clear()  # it is on the console, too


def test_many_can_be_stopped(exported: tuple[Path, SpamClassifier], visit: Open) -> None:
    page = visit(exported[0])
    lines = b"see you at eight\n" * 20_000
    page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": lines})
    page.get_by_text("20000 messages in a.txt.").wait_for()
    page.click("#classify-many")
    page.fill("#message", "one meanwhile")
    page.locator("#result").wait_for()
    page.click("#stop")
    page.locator("#download").wait_for()
    done, all_ = re.match(r"(\d+) of (\d+) messages", page.inner_text("#many-state")).groups()  # type: ignore[union-attr]
    assert 0 < int(done) < int(all_) == 20_000


REACH_OUT = """async (url) => {
  const tries = {
    fetch: () => fetch(url),
    request: () => new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.onload = resolve;
      request.onerror = () => reject(new Error("refused"));
      request.open("GET", url);
      request.send();
    }),
    socket: () => new Promise((resolve, reject) => {
      const socket = new WebSocket(url.replace("http", "ws"));
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error("refused"));
    }),
    beacon: async () => { if (!navigator.sendBeacon(url, "text")) throw new Error("refused"); },
  };
  for (const name of ["img", "script", "iframe", "link", "video"]) tries[name] = () => new Promise((resolve, reject) => {
    const element = document.createElement(name);
    element.onload = element.onloadeddata = resolve;
    element.onerror = () => reject(new Error("refused"));
    if (name === "link") element.rel = "stylesheet";
    element[name === "link" ? "href" : "src"] = url;
    document.body.append(element);
    setTimeout(() => reject(new Error("nothing came")), 1000);
  });
  const form = document.createElement("form");
  form.action = url;
  document.body.append(form);
  form.submit();
  return Promise.all(Object.entries(tries).map(([name, attempt]) => attempt().then(() => name, () => "")));
}"""


def test_nothing_leaves_the_page(exported: tuple[Path, SpamClassifier], visit: Open, server: LoopbackServer) -> None:
    """With a network, and a script in the page that tries everything: a server on this machine is asked nothing."""
    page = visit(exported[0], offline=False)
    reached = page.evaluate(REACH_OUT, f"{server.url}/secret")
    page.wait_for_timeout(500)
    assert set(reached) <= {"", "iframe", "beacon"}  # they say nothing of the refusal
    assert server.requests == []
    page.faults.clear()  # each refusal is on the console


def test_any_web_host(exported: tuple[Path, SpamClassifier], visit: Open, server: LoopbackServer) -> None:
    """The folder as it is, over HTTP: each of the page's files is asked once, and nothing else."""
    types = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
    for path in exported[0].iterdir():
        server.answers[f"/{path.name}"] = Answer(path.read_bytes(), Content_Type=types.get(path.suffix, "text/plain"))
    page = visit(f"{server.url}/index.html")
    page.fill("#message", "Win £1000 now!")
    page.locator("#result").wait_for()
    files = [path.name for path in exported[0].iterdir() if path.suffix in types]
    assert sorted(server.requests) == sorted(f"GET /{name}" for name in files)


def test_a_part_that_is_missing(exported: tuple[Path, SpamClassifier], chromium: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(exported[0], tmp_path / "page")
    (folder / "page-model.js").unlink()
    context = chromium.new_context(offline=True)
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    page.get_by_text("This did not work: page-model.js or page-runtime.js is missing.").wait_for()
    assert page.locator("#classify").is_disabled()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_for_everybody(
    exported: tuple[Path, SpamClassifier], visit: Open, axe: str, tmp_path: Path, width: int, scheme: str
) -> None:
    """axe-core finds no fault at all, with results and without; on a phone nothing is wider than the screen."""
    point = {"positive": "spam", "unsure": -30}
    folder = with_settings(exported[0], tmp_path / "page", point=point)
    page = visit(folder, width=width, color_scheme=scheme, bypass_csp=True)
    page.evaluate(axe)
    for lines in ("", "Win £1000 now!\nsee you at eight\n" + "w" * 500):
        if lines:
            page.fill("#message", lines)
            page.locator("#result").wait_for()
            page.fill("#lines", lines)
            classify_all(page)
        found = page.evaluate("() => axe.run({ preload: false })")
        assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found["violations"]] == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("HF_SPAM_SCREENSHOTS"):
        page.screenshot(path=Path(folder, f"page-{width}-{scheme}.png"), full_page=True)
