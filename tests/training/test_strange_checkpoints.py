"""Checkpoints that are damaged, foreign or made by a stranger, and weights that are not finite: one line, no traceback.

pytest tests/training/test_strange_checkpoints.py
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from datasets import DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from support.messages import balanced, write_messages
from transformers import GPT2Tokenizer

from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification, UserError, save_run
from hf_spam.data import sampling
from hf_spam.tokens.tokenization import tokenize
from hf_spam.training import fine_tuning as training
from hf_spam.training.arguments import SpamTrainingArguments
from hf_spam.training.checkpoints import is_complete, list_checkpoints, seal
from hf_spam.training.initial_model import initialize_model
from hf_spam.training.resuming import find_checkpoint
from hf_spam.values.ranges import Range


@pytest.fixture(scope="module")
def splits(messages: pd.DataFrame) -> DatasetDict:
    """40 balanced real messages."""
    return sampling.prepare_splits(balanced(messages, 20))


@pytest.fixture(scope="module")
def tokenized(splits: DatasetDict, tokenizer: GPT2Tokenizer) -> DatasetDict:
    return tokenize(splits, tokenizer, 12)


def model(width: int = 8) -> SpamGPTForSequenceClassification:
    return initialize_model(SpamGPTConfig(emb_dim=width, n_heads=2, n_layers=1, context_length=16), None, seed=123)


Train = Callable[..., training.Run]


@pytest.fixture(scope="module")
def train(splits: DatasetDict, tokenized: DatasetDict, tokenizer: GPT2Tokenizer) -> Train:
    def run(folder: Path, width: int = 8, **options: Any) -> training.Run:
        given = {"learning_rate": 1e-3, "disable_tqdm": True, "save_strategy": "no", "eval_freq": 2, "max_steps": 6}
        arguments = SpamTrainingArguments(output_dir=str(folder), **{**given, "eval_iter": 1, **options})
        return training.fine_tune(model(width), tokenizer, splits, tokenized, arguments, "all")

    return run


@pytest.fixture(scope="module")
def made(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the checkpoints of its steps 2 and 4."""
    folder = tmp_path_factory.mktemp("made")
    train(
        folder,
        save_strategy="steps",
        save_steps=2,
        max_steps=4,
        eval_strategy="steps",
        eval_steps=2,
        save_total_limit=None,
    )
    assert [path.name for path in list_checkpoints(folder)] == ["checkpoint-4", "checkpoint-2"]
    return folder


@pytest.fixture
def checkpoint(made: Path, tmp_path: Path) -> Path:
    """A copy of the later one."""
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run" / "checkpoint-4"


# --- seals ------------------------------------------------------------------------------------------------------------


HASH = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of b"abc"
ODD_SEALS: list[Any] = [
    [1], 5, "x", None, True, {}, [], {"abc": 5}, {"abc": None}, {"abc": [HASH]}, {"abc": {"sha256": HASH}},
    {"abc": HASH.upper()}, {"abc": HASH[1:]}, {"abc": f"{HASH}\n"}, {"../abc": HASH}, {"./abc": HASH}, {"": HASH},
    {"inner/../abc": HASH}, {"a\0b": HASH}, {"\ud800": HASH}, {"..": HASH}, {".": HASH}, {"inner": HASH}, {"pipe": HASH},
    {"out": HASH}, {"zero": HASH}, {"folder/abc": HASH}, {"missing": HASH}, {"x" * 5000: HASH}, {"inner\\abc": HASH},
]  # fmt: skip


@pytest.mark.parametrize("content", ODD_SEALS, ids=lambda content: ascii(content)[:40])
def test_an_odd_seal_means_damaged(tmp_path: Path, content: Any) -> None:
    """Even where the file that it leads to has that hash."""
    folder = tmp_path / "checkpoint-5"
    (folder / "inner").mkdir(parents=True)
    for place in (tmp_path / "abc", folder / "abc", folder / "inner" / "abc"):
        place.write_bytes(b"abc")
    (folder / "out").symlink_to("../abc")
    (folder / "folder").symlink_to("..")
    (folder / "zero").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe")
    (folder / "seal.json").write_text(json.dumps({"abc": HASH}))
    assert is_complete(folder)
    (folder / "seal.json").write_text(json.dumps(content))
    assert not is_complete(folder)
    (folder / "seal.json").write_text(json.dumps({str(tmp_path / "abc"): HASH}))
    assert not is_complete(folder)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_seal_gives_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "seal.json").write_bytes(content)
    assert not is_complete(folder)


