"""A folder's manifest: which files it holds, with their hashes and sizes, written last.

A folder whose manifest fits is complete: every listed file was on the disk before the manifest was. It may come from a
stranger, so reading is strict.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ..errors import UserError, one_line
from .files import hash_file, sha256, sync, sync_folder, write_durably
from .reading import check_regular, describe, read_json

MANIFEST_FILE = "manifest.json"
CARD_FILE = "README.md"
_HASH = re.compile("[0-9a-f]{64}")


def write_manifest(folder: Path, files: Iterable[Path]) -> None:
    """List files of a folder in its `manifest.json`, once they are on the disk.

    Args:
        folder: Where the manifest goes.
        files: Paths of regular files in the folder.
    """
    listed = {path.relative_to(folder).as_posix(): path for path in sorted(files)}
    for path in listed.values():
        sync(path)
    for inner in {path.parent for path in listed.values()} - {folder}:
        sync_folder(inner)
    write_durably(folder / MANIFEST_FILE, format_manifest(listed))


def format_manifest(files: Mapping[str, Path | bytes]) -> bytes:
    """Return the manifest of files, each a path or its content."""
    entries = {
        name: {"sha256": sha256(file), "bytes": len(file)}
        if isinstance(file, bytes)
        else {"sha256": hash_file(file), "bytes": file.stat().st_size}
        for name, file in files.items()
    }
    return f"{json.dumps({'files': entries}, indent=2)}\n".encode()


def read_manifest(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Return what a folder's manifest lists: for each name the `sha256` and the `bytes`; `None` without a manifest.

    Raises:
        UserError: If the manifest has another form, or a name that could lead outside the folder.
    """
    path = folder / MANIFEST_FILE
    if not path.exists() and not path.is_symlink():
        return None
    found = read_json(path)
    files = found.get("files")
    if set(found) != {"files"} or not isinstance(files, dict) or not files:
        raise UserError(f'{path}: expected {{"files": {{…}}}} with at least one file, found something else.')
    for name, entry in files.items():
        if not is_inner_name(name):
            raise UserError(f"{path}: expected names of files inside the folder, found {name!r}.")
        if not isinstance(entry, dict) or set(entry) != {"sha256", "bytes"}:
            raise UserError(f"{path}: expected sha256 and bytes for {name!r}, found {describe(entry)}.")
        if not is_hash(entry["sha256"]):
            raise UserError(f"{path}: expected a SHA-256 in hexadecimal for {name!r}, found something else.")
        if type(entry["bytes"]) is not int or entry["bytes"] < 0:
            raise UserError(f"{path}: expected the bytes of {name!r} as a number, found something else.")
    return files


def check_manifest(folder: Path, partly: bool = False) -> list[str]:
    """Return what of a folder does not fit its manifest, in words; nothing if all listed files are as they were.

    A link counts as the file that it leads to: a snapshot from the Hub consists of links. Files that are not listed do
    no harm.

    Args:
        folder: The folder.
        partly: Whether listed files may be missing, as in a download of some of them, and the card edited.

    Raises:
        UserError: See `read_manifest`.
    """
    listed = read_manifest(folder)
    if listed is None:
        return [f"{MANIFEST_FILE} is missing"]
    names = [name for name in listed if not partly or (name != CARD_FILE and (folder / name).exists())]
    return [problem for name in names if (problem := _check_file(folder, name, listed[name]))]


def _check_file(folder: Path, name: str, entry: dict[str, Any]) -> str | None:
    path = folder / name
    if not path.exists():
        return f"{name} is missing"
    try:
        size = check_regular(path)
        if size != entry["bytes"]:
            return f"{name} has changed: it has {size:,} bytes, not {entry['bytes']:,}"
        return None if hash_file(path) == entry["sha256"] else f"{name} has changed"
    except UserError:
        return f"{name} is no regular file"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"


def is_inner_name(name: object) -> bool:
    """Tell whether a name is that of a file below a folder, on every system: `a/b`, but neither `../a` nor `C:a`."""
    if not isinstance(name, str) or "\\" in name or one_line(name) != name or PureWindowsPath(name).drive:
        return False
    return name == PurePosixPath(name).as_posix() != "." and not {"", ".."} & set(name.split("/"))


def is_hash(value: object) -> bool:
    """Tell whether a value is a SHA-256 as we write it."""
    return isinstance(value, str) and _HASH.fullmatch(value) is not None
