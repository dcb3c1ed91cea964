"""The rows of a table in plain text: CSV and its kin, and lines of text."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from ..errors import UserError
from .columns import Part, Rows, Wanted, choose_columns, unique_names
from .dialects import (
    TABLE_SUFFIXES,
    Dialect,
    find_dialect,
    guess_positions,
    has_header,
    label_position,
    parse,
    settle_quotes,
)
from .encodings import HEAD, Text

_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars", " ": "spaces"}

# UCI's SMS Spam Collection, which the chapter reads with pandas' default quoting: 5,572 rows of its 5,574 lines.
COLLECTION_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"


def read_delimited(text: Text, wanted: Wanted) -> Part:
    """Return the rows of a text: a table if it is one, else, where no labels are needed, its lines.

    Raises:
        UserError: If it is neither, or the columns are not recognised.
    """
    suffix, name = text.source.suffix, text.source.name
    may_be_lines = not wanted.needs_label and suffix not in TABLE_SUFFIXES
    dialect = find_dialect(text.head, text.whole, suffix, wanted.names, may_be_lines)
    if dialect is None:
        if may_be_lines and not wanted.names:
            return _lines(text)
        raise UserError(
            f"{name}: expected a table of texts{' and labels' * wanted.needs_label}, found lines that are none. "
            f"Save it as CSV with a header, or as JSONL."
        )
    if text.whole and hashlib.sha256(text.source.start(HEAD)).hexdigest() == COLLECTION_SHA256:
        dialect = replace(dialect, quotes="collection")
    else:
        dialect = settle_quotes(dialect, text.lines(dialect.newline))
    return _table(text, dialect, wanted)


def _lines(text: Text) -> Part:
    def rows() -> Rows:
        # A line ends with \n alone: what else Python calls a line end may stand in a text.
        for number, line in enumerate(text.lines("\n"), 1):
            yield number, {"text": line.rstrip("\r\n")}

    return Part(text.source.name, ["text"], ["text"], [], [*text.notes, "one text on each line"], {}, rows)


def _table(text: Text, dialect: Dialect, wanted: Wanted) -> Part:
    sample, name = dialect.sample, text.source.name
    if not sample:
        raise UserError(f"{name}: expected messages, found no rows.")
    header = dialect.row_names or has_header(sample, wanted.names)
    width = len(sample[0]) + dialect.row_names
    notes = list(text.notes)
    if header:
        raw = [*[""] * dialect.row_names, *sample[0]]
    else:
        raw = [str(number) for number in range(1, width + 1)]
        notes.append("no header: columns are numbered from 1")
    columns = unique_names(raw)
    shown = [given if given.strip() else column for given, column in zip(raw, columns, strict=True)]
    if header or wanted.text_column or wanted.label_column:
        chosen = choose_columns(shown, wanted.text_column, wanted.label_column, wanted.needs_label, name)
        texts, labels = chosen.texts, chosen.labels
    else:
        texts, labels = _by_content(sample, columns, wanted, name)
    if (dialect.delimiter, text.source.suffix) not in ((",", ".csv"), ("\t", ".tsv")):
        notes.append(f"fields are separated by {_NAMES[dialect.delimiter]}")

    if '\\"' in text.head and dialect.quotes != "escaped":
        notes.append("backslashes before quotes are read as part of the text")
    unnamed = [column for column, given in zip(columns, raw, strict=True) if not given.strip()][raw[0] == "" :]
    remarks: list[str] = []

    def rows() -> Rows:
        left: list[int] = []
        for number, row in _numbered(text, dialect, columns, header):
            if any(row[column] for column in unnamed):
                left.append(number)
            yield number, row
        if left:
            also = f"{len(left):,} rows have something in columns without a name (the first is row {left[0]:,})"
            remarks[:] = [f"{name}: {also}, which are left out"]

    return Part(name, columns, texts, labels, notes, {}, rows, remarks)


def _by_content(
    sample: Sequence[Sequence[str]], columns: list[str], wanted: Wanted, name: str
) -> tuple[list[str], list[str]]:
    """Return the columns of texts and labels of a table without a header."""
    if len(columns) == 1 and not wanted.needs_label:
        return columns, []
    label = label_position(sample) if len(columns) == 2 else None
    if label is None:
        text_like, label_like = guess_positions(sample)
        raise UserError(
            f"{name}: expected a header, or two columns of which one holds labels, found {len(columns)} columns and "
            f"no header. Say which by their numbers: --text_column {text_like + 1} --label_column {label_like + 1}"
        )
    return [columns[1 - label]], [columns[label]]


def _numbered(text: Text, dialect: Dialect, columns: list[str], header: bool) -> Rows:
    name, width = text.source.name, len(columns)
    rows = parse(text.lines(dialect.newline), dialect.delimiter, dialect.quotes, name)
    first = next(rows, []) if header else None
    for number, row in enumerate(rows, 1):
        if row == first and width > 1:
            raise UserError(
                f"{name}: cannot be parsed: row {number} repeats the header. If two files were joined, give them one "
                f"by one, or remove the row."
            )
        if len(row) != width:
            raise UserError(
                f"{name}: cannot be parsed: row {number} has {len(row)} field{'s' * (len(row) != 1)}, expected "
                f"{width}. Put quotes around texts that contain {dialect.delimiter!r}."
            )
        yield number, dict(zip(columns, row, strict=True))
