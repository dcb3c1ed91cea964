"""The files of a folder: regular ones inside it, and none that a link or a name leads elsewhere."""

import hashlib
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..errors import UserError
from ..system.files import hash_file
from ..system.reading import check_regular, describe, read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_DECIDING = ("config.json", "model*.safetensors", "adapter_model.safetensors", "model.onnx*")


def find_file(folder: Path, name: str) -> Path | None:
    """Return a file of a folder, or `None` if there is none of that name.

    Args:
        folder: The folder.
        name: The file's name. It may come from another file of the folder.

    Raises:
        UserError: If the name leads out of the folder, or what has it is not a regular file inside it.
    """
    if not is_plain(name):
        raise UserError(f"{folder}: expected names of files in this folder, found {name!r}, which leads out of it.")
    path = folder / name
    if not os.path.lexists(path):
        return None
    check_regular(path)
    target, home = path.resolve(), folder.resolve()
    # In the cache of the Hugging Face Hub a snapshot's files are links to the blobs of the same repository.
    places = [home, home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [home]
    if not any(target.is_relative_to(place) for place in places):
        raise UserError(f"{path}: expected a file of this folder, found a link to {target}, which is outside of it.")
    return path


def require_file(folder: Path, name: str, remedy: str) -> Path:
    """Return a file of a folder; see `find_file`.

    Raises:
        UserError: If there is none, with the remedy.
    """
    path = find_file(folder, name)
    if path is None:
        raise UserError(f"{folder}: expected {name} in it, found none. {remedy}")
    return path


def find_weights(folder: Path, remedy: str, single: str = SINGLE, index: str = INDEX) -> list[Path]:
    """Return the files that hold the weights of a folder: one, or the parts that its index lists.

    Raises:
        UserError: If there are none, the index is no index, or a part is missing or leads out of the folder.
    """
    whole = find_file(folder, single)
    if whole is not None:
        return [whole]
    listed = find_file(folder, index)
    if listed is None:
        raise UserError(f"{folder}: expected weights in {single}, found none. {remedy}")
    parts = read_json(listed).get("weight_map")
    if not isinstance(parts, dict) or not parts or not all(isinstance(name, str) for name in parts.values()):
        raise UserError(f"{listed}: expected a weight_map of tensors to files, found {describe(parts)}.")
    return [require_file(folder, name, remedy) for name in dict.fromkeys(parts.values())]


def hash_model(folder: Path) -> str:
    """Return the SHA-256 of the names and hashes of the files that decide a model's scores, its configuration first.

    A copy of the model has the same, also one on the Hub, whatever lies beside these files.
    """
    names = sorted({path.name for pattern in _DECIDING for path in folder.glob(pattern)})
    found = [(name, path) for name in names if (path := find_file(folder, name)) is not None]
    return hashlib.sha256("".join(f"{hash_file(path)} {name}\n" for name, path in found).encode()).hexdigest()


def is_plain(name: str) -> bool:
    """Tell whether a name is that of a file in the same folder on every system: no path, no control character."""
    parts = (PurePosixPath(name).name, PureWindowsPath(name).name)
    return parts == (name, name) and name not in ("", ".", "..") and name.isprintable()
