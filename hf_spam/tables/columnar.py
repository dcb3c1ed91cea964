"""The rows of Parquet and Arrow files (IPC file, stream, Feather), checked, and the names of labels they record.

Arrow files are read from memory, never mapped: no buffer can lie beyond the end, and no other program can change what
was checked. Parquet is read by row groups.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UserError
from ..system.reading import describe, parse_json
from .columns import Part, Rows, Wanted, choose_columns, list_names
from .opening import LARGEST_FILE, Source

PARQUET = b"PAR1"
ARROW_FILE = b"ARROW1\0\0"
ARROW_STREAM = b"\xff\xff\xff\xff"  # the mark before each message
_BATCH = 1024
_FAULTS = (pa.ArrowException, OSError, EOFError, ValueError, TypeError, MemoryError, LookupError, OverflowError)


def is_columnar(start: bytes) -> bool:
    """Tell whether a file is Parquet or Arrow, by its first bytes."""
    return start.startswith((PARQUET, ARROW_FILE, ARROW_STREAM))


def read_columnar(source: Source, wanted: Wanted) -> Part:
    """Return the rows of a Parquet or Arrow file.

    Raises:
        UserError: Here or while rows are read, if it is damaged, or a column is not recognised.
    """
    kind = "a Parquet file" if source.start(4) == PARQUET else "an Arrow file"
    batches = _parquet if source.start(4) == PARQUET else _arrow
    with source.seekable() as file, _refusing(source.name, kind):
        schema = next(batches(source.name, file))
        assert isinstance(schema, pa.Schema)
        names = list(schema.names)
        classes = recorded_classes(schema, source.name)
    if len(set(names)) < len(names):
        raise UserError(f"{source.name}: expected columns of different names, found {list_names(names)}.")
    chosen = choose_columns(names, wanted.text_column, wanted.label_column, wanted.needs_label, source.name)

    def rows() -> Rows:
        number = 0
        with source.seekable() as file, _refusing(source.name, kind):
            _, *_ = (found := batches(source.name, file)), next(found)
            for batch in found:
                assert isinstance(batch, pa.RecordBatch)
                batch.validate(full=True)
                for start in range(0, batch.num_rows, _BATCH):
                    for row in batch.slice(start, _BATCH).to_pylist():
                        number += 1
                        yield number, row

    notes = [f"read as {kind.split(' ', 1)[1].removesuffix(' file')}"] if source.suffix not in _SUFFIXES else []
    return Part(source.name, names, chosen.texts, chosen.labels, notes, classes, rows)


_SUFFIXES = {".parquet", ".arrow", ".feather", ".ipc"}

Batches = Iterator[pa.Schema | pa.RecordBatch]  # the schema first


def _parquet(name: str, file: BinaryIO) -> Batches:
    with pq.ParquetFile(file, pre_buffer=False) as table:
        yield table.schema_arrow
        yield from table.iter_batches(_BATCH, use_threads=False)


def _arrow(name: str, file: BinaryIO) -> Batches:
    data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise UserError(f"{name}: expected at most {LARGEST_FILE:,} bytes, found more. Save it as Parquet.")
    buffer = pa.py_buffer(data)
    options = pa.ipc.IpcReadOptions(use_threads=False)
    if data.startswith(ARROW_FILE):
        with pa.ipc.open_file(buffer, options=options) as table:
            yield table.schema
            yield from (table.get_batch(number) for number in range(table.num_record_batches))
    else:
        with pa.ipc.open_stream(buffer, options=options) as stream:
            yield stream.schema
            yield from stream


@contextmanager
def _refusing(name: str, kind: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except _FAULTS as error:
        reason = str(error).split("\n", 1)[0][:200]
        raise UserError(f"{name}: expected {kind}, found a damaged one ({reason}).") from None


def recorded_classes(schema: pa.Schema, name: object) -> dict[str, list[str]]:
    """Return the names of the labels of each column that is a `ClassLabel`, as `datasets` records them.

    Raises:
        UserError: If the record is damaged.
    """
    recorded = (schema.metadata or {}).get(b"huggingface")
    if recorded is None:
        return {}
    info = parse_json(recorded, name).get("info")
    features = info.get("features") if isinstance(info, dict) else None
    return class_names(features, name) if isinstance(features, dict) else {}


def class_names(features: dict[str, Any], name: object) -> dict[str, list[str]]:
    """Return the names of the labels of each feature that is a `ClassLabel`, or a list of them.

    Raises:
        UserError: If they are no list of different texts.
    """
    found = {}
    for column, feature in features.items():
        while isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
            feature = feature["feature"]
        if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
            continue
        names = feature.get("names")
        if (
            not isinstance(names, list)
            or not names
            or not all(isinstance(name_, str) for name_ in names)
            or len(set(names)) < len(names)
        ):
            raise UserError(f"{name}: expected a list of the labels' names, all different, found {describe(names)}.")
        found[column] = names
    return found
