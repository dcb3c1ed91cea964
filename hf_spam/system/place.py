"""Where a result goes: checked before any work, so that the last step of hours of it cannot fail."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from ..errors import UserError, one_line
from . import processes
from .files import free_space, nearest_existing

SUFFIXES = (".partial", ".replaced", ".lock")  # of what stands beside a result
_LONGEST_PATH = 4096 - 200  # bytes that Linux takes, less what a run puts below its folder


def find_place(folder: str | os.PathLike[str]) -> Path:
    """Return the folder that is meant: where a link leads to, and without `..`.

    Raises:
        UserError: If no run can be put there by renaming a finished one.
    """
    given = Path(folder)
    if one_line(given) != str(given):
        raise UserError(f"{given}: expected a name without control characters. Choose another --output_dir.")
    try:
        return _resolve(given)
    except OSError as error:
        raise UserError(f"{given}: cannot be written: {error.strerror}. Choose another --output_dir.") from None


def _resolve(given: Path) -> Path:
    links = any(path.is_symlink() and not path.exists() for path in given.parents)
    place = Path(os.path.realpath(given)) if given.is_symlink() or ".." in given.parts or links else given
    if place.is_symlink():
        raise UserError(f"{given}: expected a folder, found a link to itself. Choose another --output_dir.")
    real = Path(os.path.realpath(place))
    if Path.cwd().is_relative_to(real):
        raise UserError(f"{given}: expected a new folder, found the current one or one above. Name a folder in it.")
    if place.name.endswith(SUFFIXES):
        raise UserError(
            f"{given}: expected a name that does not end in {', '.join(SUFFIXES)}, which stand for what is beside a "
            f"run. Choose another --output_dir."
        )
    place.with_name(f"{place.name}.partial.lock").is_symlink()  # the longest name; the system refuses one too long
    if len(os.fsencode(place.absolute())) > _LONGEST_PATH:
        raise UserError(f"{given}: cannot be written: the path is too long. Choose another --output_dir.")
    return place


def prove_writable(place: Path) -> None:
    """Do beside a result's place what the last step will do, without leaving a trace.

    Raises:
        UserError: If it cannot be done.
    """
    try:
        if place.exists() and not place.is_dir():
            raise UserError(f"{place}: expected a folder for the run, found a file. Choose another --output_dir.")
        start = nearest_existing(place.parent)
        with tempfile.TemporaryDirectory(dir=start, prefix=".hf-spam-") as name:
            probe = Path(name) / place.relative_to(start)
            probe.with_name(f"{probe.name}.partial").mkdir(parents=True)
            probe.with_name(f"{probe.name}.partial.lock").touch()
            os.replace(probe.with_name(f"{probe.name}.partial"), probe)
            os.replace(probe, probe.with_name(f"{probe.name}.replaced"))
    except OSError as error:
        raise UserError(f"{place}: cannot be written: {error.strerror}. Choose another --output_dir.") from None


def prove_replaceable(place: Path) -> None:
    """Rename a folder that is there and back, which no mount point allows. Who calls this holds its lock.

    Raises:
        UserError: If it cannot be renamed.
    """
    aside = place.with_name(f"{place.name}.replaced")
    try:
        if os.path.ismount(place):
            raise UserError(f"{place}: is a mount point and cannot be replaced. Name a folder in it as --output_dir.")
        os.replace(place, aside)
    except OSError as error:
        raise UserError(
            f"{place}: cannot be replaced: {error.strerror}. Name a folder in it, or another, as --output_dir."
        ) from None
    os.replace(aside, place)


def require_room(place: Path, needed: int) -> None:
    """Refuse work whose result would not fit on the disk.

    Args:
        place: Where it goes.
        needed: An estimate in bytes.

    Raises:
        UserError: If less is free.
    """
    free = free_space(place)
    if needed > free:
        raise UserError(
            f"{place}: expected room for about {needed / 1e9:,.2g} GB, found {free / 1e9:,.2g} GB free. Make room, or "
            f"choose another --output_dir."
        )


def check_new_folder(option: str, folder: Path) -> None:
    """Check that a folder can be made, before the work for it.

    Raises:
        UserError: If something is there.
    """
    taken = folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir())))
    if taken:
        raise UserError(f"--{option} {folder}: exists already, and nothing is overwritten. Choose another folder.")


def require_shared(place: Path, option: str = "output_dir") -> None:
    """Refuse a place that the processes' machines do not share, before any work; call it in every process.

    The main process writes a run and its checkpoints, and all of them read and complete checkpoints. Each would
    otherwise find other files under the same name.

    Args:
        place: Where the result goes.
        option: The option that names it, for messages.

    Raises:
        UserError: In every process, if one of the machines does not see what the main process writes.
    """
    if not processes.on_several_machines():
        return
    token = processes.broadcast(secrets.randbits(48) if processes.rank() == 0 else 0)
    probe = place.absolute().parent / f".hf-spam-{token:012x}"
    with suppress(OSError):  # why it cannot be written `prove_writable` says
        if processes.rank() == 0:
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.touch()
    # The others look only after it was written: a network file system remembers that a file was not there.
    written = processes.broadcast(int(probe.exists()) if processes.rank() == 0 else 0)
    apart = processes.any_of(bool(written) and not probe.exists())
    if processes.rank() == 0:
        probe.unlink(missing_ok=True)
    if apart:
        cache = "; --prefix_cache_dir may be on each machine's own" if option == "output_dir" else ""
        raise UserError(
            f"--{option} {place}: expected a folder that all machines share, found one that is another on each. "
            f"Name one on a shared disk{cache}."
        )
