r"""How a text is a table: which character separates its fields, what quotes mean, and whether it has a header.

`csv.Sniffer` guesses from frequencies. Here the beginning of the file is parsed with each delimiter, strictly, and the
one that gives rows of one width is taken.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import UserError
from .columns import LABEL_NAMES, LABEL_WORDS, TEXT_NAMES, normalise
from .opening import LARGEST_ROW

# Quotes around a field enclose it and are doubled inside; the same with \" inside, as R writes; or they are text.
# `collection`: as `enclosing`, but text may follow a quote, as pandas and the chapter read UCI's file.
Quotes = Literal["enclosing", "escaped", "literal", "collection"]

DELIMITERS = {",": ".csv", "\t": ".tsv", ";": "", "|": "", " ": ""}  # and the suffix that says so
TABLE_SUFFIXES = {".csv", ".tsv", ".tab", ".psv"}
_SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
_SAMPLE = 2**20  # characters
_ENOUGH = 2_000  # rows of a sample
_HEADER = set.union(*TEXT_NAMES, *LABEL_NAMES) - LABEL_WORDS
_EMPTY = {"", "NA", "NaN", "NULL", "None"}


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Attributes:
        delimiter: What separates two fields.
        quotes: What a quote at the beginning of a field means.
        newline: As for `open`: what ends a line.
        sample: The first rows.
    """

    delimiter: str
    quotes: Quotes
    newline: str
    sample: list[list[str]]

    @property
    def row_names(self) -> bool:
        """Whether rows begin with their number, for which the header has no name."""
        return _has_row_names(self.sample)


def find_dialect(head: str, whole: bool, suffix: str, names: Sequence[str], prefer_lines: bool) -> Dialect | None:
    """Return how a text is a table, or `None` if it is none.

    Args:
        head: Its beginning.
        whole: Whether that is all.
        suffix: The suffix of its name.
        names: The columns that the user named.
        prefer_lines: Whether it may be plain lines of text, which are a table only where a header or tabs say so.
    """
    cut = len(head) > _SAMPLE or not whole
    head = head[:_SAMPLE]
    newline = "\n" if "\n" in head else ""
    delimiters = [name for name in DELIMITERS if name != " " or head.startswith('"')]
    found: list[tuple[tuple[bool, ...], Dialect]] = []
    for delimiter in delimiters:
        quotes, rows = _find_quotes(head, cut, delimiter, newline)
        header = [normalise(name) for name in rows[0]] if rows else []
        named = len(header) > 1 and _names_columns(header, names)
        by_suffix = _SUFFIXES.get(suffix) == delimiter
        even = quotes is not None
        if prefer_lines and suffix not in TABLE_SUFFIXES and not (named or (even and delimiter == "\t")):
            continue
        if even or named or by_suffix:
            rank = (even, named, by_suffix)
            found.append((rank, Dialect(delimiter, quotes or "enclosing", newline, rows)))
    if not found:
        return None
    return max(found, key=lambda each: each[0])[1]  # of equals the first


def _names_columns(header: Sequence[str], names: Sequence[str]) -> bool:
    """Tell whether a row has a name that is known, or all that the user gave."""
    return bool(_HEADER & set(header)) or (bool(names) and {normalise(name) for name in names} <= set(header))


def _find_quotes(head: str, cut: bool, delimiter: str, newline: str) -> tuple[Quotes | None, list[list[str]]]:
    """Return what quotes mean under a delimiter, `None` if rows have several widths, and the first rows."""
    enclosing, whole = _sample(head, cut, delimiter, "enclosing", newline)
    # Between tabs and vertical bars, quotes may be text; between commas and semicolons they always enclose.
    literal = _sample(head, cut, delimiter, "literal", newline)[0] if delimiter in "\t|" else []
    if whole and _is_even(enclosing):
        # Where both fit: a program that quotes doubles the quotes inside, or quotes all its texts.
        # Lines that end in two ways are no rows if those that end in one of them end within a field.
        mixed = "\r\n" in head and any("\n" in field.replace("\r\n", "") for row in enclosing for field in row)
        if enclosing == literal or not _is_even(literal) or mixed or _is_quoted(literal):
            return "enclosing", enclosing
        return "literal", literal
    if _is_even(literal):
        return "literal", literal
    escaped, whole = _sample(head, cut, delimiter, "escaped", newline) if '\\"' in head else ([], False)
    return ("escaped", escaped) if whole and _is_even(escaped) else (None, enclosing)


