"""The rows of JSON: an object on each line, an array of objects, or one object that holds them, by rows or columns."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from ..errors import UserError
from ..system.reading import LARGEST_JSON, describe, parse_json, unique_keys
from .columns import Part, Row, Rows, Wanted, choose_columns
from .encodings import Text
from .opening import LARGEST_ROW, PIECE

JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
_SPACE = " \t\r\n,"
_FIRST = 1_000  # rows whose keys are the columns
_LARGEST_WHOLE = 8 * LARGEST_JSON  # characters of an object that is kept in memory
_DECODER = json.JSONDecoder(object_pairs_hook=unique_keys)


def is_json(text: Text) -> bool:
    """Tell whether a text is JSON: by its content, and where that begins like JSON and is damaged, by its name."""
    head = text.head.lstrip()
    if not head.startswith(("{", "[")):
        return text.source.suffix in JSON_SUFFIXES and _is_value(head.split("\n", 1)[0])
    return text.source.suffix in JSON_SUFFIXES or _begins(head, text.whole)


def _begins(head: str, whole: bool) -> bool:
    """Tell whether the first value in a list, or the first object, is whole and JSON."""
    start = re.match(r"\[\s*(?=[{\[])|(?=\{)", head)
    if start is None:
        return False
    try:
        value, _ = _DECODER.raw_decode(head, start.end())
    except RecursionError:
        return True
    except ValueError as error:
        # An object of more than a mebibyte that begins with a key.
        return not whole and getattr(error, "pos", 0) >= len(head) - 100 and bool(re.match(r'\{\s*"', head))
    return isinstance(value, dict | list)


def _is_value(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def read_json_rows(text: Text, wanted: Wanted) -> Part:
    """Return the rows of a JSON text.

    Raises:
        UserError: Here or while rows are read, if it is damaged, names a key twice, or holds no rows.
    """
    name = text.source.name
    head = text.head.lstrip()
    first_line = head.split("\n", 1)[0].strip()
    notes = list(text.notes)
    if head.startswith("[") or (head.startswith("{") and not _is_object(first_line, cut="\n" not in head)):
        make = _values(text)
        first = list(islice(make(), 2))
        if len(first) == 1 and isinstance(first[0], dict) and head.startswith("{"):
            return _one_object(text, first[0], wanted, notes)

        def rows() -> Rows:
            return _numbered(make(), name)
    else:
        objects = list(islice(_lines(text), 2))
        if len(objects) == 1 and (held := _held(objects[0][1])) is not None:
            return _held_rows(name, held, wanted, notes)

        def rows() -> Rows:
            return _lines(text)

    return _part(name, rows, wanted, notes)


def _part(name: str, rows: Any, wanted: Wanted, notes: list[str]) -> Part:
    columns: dict[str, None] = {}
    for _, row in islice(rows(), _FIRST):
        columns |= dict.fromkeys(row)
    if not columns:
        raise UserError(f"{name}: expected messages, found no rows.")
    chosen = choose_columns(list(columns), wanted.text_column, wanted.label_column, wanted.needs_label, name)
    return Part(name, list(columns), chosen.texts, chosen.labels, notes, {}, rows)


def _is_object(line: str, cut: bool) -> bool:
    try:
        return isinstance(_DECODER.decode(line), dict)
    except RecursionError:
        return True
    except ValueError as error:
        # A line that is longer than the head, or a damaged one in a file of lines.
        return cut or "stands there twice" in str(error) or "Extra data" in str(error) or "Exceeds" in str(error)


def _lines(text: Text) -> Rows:
    name, number = text.source.name, 0
    for line_number, line in enumerate(text.lines("\n"), 1):
        if not line.strip():
            continue
        number += 1
        place = f"{name}, line {line_number}"
        try:
            row = parse_json(line, place)
        except UserError as error:
            found, reason = line.strip()[:40], str(error).removeprefix(f"{place}: ").removesuffix(".")
            raise UserError(f"{place}: expected a JSON object, found {found!r} ({reason}).") from None
        yield number, row


def _values(text: Text) -> Any:
    """Return what yields the values of an array, or values that follow each other, one after the other."""
    name = text.source.name

    def values() -> Iterator[object]:
        pieces = text.characters()
        buffer, at, begun, number = "", 0, False, 0
        is_array = ended = False
        while True:
            while at < len(buffer) and buffer[at] in _SPACE:
                at += 1
            if at < len(buffer) and not begun:
                begun, is_array = True, buffer[at] == "["
                at += is_array
                continue
            if at < len(buffer) and is_array and buffer[at] == "]":
                ended, is_array = True, False
                at += 1
                continue
            if at < len(buffer) and not (ended and buffer[at] not in _SPACE):
                try:
                    value, end = _DECODER.raw_decode(buffer, at)
                    if end < len(buffer) or isinstance(value, dict | list):
                        number += 1
                        at = end
                        yield value
                        continue
                except RecursionError:
                    raise UserError(f"{name}: expected JSON, found one that is nested too deeply.") from None
                except ValueError as error:
                    problem: object = error
                else:
                    problem = "it ends too early"
            elif at < len(buffer):
                raise UserError(f"{name}: expected one JSON array, found more after its end: {buffer[at:][:40]!r}.")
            else:
                problem = None
            if len(buffer) - at > LARGEST_ROW:
                raise UserError(f"{name}: expected values of at most {LARGEST_ROW:,} characters, found a longer one.")
            # As much again as is left: a long value is not parsed anew for every piece.
            buffer, at, wanted = buffer[at:], 0, max(PIECE, len(buffer) - at)
            more = []
            for piece in pieces:
                more.append(piece)
                wanted -= len(piece)
                if wanted <= 0:
                    break
            if not more:
                if problem is not None or (is_array and not ended):
                    reason = problem or "it ends too early"
                    raise UserError(
                        f"{name}: expected JSON, found damaged or truncated one after {number:,} values ({reason})."
                    )
                return
            buffer += "".join(more)

    return values


def _numbered(values: Iterator[object], name: str) -> Rows:
    for number, value in enumerate(values, 1):
        if isinstance(value, str):
            value = {"text": value}
        if not isinstance(value, dict):
            raise UserError(f"{name}, row {number}: expected a JSON object, found {describe(value)}.")
        yield number, value


def _one_object(text: Text, found: dict[str, Any], wanted: Wanted, notes: list[str]) -> Part:
    if (held := _held(found)) is not None:
        return _held_rows(text.source.name, held, wanted, notes)
    return _part(text.source.name, lambda: iter([(1, found)]), wanted, notes)


def _held_rows(name: str, held: tuple[str, list[Row]], wanted: Wanted, notes: list[str]) -> Part:
    how, rows = held
    return _part(name, lambda: iter(list(enumerate(rows, 1))), wanted, [*notes, how])


def _held(found: Mapping[str, Any]) -> tuple[str, list[Row]] | None:
    """Return the rows that an object holds, as pandas, data sets on the web and others write them, and how."""
    lists = {key: value for key, value in found.items() if isinstance(value, list) and value}
    tables = {key: rows for key, rows in lists.items() if all(isinstance(row, dict) for row in rows)}
    if len(tables) == 1:
        ((key, rows),) = tables.items()
        if set(map(type, found.values())) & {list, dict} and len(lists) == 1:
            return f"rows are the list {key!r}", rows
    columns = found.get("columns")
    if (
        isinstance(columns, list)
        and isinstance(found.get("data"), list)
        and set(found) <= {"columns", "index", "data"}
    ):
        names = [str(name) for name in columns]
        if all(isinstance(row, list) and len(row) == len(names) for row in found["data"]):
            return "rows are split from their columns", [dict(zip(names, row, strict=True)) for row in found["data"]]
    values = list(found.values())
    if len(values) > 1 and all(isinstance(value, list) for value in values) and len(set(map(len, values))) == 1:
        return "each column is a list", [dict(zip(found, row, strict=True)) for row in zip(*values, strict=True)]
    if len(values) > 0 and all(isinstance(value, dict) for value in values):
        keys = [list(value) for value in values]
        if all(row == keys[0] for row in keys):
            return _by_keys(found, keys[0])
    return None


def _by_keys(found: Mapping[str, Any], inner: Sequence[str]) -> tuple[str, list[Row]] | None:
    """Return the rows of an object of objects: of columns by row, or of rows by name, as the inner keys tell."""
    outer_numbers, inner_numbers = (all(key.isdigit() for key in keys) for keys in (list(found), inner))
    if inner_numbers and not outer_numbers:
        rows: list[Row] = [{name: column[key] for name, column in found.items()} for key in inner]
        return "each column is an object", rows
    if outer_numbers and not inner_numbers:
        return "each row is named", list(found.values())
    return None
