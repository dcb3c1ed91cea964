"""Stream the wanted columns of a CSV, TSV or JSONL file, row by row."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping

from ..errors import UserError

JSONL_SUFFIXES = (".jsonl", ".json")

Wanted = Mapping[str, str | None]
Rows = Iterator[tuple[int, list[object]]]


def read_csv(lines: Iterable[str], file: object, wanted: Wanted, delimiter: str = ",") -> Rows:
    r"""Yield the wanted columns of each row of a table whose first row names its columns.

    Blank lines are skipped. A row that ends early has `None` in its missing columns.

    Args:
        lines: The file's lines with their ends (`\n`, `\r` or `\r\n`): opened with `newline=""`.
        file: The name of the file, for messages.
        wanted: See `find_column`: the column meant, and the name that the user gave for it, if any.
        delimiter: The character between two fields.

    Yields:
        The number of the row, counted from 1 without the header, and the values of `wanted` in its order.

    Raises:
        UserError: If a column is not found, a row has more fields than the header, or a quote is never closed.
    """
    csv.field_size_limit(2**31 - 1)
    rows = _csv_rows(lines, file, delimiter)
    header = next(rows, [])
    positions = [header.index(find_column(header, column, given, file)) for column, given in wanted.items()]
    for number, row in enumerate(rows, 1):
        if any(map(str.strip, row[len(header) :])):
            raise UserError(
                f"{file}: cannot be parsed: row {number} has {len(row)} fields, expected {len(header)}. "
                f"Put quotes around texts that contain {delimiter!r}."
            )
        yield number, [row[position] if position < len(row) else None for position in positions]


def read_jsonl(lines: Iterable[str], file: object, wanted: Wanted) -> Rows:
    r"""Yield the wanted columns of each row of a file with one JSON object on each line.

    Blank lines are skipped. The first object's keys are the columns; a key that is missing later is `None`.

    Args:
        lines: The file's lines, which end in `\n` alone: opened with `newline="\n"`.
        file: The name of the file, for messages.
        wanted: See `find_column`: the column meant, and the name that the user gave for it, if any.

    Yields:
        The number of the row, counted from 1, and the values of `wanted` in its order.

    Raises:
        UserError: If a column is not found, or a line is no JSON object.
    """
    number, columns = 0, None
    for line_number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        number += 1
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{file}, line {line_number}: expected a JSON object, found {line.strip()[:40]!r}.")
        if columns is None:
            columns = [find_column(list(row), column, given, file) for column, given in wanted.items()]
        yield number, [row.get(column) for column in columns]


def find_column(columns: list[str], wanted: str, given: str | None, file: object) -> str:
    """Return the name of a column: exactly as `given`, else `wanted` in any case.

    Args:
        columns: The columns that there are.
        wanted: What is looked for, `text` or `label`; also the name of the option that names it.
        given: The name that the user gave, if any.
        file: The name of the file, for messages.

    Raises:
        UserError: If not exactly one column has that name.
    """
    found = [name for name in columns if (name == given if given else name.strip().lower() == wanted)]
    if len(found) != 1:
        raise UserError(
            f"{file}: expected one column {given or wanted!r}, found columns: {', '.join(columns) or 'none'}. "
            f"Name it with --{wanted}_column."
        )
    return found[0]


def _csv_rows(lines: Iterable[str], file: object, delimiter: str) -> Iterator[list[str]]:
    """Yield the rows of a table, header included, without blank lines."""

    def ended() -> Iterator[str]:
        yield from lines
        yield "\n"  # a row of its own, unless it is inside a quote that is never closed

    row: list[str] = []
    width = 0
    for row in csv.reader(ended(), delimiter=delimiter):
        # In a table of one column, spaces are a text.
        if not row or (width != 1 and len(row) == 1 and not row[0].strip()):
            continue
        width = width or len(row)
        yield row
    if row:
        raise UserError(f"{file}: cannot be parsed: a quote is never closed, in the row that begins {row[0][:40]!r}.")
