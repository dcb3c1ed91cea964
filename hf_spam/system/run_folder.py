"""Write a run's folder beside its final place and rename it when the run is complete.

Three folders stand side by side: `NAME`, the run; `NAME.partial`, one that is being written; `NAME.replaced`, the
earlier run while the new one takes its place. Complete first, cleaned up later: everything is written and on the disk,
then the manifest, then the folder is renamed, then what is no longer needed goes. Wherever a process dies, the next
one finds a complete run and finishes it, or finds the earlier run unchanged.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import UserError
from . import processes
from .files import is_disk_full, sync_folder, write_durably
from .locking import locked
from .manifest import MANIFEST_FILE, check_manifest, write_manifest
from .own_files import AGREEMENT_FILE as AGREEMENT_FILE
from .own_files import ARGUMENTS_FILE as ARGUMENTS_FILE
from .own_files import (
    MARKER_FILE,
    has_checkpoints,
    has_weights,
    is_empty,
    lasting_files,
    remove_ours,
    remove_passing,
    require_ours,
)
from .own_files import METRICS_FILE as METRICS_FILE
from .own_files import STATE_FILE as STATE_FILE
from .place import find_place, prove_replaceable, prove_writable

logger = logging.getLogger(__name__)

_REPLACES = b"replaces the run that is there\n"  # the marker's content where that was asked for


def check_writable(folder: str | os.PathLike[str], overwrite: bool = False, keep: bool = False) -> Path:
    """Check before any work that a run may be written to `folder`, and return where that is.

    What a killed run has left there is finished or put back first. Otherwise nothing changes.

    Args:
        folder: The final place of the run.
        overwrite: Whether an earlier run there may be replaced, and an unfinished one deleted.
        keep: Whether the unfinished run there goes on.

    Raises:
        UserError: If `folder` holds anything and `overwrite` is off or it is not ours, or if it cannot be written.
    """
    place = find_place(folder)
    prove_writable(place)
    staging, replaced = partial_folder(place), _replaced(place)
    if not any(path.exists() or path.is_symlink() for path in (place, staging, replaced)):
        return place
    with _locked(staging):
        finished = _recover(place)
        if place.exists():
            require_ours(place)
            allowed = overwrite or (keep and _may_replace(staging))
            if not is_empty(place) and not allowed:
                how = "was finished by an earlier command and is now in place" if finished else "holds a run already"
                raise UserError(
                    f"{place}: {how}. Choose another --output_dir, or replace it with --overwrite_output_dir."
                )
        if staging.exists() or staging.is_symlink():
            if not keep or staging.is_symlink():
                require_ours(staging)
            if has_checkpoints(staging) and not overwrite and not keep:
                raise UserError(
                    f"{staging}: holds the checkpoints of a run that did not finish. Resume it with "
                    f"--resume_from_checkpoint last, choose another --output_dir, or delete them with "
                    f"--overwrite_output_dir."
                )
        if replaced.exists() or replaced.is_symlink():
            raise UserError(f"{replaced}: is in the way of replacing {place}. Rename it, or delete it.")
        if place.exists():
            prove_replaceable(place)
    return place


def partial_folder(folder: Path) -> Path:
    """Return the folder in which a run is written until it is complete."""
    return folder.with_name(f"{folder.name}.partial")


def _replaced(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.replaced")


def is_complete(folder: Path) -> bool:
    """Tell whether a folder holds all that its manifest lists."""
    try:
        return check_manifest(folder) == []
    except UserError:
        return False


def check_finished(place: Path) -> bool:
    """Tell whether a finished run is in its place; one from before there were manifests counts.

    Raises:
        UserError: If it does not fit its manifest.
    """
    if not (place / MANIFEST_FILE).exists():
        return (place / METRICS_FILE).is_file() and has_weights(place)
    if problems := check_manifest(place):
        raise UserError(f"{place}: holds a finished run that is damaged: {'; '.join(problems[:3])}.")
    return True


def recover(place: Path) -> bool:
    """Finish a complete run that a killed process left beside its place, or put back the earlier one.

    Returns:
        Whether a run was finished: it is now in place and cleaned up.

    Raises:
        UserError: If something stands in its way, or another run is at work there.
    """
    if not any(path.exists() for path in (partial_folder(place), _replaced(place), place / MARKER_FILE)):
        return False
    with _locked(partial_folder(place)):
        return _recover(place)


def _recover(place: Path) -> bool:
    staging, replaced = partial_folder(place), _replaced(place)
    if not staging.is_symlink() and is_complete(staging):
        _take_place(staging, place)
        return True
    if replaced.is_dir() and not place.exists():
        require_ours(replaced, "Rename it.")
        os.replace(replaced, place)
        return False
    if (place / MARKER_FILE).is_file() and is_complete(place):
        _clean_up(place)
        return True
    return False


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    file = folder.with_name(f"{folder.name}.lock")
    with ExitStack() as stack:
        try:
            busy = f"{folder}: another run is at work there. Choose another --output_dir."
            stack.enter_context(locked(file, busy))
        except OSError as error:
            raise UserError(f"{file}: cannot be written: {error.strerror}. Choose another --output_dir.") from None
        yield


@contextmanager
def staged(folder: str | os.PathLike[str], keep: bool = False, trains: bool = True) -> Iterator[Path]:
    """Yield a new folder beside `folder` and rename it to `folder` if the block ends without an error.

    Until then `folder` stays as it is. The manifest is written after the block, and nothing is removed before the
    renaming. After an error the staged folder is deleted, unless it holds complete checkpoints or trained weights:
    hours of work are not thrown away. With several processes, only the main one creates, renames and deletes.

    Args:
        folder: The final place of the run, checked by `check_writable`.
        keep: Continue in the staged folder of an unfinished run.
        trains: Whether the block trains. What an export or a copy has made is made again in seconds.

    Raises:
        UserError: If the disk is full, another run is writing to the staged folder, or the run cannot take its place.
            A complete run then stays in the staged folder.
    """
    place = find_place(folder)
    staging = partial_folder(place)
    if processes.rank() > 0:
        processes.wait_for_all()
        yield staging
        processes.wait_for_all()
        return
    with _locked(staging):
        _start(staging, place, keep)
        try:
            processes.wait_for_all()
            yield staging
            write_manifest(staging, lasting_files(staging))
            _take_place(staging, place)
        except BaseException as error:
            full = is_disk_full(error, place.parent)
            kept = trains and staging.exists() and (has_checkpoints(staging) or has_weights(staging))
            if staging.exists() and not kept:
                with suppress(UserError, OSError):
                    remove_ours(staging)
            if full:
                raise UserError(f"{place}: the disk is full. Make room, then {_remedy(staging)}.") from None
            raise
    with suppress(UserError):  # another process may fail now: the run is complete
        processes.wait_for_all()


def _remedy(staging: Path) -> str:
    if has_checkpoints(staging):
        return "go on with --resume_from_checkpoint last"
    if has_weights(staging):
        return f"start again, or use the weights in {staging}"
    return "start again: nothing was kept"


def _start(staging: Path, place: Path, keep: bool) -> None:
    """Create or clear the staged folder."""
    if staging.exists() and not keep:
        if is_complete(staging):  # by another process, after the check
            raise UserError(f"{staging}: holds a complete run. Start again: then it takes its place first.")
        remove_ours(staging)
    staging.mkdir(parents=True, exist_ok=True)
    (staging / MANIFEST_FILE).unlink(missing_ok=True)  # one that does not fit
    write_durably(staging / MARKER_FILE, _REPLACES if place.exists() else b"")


def _may_replace(staging: Path) -> bool:
    marker = staging / MARKER_FILE
    return marker.is_file() and marker.read_bytes() == _REPLACES


def _take_place(staging: Path, place: Path) -> None:
    """Rename a complete run to its place, then clean up.

    Raises:
        UserError: If that cannot be done; nothing has changed then.
    """
    finish = f"The complete run is in {staging}; the same command finishes it."
    replaced = _replaced(place)
    earlier = place.exists() or place.is_symlink()
    try:
        if earlier:
            require_ours(place, f"Move it away. {finish}")
            if not is_empty(place) and not _may_replace(staging):
                raise UserError(f"{place}: holds a run that was not there before. Move it away. {finish}")
            if replaced.exists() or replaced.is_symlink():
                raise UserError(f"{replaced}: is in the way of replacing {place}. Move it away. {finish}")
            os.replace(place, replaced)
        try:
            os.replace(staging, place)
        except OSError:
            if earlier:
                os.replace(replaced, place)
            raise
    except OSError as error:
        raise UserError(f"{place}: cannot be put in place: {error.strerror}. {finish}") from None
    with suppress(OSError):  # the run is there; a power failure now may lose the renaming, not the run
        sync_folder(place.parent)
    _clean_up(place)


def _clean_up(place: Path) -> None:
    """Remove what a run in its place no longer needs: the one it replaced, checkpoints and caches."""
    try:
        if _replaced(place).is_dir():
            remove_ours(_replaced(place))
        remove_passing(place)
    except (OSError, UserError) as error:
        logger.warning("%s is complete, but what it no longer needs could not be removed: %s", place, error)
