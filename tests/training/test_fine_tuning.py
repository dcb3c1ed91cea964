"""The Trainer route: whole evaluations, accumulation, the best checkpoint.   pytest tests/training/test_fine_tuning.py

That it equals the chapter's loop, bit for bit, is held by tests/equivalence/test_equivalence.py.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from datasets import DatasetDict
from support.messages import balanced
from transformers import GPT2Tokenizer, set_seed

from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification, UserError
from hf_spam.conversion.from_gpt2 import load_checkpoint
from hf_spam.data import sampling
from hf_spam.data.labels import Task
from hf_spam.tokens.tokenization import tokenize
from hf_spam.training import fine_tuning as training
from hf_spam.training.arguments import ModelArguments, SpamTrainingArguments
from hf_spam.training.initial_model import build_config, initialize_model
from hf_spam.training.recording import evaluate_split
from hf_spam.training.trainer import SpamTrainer

LENGTH = 24


@pytest.fixture(scope="module")
def splits(messages: pd.DataFrame) -> DatasetDict:
    """130 balanced real messages: 91 to train, 13 to validate, 26 to test."""
    return sampling.prepare_splits(balanced(messages, 65))


@pytest.fixture(scope="module")
def tokenized(splits: DatasetDict, tokenizer: GPT2Tokenizer) -> DatasetDict:
    return tokenize(splits, tokenizer, LENGTH)


def tiny_model(drop_rate: float = 0.0, **options: Any) -> SpamGPTForSequenceClassification:
    config = SpamGPTConfig(
        emb_dim=16,
        n_heads=2,
        n_layers=2,
        context_length=64,
        drop_rate=drop_rate,
        attn_implementation="eager",
        **options,
    )
    return initialize_model(config, None, seed=123)


BOOK: dict[str, Any] = {"pooling": "last_position", "pad_to_length": LENGTH}


def fine_tune(
    model: SpamGPTForSequenceClassification,
    tokenizer: GPT2Tokenizer,
    splits: DatasetDict,
    tokenized: DatasetDict,
    folder: Path,
    trainable: str = "all",
    **options: Any,
) -> training.Run:
    options = {"learning_rate": 1e-3, "disable_tqdm": True, "save_strategy": "no", **options}
    arguments = SpamTrainingArguments(output_dir=str(folder), **options)
    return training.fine_tune(model, tokenizer, splits, tokenized, arguments, trainable)


def test_every_message_is_evaluated(
    splits: DatasetDict, tokenized: DatasetDict, tokenizer: GPT2Tokenizer, tmp_path: Path
) -> None:
    """Whole splits, whatever `dataloader_drop_last` and the batch size: 91, 13 and 26 are no multiples of 8."""
    model = tiny_model()
    run = fine_tune(model, tokenizer, splits, tokenized, tmp_path, num_train_epochs=1)
    model.eval()
    for name, rows in tokenized.items():
        losses, right = [], 0
        with torch.no_grad():
            for row in rows:
                output = model(torch.tensor([row["input_ids"]]), labels=torch.tensor([row["label"]]))
                losses.append(output.loss.item())
                right += int(output.logits.argmax() == row["label"])
        assert run.splits[name]["messages"] == len(rows)
        assert run.splits[name]["accuracy"] == pytest.approx(right / len(rows))
        assert run.splits[name]["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)


@pytest.fixture
def evaluator(tokenized: DatasetDict, tokenizer: GPT2Tokenizer, tmp_path: Path) -> SpamTrainer:
    """A Trainer that evaluates four messages at a time."""
    arguments = SpamTrainingArguments(output_dir=str(tmp_path), disable_tqdm=True, per_device_eval_batch_size=4)
    trainer, _ = training.build_trainer(tiny_model(), tokenizer, tokenized, arguments)
    return trainer


def test_predictions_stand_in_the_order_of_the_rows(evaluator: SpamTrainer, tokenized: DatasetDict) -> None:
    model, rows = evaluator.model.eval(), tokenized["test"]
    output = evaluator.predict(rows)
    assert output.label_ids.tolist() == list(rows["label"])
    for ids, logits in zip(rows["input_ids"], output.predictions, strict=True):
        alone = model(torch.tensor([ids])).logits[0]
        torch.testing.assert_close(torch.tensor(logits), alone, rtol=0, atol=1e-5)


def test_splits_are_evaluated_in_batches_of_similar_length(evaluator: SpamTrainer, tokenized: DatasetDict) -> None:
    """The longest first: a batch is as wide as its first row."""
    widths: list[int] = []
    evaluator.model.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    evaluate_split(evaluator, tokenized["test"], Task())
    assert widths == sorted(map(len, tokenized["test"]["input_ids"]), reverse=True)[::4]


def test_evaluation_does_not_change_training(
    splits: DatasetDict, tokenized: DatasetDict, tokenizer: GPT2Tokenizer, tmp_path: Path
) -> None:
    """With dropout, which draws from the stream that evaluation could draw from."""
    one, other = tiny_model(0.2), tiny_model(0.2)
    options = {"num_train_epochs": 2, "eval_freq": 0}
    fine_tune(one, tokenizer, splits, tokenized, tmp_path, eval_strategy="no", **options)
    fine_tune(other, tokenizer, splits, tokenized, tmp_path, eval_strategy="steps", eval_steps=3, **options)
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "pooling", [{}, pytest.param(BOOK, marks=pytest.mark.slow)], ids=["last_token", "last_position"]
)
def test_accumulated_batches_are_one_batch(
    splits: DatasetDict, tokenized: DatasetDict, tokenizer: GPT2Tokenizer, tmp_path: Path, pooling: dict[str, Any]
) -> None:
    models = []
    for size, times in ((8, 1), (4, 2), (1, 8)):
        model = tiny_model(**pooling)
        run = fine_tune(
            model,
            tokenizer,
            splits,
            tokenized,
            tmp_path,
            num_train_epochs=1,
            max_steps=8,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=times,
            optim="sgd",  # AdamW would hide a wrong scale of the gradients
            learning_rate=0.1,
        )
        assert run.history.examples_seen == 64
        models.append(model)
    for others in zip(*(model.parameters() for model in models), strict=True):
        for other in others[1:]:
            torch.testing.assert_close(other, others[0], rtol=0, atol=1e-6)


def test_the_best_checkpoint_is_kept(
    splits: DatasetDict, tokenized: DatasetDict, tokenizer: GPT2Tokenizer, tmp_path: Path
) -> None:
    """A learning rate that destroys the model after its best epoch."""
    model = tiny_model()
    run = fine_tune(
        model,
        tokenizer,
        splits,
        tokenized,
        tmp_path,
        num_train_epochs=4,
        learning_rate=0.1,
        save_strategy="epoch",
        save_total_limit=4,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
    )
    losses = {
        state["step"]: state["eval_loss"]
        for state in json.loads((tmp_path / "checkpoint-44" / "trainer_state.json").read_text())["log_history"]
        if "eval_loss" in state
    }
    best = min(losses, key=lambda step: losses[step])
    assert best != 44
    # The plots draw these beside the estimates.
    assert run.history.evaluation_losses == list(losses.values())
    assert run.history.evaluation_epochs == [1, 2, 3, 4]
    assert len(run.history.evaluation_accuracies) == 4
    assert run.training["best_checkpoint_step"] == best
    assert run.splits["validation"]["loss"] == pytest.approx(losses[best], abs=1e-6)


def test_fewer_messages_than_a_batch(
    splits: DatasetDict, tokenized: DatasetDict, tokenizer: GPT2Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="expected at least one training batch of 92 messages, found 91"):
        fine_tune(tiny_model(), tokenizer, splits, tokenized, tmp_path, per_device_train_batch_size=92)


def test_a_metric_that_is_none_of_ours(
    splits: DatasetDict, tokenized: DatasetDict, tokenizer: GPT2Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"--metric_for_best_model: expected accuracy, precision, recall, f1, .* or loss, found 'f2'"
    ):
        fine_tune(tiny_model(), tokenizer, splits, tokenized, tmp_path, metric_for_best_model="f2")


def test_interim_lines_are_the_chapters(
    splits: DatasetDict,
    tokenized: DatasetDict,
    tokenizer: GPT2Tokenizer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = fine_tune(tiny_model(), tokenizer, splits, tokenized, tmp_path, num_train_epochs=2, eval_freq=12)
    start, cache, accuracies, before, *lines = capsys.readouterr().out.splitlines()
    assert start == "run    1 process on cpu, fp32; batch 8 = 8 messages a step, 11 steps an epoch"
    assert cache == "cache  none: every block trains"
    assert accuracies.startswith("before training, 10 batches: train accuracy ")
    assert before.startswith("before training, 5 batches: train loss ")
    losses = [
        f"Train loss {a:.3f}, Val loss {b:.3f}"
        for a, b in zip(run.history.train_losses, run.history.validation_losses, strict=True)
    ]
    assert lines[0] == f"Ep 1 (Step 000000): {losses[0]}"
    assert lines[1].startswith("Training accuracy: ")
    assert lines[2].startswith("Epoch 1, whole validation split: loss ")
    assert lines[3] == f"Ep 2 (Step 000012): {losses[1]}"
    assert len(lines) == 6


def test_before_training(
    tokenized: DatasetDict, tokenizer: GPT2Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accuracies and losses on as many batches as in the chapter: said once, by one process, drawing nothing."""
    lines: list[str] = []
    arguments = SpamTrainingArguments(output_dir=str(tmp_path), disable_tqdm=True)
    trainer, interim = training.build_trainer(tiny_model(), tokenizer, tokenized, arguments, log=lines.append)
    counts = {"train": 0, "validation": 0, "test": 0}
    collate = interim.train.collate_fn
    for name in counts:

        def counted(rows: list[Any], name: str = name) -> Any:
            counts[name] += 1
            return collate(rows)

        monkeypatch.setattr(getattr(interim, name), "collate_fn", counted)
    state, model = trainer.state, trainer.model
    model.train()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    interim.on_train_begin(arguments, state, trainer.control, model=model)
    first = list(lines)
    assert [line.split(": ")[0] for line in first] == ["before training, 10 batches", "before training, 5 batches"]
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert counts == {"train": 10 + 5, "validation": 2 + 2, "test": 4 + 4}  # of 11, 2 and 4
    interim.on_train_begin(arguments, state, trainer.control, model=model)
    assert lines == 2 * first  # the seed is the run's
    state.is_world_process_zero = False
    interim.on_train_begin(arguments, state, trainer.control, model=model)
    assert sum(counts.values()) == 3 * 27  # where the weights are shared, all must take part
    state.is_world_process_zero, state.global_step = True, 1
    interim.on_train_begin(arguments, state, trainer.control, model=model)  # resumed
    assert (lines, sum(counts.values())) == (2 * first, 3 * 27)
    state.global_step = 0
    interim.test = interim.test.__class__([], 8)
    interim.on_train_begin(arguments, state, trainer.control, model=model)
    assert lines[-2:][0].endswith("test accuracy nan%")


