"""A run's folder: complete or not there, one run at a time, nothing lost.   pytest tests/system/test_run_folder.py"""

import logging
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from support.places import ROOT
from support.warm_process import WarmProcess

from hf_spam import UserError
from hf_spam.system import locking, run_folder
from hf_spam.system.manifest import check_manifest, write_manifest
from hf_spam.system.own_files import lasting_files
from hf_spam.system.run_folder import check_finished, check_writable, recover, staged


def fill(folder: Path, weights: str = "new", checkpoints: bool = True) -> None:
    """What a finished training leaves in the staged folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "arguments.json").write_text("{}")
    (folder / "model.safetensors").write_text(weights)
    (folder / "metrics.json").write_text("{}")
    if checkpoints:
        (folder / "checkpoint-5").mkdir()
        (folder / "checkpoint-5" / "seal.json").touch()
        (folder / "prefix-0123456789abcdef.bin").touch()


def finish(folder: Path, weights: str = "new", checkpoints: bool = True) -> Path:
    """A folder as a process leaves it that is killed right before the renaming."""
    fill(folder, weights, checkpoints)
    (folder / ".hf-spam").touch()
    write_manifest(folder, lasting_files(folder))
    return folder


FINISHED = {"arguments.json", "model.safetensors", "metrics.json", "manifest.json"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def assert_in_place(place: Path, weights: str = "new") -> None:
    """The run is complete, in its place, and nothing else is."""
    assert names(place) == FINISHED
    assert (place / "model.safetensors").read_text() == weights
    assert check_manifest(place) == []
    assert names(place.parent) == {place.name}


def test_a_finished_run_takes_its_place(tmp_path: Path) -> None:
    finish(tmp_path / "run", "old", checkpoints=False)
    with staged(tmp_path / "run") as folder:
        fill(folder)
        assert (tmp_path / "run" / "model.safetensors").read_text() == "old"
    assert_in_place(tmp_path / "run")


@pytest.mark.parametrize("name", ["link", "dangling", "here/../link", "./folder"])
def test_links_lead_to_the_place(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for inner in ("here", "real", "folder"):
        (tmp_path / inner).mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("far/away")
    place = check_writable(name)
    with staged(name) as folder:
        fill(folder)
    assert names(place) == FINISHED
    assert names(Path(name).resolve()) == FINISHED
    assert (tmp_path / "link").is_symlink()


# --- errors -----------------------------------------------------------------------------------------------------------


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
    check_writable(tmp_path / "run", keep=True)


def test_a_failure_after_the_training_keeps_the_weights(tmp_path: Path) -> None:
    def run() -> None:
        with staged(tmp_path / "run") as folder:
            (folder / "model.safetensors").touch()
            raise RuntimeError("no font")

    with pytest.raises(RuntimeError, match="no font"):
        run()
    assert (tmp_path / "run.partial" / "model.safetensors").exists()


@pytest.mark.parametrize("earlier", [True, False])
def test_the_last_renaming_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool) -> None:
    """The earlier run is back, the new one whole, and the same command finishes it."""
    place = tmp_path / "run"
    if earlier:
        finish(place, "old", checkpoints=False)
    replace = os.replace

    def refuse(source: Any, target: Any) -> None:
        if Path(source).name == "run.partial":
            raise OSError(16, "Device or resource busy")
        replace(source, target)

    def run() -> None:
        with staged(place) as folder:
            fill(folder)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(
        UserError, match=r"run: cannot be put in place: Device or resource busy\. The complete run is in"
    ):
        run()
    monkeypatch.undo()
    assert names(tmp_path) == {"run.partial", "run"} if earlier else {"run.partial"}
    assert not earlier or (place / "model.safetensors").read_text() == "old"
    assert "checkpoint-5" in names(tmp_path / "run.partial")
    assert recover(place)
    assert_in_place(place)


def test_what_came_during_the_training_is_not_replaced(tmp_path: Path) -> None:
    place = tmp_path / "run"

    def run(arrive: Callable[[], object]) -> None:
        with staged(place) as folder:
            fill(folder)
            arrive()

    for arrive, problem in (
        (lambda: finish(place, "another's"), "holds a run that was not there before"),
        (
            lambda: (place.mkdir(), (place / "thesis.tex").touch()),
            "holds thesis.tex, which hf-spam did not write there",
        ),
        (lambda: place.touch(), "found a file"),
        (lambda: place.symlink_to("nowhere"), "found a link"),
    ):
        with pytest.raises(UserError, match=rf"{problem}.*Move it away\. The complete run is in .*run\.partial"):
            run(arrive)
        with pytest.raises(UserError, match="Move it away"):
            recover(place)
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()
        assert recover(place)
        assert_in_place(place)
        shutil.rmtree(place)


def test_cleaning_up_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The run is complete all the same; the next start tries again."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as broken, caplog.at_level(logging.WARNING):
        broken.setattr(run_folder, "remove_passing", refuse)
        with staged(tmp_path / "run") as folder:
            fill(folder)
    assert "run is complete, but what it no longer needs could not be removed" in caplog.text
    assert recover(tmp_path / "run")
    assert_in_place(tmp_path / "run")


# --- what a killed process leaves -------------------------------------------------------------------------------------


def test_killed_before_the_renaming(tmp_path: Path) -> None:
    finish(tmp_path / "run.partial")
    assert recover(tmp_path / "run")
    assert_in_place(tmp_path / "run")
    assert not recover(tmp_path / "run")


def test_killed_between_the_renamings(tmp_path: Path) -> None:
    finish(tmp_path / "run.replaced", "old")
    finish(tmp_path / "run.partial")
    assert recover(tmp_path / "run")
    assert_in_place(tmp_path / "run")


def test_killed_after_the_first_renaming_without_a_new_run(tmp_path: Path) -> None:
    finish(tmp_path / "run.replaced", "old", checkpoints=False)
    assert not recover(tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_text() == "old"
    assert names(tmp_path) == {"run"}


def test_killed_while_cleaning_up(tmp_path: Path) -> None:
    finish(tmp_path / "run.replaced", "old")
    (tmp_path / "run.replaced" / "model.safetensors").unlink()
    finish(tmp_path / "run")
    assert recover(tmp_path / "run")
    assert_in_place(tmp_path / "run")


def test_a_damaged_staged_run_is_not_finished(tmp_path: Path) -> None:
    finish(tmp_path / "run.partial")
    (tmp_path / "run.partial" / "model.safetensors").write_text("torn")
    assert not recover(tmp_path / "run")
    with pytest.raises(UserError, match="holds the checkpoints of a run that did not finish"):
        check_writable(tmp_path / "run")


def test_a_complete_staged_run_is_never_deleted(tmp_path: Path) -> None:
    finish(tmp_path / "run.partial")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="holds a complete run"), staged(tmp_path / "run"):
            pass
        assert check_manifest(tmp_path / "run.partial") == [], overwrite
    with pytest.raises(UserError, match="run: was finished by an earlier command and is now in place"):
        check_writable(tmp_path / "run")
    assert_in_place(tmp_path / "run")


def commit(folder: Path, earlier: bool) -> None:
    """In a process of its own: stage and finish a run, over an earlier one or not."""
    check_writable(folder, overwrite=earlier)
    with staged(folder) as staging:
        fill(staging)


# In one process that forks for each number: what `commit` does to files, killed before the n-th, then started again.
SWEEP = f"""
import os, shutil, sys
from pathlib import Path
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT / "tests" / "system")!r}]
from support.killing import die_at
from test_run_folder import assert_in_place, commit, finish, names, recover, staged
root, earlier = Path(sys.argv[1]), sys.argv[2] == "True"
number, killed = 0, True
while killed:
    number += 1
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    if earlier:
        finish(root / "run", "old", checkpoints=False)
        (root / "run" / ".hf-spam").unlink()
    child = os.fork()
    if child == 0:
        os.fsync = lambda descriptor: None  # a killed process loses nothing that it has written
        die_at(number, root)
        commit(root / "run", earlier)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    killed = status == -9
    assert killed or status == 0, status
    weights = root / "run" / "model.safetensors"
    done = recover(root / "run") or (weights.exists() and weights.read_text() == "new")
    if not done:
        assert not earlier or weights.read_text() == "old"
        commit(root / "run", True)  # over the checkpoints that are left
    for path in root.glob(".hf-spam-*"):
        shutil.rmtree(path)
    (root / "run.partial.lock").unlink(missing_ok=True)
    assert_in_place(root / "run")
