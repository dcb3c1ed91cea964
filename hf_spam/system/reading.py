"""Read files that a stranger may have written: regular files of a bounded size, and JSON that says one thing.

A pipe or a device can block or never end, so only regular files are opened. A JSON that names a key twice means one
thing to one program and another to the next, so it is refused.
"""

import json
import os
import stat
from pathlib import Path
from typing import Any

from ..errors import UserError

LARGEST_JSON = 64 * 2**20  # bytes; GPT-2's tokenizer.json has 3.6 million


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Tell whether a name that was given is a folder's. `Path.is_dir` raises where a name is too long for any file."""
    return os.path.isdir(path)  # noqa: PTH112


def check_regular(path: Path) -> int:
    """Return the size of a regular file in bytes; a link counts as what it leads to.

    Raises:
        UserError: If there is none, or it is a folder, a pipe or a device.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected a file, found none that can be read: {_reason(error)}.") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "folder" if stat.S_ISDIR(found.st_mode) else "pipe" if stat.S_ISFIFO(found.st_mode) else "device"
        raise UserError(f"{path}: expected a regular file, found a {kind}. Save the content to a file first.")
    return found.st_size


def read_regular(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises:
        UserError: If it is larger, no regular file, or cannot be read.
    """
    size = check_regular(path)
    if size > limit:
        raise UserError(f"{path}: expected at most {limit:,} bytes, found {size:,}.")
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {_reason(error)}.") from None
    if len(data) > limit:
        raise UserError(f"{path}: expected at most {limit:,} bytes, found more.")
    return data


def read_json(path: Path, limit: int = LARGEST_JSON) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        UserError: If the file cannot be read, or see `parse_json`.
    """
    return parse_json(read_regular(path, limit), path)


def parse_json(data: bytes | str, name: object) -> dict[str, Any]:
    """Return the JSON object that `data` holds.

    Raises:
        UserError: If it is not UTF-8, no JSON, nested too deeply, names a key twice, or is no object.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        value = json.loads(text, object_pairs_hook=unique_keys)
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: expected JSON in UTF-8, found byte 0x{error.object[error.start]:02x}.") from None
    except RecursionError:
        raise UserError(f"{name}: expected JSON, found one that is nested too deeply.") from None
    except ValueError as error:
        raise UserError(f"{name}: expected JSON: {error}.") from None
    if not isinstance(value, dict):
        raise UserError(f"{name}: expected a JSON object, found {describe(value)}.")
    return value


def describe(value: object) -> str:
    """Return what a JSON value is, in a word or two, for messages."""
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object as a dict.

    Raises:
        ValueError: If a key stands there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} stands there twice")
    return found


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
