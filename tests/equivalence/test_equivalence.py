"""The proof, level by level, and that each level can fail: bent routes are noticed and the first difference named.

pytest tests/equivalence/test_equivalence.py

The whole proof takes a minute and a half and is `slow`; a shorter one is a command of the README.
"""

import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from datasets import DatasetDict
from support.warm_process import WarmProcess
from torch import Tensor
from torch.nn import functional as F
from transformers import Trainer

from hf_spam import SpamGPTForCausalLM, SpamGPTForSequenceClassification, SpamGPTModel
from hf_spam.commands import check_equivalence as command
from hf_spam.conversion.to_book import AnyGPT, as_book
from hf_spam.data import sources
from hf_spam.data.splits import SPLITS
from hf_spam.equivalence import native_loop
from hf_spam.equivalence.comparison import Comparison
from hf_spam.equivalence.data import check_batches, check_rows
from hf_spam.equivalence.model import check_generation, check_logits, check_persistence
from hf_spam.equivalence.records import Record
from hf_spam.equivalence.starting_point import StartingPoint, prepare_starting_point
from hf_spam.equivalence.training import (
    accuracy_noise,
    check_accumulation,
    check_bf16,
    check_cache,
    check_training,
    check_variants,
    train_both_ways,
    train_natively,
    train_with_trainer,
)
from hf_spam.model import gpt, layers_spam_gpt, pooling_spam_gpt
from hf_spam.trainable.frozen_prefix import PrefixCache
from hf_spam.training.fine_tuning import SpamTrainer

Patch = pytest.MonkeyPatch
ALL = "all, dropout 0"


@pytest.fixture(scope="module")
def subject(messages: pd.DataFrame) -> StartingPoint:
    """130 balanced real messages: 91 to train, 13 to validate, 26 to test; 11 steps an epoch."""
    some = [messages[(messages["Label"] == label) & (messages["Text"].str.len() < 150)] for label in ("ham", "spam")]
    return prepare_starting_point(pd.concat([frame.head(65) for frame in some]))


@pytest.fixture(scope="module")
def native(subject: StartingPoint) -> Record:
    return train_natively(subject, "all")


def against(native: Record, subject: StartingPoint, **bent: Any) -> list[Comparison]:
    """Level 4, with the Trainer route bent by options."""
    return check_training({ALL: (native, train_with_trainer(subject, "all", **bent))})


def failures(comparisons: list[Comparison]) -> dict[str, str | None]:
    """What is beyond its tolerance, and where first."""
    return {comparison.what: comparison.where for comparison in comparisons if not comparison.passed}


