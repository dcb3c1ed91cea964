"""One process and many: the same model, every sample counted once, one voice.   pytest tests/system/test_processes.py

The launchers are real; where only the processes matter they are started by hand, as a launcher would.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from support.messages import write_messages
from support.places import ROOT
from support.warm_process import WarmProcess

from hf_spam import UserError
from hf_spam.data import sampling, sources
from hf_spam.data import splits as data
from hf_spam.system import processes
from hf_spam.tokens import epoch_order as order

CONFIGURATIONS = ROOT / "scripts" / "accelerate"
RECIPE = ["--data_file", "messages.csv", "--weights", "random", "--model_size", "tiny", "--context_length", "128"]
RECIPE += ["--max_length", "40", "--num_train_epochs", "2", "--disable_tqdm", "true", "--trainable", "all"]
RECIPE += ["--optim", "sgd", "--learning_rate", "0.1"]  # AdamW's division would magnify the last bits


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, messages: pd.DataFrame) -> Path:
    """308 real messages: 215 to train (26 batches of 8, another one of 4, and 3 messages), 30 and 63."""
    folder = tmp_path_factory.mktemp("processes")
    write_messages(messages, 154, folder / "messages.csv")
    return folder


@pytest.fixture(scope="module")
def alone(workplace: Path, warm: WarmProcess) -> Path:
    output = warm.run(["train", *RECIPE, "--output_dir", "alone"], workplace)
    assert "run    1 process on cpu, fp32; batch 8 = 8 messages a step, 26 steps an epoch\n" in output
    return workplace / "alone"


def assert_same_model(found: Path, expected: Path) -> None:
    """The same parameters within 1e-6 and the same figures."""
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (found, expected))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-6, msg=name)
    figures = [json.loads((folder / "metrics.json").read_text()) for folder in (found, expected)]
    for split in data.SPLITS:
        one, other = (figure["splits"][split] for figure in figures)
        assert one.pop("loss") == pytest.approx(other.pop("loss"), abs=1e-5)
        assert one.keys() == other.keys()
        if "without_twins" in one:
            new, others = one["without_twins"], other["without_twins"]
            assert new.pop("loss") == pytest.approx(others.pop("loss"), abs=1e-5)
        assert one == other
    assert figures[0]["history"]["steps"] == figures[1]["history"]["steps"]
    assert figures[0]["history"]["examples_seen"] == figures[1]["history"]["examples_seen"] == 2 * 26 * 8


LAUNCHERS = {
    "torchrun": ["torchrun", "--nproc_per_node", "2"],
    "accelerate": ["accelerate", "launch", "--config_file", str(CONFIGURATIONS / "two_cpu_processes.yaml")],
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_under_a_launcher(workplace: Path, alone: Path, launcher: str) -> None:
    program = [*LAUNCHERS[launcher], str(ROOT / "scripts" / "train.py"), *RECIPE, "--output_dir", launcher]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    result = subprocess.run(program, cwd=workplace, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    line = "run    2 processes on cpu, fp32; batch 4 × 2 processes = 8 messages a step, 26 steps an epoch"
    assert result.stdout.count(line) == result.stdout.count("run    ") == 1  # one voice
    assert json.loads((workplace / launcher / "metrics.json").read_text())["training"]["processes"] == 2
    assert_same_model(workplace / launcher, alone)


SHARED: dict[str, tuple[int, list[str], str]] = {
    "accumulated": (1, ["--gradient_accumulation_steps", "2"], "1 process on cpu, fp32; batch 4 × 2 accumulated = 8"),
    "accumulated and shared": (
        2,
        ["--gradient_accumulation_steps", "2"],
        "2 processes on cpu, fp32; batch 2 × 2 accumulated × 2 processes = 8",
    ),
    "split": (
        2,
        ["--per_device_train_batch_size", "8", "--accelerator_config", '{"split_batches": true}'],
        "2 processes on cpu, fp32; batch 4 × 2 processes = 8",
    ),
}


@pytest.mark.parametrize(
    "name",
    ["accumulated", *(pytest.param(name, marks=pytest.mark.slow) for name in ("split", "accumulated and shared"))],
)
def test_a_shared_batch_is_the_same_batch(workplace: Path, alone: Path, warm: WarmProcess, name: str) -> None:
    count, options, line = SHARED[name]
    folder = name.replace(" ", "-")
    output = warm.run(["train", *RECIPE, *options, "--output_dir", folder], workplace, count)
    assert f"run    {line} messages a step, 26 steps an epoch" in output
    assert output.count("before training, ") == 2  # one voice
    assert_same_model(workplace / folder, alone)


@pytest.mark.slow
def test_the_chapters_order_is_shared(workplace: Path, warm: WarmProcess) -> None:
    """Without accelerate's seeded sampler each pass draws from the global stream: the main process's."""
    recipe = [*RECIPE, "--preset", "book", "--eval_freq", "5"]
    warm.run(["train", *recipe, "--output_dir", "book-1"], workplace)
    warm.run(["train", *recipe, "--output_dir", "book-2"], workplace, 2)
    assert_same_model(workplace / "book-2", workplace / "book-1")


@pytest.mark.slow
def test_batches_of_similar_length_are_shared(workplace: Path, warm: WarmProcess) -> None:
    recipe = [*RECIPE, "--train_sampling_strategy", "group_by_length"]
    warm.run(["train", *recipe, "--output_dir", "by-length-1"], workplace)
    warm.run(["train", *recipe, "--output_dir", "by-length-2"], workplace, 2)
    assert_same_model(workplace / "by-length-2", workplace / "by-length-1")


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_every_message_is_evaluated_once(
    workplace: Path, alone: Path, warm: WarmProcess, collection: Path, count: int
) -> None:
    """The chapter's 149 and 300 messages, which neither 2 nor 3 processes can share evenly in batches of 32."""
    splits = workplace / "splits"
    if not splits.exists():
        data.save_splits(sampling.prepare_splits(sources.read_file(collection)), splits)
    for split in ("validation", "test"):
        argv = ["evaluate", alone, "--data_dir", splits, "--split", split]
        reports = [warm.run(argv, workplace, number).splitlines() for number in (count, 1)]
        shared, alone_ = ([line for line in report if not re.search("warning|peer ranks", line)] for report in reports)
        assert shared == alone_
        assert len(shared) == 5


