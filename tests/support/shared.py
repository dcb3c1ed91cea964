"""What is expensive to make and cheap to read: made once for all of pytest-xdist's workers."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def make_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of this session that one worker has filled; the others wait for it.

    Args:
        tmp_path_factory: Pytest's; the workers' folders lie in one.
        name: The folder's name.
        make: Fills the new folder. What it leaves is read by many tests and changed by none.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / name, root / f"{name}.done"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker whose attempt failed
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
