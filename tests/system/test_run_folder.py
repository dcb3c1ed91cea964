"""A run's folder: complete or not there, one run at a time.   pytest tests/system/test_run_folder.py"""

import os
import stat
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from hf_spam import UserError
from hf_spam.system import run_folder
from hf_spam.system.run_folder import check_writable, staged


def test_a_finished_run_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").touch()
    with staged(tmp_path / "run") as folder:
        (folder / "config.json").touch()
        assert (tmp_path / "run" / "metrics.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.json", "manifest.json"}


@pytest.mark.parametrize("sealed", [True, False])
def test_a_failed_run_keeps_sealed_checkpoints_alone(tmp_path: Path, sealed: bool) -> None:
    """A checkpoint without its seal is one that was being written."""

    def run() -> None:
        with staged(tmp_path / "run") as folder:
            (folder / "checkpoint-5").mkdir()
            (folder / "checkpoint-5" / ("seal.json" if sealed else "model.safetensors")).touch()
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run()
    assert [path.name for path in tmp_path.iterdir()] == (["run.partial"] if sealed else [])
    if not sealed:
        check_writable(tmp_path / "run")
        return
    with pytest.raises(UserError, match=r"run\.partial: holds the checkpoints of a run that did not finish"):
        check_writable(tmp_path / "run")
    check_writable(tmp_path / "run", overwrite=True)


@pytest.mark.parametrize("system", ["linux", "win32"])
def test_one_run_at_a_time_and_no_lock_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    """In both orders of release and deletion."""
    released: list[bool] = []

    class Lock(FileLock):
        def release(self, force: bool = False) -> None:
            released.append(Path(self.lock_file).exists())
            super().release(force)

    monkeypatch.setattr(run_folder, "FileLock", Lock)
    with staged(tmp_path / "run"):
        with (
            pytest.raises(UserError, match=r"run\.partial: another run is at work there"),
            staged(tmp_path / "run"),
        ):
            pass
        released.clear()
        monkeypatch.setattr(sys, "platform", system)
    monkeypatch.undo()
    assert released[0] is (system == "win32")  # Windows deletes no open file
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_users_mode(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        with staged(tmp_path / "run"):
            pass
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o750
