"""Rows of CSV, TSV and JSONL files: what was written is read, and what is damaged is refused.   pytest tests/data/test_files.py"""

import csv
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_spam import UserError
from hf_spam.data.files import find_column, read_csv, read_jsonl

fields = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(['"', "\r", "\n", "a,b", " "])
rows = st.lists(st.tuples(fields, fields), max_size=8)


@given(rows=rows, delimiter=st.sampled_from([",", "\t"]), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_table(rows: list[tuple[str, str]], delimiter: str, end: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("id", "LABEL", " Text "), *((number, *row) for number, row in enumerate(rows))])
    file.seek(0)
    found = list(read_csv(file, "a.csv", {"text": None, "label": None}, delimiter))
    assert found == [(number, [text, label]) for number, (label, text) in enumerate(rows, 1)]


@given(rows=rows, blank=st.sampled_from(["", "\n", " \n"]))
def test_any_objects(rows: list[tuple[str, str]], blank: str) -> None:
    lines = "".join(f"{blank}{json.dumps({'body': text, 'n': 1, 'label': label})}\n" for label, text in rows)
    found = list(read_jsonl(io.StringIO(lines, newline="\n"), "a.jsonl", {"label": None, "text": "body"}))
    assert found == [(number, list(row)) for number, row in enumerate(rows, 1)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\n \nid,text\n\n1,a\n  \n2,b\n", ["a", "b"]),  # blank lines, also before the header
        ('id,text\n1,"a"b\n2,c"d"\n', ["ab", 'c"d"']),  # quotes that do not enclose a field
        ('text\n"a"\n""\n \n', ["a", "", " "]),  # one column: an empty text and a blank one are texts
        ('id,text\n1,"a\r\nb"', ["a\r\nb"]),  # no line end at the end
        ("id,text\n1,a\x00b\n", ["a\x00b"]),
        ("text\n", []),
        (f"id,text\n1,{'a' * 200_000}\n", ["a" * 200_000]),  # the csv module's own limit is 131,072
    ],
)
def test_tables_of_other_hands(content: str, expected: list[str | None]) -> None:
    found = list(read_csv(io.StringIO(content, newline=""), "a.csv", {"text": None}))
    assert found == [(number, [text]) for number, text in enumerate(expected, 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,text\n1,hello, you\n", r"a\.csv: cannot be parsed: row 1 has 3 fields, expected 2\. Put quotes around"),
        (
            'id,text\n1,a\n2,"b\n3,c\n',
            r"a\.csv: cannot be parsed: a quote is never closed, in the row that begins '2'",
        ),
        ("id,text\n1,a\n2\n", r"a\.csv: cannot be parsed: row 2 has 1 field, expected 2\. Put quotes"),
        ("id,text\n1,Hello,\n", r"row 1 has 3 fields, expected 2\. Put quotes"),  # the comma belongs to the text
        ('id,text\n1,"a\n2,say "b" now\n', "a quote is never closed, or one inside a text is not doubled"),
        (f"text,{','.join(['id'] * 100_000)}\na\n", "row 1 has 1 field, expected 100001"),
        (f"{','.join(['id'] * 100_000)}\n", "found columns: id, id, id, id, id, id, id, id, id, id and 99,990 more"),
        ("", "a.csv: expected one column 'text', found columns: none"),
        ("text,n,text\na,1,b\n", "expected one column 'text', found columns: text, n, text"),
    ],
)
def test_tables_that_are_damaged(content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(read_csv(io.StringIO(content, newline=""), "a.csv", {"text": None}))


def test_rows_are_streamed() -> None:
    def endless() -> Iterator[str]:
        yield "text\n"
        while True:
            yield "a\n"

    drawn = read_csv(endless(), "a.csv", {"text": None})
    assert [next(drawn), next(drawn)] == [(1, ["a"]), (2, ["a"])]


def test_a_column_by_its_name() -> None:
    columns = ["Text", "body", "TEXT2", " label "]
    assert find_column(columns, "text", None, "a.csv") == "Text"
    assert find_column(columns, "text", "body", "a.csv") == "body"
    assert find_column(columns, "label", None, "a.csv") == " label "
    with pytest.raises(
        UserError, match=r"expected one column 'text', found columns: Text, .*Name it with --text_column"
    ):
        find_column(columns, "text", "text", "a.csv")  # a given name is exact
