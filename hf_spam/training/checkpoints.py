"""Checkpoints of a running training: complete or not there at all, and found again.

A checkpoint is written under another name, sealed with a list of its files and their hashes, and renamed. What is
named `checkpoint-N` and fits its seal is complete, whenever the process or the machine died.
"""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

from ..errors import UserError

logger = logging.getLogger(__name__)

SEAL = "seal.json"
HISTORY = "history.json"
PREFIX = "checkpoint-"
SUPERSEDED = "superseded-"


def staging_folder(run_folder: Path, step: int) -> Path:
    """Where a checkpoint is written before it is complete."""
    return run_folder / f".{PREFIX}{step}.partial"


def seal(folder: Path) -> None:
    """List a finished checkpoint's files with their hashes, and see everything safely on the disk."""
    files = {str(path.relative_to(folder)): _hash(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    path = folder / SEAL
    path.write_text(json.dumps(files, indent=2) + "\n", encoding="utf-8")
    for file in (*(folder / name for name in files), path):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint's files are those of its seal."""
    try:
        files = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return bool(files) and all(_hash(folder / name) == expected for name, expected in files.items())
    except (OSError, ValueError):
        return False


def list_checkpoints(run_folder: Path) -> list[Path]:
    """The checkpoints of a run, the latest first."""
    found = [path for path in run_folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=_step, reverse=True)


def find_checkpoint(which: str, run_folder: Path) -> Path:
    """The checkpoint to go on from; one that is torn is said, and the one before it taken.

    Args:
        which: A checkpoint's folder, or `last`: the run's latest.
        run_folder: Where the unfinished run keeps its checkpoints.

    Raises:
        UserError: If there is no complete checkpoint.
    """
    named = Path(which)
    if which == "last":
        candidates = list_checkpoints(run_folder)
        if not candidates:
            raise UserError(
                f"{run_folder}: no checkpoint to go on from. Start without --resume_from_checkpoint; "
                f"--save_strategy and --save_steps say when checkpoints are saved."
            )
    elif not named.is_dir() or not named.name.removeprefix(PREFIX).isdigit():
        raise UserError(f"{which}: expected a folder {PREFIX}N of an unfinished run, or last.")
    else:
        candidates = [path for path in list_checkpoints(named.parent) if _step(path) <= _step(named)]
    for candidate in candidates:
        if is_complete(candidate):
            return candidate
        logger.warning("%s is torn: its files are not those of %s; trying the one before", candidate, SEAL)
    raise UserError(f"{candidates[0]}: torn, and there is no complete checkpoint before it. Start anew.")


def set_aside_later(checkpoint: Path) -> None:
    """Rename what a run saved after the checkpoint that it goes on from, torn or whole.

    Otherwise a later number would pass for the latest checkpoint, and the new ones be dropped in its favour.
    """
    for path in list_checkpoints(checkpoint.parent):
        if _step(path) > _step(checkpoint):
            aside = path.with_name(f"{SUPERSEDED}{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.replace(aside)


def remove_all(run_folder: Path) -> None:
    """Remove a finished run's checkpoints, and those that were set aside."""
    for path in (*list_checkpoints(run_folder), *run_folder.glob(f"{SUPERSEDED}*")):
        shutil.rmtree(path)


def discard_staging(run_folder: Path) -> None:
    """Remove what was being written when a run died."""
    for path in run_folder.glob(f".{PREFIX}*.partial"):
        shutil.rmtree(path)


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix(PREFIX))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
