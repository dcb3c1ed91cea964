"""Rows of results as CSV, TSV, JSONL or Parquet, as the name of the file says; in constant memory.

While they are made, rows are lines of JSON. The finished lines are then written in the other formats, so that what is
resumable is the same for all of them.
"""

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UserError
from ..system.files import atomic_file, sync
from ..tables.columns import replace_lone_surrogates
from .parts import disk_errors

_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
_BATCH = 1024  # rows of a Parquet batch

Row = Mapping[str, Any]


def format_of(target: Path) -> str:
    """Return the format that a name says.

    Raises:
        UserError: If it says none.
    """
    found = _FORMATS.get(target.suffix.lower())
    if found is None:
        raise UserError(f"{target}: expected a name that ends in .csv, .tsv, .jsonl or .parquet. Rename --output.")
    return found


def check_new(target: Path) -> None:
    """Check that a file can be made, before the work for it.

    Raises:
        UserError: If its name says no format, or something is there.
    """
    if os.path.lexists(target):
        raise UserError(f"{target}: exists already, and nothing is overwritten. Choose another --output.")
    format_of(target)


def to_json(row: Row) -> str:
    """Return a row as a JSON object; what JSON has no value for is its text, and no number is null."""
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        return json.dumps(_finite(row), ensure_ascii=False, allow_nan=False, default=_plain)


def save_rows(rows: Iterable[Row], target: Path, columns: Sequence[str], option: str = "output") -> None:
    """Write rows to a new file, whole or not at all.

    Args:
        rows: The rows.
        target: The file, whose name says the format.
        columns: All columns in order.
        option: The option that names the file, for messages.

    Raises:
        UserError: If it cannot be written.
    """
    with disk_errors(target, option), atomic_file(target) as temporary:
        lines = temporary if format_of(target) == "jsonl" else temporary.with_name(f"{temporary.name}.jsonl")
        try:
            with lines.open("wb") as file:
                for row in rows:
                    file.write(encode_line(to_json(row)))
            convert(lines, temporary, format_of(target), columns)
        finally:
            if lines != temporary:
                lines.unlink(missing_ok=True)
        sync(temporary)


def encode_line(line: str) -> bytes:
    """Return a line of JSON as bytes; lone surrogates are escaped."""
    return line.encode("utf-8", "backslashreplace") + b"\n"


def convert(lines: Path, target: Path, format_: str, columns: Sequence[str]) -> None:
    """Write lines of JSON in another format.

    Args:
        lines: The file of lines.
        target: The file to write.
        format_: See `format_of`.
        columns: All columns in order.
    """
    if format_ in ("csv", "tsv"):
        _write_csv(lines, target, "," if format_ == "csv" else "\t", columns)
    elif format_ == "parquet":
        _write_parquet(lines, target, columns)


def _rows(lines: Path) -> Iterator[dict[str, Any]]:
    with lines.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield json.loads(line)


def _write_csv(lines: Path, target: Path, delimiter: str, columns: Sequence[str]) -> None:
    with target.open("w", encoding="utf-8", newline="") as file:
        plain = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        # A bare carriage return would end a row when read back.
        quoted = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(map(_cell, columns))
        for row in _rows(lines):
            cells = [_cell(row.get(column)) for column in columns]
            blank = len(cells) == 1 and not cells[0]
            (quoted if blank or any("\r" in cell for cell in cells) else plain).writerow(cells)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return replace_lone_surrogates(text)


def _write_parquet(lines: Path, target: Path, columns: Sequence[str]) -> None:
    kinds: dict[str, set[str]] = {column: set() for column in columns}
    for row in _rows(lines):
        for column, value in row.items():
            kinds[column].add(_kind(value))
    types = {column: _type(found - {"null"}) for column, found in kinds.items()}
    schema = pa.schema(list(types.items()))
    with pq.ParquetWriter(target, schema) as writer:
        batch: list[dict[str, Any]] = []
        for row in _rows(lines):
            batch.append({column: _value(row.get(column), type_) for column, type_ in types.items()})
            if len(batch) == _BATCH:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
                batch = []
        writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))


def _kind(value: Any) -> str:
    if isinstance(value, bool | None):
        return "null" if value is None else "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "other"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "texts"
    return {float: "float", str: "text"}.get(type(value), "other")


def _type(kinds: set[str]) -> pa.DataType:
    """Return the type that holds all values of a column; what has no such type is text."""
    single: dict[str, pa.DataType] = {
        "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "texts": pa.list_(pa.string()),
    }  # fmt: skip
    if kinds == {"int", "float"}:
        return pa.float64()
    return single.get(next(iter(kinds)), pa.string()) if len(kinds) == 1 else pa.string()


def _value(value: Any, type_: pa.DataType) -> Any:
    if value is None:
        return None
    if type_ == pa.string():
        return _cell(value)
    if pa.types.is_list(type_):
        return [replace_lone_surrogates(item) for item in value]
    return float(value) if type_ == pa.float64() else value


def _plain(value: Any) -> Any:
    """Return what JSON has no value for as text: a date as ISO 8601 writes it, bytes as their characters."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
