"""Open files of messages: one reader for training, evaluation and prediction."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .archive import members
from .columnar import is_columnar, read_columnar
from .columns import Part, Row, Wanted, list_names, show
from .delimited import read_delimited
from .encodings import open_text
from .json_rows import is_json, read_json_rows
from .opening import ZIP, Source, open_source
from .spreadsheet import read_spreadsheet

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
_MARKS = "*?["


class Place(NamedTuple):
    """Where a row stands: its file, and its number in it from 1, without the header."""

    file: str
    row: int

    def __str__(self) -> str:
        """Return the place as messages say it."""
        return f"{self.file}, row {self.row}"


@dataclass
class Table:
    """The rows of one file or of several.

    Attributes:
        name: What messages call it.
        columns: The columns in order, of all files. Objects of JSON may have more.
        text_columns: The columns of the texts, which `text` joins.
        label_columns: The columns of the labels; several for multi-label.
        notes: What was recognised, a line each.
        label_names: The names of the labels in the order of their ids, where the file records them as a `ClassLabel`.
        parts: The files.
        read: The rows that were read so far.
    """

    name: str
    columns: list[str]
    text_columns: list[str]
    label_columns: list[str]
    notes: list[str]
    label_names: list[str] | None
    parts: list[Part] = field(repr=False)
    read: int = 0

    def rows(self) -> Iterator[tuple[Place, Row]]:
        """Yield each row as it is in its file, all columns, and where it stands. Each call begins anew.

        Raises:
            UserError: If a file is damaged or a row does not fit. No row is left out.
        """
        self.read = 0
        for part in self.parts:
            for number, row in part.rows():
                self.read += 1
                yield Place(part.name, number), row

    @property
    def remarks(self) -> list[str]:
        """What was seen in the rows, once they are read, a line each."""
        return [remark for part in self.parts for remark in part.remarks]

    def text(self, place: Place, row: Row) -> str:
        r"""Return the text of a row; several columns are joined by "\n", without those that are empty.

        Raises:
            UserError: If a value is no text.
        """
        values = [row.get(name) for name in self.text_columns]
        if len(values) > 1:
            values = [value for value in values if value not in (None, "")] or [""]
        for value in values:
            if not isinstance(value, str):
                raise UserError(f"{place}: expected a text, found {show(value)}. Fill or remove the row.")
        return "\n".join(map(str, values))

    def label(self, row: Row) -> object:
        """Return the label of a row as the file has it; of several columns the list of their values."""
        values = [row.get(name) for name in self.label_columns]
        return values if len(values) > 1 else values[0] if values else None


def open_table(
    paths: Paths,
    *,
    encoding: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    needs_label: bool = True,
    strict: bool = True,
) -> Table:
    """Open one file of messages or several as a table.

    Args:
        paths: Names of files, patterns such as `data/*.csv`, or `-` for standard input. What a file is, its content
            tells: CSV and its kin, JSON, Parquet, Arrow, Excel, or a text on each line (only without labels); plain or
            compressed by gzip, bzip2, xz, zstd or zip.
        encoding: The encoding of text; recognised by default.
        text_column: The column of texts, or several separated by commas; recognised by its name by default.
        label_column: The same for labels.
        needs_label: Refuse a file without labels.
        strict: Refuse damaged UTF-8, instead of reading U+FFFD for a damaged byte.

    Raises:
        UserError: If a file cannot be read, or the columns are not recognised or differ between files.
    """
    wanted = Wanted(text_column, label_column, needs_label)
    sources = [source for path in expand(paths) for source in open_sources(path)]
    return join([read_source(source, wanted, encoding, strict) for source in sources])


def expand(paths: Paths) -> list[str]:
    """Return the names of files that names and patterns stand for, those of a pattern sorted.

    Raises:
        UserError: If a pattern matches nothing, or there is no file of a name.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: list[str] = []
    for each in given:
        name = os.fspath(each)
        if name == "-" or os.path.lexists(name):
            found.append(name)
        elif any(mark in name for mark in _MARKS):
            matches = sorted(path for path in glob.glob(name, recursive=True) if not Path(path).is_dir())  # noqa: PTH207
            if not matches:
                raise UserError(f"{name}: expected files of that pattern, found none.")
            found += matches
        else:
            raise UserError(f"{name}: no such file.")
    if not found:
        raise UserError("expected the name of a file, found none.")
    return found


def open_sources(path: str) -> list[Source]:
    """Return the content of a file, or of the members of an archive that hold data.

    Raises:
        UserError: If it cannot be read.
    """
    source = open_source(path)
    start = source.start(4)
    if start.startswith(ZIP) or source.suffix == ".zip":
        return members(source)
    return [source]


def read_source(source: Source, wanted: Wanted, encoding: str | None, strict: bool) -> Part:
    """Return the rows of one source, whatever its format.

    Raises:
        UserError: If it cannot be read or the columns are not recognised.
    """
    start = source.start(8)
    if start.startswith(ZIP):
        return read_spreadsheet(source, wanted)
    if is_columnar(start):
        return read_columnar(source, wanted)
    text = open_text(source, encoding, strict)
    if not text.head.strip():
        raise UserError(f"{source.name}: expected messages, found an empty file.")
    return read_json_rows(text, wanted) if is_json(text) else read_delimited(text, wanted)


def join(parts: Sequence[Part], name: str | None = None) -> Table:
    """Return the rows of several files as one table.

    Raises:
        UserError: If their texts or labels stand in columns of other names, or their labels have other names.
    """
    first = parts[0]
    for part in parts[1:]:
        if (part.texts, part.labels) != (first.texts, first.labels):
            raise UserError(
                f"{part.name}: expected its columns as in {first.name} ({list_names(first.texts + first.labels)}), "
                f"found {list_names(part.texts + part.labels)}. Give the files one by one."
            )
        if part.classes != first.classes:
            raise UserError(f"{part.name}: expected labels of the same names as in {first.name}, found others.")
    columns = list(dict.fromkeys(column for part in parts for column in part.columns))
    label = first.labels[0] if len(first.labels) == 1 else None
    shown = name or (first.name if len(parts) == 1 else f"{first.name} and {len(parts) - 1} more")
    notes = [f"columns: texts {', '.join(first.texts)}" + (f"; labels {', '.join(first.labels)}" * bool(first.labels))]
    notes += dict.fromkeys(note for part in parts for note in part.notes)
    return Table(shown, columns, first.texts, first.labels, notes, first.classes.get(label or ""), list(parts))
