"""The whole report, for each kind of task; no text of a stranger's becomes code.

pytest tests/reporting/test_rendering.py
"""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_spam import UserError
from hf_spam.data.labels import MULTI, REGRESSION, Task
from hf_spam.errors import UNPRINTABLE
from hf_spam.reporting.building import Judged, build_report
from hf_spam.reporting.figures import Estimate
from hf_spam.reporting.rendering import Report, Table, save_report, to_html, to_markdown
from hf_spam.reporting.tabling import twin_table

FIGURES = ("accuracy", "recall", "blocked")
TASKS = {
    "two": Task(),
    "three": Task(("a", "b", "c")),
    "several": Task(("a", "b", "c"), MULTI),
    "numbers": Task(("score",), REGRESSION),
}
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "p",
    "strong",
    "h1",
    "h2",
    "div",
    "table",
    "caption",
    "span",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "small",
    "figure",
    "figcaption",
    "img",
}
ATTRIBUTES = {
    *("lang", "charset", "name", "content", "http-equiv", "class", "scope", "alt", "src"),
    *("id", "role", "tabindex", "aria-labelledby"),
}


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.elements.append((tag, dict(attrs)))
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def judged(kind: str, **more: Any) -> Judged:
    task, random = TASKS[kind], np.random.default_rng(1)
    texts = [
        f"text number {n} about {'prizes and cash' if n % 3 == 0 else 'dinner at home'} {n * 7919}" for n in range(48)
    ]
    labels: list[Any] = [n % len(task.names) for n in range(48)]
    if kind == "several":
        labels = [[n % 3] if n % 2 else [0, 1] for n in range(48)]
    if kind == "numbers":
        labels = [float(n % 3) for n in range(48)]
    logits = random.normal(size=(24, len(task.names)))
    scores = logits if kind == "numbers" else 1 / (1 + np.exp(-logits)) if kind == "several" else _softmax(logits)
    options = {"training": (texts[24:], labels[24:])} | more
    return Judged(f"{kind} on 24", task, texts[:24], labels[:24], logits, scores, **options)


def _softmax(logits: Any) -> Any:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "kind", ["two", "three", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("several", "numbers"))]
)
def test_every_kind_of_task(kind: str, tmp_path: Path) -> None:
    report = build_report(judged(kind, source="sample" if kind == "two" else "own", held_out=True), resamples=10)
    save_report(report, tmp_path / "report")
    files = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"report.md", "report.html", "report.json"} <= files
    assert {"roc.png", "calibration.png"} <= files or kind == "numbers"
    assert (".eval_results" in files) == (kind == "two")
    record = json.loads((tmp_path / "report" / "report.json").read_text())
    assert len(record["figures"]) == 4  # the model and three baselines
    assert record["verdict"] == report.verdict
    assert {table.title for table in report.tables} >= {"Figures", "Slices", "Twins"}
    assert (tmp_path / "report" / "report.md").read_text().startswith("**The model ")
    with pytest.raises(UserError, match="exists already"):
        save_report(report, tmp_path / "report")
    page = Page((tmp_path / "report" / "report.html").read_text())
    check_page(page, report)


def check_page(page: Page, report: Report) -> None:
    """Whoever hears the page, reads it on a phone or offline gets all of it."""
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES
    named = {tag: [attributes for name, attributes in page.elements if name == tag] for tag in TAGS}
    assert named["html"] == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in named["meta"]
    assert (len(named["main"]), len(named["h1"])) == (1, 1)
    assert (named["p"][0]["class"] or "").split()[0] == "verdict"
    assert all(image["alt"] and image["src"].startswith("data:image/png;base64,") for image in named["img"])
    assert len(named["img"]) == len(report.pictures)

    tables = report.tables
    assert len(named["table"]) == len(named["caption"]) == len(tables)
    scopes = [attributes.get("scope") for attributes in named["th"]]
    assert scopes.count("col") == sum(bool(cell) for table in tables for cell in table.header)
    assert scopes.count("row") == sum(len(table.rows) for table in tables)
    assert len(scopes) == scopes.count("col") + scopes.count("row")

    scrolled = [attributes for attributes in named["div"] if "wide" in attributes["class"].split()]
    assert len(scrolled) == len(tables)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert [one["aria-labelledby"] for one in scrolled] == ids == list(dict.fromkeys(ids))
    assert {(one["role"], one["tabindex"]) for one in scrolled} == {("region", "0")}  # the keyboard scrolls it


def test_colours_have_contrast() -> None:
    page = to_html(Report("t", "v", False, [], []))
    themes = [dict(re.findall(r"--(\w+): (#\w+)", rule)) for rule in re.findall(r":root \{([^}]*)\}", page)]
    assert len(themes) == 3  # light, dark, print
    for own in themes:
        theme = themes[0] | own
        for text, behind in (("ink", "page"), ("ink", "soft"), ("quiet", "page"), ("quiet", "line")):
            assert contrast(theme[text], theme[behind]) >= 4.5, (text, behind, own)  # WCAG 2, level AA
        for mark in ("yes", "no"):
            assert contrast(theme[mark], theme["soft"]) >= 3, (mark, own)


