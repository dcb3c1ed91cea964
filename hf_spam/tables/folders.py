"""The tables that a folder holds: saved splits, files named as splits, or a folder or a file for each class."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from ..errors import UserError
from ..system.reading import is_folder
from .archive import is_data
from .columns import Part, Rows, Wanted, list_names
from .dialects import TABLE_SUFFIXES
from .encodings import open_text
from .json_rows import JSON_SUFFIXES
from .opening import LARGEST_FILE, open_source, text_suffix
from .saved import INDEX, STATE, check_inside, read_dataset, read_saved
from .table import Paths, Table, join, open_sources, open_table, read_source

ALL = "all"  # the only table of a folder without splits
_SPLITS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test", "eval": "test",
}  # fmt: skip
_SHARD = re.compile(r"(?i)([a-z]+)(?:[-_.]\d+(?:-of-\d+)?(?:-[0-9a-f]+)?)?")
_TABLES = TABLE_SUFFIXES | JSON_SUFFIXES | {".parquet", ".arrow", ".feather", ".xlsx", ".zip"}
_WITHOUT_LABELS = {"unsup", "unlabeled", "unlabelled"}  # aclImdb has texts without labels
_MOST = 1_000_000  # files
_MOST_CLASSES = 50  # of a file each
COPY = "dataset"  # where `hf-spam data` saves a `DatasetDict` beside its CSVs


def read_folder(
    folder: str | os.PathLike[str],
    *,
    encoding: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    needs_label: bool = True,
    strict: bool = True,
) -> dict[str, Table]:
    """Return the tables in a folder by the names of the splits, or as `all` if there are none.

    A folder is a saved `DatasetDict` or `Dataset`; or holds files or folders that are named `train`, `validation` and
    `test`, also as shards; or a folder of texts for each class, or a file with a text on each line for each class; or
    tables of the same columns. Hidden files are left out.

    Args:
        folder: The folder.
        encoding: See `open_table`; so the other arguments.
        text_column: See there.
        label_column: See there.
        needs_label: See there.
        strict: See there.

    Raises:
        UserError: If it is none of these, or see `open_table`.
    """
    return _Folder(Path(folder), Wanted(text_column, label_column, needs_label), encoding, strict).read()


def read_tables(
    paths: Paths,
    *,
    encoding: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    needs_label: bool = True,
    strict: bool = True,
) -> dict[str, Table]:
    """Return the tables of a folder as `read_folder` does, or the one table of files as `open_table` does, as `all`.

    Args:
        paths: A folder, or see `open_table`; so the other arguments.
        encoding: See there.
        text_column: See there.
        label_column: See there.
        needs_label: See there.
        strict: See there.

    Raises:
        UserError: See `read_folder` and `open_table`.
    """
    wanted = Wanted(text_column, label_column, needs_label)
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if len(given) == 1 and is_folder(given[0]):
        return _Folder(Path(given[0]), wanted, encoding, strict).read()
    table = open_table(
        paths,
        encoding=encoding,
        text_column=text_column,
        label_column=label_column,
        needs_label=needs_label,
        strict=strict,
    )
    return {ALL: table}


class _Folder:
    def __init__(self, path: Path, wanted: Wanted, encoding: str | None, strict: bool) -> None:
        self.path, self.wanted, self.encoding, self.strict = path, wanted, encoding, strict
        try:
            found = sorted(each for each in path.iterdir() if each.is_dir() or is_data(each.name))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{path}: expected a folder, found none that can be read: {reason}.") from None
        self.folders = [each for each in found if each.is_dir() and is_data(each.name)]
        self.files = [each for each in found if not each.is_dir()]
        self.names = {each.name for each in found}

    def inside(self, name: str | Path) -> "_Folder":
        check_inside(self.path / name, self.path)
        return _Folder(self.path / name, self.wanted, self.encoding, self.strict)

    def read(self) -> dict[str, Table]:
        if INDEX in self.names:
            return read_saved(self.path, self.wanted)
        if STATE in self.names and "dataset_info.json" in self.names:
            return {ALL: read_dataset(self.path, self.wanted)}
        copy = self.inside(COPY).read() if (self.path / COPY / INDEX).exists() else {}
        if files := self._split_files():
            # Beside the copy that `hf-spam data` saves, they are what a user edits.
            tables = {name: self._tables(paths) for name, paths in files.items()}
            return {name: _named(table, copy[name]) if name in copy else table for name, table in tables.items()}
        if copy:
            return copy
        if splits := {_SPLITS[each.name.lower()]: each for each in self.folders if each.name.lower() in _SPLITS}:
            return {name: self.inside(each.name).one() for name, each in sorted(splits.items(), key=_order)}
        if table := self._classes():
            return {ALL: table}
        paths = [path for path in self.files if text_suffix(path.name) in _TABLES]
        if paths or len(self.files) == 1:
            return {ALL: self._tables(paths or self.files)}
        if len(self.folders) == 1:  # `data/` of a repository, `enron1/` of an archive
            return self.inside(self.folders[0].name).read()
        raise UserError(
            f"{self.path}: expected saved splits, tables, or a folder of texts for each class, found "
            f"{list_names(sorted(self.names))}. Give a file with --data_file."
        )

    def one(self) -> Table:
        """Return the only table of a folder."""
        found = self.read()
        if len(found) > 1:
            raise UserError(f"{self.path}: expected one table, found the splits {list_names(list(found))}.")
        return next(iter(found.values()))

    def _split_files(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self.files:
            stem = path.name.split(".", 1)[0]
            match = _SHARD.fullmatch(stem)
            if match and match[1].lower() in _SPLITS and text_suffix(path.name) in _TABLES:
                found.setdefault(_SPLITS[match[1].lower()], []).append(path)
        return dict(sorted(found.items(), key=_order))

    def _tables(self, paths: Sequence[Path]) -> Table:
        parts = []
        for path in paths:
            check_inside(path, self.path)
            parts += [
                read_source(source, self.wanted, self.encoding, self.strict) for source in open_sources(str(path))
            ]
        return join(parts)

    def _classes(self) -> Table | None:
        """Return the texts of a folder for each class, or of a file with a text on each line for each class."""
        folders = [each for each in self.folders if each.name.lower() not in _WITHOUT_LABELS]
        if len(folders) > 1:
            parts = [self._texts(each) for each in folders]
            if all(parts):
                left = [each.name for each in self.folders if each not in folders]
                return self._joined([part for part in parts if part], f"left out: {', '.join(left)}" if left else "")
        files = [each for each in self.files if each.suffix.lower() == ".txt"]
        if 1 < len(files) <= _MOST_CLASSES and not self.folders and len(files) == len(self.files):
            names = _without_common([each.stem for each in files])
            return self._joined([self._lines(*each) for each in zip(files, names, strict=True)], "")
        return None

    def _joined(self, parts: list[Part], note: str) -> Table:
        table = join(parts, str(self.path))
        classes = ", ".join(dict.fromkeys(part.notes[0] for part in parts))
        return Table(
            table.name, table.columns, table.text_columns, table.label_columns,
            [f"labels are the names of folders or files: {classes}", *([note] if note else [])], None, parts,
        )  # fmt: skip

    def _texts(self, folder: Path) -> Part | None:
        """Return a folder of texts, a file for each, as rows of one class; `None` if it holds no files of text."""
        check_inside(folder, self.path)
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        if not paths or len(paths) > _MOST or any(text_suffix(path.name) in _TABLES for path in paths):
            return None

        def rows() -> Rows:
            for number, path in enumerate(paths, 1):
                check_inside(path, folder)
                text = open_text(open_source(path), self.encoding, self.strict)
                size = path.stat().st_size
                if size > LARGEST_FILE:
                    raise UserError(f"{path}: expected at most {LARGEST_FILE:,} bytes, found {size:,}.")
                name = str(path.relative_to(self.path))
                yield number, {"text": "".join(text.characters()), "label": folder.name, "file": name}

        return Part(str(folder), ["text", "label", "file"], ["text"], ["label"], [folder.name], {}, rows)

    def _lines(self, path: Path, label: str) -> Part:
        check_inside(path, self.path)
        text = open_text(open_source(path), self.encoding, self.strict)

        def rows() -> Rows:
            lines = (line.rstrip("\r\n") for line in text.lines("\n"))
            for number, line in enumerate((line for line in lines if line.strip()), 1):
                yield number, {"text": line, "label": label}

        return Part(str(path), ["text", "label"], ["text"], ["label"], [label], {}, rows)


def _named(table: Table, copy: Table) -> Table:
    """Return a table of CSVs with the names of its labels' ids, which the copy beside it records."""
    if copy.label_names is None or len(table.label_columns) != 1:
        return table
    (column,) = table.label_columns
    names = copy.label_names

    def with_ids(part: Part) -> Part:
        def rows() -> Rows:
            for number, row in part.rows():
                label = row[column]
                is_id = isinstance(label, str) and label.isascii() and label.isdigit() and label not in names
                yield number, {**row, column: int(str(label))} if is_id else row

        return replace(part, rows=rows, classes={column: names})

    return join([with_ids(part) for part in table.parts], table.name)


def split_name(name: str) -> str | None:
    """Return which of train, validation and test a name means, or `None`."""
    return _SPLITS.get(name.lower())


def _order(item: tuple[str, object]) -> int:
    return ("train", "validation", "test").index(item[0])


def _without_common(names: Sequence[str]) -> list[str]:
    """Return names without the words that all end in: `spam-samples` and `ham-samples` are `spam` and `ham`."""
    words = [re.split(r"[-_. ]", name) for name in names]
    same = list(takewhile(lambda each: len(set(each)) == 1, zip(*(reversed(word) for word in words), strict=False)))
    shorter = ["-".join(word[: len(word) - len(same)]) for word in words]
    return shorter if same and all(shorter) and len(set(shorter)) == len(names) else list(names)
