"""A saved `Dataset` or `DatasetDict`: every file is checked before its content is used.

`datasets.load_from_disk` would map the files into memory unchecked, where a damaged one ends the process, and follow
file names that lead out of the folder.
"""

from dataclasses import replace
from pathlib import Path

from ..errors import UserError
from ..system.reading import describe, read_json
from .columnar import class_names, read_columnar
from .columns import Part, Wanted, list_names
from .opening import open_source
from .table import Table, join

INDEX = "dataset_dict.json"
STATE = "state.json"
_ENTRY = 2**20  # bytes of a JSON file that describes a split


def read_saved(folder: Path, wanted: Wanted) -> dict[str, Table]:
    """Return the splits of a saved `DatasetDict` by their names.

    Raises:
        UserError: If a file is damaged or leads elsewhere.
    """
    names = read_json(folder / INDEX, _ENTRY).get("splits")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not names:
        raise UserError(f"{folder / INDEX}: expected a list of names under 'splits', found {describe(names)}.")
    if len(set(names)) < len(names) or any(not _is_name(name) for name in names):
        raise UserError(f"{folder / INDEX}: expected the names of different folders, found {list_names(names)}.")
    return {name: read_dataset(folder / name, wanted) for name in names}


def read_dataset(place: Path, wanted: Wanted) -> Table:
    """Return the rows of a saved `Dataset`, or of one split of a `DatasetDict`.

    Raises:
        UserError: If a file is damaged or leads elsewhere.
    """
    info = place / "dataset_info.json"
    features = read_json(info, _ENTRY).get("features")
    if not isinstance(features, dict):
        raise UserError(f"{info}: expected an object 'features', found {describe(features)}.")
    classes = class_names(features, info)
    parts = []
    for path in _data_files(place):
        part: Part = read_columnar(open_source(path), wanted)
        if part.classes and part.classes != classes:
            raise UserError(f"{path}: expected the labels that dataset_info.json names, found others.")
        parts.append(replace(part, name=str(place), classes=classes, notes=[]))
    return join(parts, str(place))


def _data_files(place: Path) -> list[Path]:
    """Return the files that hold a split, all of them in its folder."""
    state_file = place / STATE
    state = read_json(state_file, _ENTRY)
    if state.get("_indices_data_files"):
        raise UserError(f"{state_file}: expected plain rows, found a selection of rows. Save the splits again.")
    entries = state.get("_data_files")
    listed = entries if isinstance(entries, list) else []
    names = [entry.get("filename") for entry in listed if isinstance(entry, dict)]
    if not names or len({str(name) for name in names}) < len(listed):
        raise UserError(f"{state_file}: expected a list of different files under '_data_files', found none.")
    found = []
    for name in names:
        if not isinstance(name, str) or not _is_name(name):
            raise UserError(f"{state_file}: expected the name of a file in this folder, found {str(name)[:80]!r}.")
        check_inside(place / name, place)
        found.append(place / name)
    return found


def _is_name(name: str) -> bool:
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\\0:")


def check_inside(path: Path, folder: Path) -> None:
    """Refuse a file that a link leads out of its folder.

    Raises:
        UserError: If it does.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{path}: expected a file in this folder, found a link that leads out of it.")
