"""The frozen blocks' output, computed once: the same training, from a file.   pytest tests/trainable/test_frozen_prefix.py"""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from support.messages import write_messages
from support.warm_process import WarmProcess

from hf_spam.tokens.batching import token_batches

Run = Callable[..., tuple[int, str, str]]

LAST_POSITION = ("--pooling", "last_position", "--max_length", "40")
RULES = {
    "last_token": (),
    "last_position": LAST_POSITION,
    "mean": ("--pooling", "mean"),
    "mean_positions": ("--pooling", "mean_positions"),
    "first_token, not causal": ("--pooling", "first_token", "--causal", "false"),
    "book": (*LAST_POSITION, "--attn_implementation", "eager", "--learning_rate", "1e-4"),
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, messages: pd.DataFrame) -> Path:
    """130 real messages, and a GPT-2 of three layers with random weights."""
    folder = tmp_path_factory.mktemp("prefix")
    write_messages(messages, 65, folder / "messages.csv")
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_embd=32, n_layer=3, n_head=2, n_positions=256, initializer_range=0.1)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder / "gpt2")
    return folder


def recipe(*options: object) -> list[str]:
    """Ten steps at a rate that moves the weights; every step's loss is written down."""
    return [
        *("train", "--weights", "gpt2", "--data_file", "messages.csv", "--learning_rate", "1e-3", "--eval_freq", "4"),
        *("--max_steps", "10", "--disable_tqdm", "true", "--keep_checkpoints", "true"),
        *("--logging_strategy", "steps", "--logging_steps", "1", *map(str, options)),
    ]


# A command that reports its progress after each batch, as others do every ten seconds.
PROGRESS = """
import sys
import hf_spam.cli
import hf_spam.system.progress
hf_spam.system.progress.SECONDS = 0
sys.exit(hf_spam.cli.main(sys.argv[1:]))
"""


def losses(run: Path) -> list[float]:
    """Every step's."""
    (state,) = run.glob("checkpoint-*/trainer_state.json")
    return [line["loss"] for line in json.loads(state.read_text())["log_history"] if "loss" in line]


def assert_same_training(found: Path, expected: Path, steps: int) -> None:
    """Each step's loss, the estimates, the final parameters and the figures, up to rounding."""
    assert len(losses(expected)) == steps
    assert losses(found) == pytest.approx(losses(expected), rel=0, abs=1e-5)
    parameters = [load_file(folder / "model.safetensors") for folder in (found, expected)]
    if "eager" in (expected / "arguments.json").read_text():  # it trains the bias of the keys on rounding
        for state in parameters:
            state.pop("model.trf_blocks.2.att.W_key.bias")
    torch.testing.assert_close(*parameters, rtol=0, atol=1e-5)
    records = [json.loads((folder / "metrics.json").read_text()) for folder in (found, expected)]
    for name in ("train_losses", "validation_losses", "train_accuracies", "validation_accuracies"):
        assert records[0]["history"][name] == pytest.approx(records[1]["history"][name], rel=0, abs=1e-5)
    for split, figures in records[0]["splits"].items():
        for own, other in zip(parts(figures), parts(records[1]["splits"][split]), strict=True):
            assert own.pop("confusion") == other.pop("confusion")
            assert own == pytest.approx(other, rel=0, abs=1e-5)


