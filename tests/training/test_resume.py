"""No run is lost: killed, stopped, out of disk, with a torn checkpoint.   pytest tests/training/test_resume.py

Runs are processes of their own (see `warm_process.py`), ended with real signals. `pytest -m slow` kills more often.
"""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from support.killing import kill_everywhere
from support.messages import write_messages
from support.warm_process import WarmProcess

from hf_spam import UserError
from hf_spam.system.files import is_disk_full
from hf_spam.system.own_files import SEAL_FILE, remove_passing
from hf_spam.system.run_folder import staged
from hf_spam.training.checkpoints import is_complete, list_checkpoints, seal
from hf_spam.training.resuming import find_checkpoint, set_aside_later

RECIPE = ["--data_file", "messages.csv", "--weights", "random", "--model_size", "tiny", "--context_length", "128"]
RECIPE += ["--max_length", "40", "--num_train_epochs", "3", "--disable_tqdm", "true", "--trainable", "all"]
RECIPE += ["--drop_rate", "0.1", "--learning_rate", "1e-3", "--eval_freq", "10"]
OFTEN = ["--save_strategy", "steps", "--save_steps", "4", "--save_total_limit", "2"]
SEEDED: list[str] = []
CHAPTER = ["--preset", "book"]
BY_LENGTH = ["--train_sampling_strategy", "group_by_length", "--data_seed", "5"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, messages: pd.DataFrame) -> Path:
    """300 real messages: 26 steps an epoch, 78 in all."""
    folder = tmp_path_factory.mktemp("resume")
    write_messages(messages, 150, folder / "messages.csv")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(workplace: Path, warm: WarmProcess) -> Path:
    """A finished run that has kept the checkpoints of its steps 76 and 78."""
    argv = ["train", *RECIPE, *OFTEN, "--keep_checkpoints", "true", "--output_dir", "uninterrupted"]
    warm.run(argv, workplace)
    return workplace / "uninterrupted"


def assert_same_run(found: Path, expected: Path) -> None:
    """Bit for bit: parameters, figures, history."""
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (found, expected))
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    one, other = (json.loads((folder / "metrics.json").read_text()) for folder in (found, expected))
    assert one["history"] == other["history"]
    assert one["splits"] == other["splits"]
    assert not list(found.glob("checkpoint-*"))
    assert not found.with_name(f"{found.name}.partial").exists()


def go_on(folder: Path) -> list[str]:
    """The options that start a run, or go on with it."""
    return ["--resume_from_checkpoint", "last"] if list_checkpoints(folder) else ["--overwrite_output_dir"]


def kill_often(warm: WarmProcess, workplace: Path, name: str, recipe: list[str], kills: int, number: int) -> int:
    """Start, end with a signal at a random moment of the training, go on; then let it finish. Returns how often."""
    dice, partial, done = random.Random(name), workplace / f"{name}.partial", 0
    log = workplace / "log"
    while not (workplace / name).exists():
        log.unlink(missing_ok=True)
        process = warm.start(["train", *recipe, "--output_dir", name, *go_on(partial)], workplace)
        if done < kills:
            while "run    " not in (log.read_text() if log.exists() else ""):
                time.sleep(0.01)
            time.sleep(dice.uniform(0, 0.6))
            os.kill(process, number)
        code = warm.wait(process)
        assert code in (0, -number, 128 + number), log.read_text()
        done += code != 0
        assert done <= kills
    return done


