"""Where the report and the cleaned messages go: files that are whole, and that replace none."""

import csv
import json
import os
import tempfile
from pathlib import Path
from typing import Literal

import pandas as pd

from ..errors import UserError
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
    table = pd.DataFrame({"label": frame["Label"].tolist(), "text": frame["Text"].tolist()})
    try:
        with atomic_file(path) as temporary:
            if path.suffix.lower() == ".parquet":
                table.to_parquet(temporary, engine="pyarrow", index=False)
            elif path.suffix.lower() == ".jsonl":
                rows = (json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_dict("records"))
                with temporary.open("w", encoding="utf-8", newline="\n") as file:
                    file.writelines(rows)
            else:
                _write_csv(table, temporary)
    except OSError as error:
        raise _not_written(option, path, error) from None


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    labels = [json.dumps(label, ensure_ascii=False) if isinstance(label, list) else label for label in table["label"]]
    # A bare carriage return would end a row when read back, so quote every text if one contains it.
    bare = table["text"].str.contains("\r", regex=False).any()
    quoted: Literal[0, 2] = csv.QUOTE_NONNUMERIC if bare else csv.QUOTE_MINIMAL
    table.assign(label=labels).to_csv(path, index=False, quoting=quoted, lineterminator="\n")


def _require_new(option: str, path: Path) -> None:
    if os.path.lexists(path):
        raise UserError(f"{path}: exists already, and nothing is overwritten. Choose another --{option}.")


def _not_written(option: str, path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be written: {error.strerror}. Choose another --{option}.")