# --- straight ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.timeout(1500)  # ten minutes on a busy machine that has no AVX-512: its bf16 is slow
def test_the_whole_proof(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """What `check_equivalence` found: every level, 650 steps four times each way on the real split, to the last bit."""
    code, output, _ = run("check_equivalence", "--output_dir", tmp_path)
    assert code == 0, output
    report = json.loads((tmp_path / "equivalence.json").read_text())
    comparisons = report["comparisons"]
    assert report["passed"]
    assert all(comparison["passed"] for comparison in comparisons)
    assert {comparison["level"] for comparison in comparisons} == set(range(1, 8))
    values = {(one["level"], one["what"]): one["values"] for one in comparisons}
    train, validation, test = (report["subject"]["messages"][name]["total"] for name in SPLITS)
    if "HF_SPAM_DATA" in os.environ:
        assert (train, validation, test) == (1045, 149, 300)
    steps, row_length = train // 8, report["subject"]["row_length"]
    assert values[1, "label and text of each row"] == train + validation + test
    assert values[2, "ids of each batch, 5 epochs"] == 5 * (steps * 8 + validation + test) * row_length
    assert values[4, "loss of each step"] == 4 * 5 * steps
    trained = [one for one in comparisons if one["level"] == 4]
    assert len(trained) == 8
    assert all(one["difference"] == one["tolerance"] == 0 for one in trained)
    assert set(report["environment"]) >= {"torch", "transformers", "accelerate", "python", "device", "threads"}
    losses = report["losses"]["all, dropout 0.1"]
    assert losses["native"] == losses["trainer"]
    assert sum(losses["native"][-50:]) < sum(losses["native"][:50]) / 10  # it learns


@pytest.mark.slow
def test_the_small_subject_passes(subject: StartingPoint) -> None:
    """What is bent below is straight before."""
    comparisons = [
        *check_rows(subject),
        *check_batches(subject),
        *check_logits(subject, sizes=["tiny"]),
        *check_training(train_both_ways(subject)),
        *check_variants(subject),
        *check_generation(subject),
        *check_persistence(subject),
    ]
    assert failures(comparisons) == {}


def test_rows_against_pandas_reading_the_file(collection: Path) -> None:
    """Level 1 from the file on, with nothing of ours on the native side."""
    whole = prepare_starting_point(sources.read_at_hand(str(collection)))
    frames = native_loop.split_messages(pd.read_csv(collection, sep="\t", header=None, names=["Label", "Text"]))
    assert failures(check_rows(dataclasses.replace(whole, frames=frames))) == {}


@pytest.mark.slow
def test_generated_texts_are_no_repetition(subject: StartingPoint, monkeypatch: Patch) -> None:
    """Fifty times the same token would be equal, too."""
    texts: list[list[int]] = []
    generate = native_loop.generate
    monkeypatch.setattr(native_loop, "generate", lambda *args: texts.append(generate(*args)) or texts[-1])
    check_generation(subject)
    assert len(texts) == 4
    assert all(len(set(text)) > 10 for text in texts)


def test_noise_of_an_accuracy() -> None:
    assert accuracy_noise(0.95, 300) == pytest.approx(0.0255, abs=5e-4)  # 1.96 standard errors are 0.0247
    assert accuracy_noise(1.0, 300) > 0


# --- bent: data -------------------------------------------------------------------------------------------------------


def with_train_rows(splits: DatasetDict, change: Callable[[dict[str, Any], int], dict[str, Any]]) -> DatasetDict:
    return DatasetDict({**splits, "train": splits["train"].map(change, with_indices=True)})


def swap_label(row: dict[str, Any], number: int) -> dict[str, Any]:
    return {**row, "label": 1 - row["label"] if number == 17 else row["label"]}


def test_a_swapped_label(subject: StartingPoint, native: Record) -> None:
    bent = dataclasses.replace(
        subject,
        splits=with_train_rows(subject.splits, swap_label),
        tokenized=with_train_rows(subject.tokenized, swap_label),
    )
    assert failures(check_rows(bent)) == {"label and text of each row": "train, row 17"}
    found = failures(check_batches(bent))
    assert list(found) == ["labels of each batch, 5 epochs"]
    epoch_1 = "train, epoch 1, batch "
    where = str(found["labels of each batch, 5 epochs"])
    assert where.startswith(epoch_1)  # and in training, in the same batch:
    found = failures(against(native, bent))
    step = f"{ALL}, step {where.removeprefix(epoch_1).split(',')[0]}"
    assert "token ids of each batch" not in found
    assert (found["labels of each batch"], found["loss of each step"]) == (step, step)


def test_a_lost_row(subject: StartingPoint) -> None:
    shorter = DatasetDict({**subject.splits, "validation": subject.splits["validation"].select(range(12))})
    bent = dataclasses.replace(subject, splits=shorter)
    assert failures(check_rows(bent)) == {"label and text of each row": "validation, row 12"}


def test_a_changed_character(subject: StartingPoint) -> None:
    def change(row: dict[str, Any], number: int) -> dict[str, Any]:
        return {**row, "text": row["text"] + " " if number == 90 else row["text"]}

    bent = dataclasses.replace(subject, splits=with_train_rows(subject.splits, change))
    assert failures(check_rows(bent)) == {"label and text of each row": "train, row 90"}


# --- bent: batches ----------------------------------------------------------------------------------------------------


def drop_last_batches(patch: Patch) -> None:
    """As the Trainer does by itself: what training drops, evaluation drops."""
    for name in ("get_eval_dataloader", "get_test_dataloader"):
        patch.setattr(SpamTrainer, name, getattr(Trainer, name))


def shift_positions(patch: Patch) -> None:
    """Rows one token narrower, so that the position read is one to the left."""
    to_width = pooling_spam_gpt._to_width
    patch.setattr(pooling_spam_gpt, "_to_width", lambda *given: to_width(*given)[:, :-1])


def draw_once_more(patch: Patch) -> None:
    """One number from the global generator each time the classifier is called."""
    forward = SpamGPTForSequenceClassification.forward

    @functools.wraps(forward)  # the Trainer reads its signature
    def drawing(self: Any, *args: Any, **kwargs: Any) -> Any:
        torch.rand(1)
        return forward(self, *args, **kwargs)

    patch.setattr(SpamGPTForSequenceClassification, "forward", drawing)


BENT_BATCHES: dict[str, tuple[Callable[[Patch], None], str]] = {
    "a dropped last batch": (drop_last_batches, "validation, epoch 1, batch 0, row 0"),
    "a shifted position": (shift_positions, "train, epoch 1, batch 0, row 0"),
    "one more random draw": (draw_once_more, "train, epoch 2, batch 0, row 0"),
}


@pytest.mark.parametrize(("bend", "where"), BENT_BATCHES.values(), ids=BENT_BATCHES)
def test_bent_batches(subject: StartingPoint, monkeypatch: Patch, bend: Callable[[Patch], None], where: str) -> None:
    bend(monkeypatch)
    assert failures(check_batches(subject))["ids of each batch, 5 epochs"] == where


# --- bent: logits -----------------------------------------------------------------------------------------------------


def eager_mask_off_by_one(patch: Patch) -> None:
    """Each position sees the next one, too."""

    def attention(self: Any, queries: Tensor, keys: Tensor, values: Tensor, lengths: None) -> Tensor:
        scores = queries @ keys.transpose(2, 3)
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(diagonal=2)
        weights = torch.softmax(scores.masked_fill(future, -torch.inf) / keys.shape[-1] ** 0.5, dim=-1)
        return weights @ values

    patch.setattr(gpt.MultiHeadAttention, "_masked_attention", attention)


def no_mask(patch: Patch) -> None:
    def attention(queries: Tensor, keys: Tensor, values: Tensor, **options: Any) -> Tensor:
        return F.scaled_dot_product_attention(queries, keys, values)

    functions = SimpleNamespace(layer_norm=F.layer_norm, scaled_dot_product_attention=attention)
    for module in (gpt, layers_spam_gpt):  # for our model alone
        patch.setattr(module, "F", functions)


def forget_padding(patch: Patch) -> None:
    """Left padding is read like text: positions are off."""

    def as_it_is(ids: Tensor, mask: Tensor, pad: int) -> tuple[Tensor, Tensor, Tensor]:
        return ids, mask.sum(1), torch.arange(ids.shape[1]).expand_as(ids)

    def in_order(self: Any, x: Tensor, *others: Any) -> Tensor:
        return torch.arange(x.shape[1])[None]

    patch.setattr("hf_spam.model.pooling_spam_gpt.align_left", as_it_is)
    patch.setattr(SpamGPTModel, "_positions", in_order)


EAGER, SDPA, CLASSIFIER = (
    "tiny: GPTModel eager = GPT2LMHeadModel",
    "tiny: ForCausalLM SDPA = GPT2LMHeadModel",
    "tiny: ForSequenceClassification SDPA = GPT2's",
)


def test_an_eager_mask_off_by_one(subject: StartingPoint, monkeypatch: Patch) -> None:
    eager_mask_off_by_one(monkeypatch)
    assert failures(check_logits(subject, ["tiny"])) == {EAGER: "text 0, not padded"}


def test_no_mask(subject: StartingPoint, monkeypatch: Patch) -> None:
    no_mask(monkeypatch)
    assert failures(check_logits(subject, ["tiny"])) == {
        SDPA: "text 0, padded left",
        CLASSIFIER: "text 0, padding left",
    }


def test_padding_read_as_text(subject: StartingPoint, monkeypatch: Patch) -> None:
    forget_padding(monkeypatch)
    found = failures(check_logits(subject, ["tiny"]))
    assert set(found) == {SDPA, CLASSIFIER}
    assert "left" in str(found[SDPA])
    assert "left" in str(found[CLASSIFIER])


# --- bent: training ---------------------------------------------------------------------------------------------------

LOSS, NORM, RATE = "loss of each step", "gradient norm of each step", "learning rate of each step"
IDS, ESTIMATES, ACCURACIES, PARAMETERS = (
    "token ids of each batch",
    "interim estimates",
    "accuracy of each split",
    "final parameters",
)
# The option, what it bends first, and the step where that shows; fused AdamW may round alike for a step.
BENT_RECIPES: list[tuple[dict[str, Any], str, int | None]] = [
    ({"seed": 124}, IDS, 0),
    ({"accelerator_config": {"use_seedable_sampler": True}}, IDS, 0),
    ({"dataloader_drop_last": False}, IDS, 11),
    ({"max_grad_norm": 0.1}, NORM, 0),
    ({"weight_decay": 0.0}, LOSS, 1),
    ({"optim": "adamw_torch_fused"}, LOSS, None),
    ({"adam_epsilon": 1e-7}, LOSS, 1),
    ({"lr_scheduler_type": "linear"}, RATE, 1),
    ({"eval_freq": 10}, ESTIMATES, 0),
]


@pytest.mark.parametrize(
    ("bent", "what", "step"),
    [
        pytest.param(*case, id=str(case[0]), marks=pytest.mark.slow if number else [])
        for number, case in enumerate(BENT_RECIPES)
    ],
)
def test_bent_recipes(
    subject: StartingPoint, native: Record, bent: dict[str, Any], what: str, step: int | None
) -> None:
    found = failures(against(native, subject, **bent))
    if what == ESTIMATES:  # other draws from then on: the second epoch's order
        assert found[IDS] == f"{ALL}, step 11"
        assert str(found[what]).startswith(f"{ALL}, steps ")
    else:
        assert found[what] in [f"{ALL}, step {number}" for number in (range(1, 10) if step is None else [step])]
    assert PARAMETERS in found


@pytest.mark.slow
def test_the_trainers_own_decay_groups(subject: StartingPoint, monkeypatch: Patch) -> None:
    """They spare the norms: after one step those alone, and the second step's loss, are not the chapter's."""
    one_step = dataclasses.replace(subject, max_steps=1)
    two_steps = dataclasses.replace(subject, max_steps=2)
    monkeypatch.setattr(SpamTrainer, "get_decay_parameter_names", Trainer.get_decay_parameter_names)
    found = failures(against(train_natively(one_step, "all"), one_step))
    assert found[PARAMETERS] == f"{ALL}, trf_blocks.0.norm1.scale"
    assert LOSS not in found
    assert failures(against(train_natively(two_steps, "all"), two_steps))[LOSS] == f"{ALL}, step 1"


@pytest.mark.slow
def test_one_more_random_draw(subject: StartingPoint, native: Record, monkeypatch: Patch) -> None:
    """The first epoch's order is drawn before; the interim estimates and the second epoch feel it."""
    draw_once_more(monkeypatch)
    found = failures(against(native, subject))
    assert found[IDS] == f"{ALL}, step 11"
    assert found[ESTIMATES] == f"{ALL}, train_losses 0"


def test_a_shifted_position(subject: StartingPoint, native: Record, monkeypatch: Patch) -> None:
    shift_positions(monkeypatch)
    found = failures(against(native, subject))
    assert (found[IDS], found[LOSS]) == (f"{ALL}, step 0", f"{ALL}, step 0")


@pytest.mark.slow
def test_a_dropped_last_batch(subject: StartingPoint, native: Record, monkeypatch: Patch) -> None:
    """Training is the same; the accuracies are those of fewer messages."""
    drop_last_batches(monkeypatch)
    found = failures(against(native, subject, per_device_eval_batch_size=8))
    assert found == {ACCURACIES: found[ACCURACIES]}


@pytest.mark.slow
def test_another_trained_part(subject: StartingPoint, native: Record) -> None:
    found = failures(check_training({ALL: (native, train_with_trainer(subject, "last_block"))}))
    assert next(iter(found)) == LOSS
    assert (found[LOSS], found[NORM]) == (f"{ALL}, step 1", f"{ALL}, step 0")
    assert found[PARAMETERS] == f"{ALL}, tok_emb.weight"


# --- bent: variants, generation, persistence --------------------------------------------------------------------------


def test_accumulation_that_forgets_the_number_of_items(subject: StartingPoint, monkeypatch: Patch) -> None:
    """The mistake of transformers' own GPT-2 classifier: gradients as many times too large as there are batches."""
    forward = SpamGPTForSequenceClassification.forward

    @functools.wraps(forward)
    def forgetful(self: Any, input_ids: Tensor, num_items_in_batch: object = None, **kwargs: Any) -> Any:
        return forward(self, input_ids, **kwargs)

    monkeypatch.setattr(SpamGPTForSequenceClassification, "forward", forgetful)
    found = failures(check_accumulation(dataclasses.replace(subject, max_steps=2)))
    assert found["accumulated 2×4: loss of each step"] == "2 batches of 4, step 0"
    assert found["accumulated 8×1: gradient norm of each step"] == "8 batches of 1, step 0"


@pytest.mark.slow
def test_a_cache_of_other_states(subject: StartingPoint, monkeypatch: Patch) -> None:
    """What the frozen blocks' cache holds is what is trained on: a number more or less shows."""
    read = PrefixCache.__call__
    monkeypatch.setattr(PrefixCache, "__call__", lambda self, texts: read(self, texts) * 1.01)
    found = failures(check_cache(subject))
    assert set(found) == {f"frozen blocks cached: {what}" for what in (LOSS, ESTIMATES, PARAMETERS)}


@pytest.mark.slow
def test_bf16_of_another_run(subject: StartingPoint, monkeypatch: Patch) -> None:
    train = train_with_trainer

    def bent(subject: StartingPoint, *args: Any, **options: Any) -> Record:
        rate = subject.learning_rate * (30 if options.get("bf16") else 1)
        return train(dataclasses.replace(subject, learning_rate=rate), *args, **options)

    monkeypatch.setattr("hf_spam.equivalence.training.train_with_trainer", bent)
    found = failures(check_bf16(subject))
    assert str(found["bf16: loss of each step"]).startswith("bf16, step ")


@pytest.mark.slow
def test_generation_that_sees_the_last_token_alone(subject: StartingPoint, monkeypatch: Patch) -> None:
    """What `generate()` would do to a model that loses its cache."""

    def last_token(self: Any, input_ids: Tensor, **kwargs: Any) -> dict[str, Tensor]:
        return {"input_ids": input_ids[:, -1:]}

    monkeypatch.setattr(SpamGPTForCausalLM, "prepare_inputs_for_generation", last_token)
    found = failures(check_generation(subject))
    assert list(found) == ["ForCausalLM = GPT2LMHeadModel, 50 greedy tokens"]
    assert str(found.popitem()[1]).startswith("text 0, token ")


def test_a_pth_of_half_precision(subject: StartingPoint, monkeypatch: Patch) -> None:
    def halve(model: AnyGPT, path: Path) -> None:
        torch.save({name: tensor.half().float() for name, tensor in as_book(model).state_dict().items()}, path)

    monkeypatch.setattr(native_loop, "save_state", halve)
    monkeypatch.setattr("hf_spam.equivalence.model._in_a_fresh_process", lambda *args: {})  # seconds
    found = failures(check_persistence(subject))
    assert found[".pth → from_pretrained → .pth"] == "first_token"  # the first of the rules
    assert "from_pretrained" not in found


@pytest.mark.slow
def test_a_checkpoint_that_forgets_its_width(
    subject: StartingPoint, warm_bare: WarmProcess, monkeypatch: Patch
) -> None:
    save = SpamGPTForSequenceClassification.save_pretrained

    def forget(self: SpamGPTForSequenceClassification, folder: Path) -> None:
        save(self, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"pad_to_length": config["pad_to_length"] + 1}))

    def run_warm(command: list[str], cwd: Path, **others: object) -> None:
        _, _, program, *argv = command
        assert warm_bare.call(argv, cwd, program).returncode == 0

    monkeypatch.setattr(SpamGPTForSequenceClassification, "save_pretrained", forget)
    monkeypatch.setattr("hf_spam.equivalence.model.subprocess.run", run_warm)  # the whole proof has a fresh one
    found = failures(check_persistence(subject))
    assert found["from_pretrained"] == "last_position"
    assert found["AutoModel in a fresh process"] == "last_position"


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: Patch) -> None:
    """The command with its rows alone; the other levels answer at once."""
    for name in ("check_batches", "check_logits", "check_variants", "check_generation", "check_persistence"):
        monkeypatch.setattr(command, name, lambda subject: [])