@pytest.mark.parametrize(
    ("order", "kills", "number"),
    [
        pytest.param(SEEDED, 3, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(SEEDED, 5, signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(CHAPTER, 5, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(BY_LENGTH, 5, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(CHAPTER, 5, signal.SIGTERM, marks=pytest.mark.long),
    ],
    ids=["seeded, KILL", "seeded, TERM", "chapter, KILL", "by length, KILL", "chapter, TERM"],
)
def test_killed_at_random_moments(
    workplace: Path,
    uninterrupted: Path,
    warm: WarmProcess,
    order: list[str],
    kills: int,
    number: signal.Signals,
) -> None:
    recipe = [*order, *RECIPE, *OFTEN, "--num_train_epochs", "12" if kills > 3 else "3"]  # long enough to be killed
    expected = workplace / f"whole-{len(order)}-{kills}" if order or kills > 3 else uninterrupted
    if not expected.exists():
        warm.run(["train", *recipe, "--output_dir", expected.name], workplace)
    name = f"killed-{len(order)}-{kills}-{number}"
    done = kill_often(warm, workplace, name, recipe, kills, number)
    assert done == kills if kills > 3 else done > 0
    assert_same_run(workplace / name, expected)


FEW = [
    "--num_train_epochs",
    "1",
    "--max_steps",
    "4",
    "--save_strategy",
    "steps",
    "--save_steps",
    "2",
    "--eval_freq",
    "0",
]


@pytest.mark.long
def test_killed_at_every_change_of_files(workplace: Path, warm: WarmProcess) -> None:
    """At every fifteenth: see `kill_everywhere`, which can do it at each, and on two processes."""
    *problems, counted = kill_everywhere(warm, workplace, ["train", *RECIPE, *FEW], step=15, first=7)
    assert not problems
    assert int(counted.split()[0]) > 100


@pytest.mark.parametrize(
    ("number", "code", "order"),
    [
        pytest.param(signal.SIGTERM, 143, SEEDED, id="TERM"),
        pytest.param(signal.SIGINT, 130, CHAPTER, id="INT", marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_and_says_how_to_go_on(
    workplace: Path, uninterrupted: Path, warm: WarmProcess, number: signal.Signals, code: int, order: list[str]
) -> None:
    """In the middle of the second epoch, whose order a fresh start would not draw."""
    expected = uninterrupted
    if order:
        warm.run(["train", *order, *RECIPE, "--output_dir", "in-the-chapters-order"], workplace)
        expected = workplace / "in-the-chapters-order"
    name, log = f"stopped-{code}", workplace / "log"
    log.unlink(missing_ok=True)
    process = warm.start(["train", *order, *RECIPE, "--output_dir", name], workplace)
    while "(Step 000030)" not in (log.read_text() if log.exists() else ""):
        time.sleep(0.01)
    os.kill(process, number)
    assert warm.wait(process) == code
    (checkpoint,) = list_checkpoints(workplace / f"{name}.partial")
    step = checkpoint.name.removeprefix("checkpoint-")
    assert log.read_text().endswith(
        f"hf-spam: stopped by {number.name} after step {step} of 78, a checkpoint is saved. "
        f"Resume with: hf-spam train --output_dir {name} --resume_from_checkpoint last\n"
    )
    assert log.read_text().count("before training, ") == 2
    output = warm.run(["train", "--output_dir", name, "--resume_from_checkpoint", "last"], workplace)
    assert f"; resumes from {name}.partial/checkpoint-{step}\n" in output
    assert "before training, " not in output
    assert int(step) > 30
    assert int(step) % 26
    assert_same_run(workplace / name, expected)


@pytest.mark.slow
def test_stopped_on_two_processes(workplace: Path, warm: WarmProcess) -> None:
    """One of them gets the signal; both stop after the same step."""
    warm.run(["train", *RECIPE, "--output_dir", "pair"], workplace, 2)
    (workplace / "log").write_text("")
    pair = warm.start_together(["train", *RECIPE, "--output_dir", "stopped-pair"], workplace, 2)
    while "(Step 000010)" not in (workplace / "log").read_text():
        time.sleep(0.01)
    os.kill(pair[1], signal.SIGTERM)
    assert [warm.wait(process) for process in pair] == [143, 143]
    warm.run(["train", "--output_dir", "stopped-pair", "--resume_from_checkpoint", "last"], workplace, 2)
    assert_same_run(workplace / "stopped-pair", workplace / "pair")


@pytest.fixture
def unfinished(workplace: Path, uninterrupted: Path, tmp_path: Path) -> Path:
    """A copy of the run as if killed after its last step; its messages lie beside it."""
    partial = tmp_path / "kept.partial"
    shutil.copytree(uninterrupted, partial)
    (partial / "model.safetensors").unlink()
    shutil.copy(workplace / "messages.csv", tmp_path)
    return partial


RESUME = ["train", "--keep_checkpoints", "false", "--output_dir", "kept", "--resume_from_checkpoint"]


def test_killed_after_the_last_step(tmp_path: Path, uninterrupted: Path, warm: WarmProcess, unfinished: Path) -> None:
    assert [path.name for path in list_checkpoints(unfinished)] == ["checkpoint-78", "checkpoint-76"]
    warm.run([*RESUME, "last"], tmp_path)
    assert_same_run(tmp_path / "kept", uninterrupted)


@pytest.mark.slow
def test_killed_after_the_last_step_within_an_epoch(workplace: Path, warm: WarmProcess) -> None:
    """The Trainer by itself would go on past `max_steps`."""
    argv = ["train", *RECIPE, "--max_steps", "30", "--output_dir", "short"]
    warm.run([*argv, "--keep_checkpoints", "true"], workplace)
    shutil.copytree(workplace / "short", workplace / "again.partial")
    (workplace / "again.partial" / "manifest.json").unlink()
    resume = ["--keep_checkpoints", "false", "--output_dir", "again", "--resume_from_checkpoint", "last"]
    warm.run(["train", *resume], workplace)
    for checkpoint in list_checkpoints(workplace / "short"):
        shutil.rmtree(checkpoint)
    assert_same_run(workplace / "again", workplace / "short")
    assert json.loads((workplace / "again" / "metrics.json").read_text())["training"]["steps"] == 30


@pytest.mark.parametrize("which", ["last", pytest.param("kept.partial/checkpoint-78", marks=pytest.mark.slow)])
def test_a_torn_checkpoint(
    tmp_path: Path, uninterrupted: Path, warm: WarmProcess, unfinished: Path, which: str
) -> None:
    torn = unfinished / "checkpoint-78" / "optimizer.pt"
    torn.write_bytes(torn.read_bytes()[:-1000])
    output = warm.run([*RESUME, which], tmp_path)
    assert not list((tmp_path / "kept").glob("superseded-*"))
    assert "kept.partial/checkpoint-78 is damaged: its files do not match seal.json; trying the one before" in output
    assert "resumes from kept.partial/checkpoint-76\n" in output
    assert_same_run(tmp_path / "kept", uninterrupted)


@pytest.mark.slow
def test_going_back(tmp_path: Path, warm: WarmProcess, unfinished: Path) -> None:
    """From a checkpoint that is not the latest: what came after it is kept aside."""
    which = "kept.partial/checkpoint-76"
    warm.run(["train", "--output_dir", "kept", "--resume_from_checkpoint", which], tmp_path)
    folders = {path.name for path in (tmp_path / "kept").iterdir() if path.is_dir()}
    assert folders == {"checkpoint-76", "checkpoint-78", "superseded-checkpoint-78"}


@pytest.mark.slow
def test_early_stopping_goes_on_counting(workplace: Path, warm: WarmProcess) -> None:
    """A rate that only makes it worse: stopped after two evaluations without a better one, the best model kept."""
    recipe = [*RECIPE, "--learning_rate", "1.0", "--num_train_epochs", "9", "--early_stopping_patience", "2"]
    warm.run(["train", *recipe, "--output_dir", "patient"], workplace)
    training = json.loads((workplace / "patient" / "metrics.json").read_text())["training"]
    assert training["steps"] == training["best_checkpoint_step"] + 2 * 26 < 9 * 26
    kill_often(warm, workplace, "impatient", recipe, kills=3, number=signal.SIGTERM)
    assert_same_run(workplace / "impatient", workplace / "patient")


def test_one_run_at_a_time(workplace: Path, tmp_path: Path) -> None:
    with (
        staged(tmp_path / "run") as folder,
        pytest.raises(UserError, match=r"run\.partial: another run is at work there"),
        staged(tmp_path / "run", keep=True),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert folder == tmp_path / "run.partial"


# --- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of so many MiB, where this may be mounted."""

    def mount(size: int) -> Path:
        options = f"size={size}m{',remount' if (tmp_path / 'disk').exists() else ''}"
        (tmp_path / "disk").mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", tmp_path / "disk"]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a full disk: only root may mount one")
        return tmp_path / "disk"

    yield mount
    subprocess.run(["umount", tmp_path / "disk"], capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("size", [11, 13])
def test_a_full_disk(
    workplace: Path, uninterrupted: Path, warm: WarmProcess, small_disk: Callable[[int], Path], size: int
) -> None:
    """Room for one checkpoint of 7 MB and not for two: wherever torch stumbles, the first one stays."""
    disk = small_disk(size)
    argv = ["train", *RECIPE, *OFTEN, "--output_dir", disk / "run"]
    with pytest.raises(AssertionError, match=r"/run: expected room for about 0\.0\d+ GB, found 0\.01\d* GB free"):
        warm.run(argv, workplace)
    assert not list(disk.iterdir())
    without_the_check = (
        "import sys, hf_spam.cli, hf_spam.starting.job as job\n"
        "job.require_room = lambda *args: None\n"
        "sys.exit(hf_spam.cli.main(sys.argv[1:]))\n"
    )
    with pytest.raises(AssertionError) as failure:
        warm.run(argv, workplace, program=without_the_check)
    message = (
        f"hf-spam: error: {disk}/run: the disk is full. Make room, then go on with --resume_from_checkpoint last."
    )
    assert message in str(failure.value)
    assert "Traceback" not in str(failure.value)
    (kept,) = list_checkpoints(disk / "run.partial")
    assert is_complete(kept)
    small_disk(60)
    warm.run(["train", "--output_dir", disk / "run", "--resume_from_checkpoint", "last"], workplace)
    assert_same_run(disk / "run", uninterrupted)


def test_what_a_full_disk_looks_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_disk_full(OSError(errno.ENOSPC, "x"), tmp_path)
    assert is_disk_full(RuntimeError("I/O error: No space left on device (os error 28)"), tmp_path)
    assert not is_disk_full(OSError(errno.EACCES, "x"), tmp_path)
    obscure = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 3225600 vs 3225488")
    assert not is_disk_full(obscure, tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    assert is_disk_full(obscure, tmp_path)
    assert not is_disk_full(KeyboardInterrupt(), tmp_path)


# --- checkpoints ------------------------------------------------------------------------------------------------------


def write_checkpoint(run: Path, step: int) -> Path:
    folder = run / f"checkpoint-{step}"
    (folder / "inner").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "inner" / "state").write_bytes(b"state")
    seal(folder)
    return folder


def test_a_seal(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 5)
    assert is_complete(folder)
    (folder / "later").touch()  # what others add does no harm
    assert is_complete(folder)
    for break_it in (
        lambda: (folder / "inner" / "state").write_bytes(b"stale"),
        lambda: (folder / "inner" / "state").unlink(),
        lambda: (folder / SEAL_FILE).unlink(),
    ):
        break_it()
        assert not is_complete(folder)


def test_what_was_saved_later_is_set_aside(tmp_path: Path) -> None:
    """A torn checkpoint of a later step must not outlive the new ones as the run's latest."""
    two, nine, ten = (write_checkpoint(tmp_path, step) for step in (2, 9, 10))
    (ten / "model.safetensors").unlink()
    set_aside_later(two)
    assert list_checkpoints(tmp_path) == [two]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-2",
        "superseded-checkpoint-10",
        "superseded-checkpoint-9",
    ]
    assert not nine.exists()
    remove_passing(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_which_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(
        UserError, match=r"found no checkpoint to resume from\. Start without --resume_from_checkpoint"
    ):
        find_checkpoint("last", tmp_path)
    two, nine, ten = (write_checkpoint(tmp_path, step) for step in (2, 9, 10))
    (tmp_path / "checkpoint-best").mkdir()
    assert find_checkpoint("last", tmp_path) == ten  # by number, not by name
    assert find_checkpoint(str(nine), tmp_path / "elsewhere") == nine
    (ten / "model.safetensors").unlink()
    (nine / "model.safetensors").unlink()
    assert find_checkpoint("last", tmp_path) == two
    assert caplog.text.count("is damaged") == 2
    (two / "model.safetensors").unlink()
    with pytest.raises(UserError, match="there is no complete checkpoint before it"):
        find_checkpoint("last", tmp_path)
    for wrong in ("nowhere", str(tmp_path), str(tmp_path / "checkpoint-best")):
        with pytest.raises(UserError, match="expected a folder checkpoint-N of an unfinished run, or last"):
            find_checkpoint(wrong, tmp_path)
