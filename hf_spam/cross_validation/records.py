"""What a cross-validation was asked for, and its figures: an interrupted command goes on only with the same."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..system.files import write_atomically
from ..system.reading import read_json
from .folds import Collection

RECORD = "cross-validation.json"
REPORT = "report"
_FORMAT = 1


def fingerprint(collection: Collection) -> str:
    """Return a short hash of all texts, labels and groups in order, the same on every machine."""
    frame = collection.frame
    text = json.dumps([frame["Text"].tolist(), frame["Label"].tolist(), collection.groups])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_same(folder: Path, asked: Mapping[str, Any]) -> None:
    """Check that a folder is empty or holds what is asked for.

    Raises:
        UserError: If it holds anything else, with what differs.
    """
    path = folder / RECORD
    if not path.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(
                f"{folder}: expected an empty folder or one of hf-spam cross-validate. Choose another --output_dir."
            )
        return
    before = read_json(path).get("asked")
    if not isinstance(before, dict):
        raise UserError(f"{path}: expected the record of a cross-validation, found none. Remove the folder.")
    changed = [name for name in {**before, **asked} if before.get(name) != asked.get(name)]
    if changed:
        raise UserError(
            f"{folder}: holds a cross-validation with another {', '.join(sorted(changed))}. Choose another "
            f"--output_dir."
        )


def save_record(folder: Path, asked: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> None:
    """Write what is asked for, and what is known of the result."""
    record = {"format": _FORMAT, "asked": dict(asked), **(more or {})}
    write_atomically(folder / RECORD, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())
