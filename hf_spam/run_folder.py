"""A run's folder: written beside its final place, renamed when the run is complete."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError

ARGUMENTS = "arguments.json"
METRICS = "metrics.json"


def check_writable(folder: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Find out before any work whether a run may go to `folder`; leaves no trace.

    Raises:
        UserError: If it holds a run (or anything else) and `overwrite` is off, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: expected a folder for the run, found a file. Choose another --output_dir.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UserError(
            f"{folder}: holds a run already. Choose another --output_dir, or replace it with --overwrite_output_dir."
        )
    unfinished = partial_folder(folder)
    if _has_checkpoints(unfinished) and not overwrite:
        raise UserError(
            f"{unfinished}: holds the checkpoints of a run that did not finish. Choose another --output_dir, or drop "
            f"them with --overwrite_output_dir."
        )
    parent = folder.parent
    while not parent.exists():
        parent = parent.parent
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=".hf-spam-"):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}. Choose another --output_dir.") from None


def partial_folder(folder: Path) -> Path:
    """Where a run is written until it is complete."""
    return folder.with_name(f"{folder.name}.partial")


def _has_checkpoints(folder: Path) -> bool:
    return any(folder.glob("checkpoint-*"))


@contextmanager
def staged(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder beside `folder` that takes its place when the block ends without an error.

    Until then whatever `folder` holds stays as it is. After an error the staged folder is removed, unless it holds
    the Trainer's checkpoints: hours of work are not thrown away.
    """
    folder = Path(folder)
    staging = partial_folder(folder)
    if staging.exists():
        shutil.rmtree(staging)
    try:
        staging.mkdir(parents=True)
        yield staging
        replaced = folder.with_name(f"{folder.name}.replaced")
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            os.replace(folder, replaced)
        os.replace(staging, folder)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException:
        if not _has_checkpoints(staging):
            shutil.rmtree(staging, ignore_errors=True)
        raise