@pytest.mark.parametrize("name", ["²", "٣", "9" * 200, "", "-5", "+5", "5 ", "5.0", "0x5", "best", "1_000", "５"])
def test_what_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    folder = tmp_path / f"checkpoint-{name}"
    folder.mkdir()
    (folder / "x").touch()
    seal(folder)
    assert list_checkpoints(tmp_path) == []
    with pytest.raises(UserError, match="expected a folder checkpoint-N of an unfinished run, or last"):
        find_checkpoint(str(folder), tmp_path)
    with pytest.raises(UserError, match="expected a folder checkpoint-N"):
        find_checkpoint(f"checkpoint-{'9' * 5000}", tmp_path)


def test_a_link_is_no_checkpoint_of_the_run(tmp_path: Path, made: Path) -> None:
    (tmp_path / "checkpoint-4").symlink_to(made / "checkpoint-4")
    assert list_checkpoints(tmp_path) == []
    assert find_checkpoint(str(tmp_path / "checkpoint-4"), tmp_path) == made / "checkpoint-4"


# --- what is in them --------------------------------------------------------------------------------------------------


def change_json(name: str, **changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        record = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**record, **changes}))

    return change


def write(name: str, content: bytes | str) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def save(name: str, value: Any) -> Callable[[Path], object]:
    return lambda folder: torch.save(value, folder / name)


def change_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    def rewrite(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return rewrite


STATE, EPOCH = "trainer_state.json", "epoch_start_0.pth"
STOPPING = {"EarlyStoppingCallback": {"args": {"early_stopping_patience": "x"}, "attributes": {}}}
CHANGES: dict[str, Callable[[Path], object]] = {
    **{f"state {content[:12]}": write(STATE, content) for content in ("", "[1]", "5", "{}", "{", '"x"', "[" * 9999)},
    "no state": lambda folder: (folder / STATE).unlink(),
    **{
        f"{name} {value!r}": change_json(STATE, **{name: value})
        for name, value in [
            ("global_step", "4"), ("global_step", None), ("global_step", 10**9), ("global_step", -1), ("global_step", 3),
            ("global_step", True), ("global_step", 4.0), ("log_history", 5), ("best_metric", "x"), ("total_flos", "x"),
            ("best_model_checkpoint", 5), ("stateful_callbacks", []), ("stateful_callbacks", {"TrainerControl": 5}),
            ("stateful_callbacks", STOPPING), ("stateful_callbacks", {"EarlyStoppingCallback": 5}), ("unknown", 1),
            ("num_input_tokens_seen", "x"), ("epoch", "x"),
        ]
    },
    **{f"history {text}": write("history.json", text) for text in ("", "[1]", "5", "{}", '{"seconds": 1}')},
    "history lists": change_json("history.json", train_losses=5),
    "history texts": change_json("history.json", train_losses=["a", "b"]),
    "history lengths": change_json("history.json", train_losses=[1.0]),
    "history seconds": change_json("history.json", seconds="x"),
    "history more": change_json("history.json", more=1),
    "history steps": change_json("history.json", steps=[1.5, 2.5]),
    "history seen": change_json("history.json", examples_seen=None),
    "optimizer no file": write("optimizer.pt", "x"),
    "optimizer empty": save("optimizer.pt", {}),
    "optimizer list": save("optimizer.pt", [1]),
    "scheduler": save("scheduler.pt", [1]),
    "rng no file": write("rng_state.pth", "x"),
    "rng list": save("rng_state.pth", [1]),
    "rng nonsense": save("rng_state.pth", {"python": 1, "numpy": 2, "cpu": 3}),
    "epoch no file": write(EPOCH, "x"),
    "epoch list": save(EPOCH, [1]),
    "epoch short": save(EPOCH, torch.zeros(3, dtype=torch.uint8)),
    "epoch floats": save(EPOCH, torch.zeros(5056)),
    "weights no file": write("model.safetensors", "x"),
    "weights empty": write("model.safetensors", ""),
    "weights missing": change_weights(lambda weights: weights.pop("score.bias")),
    "weights more": change_weights(lambda weights: weights.update(more=torch.zeros(1))),
    "weights shape": change_weights(lambda weights: weights.update({"score.bias": torch.zeros(3)})),
    "decay": write("used_rows.json", "[]"),
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change, id=name, marks=pytest.mark.slow if number % 3 else [])
        for number, (name, change) in enumerate(CHANGES.items())
    ],
)
def test_a_sealed_checkpoint_with_odd_contents(
    train: Train, checkpoint: Path, change: Callable[[Path], object]
) -> None:
    change(checkpoint)
    seal(checkpoint)
    with pytest.raises(UserError, match=r"checkpoint-4") as error:
        train(checkpoint.parent, resume_from_checkpoint=str(checkpoint))
    assert len(str(error.value).splitlines()) == 1


