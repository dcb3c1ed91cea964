"""Write a run's folder beside its final place and rename it when the run is complete."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError
from . import processes
from .files import is_disk_full, nearest_existing
from .locking import locked

ARGUMENTS_FILE = "arguments.json"
METRICS_FILE = "metrics.json"
AGREEMENT_FILE = "agreement.json"


def check_writable(folder: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Check before any work that a run may be written to `folder`, without leaving a trace.

    Raises:
        UserError: If `folder` holds anything and `overwrite` is off, or if it cannot be written.
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
            f"{unfinished}: holds the checkpoints of a run that did not finish. Resume it with "
            f"--resume_from_checkpoint last, choose another --output_dir, or delete them with --overwrite_output_dir."
        )
    try:
        with tempfile.TemporaryDirectory(dir=nearest_existing(folder.parent), prefix=".hf-spam-"):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}. Choose another --output_dir.") from None


def partial_folder(folder: Path) -> Path:
    """Return the folder in which a run is written until it is complete."""
    return folder.with_name(f"{folder.name}.partial")


def _has_checkpoints(folder: Path) -> bool:
    return any(folder.glob("checkpoint-*/seal.json"))  # the seal is written last


@contextmanager
def staged(folder: str | os.PathLike[str], keep: bool = False) -> Iterator[Path]:
    """Yield a new folder beside `folder` and rename it to `folder` if the block ends without an error.

    Until then `folder` stays as it is. After an error the staged folder is deleted, unless it holds complete
    checkpoints: hours of work are not thrown away. With several processes, only the main one creates, renames and
    deletes.

    Args:
        folder: The final place of the run.
        keep: Continue in the staged folder of an unfinished run.

    Raises:
        UserError: If the disk is full, or another run is writing to the staged folder.
    """
    folder = Path(folder)
    staging = partial_folder(folder)
    if processes.rank() > 0:
        processes.wait_for_all()
        yield staging
        processes.wait_for_all()
        return
    busy = f"{staging}: another run is at work there. Choose another --output_dir."
    with locked(staging.with_name(f"{staging.name}.lock"), busy):
        try:
            if staging.exists() and not keep:
                shutil.rmtree(staging)
            staging.mkdir(parents=True, exist_ok=True)
            processes.wait_for_all()
            yield staging
            processes.wait_for_all()
            _take_place(staging, folder)
        except BaseException as error:
            full = is_disk_full(error, folder.parent)
            kept = _has_checkpoints(staging)
            if not kept:
                shutil.rmtree(staging, ignore_errors=True)
            if full:
                remedy = "go on with --resume_from_checkpoint last" if kept else "start again: nothing was kept"
                raise UserError(f"{folder}: the disk is full. Make room, then {remedy}.") from None
            raise


def _take_place(staging: Path, folder: Path) -> None:
    replaced = folder.with_name(f"{folder.name}.replaced")
    if folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        os.replace(folder, replaced)
    os.replace(staging, folder)
    shutil.rmtree(replaced, ignore_errors=True)