def parts(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures of a split, and those without near duplicates of the training split where it has any."""
    return [figures, *([figures.pop("without_twins")] if "without_twins" in figures else [])]


@pytest.mark.parametrize(
    ("trainable", "rule", "processes"),
    [
        pytest.param("last_layer", "last_position", 1, marks=pytest.mark.slow),
        pytest.param("last_layer", "last_token", 1, marks=pytest.mark.slow),
        ("last_block", "last_token", 1),
        pytest.param("last_block", "last_token", 2, marks=pytest.mark.slow),
        pytest.param("last_block", "book", 1, marks=pytest.mark.slow),
        pytest.param("last_two_blocks", "last_token", 1, marks=pytest.mark.slow),
        pytest.param("last_layer", "mean", 1, marks=pytest.mark.slow),
        pytest.param("last_2_blocks", "mean_positions", 1, marks=pytest.mark.slow),
        pytest.param("last_layer", "first_token, not causal", 1, marks=pytest.mark.slow),
    ],
)
def test_the_same_training(
    workplace: Path, warm: WarmProcess, tmp_path: Path, trainable: str, rule: str, processes: int
) -> None:
    options = ("--trainable", trainable, *RULES[rule])
    for cache, alone in (("auto", processes), ("off", 1)):
        argv = recipe(*options, "--prefix_cache", cache, "--output_dir", tmp_path / cache)
        output = warm.run(argv, workplace, alone)
        blocks = {"last_layer": 3, "last_block": 2, "last_two_blocks": 1, "last_2_blocks": 1}[trainable]
        said = (
            f"cache  output of the {blocks} frozen blocks: " if cache == "auto" else "cache  none: --prefix_cache off"
        )
        assert output.count(said) == 1
    assert_same_training(tmp_path / "auto", tmp_path / "off", steps=10)
    assert not list((tmp_path / "auto").glob("**/prefix-*"))  # removed


@pytest.mark.parametrize(
    ("trainable", "rule"),
    [
        pytest.param("last_block", "last_token", marks=pytest.mark.slow),
        pytest.param("last_layer", "last_position", marks=pytest.mark.long),
        pytest.param("last_two_blocks", "last_position", marks=pytest.mark.long),
    ],
)
def test_the_same_training_on_the_whole_collection(
    workplace: Path, warm: WarmProcess, tmp_path: Path, collection: Path, trainable: str, rule: str
) -> None:
    """The chapter's 650 steps at its own rate; the cache is shared by two processes."""
    options = ("--trainable", trainable, *RULES[rule][:2], "--data_file", collection, "--max_steps", -1)
    options = (*options, "--learning_rate", "5e-5", "--eval_freq", 50)
    for folder, cache, processes in (("off", "off", 1), ("two", "on", 2)):
        argv = recipe(*options, "--prefix_cache", cache, "--output_dir", tmp_path / folder)
        warm.run(argv, workplace, processes)
    assert_same_training(tmp_path / "two", tmp_path / "off", steps=650)


@pytest.mark.slow
def test_kept_and_used_again(workplace: Path, warm: WarmProcess, tmp_path: Path) -> None:
    """A file of its own for each set of weights, texts, precision and rule; never a half-written one."""
    kept = tmp_path / "kept"
    options = ("--max_steps", 2, "--eval_freq", 0, "--prefix_cache_dir", kept, "--disable_tqdm", "false")

    def files_after(name: str, *more: object) -> tuple[set[str], bool]:
        argv = recipe(*options, *more, "--output_dir", tmp_path / name)
        output = warm.run(argv, workplace, program=PROGRESS)
        return {path.name for path in kept.glob("*.bin")}, "Frozen blocks" in output

    first, computed = files_after("first")
    assert computed
    assert len(first) == 1
    (size,) = (path.stat().st_size for path in kept.glob("*.bin"))
    assert files_after("again", "--seed", 7, "--learning_rate", 1) == (first, False)
    for number, other in enumerate(
        [
            ("--bf16", "true"),
            ("--trainable", "last_two_blocks"),
            ("--split_seed", "1", "--balance", "false", "--max_length", "20"),
            ("--weights", "random", "--model_size", "tiny"),
            RULES["last_position"],
            ("--trainable", "last_layer", "--max_length", "40"),
            ("--trainable", "last_layer", *RULES["last_position"]),
        ]
    ):
        files, computed = files_after(f"other-{number}", *other)
        assert computed
        assert len(files) == number + 2
    (kept / next(iter(first))).write_bytes(b"\0" * (size - 4))  # as a copy that broke off
    files, computed = files_after("torn")
    assert computed
    assert (kept / next(iter(first))).stat().st_size == size


@pytest.mark.slow
def test_two_runs_want_the_same(workplace: Path, warm: WarmProcess, tmp_path: Path) -> None:
    """Started together on one folder, as in a search over seeds: one computes, the other waits and reads."""
    argv = recipe("--max_steps", 2, "--prefix_cache_dir", tmp_path / "kept", "--disable_tqdm", "false")
    (workplace / "log").unlink(missing_ok=True)
    runs = [warm.start([*argv, "--seed", n, "--output_dir", tmp_path / f"{n}"], workplace, PROGRESS) for n in range(2)]
    codes = [warm.wait(process) for process in runs]
    log = (workplace / "log").read_text()
    assert codes == [0] * 2, log
    assert len(re.findall(r"^Frozen blocks: ([0-9]+) of \1 texts$", log, re.MULTILINE)) == 1
    assert len(list((tmp_path / "kept").glob("*.bin"))) == 1


@pytest.mark.slow
def test_a_resumed_run_finds_it(workplace: Path, warm: WarmProcess, tmp_path: Path) -> None:
    options = recipe(
        "--output_dir", tmp_path / "run", "--save_strategy", "steps", "--save_steps", 2, "--max_steps", 400
    )
    process = warm.start([*options, "--disable_tqdm", "false"], workplace)
    partial = tmp_path / "run.partial"
    deadline = time.monotonic() + 60
    while not list(partial.glob("checkpoint-*/seal.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    assert warm.wait(process) == -signal.SIGKILL
    (file,) = partial.glob("prefix-*.bin")
    argv = ["train", "--output_dir", tmp_path / "run", "--resume_from_checkpoint", "last", "--max_steps", 40]
    output = warm.run(argv, workplace, program=PROGRESS)
    assert "cache  output of the 2 frozen blocks" in output
    assert "Frozen blocks" not in output
    assert not file.exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(("--trainable", "all"), "every block trains", marks=pytest.mark.slow),
        pytest.param(
            ("--drop_rate", "0.1"),
            "dropout (0.1) changes what the frozen blocks compute at every step",
            marks=pytest.mark.slow,
        ),
        (("--prefix_cache_limit", "0.0001"), "GB, more than --prefix_cache_limit 0.0001 GB"),
    ],
)
def test_reasons_against_it(
    workplace: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], reason: str
) -> None:
    monkeypatch.chdir(workplace)
    argv = recipe("--max_steps", 1, "--save_strategy", "no", "--output_dir", tmp_path / "run", *options)
    code, out, _ = run(*argv)
    assert code == 0
    assert f"{reason}\n" in next(line + "\n" for line in out.splitlines() if line.startswith("cache  none: "))
    code, _, err = run(*argv, "--prefix_cache", "on", "--output_dir", tmp_path / "forced")
    assert code == 2
    assert err.strip().splitlines()[-1].startswith("hf-spam: error: --prefix_cache on: cannot be made: ")
    assert err.strip().endswith(f"{reason}.")
    assert not list(tmp_path.glob("forced*"))


@pytest.mark.slow
def test_no_room(workplace: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setattr("hf_spam.training.fine_tuning.free_space", lambda folder: 1000)
    code, out, _ = run(*recipe("--max_steps", 1, "--save_strategy", "no", "--output_dir", tmp_path / "run"))
    assert code == 0
    assert f"GB, more than is free in {tmp_path / 'run.partial'}\n" in out


# --- batches of similar length ----------------------------------------------------------------------------------------


@given(lengths=st.lists(st.integers(0, 50)), budget=st.integers(1, 200), most=st.none() | st.integers(1, 5))
def test_every_text_is_in_one_batch(lengths: list[int], budget: int, most: int | None) -> None:
    batches = list(token_batches(lengths, budget, most))
    assert sorted(text for batch in batches for text in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(1, *(lengths[text] for text in batch)) * len(batch) <= budget
        assert most is None or len(batch) <= most
    in_order = [lengths[text] for batch in batches for text in batch]
    assert in_order == sorted(lengths, reverse=True)