def test_a_checkpoint_of_another_model(train: Train, checkpoint: Path) -> None:
    with pytest.raises(UserError, match="checkpoint-4: the run cannot go on from it: the weights in checkpoint-4"):
        train(checkpoint.parent, width=16, resume_from_checkpoint=str(checkpoint))


def test_another_models_optimizer(train: Train, checkpoint: Path, tmp_path: Path) -> None:
    train(tmp_path / "wide", width=16, save_strategy="steps", save_steps=4, max_steps=4)
    shutil.copy(tmp_path / "wide" / "checkpoint-4" / "optimizer.pt", checkpoint)
    seal(checkpoint)
    with pytest.raises(
        UserError, match="checkpoint-4: the run cannot go on from it: the optimizer's state is another"
    ):
        train(checkpoint.parent, resume_from_checkpoint=str(checkpoint))


BEST: dict[str, Any] = {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps"}
BEST |= {"eval_steps": 2, "save_steps": 2, "save_total_limit": 9}


def test_the_best_checkpoint_is_the_one_beside(train: Train, checkpoint: Path) -> None:
    """Wherever the state says that it was; and the Trainer would go on without it."""
    change_json(STATE, best_model_checkpoint="/somewhere/else/checkpoint-2", best_metric=-1.0, best_global_step=2)(
        checkpoint
    )
    seal(checkpoint)
    expected = load_file(checkpoint.with_name("checkpoint-2") / "model.safetensors")
    run = train(checkpoint.parent, resume_from_checkpoint=str(checkpoint), **BEST)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in run.model.state_dict().items())
    shutil.rmtree(checkpoint.with_name("checkpoint-2"))
    with pytest.raises(UserError, match="the best checkpoint so far, checkpoint-2, is missing beside it or damaged"):
        train(checkpoint.parent, resume_from_checkpoint=str(checkpoint), **BEST)


def test_a_defect_after_the_first_step_is_ours(
    train: Train, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.InterimEstimates, "on_epoch_end", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(checkpoint.parent, resume_from_checkpoint=str(checkpoint))


# --- weights that are not finite --------------------------------------------------------------------------------------


@pytest.fixture
def any_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning rates that the options refuse: nothing that they accept makes weights infinite as surely."""
    monkeypatch.setattr(Range, "check", lambda *arguments, **options: None)


@pytest.mark.usefixtures("any_rate")
def test_a_loss_that_is_not_finite_stops_the_training(train: Train, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"step \d: expected a finite loss, found nan\. .*Lower --learning_rate, or clip"
    ):
        train(tmp_path, learning_rate=1e30, save_strategy="steps", save_steps=100)
    assert list_checkpoints(tmp_path) == []


@pytest.mark.usefixtures("any_rate")
def test_weights_that_are_not_finite_are_not_sealed(train: Train, tmp_path: Path) -> None:
    """After the step that makes them so, the loss of which was still finite."""
    with pytest.raises(
        UserError, match=r"step 1: expected finite weights, found NaN or infinity in model\..*Nothing was"
    ):
        train(tmp_path, learning_rate=1e39, save_strategy="steps", save_steps=1, eval_freq=0)
    assert list(tmp_path.glob("checkpoint-*")) == []


def test_weights_that_are_not_finite_are_not_saved(train: Train, tmp_path: Path) -> None:
    run = train(tmp_path, max_steps=1)
    with torch.no_grad():
        run.model.model.final_norm.scale[0] = float("inf")
    with pytest.raises(UserError, match=r"the end of the training: expected finite weights, found NaN or infinity in"):
        save_run(run, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("any_rate")
def test_the_chapters_program_saves_no_weights_that_are_not_finite(
    run: Callable[..., tuple[int, str, str]], messages: pd.DataFrame, gpt2_folder: Path, tmp_path: Path
) -> None:
    write_messages(messages, 20, tmp_path / "few.csv")
    argv = ["--data_file", tmp_path / "few.csv", "--weights", gpt2_folder, "--max_length", 12, "--max_steps", 2]
    code, _, err = run("native", *argv, "--learning_rate", "3e37", "--output_dir", tmp_path / "run")
    assert code == 2
    assert "expected finite weights, found NaN or infinity in" in err
    assert {path.name for path in tmp_path.iterdir()} == {"few.csv"}