def contrast(one: str, other: str) -> float:
    """The ratio of two colours' luminances, as WCAG 2 defines it."""
    high, low = sorted(map(luminance, (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    shares = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_twins_have_a_row_for_each_figure_of_each_model() -> None:
    task = TASKS["two"]
    one, other = ({name: Estimate.of(np.array([value])) for name in FIGURES} for value in (0.75, 0.5))
    measured = {"all": (8, {"model": one, "SVM": other}), "without twins": (6, {"model": other, "SVM": other})}
    table = twin_table(task, measured)
    assert table.header == ["", "all (8)", "without twins (6)", "gap"]
    assert [row[0][1] for row in table.rows] == ["model"] * 3 + ["SVM"] * 3
    assert [cell[0] for cell in table.rows[0]] == ["accuracy", "75.0 %", "50.0 %", "-25.0 points"]


def test_baselines_left_out() -> None:
    report = build_report(judged("two", training="no training data here."), resamples=5)
    assert "The baselines are left out: no training data here." in report.notes
    assert report.verdict.startswith("Whether the model is better")
    assert list(report.record["figures"]) == ["model"]


@pytest.mark.parametrize(
    ("source", "held_out", "there"),
    [("sample", True, True), ("uci", True, True), ("uci", False, False), ("own", True, False)],
)
def test_figures_for_the_hub(source: str, held_out: bool, there: bool) -> None:
    """Of its data set alone, and of messages that the model did not learn from; they name no place of this machine."""
    report = build_report(judged("two", source=source, held_out=held_out, training="none."), resamples=2)
    assert (report.eval_results is not None) == there
    if report.eval_results is not None:
        entries = parse_eval_result_entries(yaml.safe_load(report.eval_results))
        assert [entry.task_id for entry in entries] == ["accuracy", "recall", "blocked", "mcc", "log_loss"]
        for entry in entries:
            assert entry.value == round(report.record["figures"]["model"][entry.task_id]["value"], 4)
            assert entry.notes is not None
            assert entry.notes.startswith("24 test messages")
            assert report.title not in entry.notes


EVIL = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "[a](javascript:alert(1))", "![x](http://x/y.png)",
    "a | b\n| c", "{{ 7 * 7 }}{% raw %}", "\x1b[31m\u202egnp.exe\x00", "**bold** `code` <!-- --> &lt;", "# head\n\n- item",
    "</style></title><svg onload=alert(1)>", "http://x.example <http://x.example>",
]  # fmt: skip


@settings(max_examples=25)
@given(st.lists(st.one_of(st.sampled_from(EVIL), st.text(max_size=40)), min_size=3, max_size=3))
def test_no_text_becomes_code(texts: list[str]) -> None:
    title, label, message = texts
    table = Table(label, ["row", label], [[(label, message), (message, "")]], message, text=1)
    report = Report(title, message, False, [message], [table])
    page = to_html(report)
    found = Page(page)
    assert found.tags <= TAGS
    assert found.attributes <= ATTRIBUTES
    markdown = to_markdown(report)
    for written in (page, markdown):
        assert not UNPRINTABLE.search(written.replace("\n", ""))
    assert not set("<>`[]!\\") & set(markdown)
    rows = [line for line in markdown.split("\n") if line.startswith("|")]
    assert len(rows) == 3
    assert {len(re.findall(r"\|", row)) for row in rows} == {3}


def test_texts_and_labels_are_shown_as_they_are() -> None:
    """From the messages to the page, through every table and picture."""
    names = ('<b>ham</b> & "co"', "<img src=x onerror=alert(1)>")
    texts = [f"<script>alert({n})</script> <a href='http://x.example'>&lt;{n}</a>" for n in range(24)]
    logits = np.random.default_rng(1).normal(size=(24, 2))
    task = Task(names, positive=names[1])
    labels = [n % 2 for n in range(24)]
    own = Judged("<i>run</i>", task, texts, labels, logits, _softmax(logits), training=(texts, labels))
    report = build_report(own, resamples=5)
    assert report.record["number_of_mistakes"]
    page = Page(to_html(report))
    check_page(page, report)
    for row in report.record["mistakes"]:
        assert row["text"] in page.text
    for name in names:
        assert {f"predicted {name}", f"true {name}", name} <= set(page.text)


@pytest.mark.parametrize("text", EVIL)
def test_a_text_is_shown_as_it_is(text: str) -> None:
    page = Page(to_html(Report("t", "v", False, [], [Table("x", ["a"], [[(text, "")]])])))
    assert UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text) in page.text
