"""Stream the wanted columns of a CSV, TSV or JSONL file, row by row. A row that does not fit is refused."""

import csv
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..errors import UserError
from ..system.reading import parse_json
from .opening import LARGEST_ROW, TextFile

_MOST_NAMES = 10  # in a message

Wanted = Mapping[str, str | None]
Rows = Iterator[tuple[int, list[object]]]


def read_table(file: TextFile, wanted: Wanted) -> Rows | None:
    """Return the wanted columns of each row of a CSV, TSV or JSONL; `None` if the file is no table.

    A file is a CSV, a TSV or a JSONL by its name. Any file is a TSV if its first line is tab-separated and names all
    columns of `wanted`, or if the user names a column.

    Args:
        file: The file.
        wanted: See `find_column`: the column meant, and the name that the user gave for it, if any.
    """
    if file.kind == "jsonl":
        return read_jsonl(file.lines("\n"), file.path, wanted)
    if file.kind == "csv":
        return read_csv(file.lines(""), file.path, wanted)
    names = header(file)
    if any(wanted.values()) or (len(names) > 1 and set(wanted) <= set(names)):
        return read_csv(file.lines(""), file.path, wanted, delimiter="\t")
    return None


def header(file: TextFile, delimiter: str = "\t") -> list[str]:
    """Return the fields of the first line in lower case."""
    try:
        return [field.strip().lower() for field in next(csv.reader([file.head], delimiter=delimiter), [])]
    except csv.Error:  # a field of more than 64 MiB
        return []


def read_csv(lines: Iterable[str], file: object, wanted: Wanted, delimiter: str = ",") -> Rows:
    r"""Yield the wanted columns of each row of a table whose first row names its columns.

    Blank lines are skipped, and in a table of several columns lines of spaces too.

    Args:
        lines: The file's lines with their ends (`\n`, `\r` or `\r\n`): opened with `newline=""`.
        file: The name of the file, for messages.
        wanted: See `find_column`: the column meant, and the name that the user gave for it, if any.
        delimiter: The character between two fields.

    Yields:
        The number of the row, counted from 1 without the header, and the values of `wanted` in its order.

    Raises:
        UserError: If a column is not found, a row has more or fewer fields than the header, or a quote is never
            closed.
    """
    rows = _csv_rows(lines, file, delimiter)
    columns = next(rows, [])
    positions = [columns.index(find_column(columns, column, given, file)) for column, given in wanted.items()]
    for number, row in enumerate(rows, 1):
        if len(row) != len(columns):
            raise UserError(
                f"{file}: cannot be parsed: row {number} has {len(row)} field{'s' * (len(row) != 1)}, expected "
                f"{len(columns)}. Put quotes around texts that contain {delimiter!r}."
            )
        yield number, [row[position] for position in positions]


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
        place = f"{file}, line {line_number}"
        try:
            row = parse_json(line, place)
        except UserError as error:
            found, reason = line.strip()[:40], str(error).removeprefix(f"{place}: ").removesuffix(".")
            remedy = ""
            if number == 1 and found[0] in "[{":
                words = "jq -c '.[]'" if found[0] == "[" else "jq -c ."
                remedy = f" If the whole file is one JSON value: {words} {file} > lines.jsonl"
            raise UserError(f"{place}: expected a JSON object, found {found!r} ({reason}).{remedy}") from None
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
            f"{file}: expected one column {given or wanted!r}, found columns: {list_names(columns)}. "
            f"Name it with --{wanted}_column."
        )
    return found[0]


def list_names(names: Sequence[str]) -> str:
    """Return the first ten names, and how many more there are, for messages."""
    shown = ", ".join(name if len(name) <= 50 else f"{name[:50]}…" for name in names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return f"{shown}{more}" if names else "none"


def list_rows(rows: Sequence[int]) -> str:
    """Return the numbers of the first rows, and how many there are, for messages."""
    shown = ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
    return f"{'row' if len(rows) == 1 else f'{len(rows):,} rows:'} {shown}"


def show(value: object) -> str:
    """Return a value from a file, at most a few words of it, for messages."""
    return repr(value[:40]) if isinstance(value, str) else reprlib.repr(value)


def _csv_rows(lines: Iterable[str], file: object, delimiter: str) -> Iterator[list[str]]:
    """Yield the rows of a table, header included, without blank lines."""
    width = number = 0
    for row in _whole_rows(lines, file, delimiter):
        # In a table of one column, spaces are a text.
        if not row or (width != 1 and len(row) == 1 and not row[0].strip()):
            continue
        width = width or len(row)
        yield row
        number += 1


def _whole_rows(lines: Iterable[str], file: object, delimiter: str) -> Iterator[list[str]]:
    """Yield the rows, blank ones included, and refuse quotes that would swallow other rows."""
    csv.field_size_limit(LARGEST_ROW)
    own: list[str] = []  # the lines of the row that is being read
    size = 0

    def counted() -> Iterator[str]:
        nonlocal size
        for line in lines:
            own.append(line)
            size += len(line)
            if size > LARGEST_ROW:
                raise UserError(
                    f"{file}: cannot be parsed: a row has more than {LARGEST_ROW:,} characters, the one that begins "
                    f"{own[0][:40]!r}. Is a quote never closed?"
                )
            yield line
        yield "\n"  # a row of its own, unless it is inside a quote that is never closed

    last: list[str] | None = None
    try:
        for row in csv.reader(counted(), delimiter=delimiter):
            if last is not None:
                yield last
            if len(own) > 1:
                _check_quotes(own, file, delimiter)
            last, size = row, 0
            own.clear()
    except csv.Error as error:
        raise UserError(f"{file}: cannot be parsed: {error}.") from None
    if last:
        raise UserError(f"{file}: cannot be parsed: a quote is never closed, in the row that begins {last[0][:40]!r}.")


def _check_quotes(lines: list[str], file: object, delimiter: str) -> None:
    """Refuse a row of several lines in which text follows a quote: it may be two rows, of which each lacks a quote."""
    try:
        next(csv.reader(lines, delimiter=delimiter, strict=True), None)
    except csv.Error as error:
        if "expected after" in str(error):
            raise UserError(
                f"{file}: cannot be parsed: a quote is never closed, or one inside a text is not doubled, in the row "
                f"that begins {lines[0][:40]!r}."
            ) from None