print(number)
"""


@pytest.mark.slow
@pytest.mark.parametrize("earlier", [False, True], ids=["new", "replacing"])
def test_killed_at_every_change_of_files(tmp_path: Path, warm: WarmProcess, earlier: bool) -> None:
    output = warm.run([tmp_path / "root", earlier], tmp_path, program=SWEEP)
    assert int(output.splitlines()[-1]) > 30


# --- what may be written where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("suffix", ["", ".partial", ".replaced"])
def test_what_is_not_ours_stays(tmp_path: Path, suffix: str, overwrite: bool) -> None:
    other = tmp_path / f"run{suffix}"
    finish(other, checkpoints=False)
    (other / "manifest.json").unlink()
    (other / "thesis.tex").write_text("years of work")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"holds thesis\.tex, which hf-spam did not write there") as error:
        check_writable(tmp_path / "run", overwrite)
    assert "--overwrite_output_dir" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("suffix", [".partial", ".replaced"])
def test_what_stands_in_the_way(tmp_path: Path, suffix: str) -> None:
    finish(tmp_path / "run", checkpoints=False)
    (tmp_path / "run" / ".hf-spam").unlink()
    (tmp_path / f"run{suffix}").write_text("a file")
    with pytest.raises(UserError, match=rf"run\{suffix}: "):
        check_writable(tmp_path / "run", overwrite=True)
    assert (tmp_path / f"run{suffix}").read_text() == "a file"


def test_a_run_is_replaced_only_when_asked(tmp_path: Path) -> None:
    finish(tmp_path / "run", checkpoints=False)
    with pytest.raises(UserError, match=r"run: (holds a run already|was finished)"):
        check_writable(tmp_path / "run")
    check_writable(tmp_path / "run", overwrite=True)
    with pytest.raises(UserError, match="holds a run already"):
        check_writable(tmp_path / "run", keep=True)
    assert (tmp_path / "run" / "model.safetensors").read_text() == "new"


def test_a_finished_run(tmp_path: Path) -> None:
    assert not check_finished(tmp_path / "run")
    finish(tmp_path / "run")
    assert check_finished(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    assert check_finished(tmp_path / "run")  # from before there were manifests
    write_manifest(tmp_path / "run", lasting_files(tmp_path / "run"))
    (tmp_path / "run" / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"holds a finished run that is damaged: metrics\.json is missing"):
        check_finished(tmp_path / "run")


@pytest.mark.parametrize("system", ["linux", "win32"])
def test_one_run_at_a_time_and_no_lock_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    """In both orders of release and deletion."""
    released: list[bool] = []

    class Lock(FileLock):
        def release(self, force: bool = False) -> None:
            released.append(Path(self.lock_file).exists())
            super().release(force)

    monkeypatch.setattr(locking, "FileLock", Lock)
    with staged(tmp_path / "run"):
        for attempt in (staged, check_writable):
            with pytest.raises(UserError, match=r"run\.partial: another run is at work there"):
                attempt(tmp_path / "run").__enter__() if attempt is staged else attempt(tmp_path / "run")
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