FAILURES = {
    "both find it": (["--data_file", "nowhere.csv"], "hf-spam: error: --data_file nowhere.csv: no such file."),
    "the main one alone": (["--output_dir", "full"], "hf-spam: error: "),
}


@pytest.mark.parametrize("name", FAILURES)
def test_every_process_reports_its_failure(workplace: Path, warm: WarmProcess, name: str) -> None:
    """Each says who it is, and where the main one fails alone the other does not hang."""
    options, message = FAILURES[name]
    (workplace / "full").mkdir(exist_ok=True)
    (workplace / "full" / "file").touch()
    (workplace / "log").unlink(missing_ok=True)
    codes = [warm.wait(process) for process in warm.start_together(["train", *RECIPE, *options], workplace, 2)]
    output = (workplace / "log").read_text()
    assert codes == [2, 2], output
    told = [line for line in output.splitlines() if "hf-spam: error: " in line]
    assert sorted(line.split("hf-spam: ")[0] for line in told) == ["", "[rank 1] "]
    assert any(line.startswith(message) for line in told)
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_failure_under_a_launcher(workplace: Path) -> None:
    """The launcher ends all when one has ended, so either may stay silent, but not both."""
    options, message = FAILURES["the main one alone"]
    (workplace / "full").mkdir(exist_ok=True)
    (workplace / "full" / "file").touch()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    program = [*LAUNCHERS["torchrun"], str(ROOT / "scripts" / "train.py"), *RECIPE, *options]
    result = subprocess.run(
        program, cwd=workplace, capture_output=True, text=True, env={**os.environ, "PATH": path}, timeout=120
    )
    assert result.returncode != 0
    told = [line for line in result.stderr.splitlines() if "hf-spam: error: " in line]
    assert any(message in line for line in told)
    assert sum(line.startswith("hf-spam: ") for line in told) <= 1
    assert sum(line.startswith("[rank 1] hf-spam: ") for line in told) <= 1
    assert len(told) <= 2
    assert 'File "' + str(ROOT) not in result.stderr  # no traceback of ours


def test_a_batch_that_cannot_be_shared(workplace: Path, warm: WarmProcess) -> None:
    with pytest.raises(AssertionError, match="--global_batch_size: expected a number that 3 processes can share"):
        warm.run(["train", *RECIPE, "--output_dir", "three"], workplace, 3)
    assert not (workplace / "three").exists()


