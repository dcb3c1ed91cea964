"""Several machines: the same model, a cache on each, one run on the disk that they share, and one of them lost.

pytest tests/system/test_several_machines.py

A machine is a folder of its own, in which its processes run: their relative paths are its own disk. The launchers are
real in the tests that say so.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from safetensors.torch import load_file
from support.messages import write_messages
from support.places import ROOT
from support.warm_process import WarmProcess

from hf_spam.system import processes
from hf_spam.training.checkpoints import list_checkpoints

RECIPE = ["--data_file", "messages.csv", "--weights", "random", "--model_size", "tiny", "--context_length", "128"]
RECIPE += ["--max_length", "40", "--num_train_epochs", "2", "--disable_tqdm", "true", "--eval_freq", "10"]
SGD = ["--optim", "sgd", "--learning_rate", "0.1"]  # AdamW's division would magnify the last bits
CACHED = ["--prefix_cache", "on", "--prefix_cache_dir", "prefix"]
OFTEN = ["--save_strategy", "steps", "--save_steps", "4", "--save_total_limit", "2"]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory, messages: pd.DataFrame) -> list[Path]:
    """Two folders with the same 308 real messages: 215 to train, 26 steps an epoch."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for folder in folders:
        write_messages(messages, 154, folder / "messages.csv")
    return folders


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that both see."""
    return tmp_path


def together(warm: WarmProcess, argv: list[object], machines: list[Path], each: int) -> list[str]:
    """Run a command on so many processes of each machine, expect it to succeed; the log of each."""
    for folder in machines:
        (folder / "log").unlink(missing_ok=True)
    codes = [warm.wait(process) for process in warm.start_machines(argv, machines, each)]
    logs = [(folder / "log").read_text() for folder in machines]
    assert set(codes) == {0}, logs
    return logs


def assert_close(found: Path, expected: Path) -> None:
    """The same parameters within 1e-6, and the same figures."""
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (found, expected))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-6, msg=name)
    one, other = (json.loads((folder / "metrics.json").read_text())["history"] for folder in (found, expected))
    assert one["steps"] == other["steps"]
    assert one["examples_seen"] == other["examples_seen"] == 2 * 26 * 8


def test_a_cache_on_each_and_the_same_model(machines: list[Path], shared: Path, warm: WarmProcess) -> None:
    """Each machine computes its own, uses it at every step, and finds it again."""
    shutil.rmtree(machines[0] / "prefix", ignore_errors=True)
    argv = ["train", *RECIPE, *SGD, *CACHED, "--max_steps", "4", "--eval_freq", "0"]
    logs = together(warm, [*argv, "--output_dir", shared / "run"], machines, 1)
    assert "run    2 processes on cpu, fp32; batch 4 × 2 processes = 8 messages a step" in logs[0]
    assert "cache  output of the 1 frozen blocks: " in logs[0]
    assert "before training" not in logs[1]
    files = [sorted(path.name for path in (folder / "prefix").glob("*.bin")) for folder in machines]
    assert [[name.rsplit("-")[-1] for name in names] for names in files] == [["0.bin"], ["1.bin"]]
    both = [(folder / "prefix" / names[0]).read_bytes() for folder, names in zip(machines, files, strict=True)]
    assert both[0] == both[1]
    warm.run([*argv, "--prefix_cache", "off", "--output_dir", shared / "alone"], machines[0])
    ours, alone = (load_file(shared / name / "model.safetensors") for name in ("run", "alone"))
    for name, tensor in alone.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-5, msg=name)


def test_a_disk_that_is_not_shared(machines: list[Path], warm: WarmProcess) -> None:
    """The same relative name is another folder on each: refused in one line before anything is read."""
    for folder in machines:
        (folder / "log").unlink(missing_ok=True)
    argv = ["train", "--data_file", "nowhere.csv", "--output_dir", "apart"]
    assert [warm.wait(process) for process in warm.start_machines(argv, machines, 1)] == [2, 2]
    for rank, folder in zip(("", "[rank 1] "), machines, strict=True):
        told = [line for line in (folder / "log").read_text().splitlines() if "hf-spam: " in line]
        assert told == [
            f"{rank}hf-spam: error: --output_dir apart: expected a folder that all machines share, found one that is "
            "another on each. Name one on a shared disk; --prefix_cache_dir may be on each machine's own."
        ]
        assert not list(folder.glob("apart*"))
        assert not list(folder.glob(".hf-spam-*"))


@pytest.mark.parametrize(("rank", "turn"), [(0, 0), (1, 2), (2, 1), (3, 2)])
def test_who_goes_first(monkeypatch: pytest.MonkeyPatch, rank: int, turn: int) -> None:
    """The main process, then the first of each other machine, then the rest; all meet as often."""
    for name, value in {"RANK": rank, "LOCAL_RANK": rank % 2, "WORLD_SIZE": 4, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    events: list[str] = []
    monkeypatch.setattr(processes, "wait_for_all", lambda: events.append("wait"))
    with processes.main_first():
        events.append("work")
    assert events == ["wait"] * turn + ["work"] + ["wait"] * (2 - turn)


# --- what takes longer ------------------------------------------------------------------------------------------------

WHOLE = [*RECIPE, *SGD, "--trainable", "all"]
EXACT = ["--ddp_find_unused_parameters", "true"]  # see scripts/README.md: sums of more than two numbers


@pytest.fixture(scope="module")
def four(machines: list[Path], tmp_path_factory: pytest.TempPathFactory, warm: WarmProcess) -> Path:
    """A run of two processes on each machine."""
    folder = tmp_path_factory.mktemp("shared") / "four"
    together(warm, ["train", *WHOLE, *EXACT, "--output_dir", folder], machines, 2)
    return folder


@pytest.mark.slow
def test_two_machines_of_two_processes(machines: list[Path], shared: Path, warm: WarmProcess, four: Path) -> None:
    warm.run(["train", *WHOLE, "--output_dir", shared / "one"], machines[0])
    assert_close(four, shared / "one")
    assert json.loads((four / "metrics.json").read_text())["training"]["processes"] == 4


@pytest.mark.slow
def test_a_machine_is_lost(machines: list[Path], shared: Path, warm: WarmProcess, four: Path) -> None:
    """Both processes of the second are killed in the second epoch. Then, each from the same checkpoint:

    on the other machine alone the run ends with the parameters of an uninterrupted one within 1e-6; on both machines
    bit for bit with that of four processes.
    """
    lose_the_second(machines, shared, warm)
    go_on = ["train", "--resume_from_checkpoint", "last", "--output_dir"]
    warm.run([*go_on, shared / "lost"], machines[0], 2)
    assert_close(shared / "lost", four)
    together(warm, [*go_on, shared / "again"], machines, 2)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (shared / "again", four))
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def lose_the_second(machines: list[Path], shared: Path, warm: WarmProcess) -> None:
    """Start a run, kill the processes of the second machine; leave `lost` unfinished, and a copy of it, `again`."""
    for folder in machines:
        (folder / "log").unlink(missing_ok=True)
    argv = ["train", *WHOLE, *EXACT, *OFTEN, "--output_dir", shared / "lost"]
    started = warm.start_machines(argv, machines, 2)
    while "(Step 000040)" not in (machines[0] / "log").read_text():
        time.sleep(0.01)
    for process in started[2:]:
        os.kill(process, signal.SIGKILL)
    assert [warm.wait(process) for process in started[2:]] == [-signal.SIGKILL] * 2
    assert all(warm.wait(process) not in (0, -signal.SIGKILL) for process in started[:2])
    (checkpoint, *_) = list_checkpoints(shared / "lost.partial")
    assert 26 < int(checkpoint.name.removeprefix("checkpoint-")) < 52
    shutil.copytree(shared / "lost.partial", shared / "again.partial")


LAUNCHERS = {
    "torchrun": ["torchrun", "--nnodes", "2", "--nproc_per_node", "2", "--node_rank", "RANK", "--master_addr", "127.0.0.1",
                 "--master_port", "PORT"],
    "accelerate": ["accelerate", "launch", "--config_file", str(ROOT / "scripts" / "accelerate" / "two_machines.yaml"),
                   "--machine_rank", "RANK", "--main_process_port", "PORT"],
}  # fmt: skip


def launch(launcher: str, argv: list[object], machines: list[Path]) -> list[subprocess.Popen[bytes]]:
    """Start a command on each machine by its own launcher, in a session of its own, logging to `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank, folder in enumerate(machines):
        words = [word.replace("RANK", str(rank)).replace("PORT", str(port)) for word in LAUNCHERS[launcher]]
        own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TMPDIR": str(folder)}
        with (folder / "log").open("wb") as log:
            program = [*words, ROOT / "scripts" / "train.py", *map(str, argv)]
            started.append(
                subprocess.Popen(
                    program, cwd=folder, stdout=log, stderr=log, env=os.environ | own, start_new_session=True
                )
            )
    return started


@pytest.mark.long
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers_on_two_machines(
    machines: list[Path], shared: Path, warm: WarmProcess, four: Path, launcher: str
) -> None:
    """One run to its end; one whose second machine is lost with its launcher, and that goes on alone."""
    argv = [*WHOLE, *EXACT, "--output_dir"]
    codes = [process.wait(200) for process in launch(launcher, [*argv, shared / "run"], machines)]
    assert codes == [0, 0], (machines[0] / "log").read_text()
    assert_close(shared / "run", four)
    first, second = launch(launcher, [*argv, shared / "lost", *OFTEN], machines)
    while "(Step 000040)" not in (machines[0] / "log").read_text():
        assert first.poll() is None, (machines[0] / "log").read_text()
        time.sleep(0.05)
    lost = psutil.Process(second.pid)
    for process in [lost, *lost.children(recursive=True)]:
        process.kill()
    second.wait(60)
    assert first.wait(200) != 0
    warm.run(["train", "--resume_from_checkpoint", "last", "--output_dir", shared / "lost"], machines[0], 2)
    assert_close(shared / "lost", four)
