"""Read the splits in a folder that somebody may have sent: every file is checked before its content is used.

`datasets.load_from_disk` would map the files into memory unchecked, where a damaged one ends the process, and follow
file names that lead out of the folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import UserError
from ..system.reading import describe, parse_json, read_json, read_regular
from .files import list_names, list_rows, read_csv
from .labels import HAM_SPAM
from .opening import LARGEST_FILE, open_text
from .sources import check_texts

ARROW_FOLDER = "dataset"
_INDEX = "dataset_dict.json"
_ENTRY = 2**20  # bytes of a JSON file that describes a split


@dataclass(frozen=True)
class SavedSplit:
    """The rows of a split as a file has them.

    Attributes:
        place: The file or folder, for messages.
        texts: A text for each row.
        labels: What stands for the label in each row; a name where the file has names for its ids.
        names: The names in the order of their ids, where the file records them.
    """

    place: Path
    texts: list[str]
    labels: list[object]
    names: list[str] | None = None


def read_saved(folder: Path, splits: Sequence[str]) -> dict[str, SavedSplit]:
    """Return the rows of each split: of three CSVs if they have been edited, else of the saved `DatasetDict`.

    Args:
        folder: What `save_splits` or `DatasetDict.save_to_disk` wrote.
        splits: The names of the splits; the folder must hold these and no others.

    Raises:
        UserError: If the folder holds neither, a file is damaged or leads elsewhere, a split is missing or empty, or a
            row is not a labelled text.
    """
    try:
        found = {path.name for path in folder.iterdir()}
        candidates = [folder] if _INDEX in found else []
        if not candidates and ARROW_FOLDER in found:
            inner = folder / ARROW_FOLDER
            candidates = [inner] if inner.is_dir() and (inner / _INDEX).exists() else []
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{folder}: expected a folder of splits, found none that can be read: {reason}.") from None
    missing = [f"{name}.csv" for name in splits if f"{name}.csv" not in found]
    if missing and not candidates:
        raise UserError(f"{folder}: expected a saved DatasetDict or three CSVs, missing {', '.join(missing)}.")
    tables = {} if missing else {name: _read_table(folder / f"{name}.csv") for name in splits}
    if not candidates:
        return tables
    _check_index(candidates[0] / _INDEX, splits)
    saved = {name: _read_arrow(candidates[0] / name) for name in splits}
    # The CSVs are for reading and editing, so what a person wrote there counts; the names of the ids are the Arrow's.
    return {name: _edited(tables[name], rows) if tables else rows for name, rows in saved.items()}


def _edited(table: SavedSplit, saved: SavedSplit) -> SavedSplit:
    """Return the rows of a CSV with the names of the split that was saved beside it."""
    names = saved.names
    chapters = names is not None and sorted(names) == sorted(HAM_SPAM)  # whose CSVs hold ids
    ids = {str(id_): name for id_, name in enumerate(names)} if names and chapters else {}
    labels: list[object] = [ids.get(str(label).strip(), label) for label in table.labels]
    same = table.texts == saved.texts and list(map(str, labels)) == list(map(str, saved.labels))
    return saved if same else replace(table, labels=labels, names=names)


def _check_index(path: Path, splits: Sequence[str]) -> None:
    names = read_json(path, _ENTRY).get("splits")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: expected a list of names under 'splits', found {describe(names)}.")
    if sorted(names) != sorted(splits):
        raise UserError(f"{path}: expected the splits {', '.join(splits)}, found {list_names(names)}.")


def _read_table(path: Path) -> SavedSplit:
    with open_text(path, strict=True, limit=LARGEST_FILE) as file:
        rows = [values for _, values in read_csv(file.lines(""), path, {"label": None, "text": None})]
    return _check_rows([text for _, text in rows], [label for label, _ in rows], path)


def _check_rows(
    texts: Sequence[object], labels: Sequence[object], place: Path, names: list[str] | None = None
) -> SavedSplit:
    if not texts:
        raise UserError(f"{place}: expected messages, found no rows.")
    return SavedSplit(place, check_texts(texts, place), list(labels), names)


def _read_arrow(place: Path) -> SavedSplit:
    """Return the rows of one split of a saved `DatasetDict`."""
    features = read_json(place / "dataset_info.json", _ENTRY).get("features")
    if not isinstance(features, dict):
        raise UserError(f"{place / 'dataset_info.json'}: expected an object 'features', found {describe(features)}.")
    names = _label_names(features, place / "dataset_info.json")
    texts: list[object] = []
    labels: list[object] = []
    for path in _data_files(place):
        table, recorded = _read_stream(path)
        if recorded is not None and _label_names(recorded, path) != names:
            raise UserError(f"{path}: expected the labels that dataset_info.json names, found others.")
        texts += table.column("text").to_pylist()
        labels += table.column("label").to_pylist()
    if names is not None:
        labels = _by_name(labels, names, place)
    return _check_rows(texts, labels, place, names)


def _data_files(place: Path) -> list[Path]:
    """Return the files that hold a split, all of them regular files in its folder."""
    state_file = place / "state.json"
    state = read_json(state_file, _ENTRY)
    if state.get("_indices_data_files"):
        raise UserError(f"{state_file}: expected plain rows, found a selection of rows. Save the splits again.")
    entries = state.get("_data_files")
    names = (
        [entry.get("filename") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    )
    if (
        not names
        or not isinstance(entries, list)
        or len(names) != len(entries)
        or len(set(map(str, names))) < len(names)
    ):
        raise UserError(f"{state_file}: expected a list of different files under '_data_files', found none.")
    found = []
    for name in names:
        if not isinstance(name, str) or not name or name in (".", "..") or set(name) & set("/\\\0:"):
            raise UserError(f"{state_file}: expected the name of a file in this folder, found {str(name)[:80]!r}.")
        path = place / name
        if path.resolve().parent != place.resolve():
            raise UserError(f"{path}: expected a file in this folder, found a link that leads out of it.")
        found.append(path)
    return found


def _read_stream(path: Path) -> tuple[pa.Table, dict[str, Any] | None]:
    """Return the columns `text` and `label` of an Arrow stream, checked, and the features that its schema records."""
    # From memory: no buffer can lie beyond the end, and no other program can change what was checked.
    data = pa.py_buffer(read_regular(path, LARGEST_FILE))
    try:
        with pa.ipc.open_stream(data) as stream:
            schema = stream.schema
        columns = [schema.get_all_field_indices(name) for name in ("text", "label")]
        if any(len(found) != 1 for found in columns):
            raise UserError(
                f"{path}: expected one column 'text' and one 'label', found columns: {list_names(schema.names)}."
            )
        _check_types(schema, path)
        options = pa.ipc.IpcReadOptions(included_fields=[found[0] for found in columns], use_threads=False)
        with pa.ipc.open_stream(data, options=options) as stream:
            table = stream.read_all()
        table.validate(full=True)
    except UserError:
        raise
    except (pa.ArrowException, OSError, EOFError, ValueError, TypeError, MemoryError, LookupError) as error:
        reason = str(error).split("\n", 1)[0][:200]
        raise UserError(f"{path}: expected an Arrow stream, found a damaged one ({reason}).") from None
    recorded = (schema.metadata or {}).get(b"huggingface")
    if recorded is None:
        return table, None
    info = parse_json(recorded, path).get("info")
    features = info.get("features") if isinstance(info, dict) else None
    return table, features if isinstance(features, dict) else None


def _check_types(schema: pa.Schema, path: Path) -> None:
    text, label = schema.field("text").type, schema.field("label").type
    if not (pa.types.is_string(text) or pa.types.is_large_string(text)):
        raise UserError(f"{path}: expected texts in column 'text', found {text}.")
    single = label.value_type if pa.types.is_list(label) or pa.types.is_large_list(label) else label
    tests = (
        pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string,
    )  # fmt: skip
    if not any(test(single) for test in tests):
        raise UserError(f"{path}: expected labels or lists of them in column 'label', found {label}.")


def _label_names(features: dict[str, Any], path: Path) -> list[str] | None:
    """Return the names of the labels if they are a `ClassLabel`, checked, in the order of their ids."""
    label = features.get("label")
    if isinstance(label, dict) and label.get("_type") in ("List", "LargeList", "Sequence"):
        label = label.get("feature")
    if not isinstance(label, dict) or label.get("_type") != "ClassLabel":
        return None
    names = label.get("names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: expected a list of the labels' names, found {describe(names)}.")
    if len(set(names)) < len(names):
        raise UserError(f"{path}: expected different names of the labels, found {list_names(names)}.")
    return names


def _by_name(labels: list[object], names: list[str], place: Path) -> list[object]:
    """Replace ids by their names."""
    known: dict[object, str] = dict(enumerate(names))
    named: list[object] = []
    bad = []
    for row, label in enumerate(labels, 1):
        single = label if isinstance(label, list) else [label]
        found = [one if isinstance(one, str) else known.get(one) for one in single]
        if None in found:
            bad.append(row)
        named.append(found if isinstance(label, list) else found[0])
    if bad:
        raise UserError(
            f"{place}: expected a label from 0 to {len(names) - 1} in every row, "
            f"found {labels[bad[0] - 1]} in {list_rows(bad)}."
        )
    return named