# --- the launch -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_process_where_two_were_asked_for(workplace: Path) -> None:
    """`accelerate launch --cpu --num_processes 2` starts one, silently."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    program = ["accelerate", "launch", "--cpu", "--num_processes", "2", str(ROOT / "scripts" / "train.py"), *RECIPE]
    result = subprocess.run(program, cwd=workplace, capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert result.returncode != 0
    assert "was asked for several processes and started one" in result.stderr
    named = re.findall(r"hf-spam launch-configs (\w+)", result.stderr)
    assert named
    assert set(named) <= set(processes.launch_configs())


@pytest.mark.parametrize(
    ("environment", "refused"),
    [
        ({}, False),
        ({"ACCELERATE_MIXED_PRECISION": "no"}, False),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "29500"}, True),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "29500", "WORLD_SIZE": "2"}, False),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "29500", "PMI_SIZE": "2"}, False),
        ({"MASTER_PORT": "29500"}, False),
    ],
)
def test_what_a_launch_looks_like(environment: dict[str, str], refused: bool) -> None:
    if refused:
        with pytest.raises(UserError, match="asked for several processes and started one"):
            processes.check_launch(environment)
    else:
        processes.check_launch(environment)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        *(({name: text}, rf"^\${name}: expected a whole number .*found") for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK")
          for text in ("", "x", "-1", "1.5", "nan", "9" * 30, "٣", "0x1", " 1", "1\n2")),
        ({"WORLD_SIZE": "0"}, r"\$WORLD_SIZE: expected a whole number from 1 to 999,999"),
        ({"LOCAL_WORLD_SIZE": "0", "WORLD_SIZE": "2"}, r"\$LOCAL_WORLD_SIZE: expected"),
        ({"LOCAL_WORLD_SIZE": "3", "WORLD_SIZE": "2"}, r"\$LOCAL_WORLD_SIZE: expected a whole number below 3, .*found 3"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, r"\$RANK: expected a whole number below 2, .*found 2"),
        ({"RANK": "1"}, r"\$RANK: expected a whole number below 1, .*found 1"),
        ({"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "1", "WORLD_SIZE": "2"}, r"\$LOCAL_RANK: expected"),
        ({"MASTER_PORT": "x"}, r"\$MASTER_PORT: expected"),
        ({"MASTER_PORT": "65536"}, r"\$MASTER_PORT: expected a whole number below 65,536"),
    ],
)  # fmt: skip
def test_nonsense_in_the_environment(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        processes.check_launch(environment)


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "LOCAL_RANK"])
def test_a_command_with_nonsense_in_the_environment(
    name: str, run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "banana")
    code, _, error = run("train", "--data_file", "none.csv")
    assert code == 2
    assert f"hf-spam: error: ${name}: expected a whole number" in error


def test_processes_that_do_not_know_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What accelerate makes of torchrun on a CPU if it is not told: each would train for itself."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("accelerate.PartialState", lambda cpu: SimpleNamespace(num_processes=1))
    with pytest.raises(UserError, match="expected 2 connected processes, found 1"):
        processes.join()


def test_the_main_processes_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under dropout the random streams of the processes may part: the main one's seed counts."""
    monkeypatch.setattr(order, "broadcast", lambda seed: 7)
    expected = torch.randperm(9, generator=torch.Generator().manual_seed(7)).tolist()
    sampler = order.UnseededSampler(messages=9, drawn=8)
    assert list(sampler) == expected[:8]
    assert len(sampler) == 8


@pytest.mark.slow
def test_the_launchers_own_precision_is_said(workplace: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    configuration = (
        (CONFIGURATIONS / "one_cpu.yaml").read_text().replace("mixed_precision: 'no'", "mixed_precision: bf16")
    )
    (workplace / "bf16.yaml").write_text(configuration)
    program = ["accelerate", "launch", "--config_file", "bf16.yaml", str(ROOT / "scripts" / "train.py"), *RECIPE]
    result = subprocess.run(
        [*program, "--max_steps", "1", "--output_dir", "bf16"],
        cwd=workplace,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    assert result.returncode == 0, result.stderr
    assert "run    1 process on cpu, bf16; " in result.stdout