def _is_even(rows: list[list[str]]) -> bool:
    """Tell whether all rows have one width of at least two, but for a header that has no name for R's numbers."""
    if not rows:
        return False
    widths = {len(row) for row in rows}
    return (len(widths) == 1 and max(widths) > 1) or _has_row_names(rows)


def _has_row_names(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether rows begin with their number, for which the header has no name: R's `write.table` does so."""
    first, rest = rows[0], rows[1:]
    if len(first) < 2 or len(rest) < 2 or {len(row) for row in rest} != {len(first) + 1}:
        return False  # a single row may have a label 1 and a comma too many
    return [row[0] for row in rest] == [str(number) for number in range(1, len(rest) + 1)]


def _is_quoted(literal: list[list[str]]) -> bool:
    """Tell whether quotes enclose fields, from rows in which they are taken as text."""
    rows = [row for row in literal if any(field.startswith('"') for field in row)]
    # What a field is enclosed for: a quote in it, which is doubled, or a carriage return.
    enclosed = (field[1:-1] for row in rows for field in row if _is_enclosed(field))
    needed = any('""' in field or "\r" in field for field in enclosed)
    all_quoted = sum(all(_is_enclosed(field) or _is_plain(field) for field in row) for row in rows)
    return bool(rows) and (needed or (all_quoted == len(rows) and len(rows) > len(literal) / 2))


def _is_enclosed(field: str) -> bool:
    return len(field) > 1 and field.startswith('"') and field.endswith('"')


def _is_plain(field: str) -> bool:
    """Tell whether a field is what programs that quote texts leave without quotes: a number or nothing."""
    if field in _EMPTY:
        return True
    try:
        float(field)
    except ValueError:
        return False
    return True


def _sample(head: str, cut: bool, delimiter: str, quotes: Quotes, newline: str) -> tuple[list[list[str]], bool]:
    """Return the first rows, up to one that cannot be parsed, and whether there is none."""
    rows: list[list[str]] = []
    last: list[str] | None = None
    try:
        for row in parse(io.StringIO(head, newline=newline), delimiter, quotes, ""):
            if last is not None:
                rows.append(last)
            last = row
            if len(rows) == _ENOUGH:
                return rows, True
    except UserError as error:
        # The sample may end within a quote; what comes before counts.
        return rows if last is None else [*rows, last], cut and len(rows) > 0 and "never closed" in str(error)
    return rows if last is None or (cut and rows) else [*rows, last], True


def settle_quotes(dialect: Dialect, lines: Iterable[str]) -> Dialect:
    """Return what quotes mean in a table whose first rows have none, from the first rows that do.

    A program that writes tabs or vertical bars may quote fields or leave quotes as they are, and one reading can merge
    rows of the other. Between commas and semicolons a quote always encloses.
    """
    if (
        dialect.delimiter not in "\t|"
        or not dialect.sample
        or any('"' in field for row in dialect.sample for field in row)
    ):
        return dialect
    marks = (f'{dialect.delimiter}"', f'{dialect.delimiter} "')
    begin: list[str] = []
    size = 0
    for line in lines:
        if size or line.startswith('"') or any(mark in line for mark in marks):
            begin.append(line)
            size += len(line)
            if size > _SAMPLE:
                break
    if not begin:
        return dialect
    header = dialect.delimiter.join("x" for _ in dialect.sample[0]) + "\n"
    quotes, _ = _find_quotes(header + "".join(begin), size > _SAMPLE, dialect.delimiter, dialect.newline)
    return replace(dialect, quotes=quotes or dialect.quotes)


def parse(lines: Iterable[str], delimiter: str, quotes: Quotes, name: object) -> Iterator[list[str]]:
    """Yield the rows of a table, header included, strictly. Blank lines are skipped, spaces in several columns too.

    Raises:
        UserError: If a quote is never closed, text follows one, or a row is too long. The row is named by its number.
    """
    csv.field_size_limit(LARGEST_ROW)
    width = number = 0
    own: list[str] = []  # the lines of the row that is being read
    size = 0

    def counted() -> Iterator[str]:
        nonlocal size
        for line in lines:
            size += len(line)
            if size > LARGEST_ROW:
                raise UserError(
                    f"{name}: cannot be parsed: a row has more than {LARGEST_ROW:,} characters, the one that begins "
                    f"{(own or [line])[0][:40]!r}. Is a quote never closed?"
                )
            own.append(line)
            if quotes == "escaped":
                if "\\\\" in line:
                    raise UserError(
                        f'{name}: cannot be parsed: row {number}: \\\\ may be one character or two where \\" stands '
                        f"for a quote. Save the file as JSONL, or with its quotes doubled."
                    )
                line = line.replace('\\"', '""')
            yield line

    reader: Iterator[list[str]]
    if quotes == "literal":
        reader = (line.rstrip("\r\n").split(delimiter) if line.rstrip("\r\n") else [] for line in counted())
    else:
        reader = csv.reader(counted(), delimiter=delimiter, strict=quotes != "collection")
    try:
        for row in reader:
            own.clear()
            size = 0
            if not row or (width != 1 and len(row) == 1 and not row[0].strip()):
                continue
            width = width or len(row)
            yield row
            number += 1
    except csv.Error as error:
        raise UserError(f"{name}: cannot be parsed: {_explain(str(error), number, own)}") from None


def _explain(error: str, number: int, lines: list[str]) -> str:
    row = f"row {number}" if number else "the header"
    begins = f"which begins {lines[0][:40]!r}" if lines else "the last"
    if "end of data" in error:
        return f"a quote is never closed, in {row}, {begins}. Close it, or double it if it belongs to the text."
    if "expected after" in error:
        return (
            f"a quote is never closed, or one inside a text is not doubled, in {row}, {begins}. Double the quotes "
            f"that belong to the text and put quotes around it."
        )
    return f"{row}, {begins}: {error}. Put quotes around texts with line breaks."


def has_header(rows: Sequence[Sequence[str]], names: Sequence[str]) -> bool:
    """Tell whether the first row names the columns.

    It does if it has a name that is known or that the user gave; it does not if one of its fields is a label, or the
    label of another row. In doubt it does: then names that are not known are refused.
    """
    first, rest = [normalise(name) for name in rows[0]], rows[1:]
    if _names_columns(first, names) or not rows[0][0].strip():
        return True
    if len(first) > 1 and first == [str(number) for number in range(len(first))]:  # pandas' names of nameless columns
        return True
    label = label_position(rest if len(rest) > 1 else rows)
    if label is None:
        return not any(name in LABEL_WORDS for name in first)
    return not (first[label] in LABEL_WORDS or rows[0][label] in {row[label] for row in rest if len(row) > label})


def guess_positions(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return which columns look like texts and labels, for messages: the longest, and the most alike of the others."""
    columns = list(zip(*rows, strict=False))
    text = max(range(len(columns)), key=lambda position: sum(map(len, columns[position])))
    others = [position for position in range(len(columns)) if position != text]
    return text, min(
        others, key=lambda position: (len({*columns[position]}) == 1, len({*columns[position]})), default=text
    )


def label_position(rows: Sequence[Sequence[str]]) -> int | None:
    """Return the column of two that holds labels: few distinct, short values; `None` if that is not clear."""
    rows = [row for row in rows if len(row) == 2]
    if not rows:
        return None
    columns = list(zip(*rows, strict=True))
    known = [all(field.strip().lower() in LABEL_WORDS for field in column) for column in columns]
    if any(known):
        return None if all(known) else known.index(True)
    kinds = [len(set(column)) for column in columns]
    lengths = [sum(map(len, column)) for column in columns]
    fewer = min((0, 1), key=kinds.__getitem__)
    clear = (
        1 < kinds[fewer] < kinds[1 - fewer] and kinds[fewer] <= len(rows) / 2 and lengths[fewer] < lengths[1 - fewer]
    )
    return fewer if clear else None
