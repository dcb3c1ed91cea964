"""Write files and folders whole or not at all, and recognise a full disk."""

import errno
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal, reading it piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, and rename that file to `path` if the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # renamed already, unless something failed


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path`, which is never half-written."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_durably(path: Path, data: bytes) -> None:
    """Write `data` as `write_atomically` does, and return once it is on the disk."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)
        sync(temporary)
    sync_folder(path.parent)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`, and rename it to `folder` if the block ends without an error.

    Raises:
        OSError: If `folder` holds something already, or cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(folder)
    temporary.mkdir()
    try:
        yield temporary
        if folder.exists():
            folder.rmdir()  # Windows renames over nothing, not even an empty folder
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


def sync(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("r+b") as file:  # Windows refuses to sync a file that is open for reading alone
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if sys.platform != "win32":  # which opens no folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def apply_umask(folder: Path) -> None:
    """Give the files of a folder the mode of any new file. safetensors writes its own for the owner alone."""
    probe = _beside(folder / "mode")
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


def free_space(folder: Path) -> int:
    """Return the bytes that are free where `folder` is or will be."""
    return shutil.disk_usage(nearest_existing(folder.absolute())).free


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder; 0 if there is none."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def nearest_existing(folder: Path) -> Path:
    """Return the folder itself, or the first of its parents that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """Tell whether a full disk caused an error. Some libraries hide it, and fail on the half-written file later."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if "No space left on device" in str(error):
        return True
    return isinstance(error, Exception) and shutil.disk_usage(folder).free < 2**20
