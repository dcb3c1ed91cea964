"""Headers, or none: which row is the first message, and which columns are meant.   pytest tests/tables/test_headers.py"""

from pathlib import Path

import pytest

from hf_spam import UserError
from hf_spam.tables.columns import choose_columns, unique_names
from hf_spam.tables.table import open_table

PAIRS = [("ham", "hi, you"), ("spam", "win")]

READ: dict[str, tuple[str, dict[str, str], list[tuple[str, str]]]] = {
    "an index without a name": (',label,text,label_num\n605,ham,"hi, you",0\n2,spam,win,1\n', {}, PAIRS),
    "an index of an index": (',Unnamed: 0,Body,Label\n0,0,"hi, you",ham\n1,1,win,spam\n', {}, PAIRS),
    "two words": ('Email Type;Email Text\nham;hi, you\nspam;win\n', {}, PAIRS),
    "the text first": ("hi, you\tham\nwin\tspam\nyou\tham\n", {}, [*PAIRS, ("ham", "you")]),
    "numbers as labels": ("hi, you\t0\nwin\t1\n", {}, [("0", "hi, you"), ("1", "win")]),
    "labels that come again": ('a,"hi, you"\n' + "b,win big\na,hi there\n" * 2 + "b,bye\n", {}, [("a", "hi, you"), *[("b", "win big"), ("a", "hi there")] * 2, ("b", "bye")]),
    "columns by number": ('1,ham,"hi, you"\n2,spam,win\n', {"text_column": "3", "label_column": "2"}, PAIRS),
    "pandas' numbers": ('0,1\nham,"hi, you"\nspam,win\n', {"text_column": "1", "label_column": "0"}, PAIRS),
    "names of the user's": ('what,kind\n"hi, you",ham\nwin,spam\n', {"text_column": "WHAT", "label_column": "kind"}, PAIRS),
    "empty columns at the end": ('label,text,\nham,"hi, you",\nspam,win,\n', {}, PAIRS),
    "blank lines before": ('\n\n  \nlabel,text\nham,"hi, you"\n\nspam,win\n', {}, PAIRS),
    "R's numbers of rows": ('"label" "text"\n"1" "ham" "hi, you"\n"2" "spam" "win"\n', {}, PAIRS),
    "old Mac": ('label,text\rham,"hi, you"\rspam,win\r', {}, PAIRS),
}  # fmt: skip


@pytest.mark.parametrize(("content", "columns", "expected"), READ.values(), ids=READ)
def test_read(tmp_path: Path, content: str, columns: dict[str, str], expected: list[tuple[str, str]]) -> None:
    (tmp_path / "a").write_text(content, newline="")
    table = open_table(tmp_path / "a", **columns)
    assert [(table.label(row), table.text(place, row)) for place, row in table.rows()] == expected


REFUSED: dict[str, tuple[str, str]] = {
    "a comma too many in each row": ("label,text\nham,hi, you\nspam,a, b\n", "row 1 has 3 fields, expected 2"),
    "which are the labels?": ("0\tham\n1\tspam\n", "--text_column 2 --label_column 1"),
    "texts as few as labels": ("kind,what\nx,y\nz,w\n", "expected a column of texts and one of labels, found columns: kind, what"),
    "pandas' numbers": ("0,1\nham,hi\nspam,win\n", "found columns: 0, 1. Name them"),
    "a comment before": ("# made by\nlabel,text\nham,hi\n", "expected"),
    "a space before a quote": ('label, text\nham, "a, b"\n', "row 1 has 3 fields"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UserError) as error:
        list(open_table(tmp_path / "a.csv").rows())
    assert message in str(error.value)


def test_columns_by_their_names() -> None:
    def choose(*columns: str, text: str | None = None, label: str | None = None, needs: bool = True) -> tuple[list[str], list[str]]:  # fmt: skip
        chosen = choose_columns(columns, text, label, needs, "a")
        return chosen.texts, chosen.labels

    assert choose("Message ID", "Subject", "Message", "Spam/Ham", "Date") == (["Message"], ["Spam/Ham"])
    assert choose("text", "body", "label", "class") == (["text"], ["label"])  # the plainest name wins
    assert choose("title", "target") == (["title"], ["target"])
    assert choose("a", "b", "toxic", text="a", label="toxic, b") == (["a"], ["toxic", "b"])
    assert choose("a,b", "label", text="a,b") == (["a,b"], ["label"])
    assert choose("type", "category", "sms", needs=False) == (["sms"], [])
    assert choose("Text", "TEXT2", "x", text="text", label="3") == (["Text"], ["x"])
    for arguments in ({"text": "b"}, {"text": "a,b"}, {"label": "a,a"}, {"text": "0"}, {"text": "3"}, {"text": ","}):
        with pytest.raises(UserError, match=r"Name (it|them) with --"):
            choose("a", "label", **arguments)
    assert unique_names(["", "id", "id", "", "Unnamed: 0"]) == ["Unnamed: 0", "id", "id (2)", "Unnamed: 3", "Unnamed: 0 (2)"]  # fmt: skip
