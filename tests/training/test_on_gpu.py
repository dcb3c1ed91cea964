"""Steps replayed as CUDA graphs, and what of them a CPU can tell.   pytest tests/training/test_on_gpu.py"""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification
from hf_spam.benchmarks.training import Job, ours
from hf_spam.data.sampling import prepare_splits
from hf_spam.options import build
from hf_spam.tokens.tokenization import build_tokenizer, tokenize
from hf_spam.trainable.frozen_prefix import is_pooled
from hf_spam.trainable.step_graphs import StepGraphs, widen
from hf_spam.training.arguments import SpamTrainingArguments
from hf_spam.training.fine_tuning import fine_tune
from hf_spam.training.run import Run

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
WIDTHS = {"vocab_size": 50257, "emb_dim": 16, "n_layers": 3, "n_heads": 2, "pad_token_id": 50256}


def make_model(**options: Any) -> SpamGPTForSequenceClassification:
    torch.manual_seed(1)
    config = SpamGPTConfig(**WIDTHS, id2label={0: "ham", 1: "spam"}, **options)
    return SpamGPTForSequenceClassification(config).eval()


def make_batch(model: SpamGPTForSequenceClassification, blocks: int, lengths: list[int]) -> dict[str, Any]:
    T = model.config.row_length or max(lengths)
    ids = torch.randint(0, 50000, (len(lengths), max(lengths)))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    states = torch.randn(len(lengths), 1 if blocks == 3 and is_pooled(model) else T, 16)
    labels = torch.tensor([0, 1] * len(lengths))[: len(lengths)]
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": labels,
        "prefix_states": states,
        "prefix_blocks": blocks,
    }


@pytest.mark.parametrize(
    ("options", "blocks", "width"),
    [
        ({}, 2, 64),
        ({"context_length": 40}, 2, 40),
        ({"causal": False}, 1, 64),
        ({"pooling": "mean"}, 3, 64),
        ({"pooling": "first_token"}, 3, 64),
        ({"pooling": "last_position", "pad_to_length": 50}, 2, 50),
    ],
)
@torch.no_grad()
def test_wider_rows_give_the_same_scores(options: dict[str, Any], blocks: int, width: int) -> None:
    model = make_model(**options)
    model.model.requires_grad_(False)
    batch = make_batch(model, blocks, [37, 1, 20])
    wide = widen(model.config, batch, blocks == 3 and is_pooled(model))
    assert wide["input_ids"].shape == wide["attention_mask"].shape == (3, width)
    assert wide["labels"] is batch["labels"]
    torch.testing.assert_close(model(**wide).logits, model(**batch).logits, rtol=0, atol=1e-6)


def test_no_graphs_without_a_gpu(tmp_path: Path, messages: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(StepGraphs, "__init__", lambda *_: pytest.fail("recorded on a CPU"))
    trained(messages, tmp_path, max_steps=1, use_cpu=True)


def trained(messages: pd.DataFrame, folder: Path, **options: Any) -> Run:
    """The chapter's recipe with a model of three blocks."""
    tokenizer, splits = build_tokenizer(), prepare_splits(messages.head(300))
    tokenized = tokenize(splits, tokenizer, 1024)
    given = {"output_dir": str(folder), "save_strategy": "no", "disable_tqdm": True, "num_train_epochs": 2, **options}
    trainable = given.pop("trainable", "last_block")
    model = make_model()
    arguments = build(SpamTrainingArguments, given)
    return fine_tune(model, tokenizer, splits, tokenized, arguments, trainable)


def parameters(run: Run) -> list[Tensor]:
    return [parameter.detach().cpu() for parameter in run.model.parameters()]


@needs_gpu
@pytest.mark.parametrize(
    "options", [{}, {"trainable": "last_layer"}, {"trainable": "last_two_blocks"}, {"bf16": True}]
)
def test_a_replayed_training_is_the_same(messages: pd.DataFrame, tmp_path: Path, options: dict[str, Any]) -> None:
    replayed = trained(messages, tmp_path / "graphs", **options)
    plain = trained(messages, tmp_path / "plain", cuda_graphs=False, **options)
    tolerance = 1e-2 if options.get("bf16") else 1e-5
    assert replayed.history.train_losses == pytest.approx(plain.history.train_losses, rel=0, abs=tolerance)
    assert replayed.history.validation_losses == pytest.approx(plain.history.validation_losses, rel=0, abs=tolerance)


@needs_gpu
def test_a_replayed_training_repeats_itself(messages: pd.DataFrame, tmp_path: Path) -> None:
    """Bit for bit, as a resumed run needs it."""
    first, second = (trained(messages, tmp_path / name) for name in ("first", "second"))
    assert all(torch.equal(one, other) for one, other in zip(parameters(first), parameters(second), strict=True))


@needs_gpu
def test_steps_are_replayed(messages: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One width, one recording; everything after it is replayed."""
    recorded: list[int] = []
    record = StepGraphs._record
    monkeypatch.setattr(StepGraphs, "_record", lambda *args: recorded.append(1) or record(*args))
    trained(messages, tmp_path)
    assert 1 <= len(recorded) <= 8


@needs_gpu
def test_the_cpu_trains_the_same(messages: pd.DataFrame, tmp_path: Path) -> None:
    on_gpu = trained(messages, tmp_path / "gpu")
    on_cpu = trained(messages, tmp_path / "cpu", use_cpu=True)
    assert on_gpu.history.train_losses == pytest.approx(on_cpu.history.train_losses, rel=0, abs=1e-4)


@needs_gpu
@pytest.mark.slow
def test_the_benchmark_of_our_route(messages: pd.DataFrame) -> None:
    found = ours(Job(messages, "tiny", 3), "tf32")
    assert found["parts"]["forward and backward"] > 0
