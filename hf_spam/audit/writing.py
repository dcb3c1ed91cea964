"""Where the report and the cleaned messages go: files that are whole, and that replace none."""

import os
import tempfile
from pathlib import Path

import pandas as pd

from ..errors import UserError
from ..inference.outputs import save_rows
from ..system.files import atomic_file, nearest_existing

REPORTS = (".md", ".json")
TABLES = (".csv", ".jsonl", ".parquet")


def check_place(option: str, name: str, suffixes: tuple[str, ...]) -> Path:
    """Check that a file can be written, and return its path.

    Args:
        option: The option that names it.
        name: Its name, whose end says what is written.
        suffixes: The ends that it may have.

    Raises:
        UserError: If it cannot, or is there already.
    """
    path = Path(name)
    if path.suffix.lower() not in suffixes:
        raise UserError(f"--{option} {name}: expected a name that ends in {' or '.join(suffixes)}.")
    _require_new(option, path)
    try:
        with tempfile.TemporaryFile(dir=nearest_existing(path.absolute().parent)):
            pass
    except OSError as error:
        raise _not_written(option, path, error) from None
    return path


def write_text(option: str, path: Path, text: str) -> None:
    """Write a report.

    Raises:
        UserError: If it cannot be written, or is there already.
    """
    _require_new(option, path)
    try:
        with atomic_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise _not_written(option, path, error) from None


def write_messages(option: str, path: Path, frame: pd.DataFrame) -> None:
    """Write messages in the columns `label` and `text`, as the readers of this package take them.

    Args:
        option: The option that names the file.
        path: The file; its name says what it is.
        frame: Columns `Label` and `Text`. Several labels of a text become JSON in a CSV.

    Raises:
        UserError: If the file cannot be written, or is there already.
    """
    _require_new(option, path)
    pairs = zip(frame["Label"], frame["Text"], strict=True)
    save_rows(({"label": label, "text": text} for label, text in pairs), path, ["label", "text"], option)


def _require_new(option: str, path: Path) -> None:
    if os.path.lexists(path):
        raise UserError(f"{path}: exists already, and nothing is overwritten. Choose another --{option}.")


def _not_written(option: str, path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be written: {error.strerror}. Choose another --{option}.")
