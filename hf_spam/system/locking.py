"""Let one process at a time write to a place."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import UserError


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock of a file. The operating system releases the lock of a process that dies.

    Args:
        path: The file, which exists as long as the lock is held.
        busy: What to say where another process holds it.

    Raises:
        UserError: If another process holds it.
        OSError: If the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()  # says why the file cannot be made; filelock would only say that it cannot be locked
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(busy) from None
    try:
        yield
    finally:
        _release_and_delete(lock, path)


def _release_and_delete(lock: FileLock, path: Path) -> None:
    if sys.platform == "win32":
        # Windows deletes no open file: neither ours before its release, nor one that another run has opened since.
        lock.release()
        with suppress(PermissionError):
            path.unlink(missing_ok=True)
        return
    # Elsewhere deleting comes first. After a release another run could take the lock, lose its file to us, and a third
    # run could then take a new lock beside it.
    path.unlink(missing_ok=True)
    lock.release()
