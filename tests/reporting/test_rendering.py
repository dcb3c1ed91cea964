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
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_spam import UserError
from hf_spam.data.labels import MULTI, REGRESSION, Task
from hf_spam.errors import UNPRINTABLE
from hf_spam.reporting.building import Judged, build_report
from hf_spam.reporting.rendering import Report, Table, save_report, to_html, to_markdown

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
    "p",
    "h1",
    "h2",
    "div",
    "table",
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


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
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
    report = build_report(judged(kind, source="sample" if kind == "two" else "own"), resamples=10)
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
    assert page.tags <= TAGS


def test_baselines_left_out() -> None:
    report = build_report(judged("two", training="no training data here."), resamples=5)
    assert "The baselines are left out: no training data here." in report.notes
    assert report.verdict.startswith("Whether the model is better")
    assert list(report.record["figures"]) == ["model"]


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
    assert found.attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "scope", "alt", "src"}
    markdown = to_markdown(report)
    for written in (page, markdown):
        assert not UNPRINTABLE.search(written.replace("\n", ""))
    assert not set("<>`[]!\\") & set(markdown)
    rows = [line for line in markdown.split("\n") if line.startswith("|")]
    assert len(rows) == 3
    assert {len(re.findall(r"\|", row)) for row in rows} == {3}


@pytest.mark.parametrize("text", EVIL)
def test_a_text_is_shown_as_it_is(text: str) -> None:
    page = Page(to_html(Report("t", "v", False, [], [Table("x", ["a"], [[(text, "")]])])))
    assert UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text) in page.text