# --- the pieces ---------------------------------------------------------------------------------------------------------


def test_the_head_is_drawn_as_the_chapter_draws_it(gpt2_folder: Path) -> None:
    checkpoint = load_checkpoint(str(gpt2_folder))
    config = build_config(ModelArguments(), checkpoint, 50257, None, 20)
    model = initialize_model(config, checkpoint, seed=123)
    torch.manual_seed(123)
    head = torch.nn.Linear(32, 2)
    assert torch.equal(model.score.weight, head.weight)
    assert torch.equal(model.score.bias, head.bias)
    assert torch.equal(model.model.tok_emb.weight, checkpoint.state["wte.weight"])


def test_random_weights_follow_the_seed() -> None:
    config = build_config(
        ModelArguments(weights="random", model_size="mini", context_length=64), None, 50257, None, 20
    )
    assert (config.emb_dim, config.n_layers, config.context_length) == (256, 2, 64)
    one, same, other = (initialize_model(config, None, seed).model.tok_emb.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_options_that_contradict_a_checkpoint(gpt2_folder: Path) -> None:
    checkpoint = load_checkpoint(str(gpt2_folder))
    with pytest.raises(UserError, match="expected context_length 128, found 64"):
        build_config(ModelArguments(context_length=128), checkpoint, 50257, None, 20)
    with pytest.raises(UserError, match="expected vocab_size 100, found 50257"):
        build_config(ModelArguments(), checkpoint, 100, None, 20)
    with pytest.raises(UserError, match="expected a max_length within the context of 64 tokens, found 120"):
        build_config(ModelArguments(), checkpoint, 50257, 120, 20)


def test_the_last_position_is_the_longest_train_texts(gpt2_folder: Path) -> None:
    checkpoint = load_checkpoint(str(gpt2_folder))
    for max_length, longest, expected in ((None, 20, 20), (None, 500, 64), (30, 20, 30)):
        config = build_config(ModelArguments(pooling="last_position"), checkpoint, 50257, max_length, longest)
        assert config.pad_to_length == config.max_text_length == expected
    assert build_config(ModelArguments(), checkpoint, 50257, None, 20).max_text_length == 64


def test_seeding_again_does_not_depend_on_what_was_drawn_before(
    splits: DatasetDict, tokenized: DatasetDict, tokenizer: GPT2Tokenizer, tmp_path: Path
) -> None:
    losses = []
    for drawn_before in (0, 5):
        model = tiny_model(0.1)
        set_seed(drawn_before)
        torch.rand(drawn_before)
        losses.append(
            fine_tune(model, tokenizer, splits, tokenized, tmp_path, num_train_epochs=1).history.train_losses
        )
    assert losses[0] == losses[1]


@pytest.mark.parametrize(("size", "accumulated"), [(8, 1), (2, 4), (1, 8)])
def test_an_epoch_ends_with_the_last_whole_step(
    tokenized: DatasetDict, tokenizer: GPT2Tokenizer, tmp_path: Path, size: int, accumulated: int
) -> None:
    """However many batches share a step of 8: 88 of 91 messages, 11 steps."""
    options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulated}
    arguments = SpamTrainingArguments(output_dir=str(tmp_path), disable_tqdm=True, **options)
    trainer, _ = training.build_trainer(tiny_model(), tokenizer, tokenized, arguments)
    assert len(trainer.get_train_dataloader()) == 11 * accumulated
    assert arguments.steps_per_epoch(len(tokenized["train"])) == 11
