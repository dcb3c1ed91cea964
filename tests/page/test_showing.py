"""Results as HTML, thresholds and records: what is shown, and that a stranger's text is shown as text.

pytest tests/page/test_showing.py -m serve
"""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from page.conftest import HOSTILE

pytest.importorskip("prometheus_client", reason="the page's tests: install the extra [serve]")

from hf_spam.errors import UserError
from hf_spam.inference.explaining import Explanation, Weight
from hf_spam.page.files import count_rows, result_name
from hf_spam.page.record import Record, read_record
from hf_spam.page.scoring import Reasons, Verdict
from hf_spam.page.showing import show_counts, show_error, show_note, show_reasons, show_record, show_verdict, shown
from hf_spam.page.threshold import Counts, Validation
from hf_spam.serving.settings import Limits

pytestmark = pytest.mark.serve


class Reader(HTMLParser):
    """What a browser sees: tags and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Note a tag."""
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@pytest.mark.parametrize("text", [*HOSTILE, "<script>x</script>", "&lt;b&gt;", "a\nb\tc", "'\"", "\\${x}"])
def test_text_is_shown(text: str) -> None:
    html = shown(text)
    assert Reader(html).text == text
    assert not re.search(r"[<>${}`\\\"']", html)


def test_what_is_no_character_is_an_escape() -> None:
    assert Reader(shown("a\x00\u202eb\ud800")).text == "a\\x00\\u202eb\\ud800"


def test_everything_shows_text() -> None:
    """Each kind of result, with hostile labels and messages, has only our own tags."""
    label = HOSTILE[2]
    weights = [Weight(word, 0, 0, 1.0) for word in HOSTILE]
    reasons = Reasons(Explanation(label, 1.0, weights), 0.5, label)
    figures = {label: {label: 1.0}}
    for html in (
        show_error(label),
        show_note(label),
        show_verdict(Verdict([(name, 0.3) for name in HOSTILE], None, True), None, False, False, 10),
        show_verdict(Verdict([(name, 0.6) for name in HOSTILE], None, False), None, True, False, 10),
        show_verdict(Verdict([(label, 3.0)], None, False), None, False, True, 10),
        show_reasons(" ".join(HOSTILE), reasons),
        show_counts(Counts(label, 1, 2, 3, 4), 0.5, False),
        show_record(Record(figures, [[1, 2, 3]] * 3, {}), HOSTILE),
    ):
        assert Reader(html).tags <= {
            "p",
            "strong",
            "span",
            "table",
            "caption",
            "tr",
            "th",
            "td",
            "thead",
            "tbody",
            "div",
            "mark",
            "b",
        }
        assert "<b>bold" not in html
        assert "<img" not in html


def test_a_message_is_whole() -> None:
    """Words, spaces and lines stand as they were, and the completeness is said."""
    message = " one\n two  three "
    spans = [(match.start(), match.end()) for match in re.finditer(r"\S+", message)]
    weights = [Weight(message[a:b], a, b, weight) for (a, b), weight in zip(spans, (2.0, -1.0, 0.01), strict=True)]
    html = show_reasons(message, Reasons(Explanation("spam", 3.0, weights), 1.0, "spam"))
    found = re.search(r'class="hs-message">(.*?)</p>', html, re.DOTALL)
    assert found is not None
    assert Reader(found[1]).text == message
    assert html.count("<mark") == 2
    assert "the weights sum to +1.01; all words together change the log-odds by +2.00 (50%)" in Reader(html).text


def test_thresholds() -> None:
    validation = Validation(
        ["ham", "spam"], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], [[True, False], [False, True], [True, False]]
    )
    assert validation.at(0.5, "spam") == Counts("spam", 1, 1, 1, 2)
    assert validation.at(0.7, "spam") == Counts("spam", 1, 1, 0, 2)
    assert validation.at(0.8, "spam").caught == 1
    assert validation.at(0.81, "spam").caught == 0
    assert validation.at(0.5, "ham") == Counts("ham", 1, 2, 0, 1)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"splits": 3}', '{"splits": {"test": {"confusion": [[1]]}}}'])
def test_a_folder_without_figures(tmp_path: Path, content: str | None) -> None:
    """Whatever is there instead, nothing is shown of it."""
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    (tmp_path / "loss-plot.png").write_bytes(b"<svg onload=alert(1)>")
    assert read_record(tmp_path, 2) == Record()
    assert "no figures and no plots" in show_record(Record(), ["ham", "spam"])


def test_a_folder_with_figures(tmp_path: Path) -> None:
    splits = {"test": {"accuracy": 0.5, "confusion": [[1, 2], [3, 4]], "other": "text"}}
    (tmp_path / "metrics.json").write_text(json.dumps({"splits": splits}))
    (tmp_path / "loss-plot.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")
    found = read_record(tmp_path, 2)
    assert (found.figures, found.confusion) == ({"test": {"accuracy": 0.5}}, [[1, 2], [3, 4]])
    assert list(found.plots) == ["The loss over the epochs"]
    assert read_record(tmp_path, 3).confusion == []


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("a.csv", "a-scored.csv"),
        ("a.TSV", "a-scored.tsv"),
        ("a.xlsx", "a-scored.csv"),
        ("../../<b>.parquet", "_b_-scored.parquet"),
        ("...", "messages-scored.csv"),
        ("x" * 300 + ".jsonl", "x" * 100 + "-scored.jsonl"),
    ],
)
def test_the_results_name(name: str, result: str) -> None:
    assert result_name(name) == result


def test_rows_are_counted_within_limits(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "words\n" * 20)
    assert count_rows(tmp_path / "a.csv", Limits()) == 20
    for limits, error in (
        (Limits(max_rows=19), "at most 19 rows, found more"),
        (Limits(max_upload=99), "at most 99 bytes, found 125"),
    ):
        with pytest.raises(UserError, match=error):
            count_rows(tmp_path / "a.csv", limits)