@pytest.mark.slow
def test_a_failed_level_fails_the_command(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, quick: None, monkeypatch: Patch
) -> None:
    apart = Comparison(3, "logits", 10, math.inf, 1e-5, "text 0, not padded")
    monkeypatch.setattr(command, "check_logits", lambda subject: [apart])
    options = ["--steps", 1, "--output_dir", tmp_path / "report"]
    code, output, _ = run("check_equivalence", *options)
    assert code == 1
    assert "FAILED, first at text 0, not padded" in output
    assert "FAILED: level 3 logits: 10 comparisons" in output
    code, output, _ = run("check_equivalence", *options, "--json")
    assert code == 1
    report = json.loads(output)
    assert not report["passed"]
    assert report == json.loads((tmp_path / "report" / "equivalence.json").read_text())
    assert report["subject"]["steps"] == 1
    assert [one["what"] for one in report["comparisons"] if not one["passed"]] == ["logits"]


def test_the_command_says_what_is_wrong(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    for argv, message in (
        (["--steps", "0"], "--steps: expected a whole number from 1 to 1,000,000,000, found 0"),
        (["--data_file", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--weights", "nowhere"], "found no folder 'nowhere'"),
        (["--output_dir", "/proc/report"], "/proc/report: cannot be written"),
        (["--model_size", "huge"], "invalid choice: 'huge'"),
    ):
        code, _, error = run("check_equivalence", *argv)
        assert code == 2
        assert message in error


def test_which_messages_it_takes(collection: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("HF_SPAM_DATA", str(collection.parent))
    assert len(sources.read_at_hand()) == 5572
    monkeypatch.delenv("HF_SPAM_DATA")
    assert len(sources.read_at_hand()) == 4862
