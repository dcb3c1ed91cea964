"""Classify the texts of files of any size, in constant memory; each row keeps its columns.

Rows are streamed in chunks. Each process scores every `world_size()`-th chunk and writes the result to a file of its
own beside the output. At the end the main process joins these files in order, each checked against its rows, and
writes them in the format that the output's name says. An interrupted run resumes: chunks that have a file that fits
are not scored again.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path

from ..data.hub_dataset import locate
from ..errors import UserError
from ..system import processes
from ..system.files import hash_file, sha256
from ..system.reading import is_folder
from ..tables.columns import Row
from ..tables.folders import read_tables
from ..tables.table import Paths, Place, Table, expand, join
from .answers import NAMES, Answer
from .outputs import check_new, convert, format_of, to_json
from .parts import Parts
from .texts import CHUNK, chunked

Classify = Callable[[Iterable[list[str]]], Iterator[list[Answer]]]


def predict_file(
    classify: Classify,
    source: Paths,
    target: Path,
    *,
    model: str,
    text_column: str | None = None,
    encoding: str | None = None,
    wish: Mapping[str, object] | None = None,
    fields: tuple[str, ...] = NAMES[:2],
    chunk_size: int = CHUNK,
    note: Callable[[str], None] = lambda line: None,
) -> int:
    """Score every text of a file.

    Args:
        classify: Maps a stream of chunks to a stream of what is said of their texts.
        source: Files of texts, a folder of them, or `-`; see `tables.folders.read_tables`.
        target: The CSV, TSV, JSONL or Parquet to write, with the columns of the input and those of `fields`; one that
            the input has already is called `predicted_...`. It appears when it is complete.
        model: What tells the model and its weights from any other: a resumed run must use the same.
        text_column: See `tables.table.open_table`.
        encoding: See there.
        wish: What else a resumed run must ask for in the same way.
        fields: The names of what `classify` says of each text.
        chunk_size: Texts per chunk. An interrupted process loses at most the chunks it is working on.
        note: Takes each line about what was recognised.

    Returns:
        The number of texts.

    Raises:
        UserError: If the file cannot be read, `target` exists or cannot be written, another process writes it, or the
            parts beside it belong to other texts.
    """
    parts = Parts(target, model)
    is_main = processes.rank() == 0
    if is_main:
        check_new(target)
    with processes.main_first():
        located = locate(source)
        rows = _Rows(open_texts(located, text_column, encoding), fields)
    for line in rows.notes if is_main else ():
        note(line)
    with parts.one_writer() if is_main else nullcontext():
        with processes.main_first():
            if is_main:
                parts.prepare({"chunk_size": chunk_size, "input": _hash_input(located), **(wish or {})})
        count = _fill_and_join(classify, rows, parts, chunk_size)
    for remark in rows.table.remarks if is_main else ():
        note(remark)
    return count


class _Rows:
    """The rows of a table as texts and lines of JSON, to which what is said of the text is added."""

    def __init__(self, table: Table, fields: tuple[str, ...]) -> None:
        self.table = table
        self.columns = dict.fromkeys(table.columns)  # objects of JSON may have more, which are added when seen
        self.names = {field: free_name(field, table.columns) for field in fields}

    @property
    def notes(self) -> Iterator[str]:
        """What was recognised, and where predictions stand if not under their own names."""
        yield f"{self.table.name}: {'; '.join(self.table.notes)}"
        if changed := {field: name for field, name in self.names.items() if field != name}:
            yield f"the input has columns {', '.join(changed)}; predictions are in {', '.join(changed.values())}"

    def read(self) -> Iterator[tuple[str, str]]:
        """Yield the text of each row, and the whole row."""
        for place, row in self.table.rows():
            self._check(place, row)
            self.columns.update(dict.fromkeys(row))
            yield self.table.text(place, row), to_json(row)

    def _check(self, place: Place, row: Row) -> None:
        if taken := [name for name in self.names.values() if name in row]:
            raise UserError(f"{place}: expected the columns of earlier rows, found {taken[0]!r} too. Rename it.")

    def line(self, row: str, answer: Answer) -> str:
        """Return a row with what is said of its text, as a line."""
        added = json.dumps({self.names[field]: value for field, value in answer.items()}, ensure_ascii=False)
        return f"{row[:-1]}{', ' if len(row) > 2 else ''}{added[1:]}\n"

    def write(self, lines: Path, target: Path, format_: str) -> None:
        """Write finished lines in the format of the output."""
        convert(lines, target, format_, [*self.columns, *self.names.values()])


def free_name(field: str, columns: Iterable[str]) -> str:
    """Return the name of a column of predictions: the field's, or `predicted_...` where the input has one of it."""
    taken = {column.strip().lower() for column in columns}
    name = field if field not in taken else f"predicted_{field}"
    number = 2
    while name in taken:
        name, number = f"predicted_{field}_{number}", number + 1
    return name


def _fill_and_join(classify: Classify, rows: _Rows, parts: Parts, chunk_size: int) -> int:
    count = 0
    pending: deque[tuple[int, list[tuple[str, str]]]] = deque()  # drawn by `classify`, which reads ahead

    def chunks() -> Iterator[list[tuple[str, str]]]:
        return chunked(rows.read(), chunk_size, lambda each: len(each[1]))

    def own_chunks() -> Iterator[list[str]]:
        nonlocal count
        for number, chunk in enumerate(chunks()):
            count += len(chunk)
            if number % processes.world_size() == processes.rank() and not parts.fits(number, _content(chunk)):
                pending.append((number, chunk))
                yield [text for text, _ in chunk]

    for answers in classify(own_chunks()):
        number, chunk = pending.popleft()
        lines = (rows.line(row, answer) for (_, row), answer in zip(chunk, answers, strict=True))
        parts.write(number, _content(chunk), lines)
    processes.wait_for_all()
    if processes.rank() == 0:
        format_ = format_of(parts.target)
        change = None if format_ == "jsonl" else lambda lines, target: rows.write(lines, target, format_)
        parts.join((_content(chunk) for chunk in chunks()), count, change)
    processes.wait_for_all()
    return count


def _content(chunk: Iterable[tuple[str, str]]) -> list[str]:
    """Return what a part proves that it belongs to: the texts and the rows."""
    return [part for each in chunk for part in each]


def open_texts(paths: Paths, text_column: str | None = None, encoding: str | None = None) -> Table:
    """Open files of texts. Damaged UTF-8 is read as U+FFFD.

    Args:
        paths: Files, a folder, or `-`; on this machine.
        text_column: See `tables.table.open_table`.
        encoding: See there.

    Raises:
        UserError: If they cannot be read, or several processes would share standard input.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if "-" in map(str, given) and processes.world_size() > 1:
        raise UserError("--input -: expected one process, found several. Save the texts to a file first.")
    tables = read_tables(paths, text_column=text_column, encoding=encoding, needs_label=False, strict=False)
    found = list(tables.values())
    return found[0] if len(found) == 1 else join([part for table in found for part in table.parts])


def _hash_input(paths: Paths) -> str:
    """Return a hash of the files; standard input is another each time, and told by its rows alone."""
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    files: list[str | Path] = []
    for path in given:
        inside = sorted(each for each in Path(path).rglob("*") if each.is_file()) if is_folder(path) else []
        files += inside or expand(path)
    try:
        hashes = [hash_file(Path(file)) if Path(file).is_file() else "-" for file in files]
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}.") from None
    return hashes[0] if len(hashes) == 1 else sha256("\n".join(hashes).encode())
