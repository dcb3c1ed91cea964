"""Training the embeddings that occur: what training all of them gives.   pytest tests/trainable/test_sparse_embedding.py"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset, DatasetDict
from safetensors.torch import load_file
from support.warm_process import WarmProcess
from torch import Tensor
from transformers import GPT2Tokenizer

from hf_spam import SpamGPTConfig
from hf_spam.data import sources
from hf_spam.data.sampling import prepare_splits
from hf_spam.model.gpt import GPTModel
from hf_spam.tokens.tokenization import tokenize
from hf_spam.trainable.sparse_embedding import used_rows
from hf_spam.training.arguments import ModelArguments, SpamTrainingArguments
from hf_spam.training.fine_tuning import fine_tune
from hf_spam.training.initial_model import build_model
from hf_spam.training.run import Run

Train = Callable[..., Run]
EMBEDDING = "model.tok_emb.weight"


@pytest.fixture(scope="module")
def train(few_messages: Path, tokenizer: GPT2Tokenizer) -> Train:
    """Train all of a tiny model with dropout for two epochs of 11 steps, by other options where they are given."""
    splits = prepare_splits(sources.read_file(few_messages))
    tokenized = tokenize(splits, tokenizer, 40)

    def train_in(folder: Path, **options: object) -> Run:
        start = ModelArguments(weights="random", model_size="tiny", context_length=64, drop_rate=0.1)
        recipe: dict[str, object] = {"learning_rate": 1e-2, "lr_scheduler_type": "cosine", "weight_decay": 0.5}
        recipe |= {"num_train_epochs": 2, "eval_freq": 5, "disable_tqdm": True, "save_strategy": "no"}
        arguments = SpamTrainingArguments(output_dir=str(folder), **{**recipe, **options})
        model = build_model(start, tokenizer, splits, max_length=40)
        return fine_tune(model, tokenizer, splits, tokenized, arguments, "all")

    return train_in


@pytest.fixture(scope="module")
def every_row(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("every"), used_rows=False)


def assert_same_model(ours: dict[str, Tensor], theirs: dict[str, Tensor], atol: float = 0.0) -> None:
    """The same parameters: rows in use to the last bit, the others up to the rounding of their decays."""
    assert ours.keys() == theirs.keys()
    assert ours[EMBEDDING].shape == (50257, 16)
    torch.testing.assert_close(ours.pop(EMBEDDING), theirs.pop(EMBEDDING), rtol=2e-6, atol=atol)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


def assert_same_run(ours: Run, theirs: Run) -> None:
    """The same model, figures and history."""
    assert_same_model(ours.model.state_dict(), theirs.model.state_dict())
    assert ours.splits == theirs.splits
    assert ours.history == theirs.history


@pytest.mark.parametrize("optim", [pytest.param("adamw_torch", marks=pytest.mark.slow), "adamw_torch_fused"])
def test_the_same_model(train: Train, tmp_path: Path, every_row: Run, optim: str) -> None:
    plain = optim == "adamw_torch"
    expected = train(tmp_path / "every", optim=optim, used_rows=False) if plain else every_row
    assert_same_run(train(tmp_path / "used", optim=optim), expected)


@pytest.mark.slow
def test_going_on_from_a_checkpoint(train: Train, tmp_path: Path, every_row: Run) -> None:
    """A checkpoint holds the whole embedding."""
    train(tmp_path / "whole", save_strategy="epoch", save_total_limit=2)
    half = tmp_path / "whole" / "checkpoint-11"
    assert load_file(half / "model.safetensors")[EMBEDDING].shape == (50257, 16)
    resumed = train(tmp_path / "half", save_strategy="epoch", resume_from_checkpoint=str(half))
    assert_same_run(resumed, every_row)


@pytest.mark.slow
def test_the_best_checkpoint(train: Train, tmp_path: Path) -> None:
    """What is loaded at the end has its decays already."""
    options = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "save_strategy": "epoch"}
    ours = train(tmp_path / "used", **options)
    theirs = train(tmp_path / "every", **options, used_rows=False)
    assert_same_run(ours, theirs)


@pytest.mark.slow
def test_only_where_the_optimizer_does_nothing_else(train: Train, tmp_path: Path) -> None:
    """SGD with momentum would move a row by what it decayed before."""
    options = {"optim": "sgd", "optim_args": "momentum=0.9", "learning_rate": 0.1}
    assert_same_run(train(tmp_path / "used", **options), train(tmp_path / "every", **options, used_rows=False))


@pytest.mark.slow
def test_two_processes(few_messages: Path, warm: WarmProcess, tmp_path: Path) -> None:
    recipe = ["--data_file", few_messages, "--weights", "random", "--model_size", "tiny", "--max_length", "40"]
    recipe += ["--trainable", "all", "--learning_rate", "1e-4", "--weight_decay", "0.5", "--max_steps", "6"]
    warm.run(["train", *recipe, "--output_dir", "one", "--used_rows", "false"], tmp_path)
    warm.run(["train", *recipe, "--output_dir", "two"], tmp_path, processes=2)
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "one"))
    assert_same_model(ours, theirs, atol=1e-4)


def test_the_model_is_given_back(tiny_config: SpamGPTConfig) -> None:
    gpt = GPTModel(tiny_config)
    before, names = gpt.tok_emb, list(gpt.state_dict())
    weight = before.weight.detach().clone()
    texts = DatasetDict(
        train=Dataset.from_dict({"input_ids": [[5, 3], [5]]}), test=Dataset.from_dict({"input_ids": [[7]]})
    )

    def interrupted() -> None:
        with used_rows(gpt, texts, pad_token_id=99):
            assert gpt.tok_emb.weight.shape == (4, 16)
            assert list(gpt.state_dict()) == names
            assert torch.equal(gpt.state_dict()["tok_emb.weight"], weight)
            ids = torch.tensor([[7, 99], [3, 5]])
            assert torch.equal(gpt.tok_emb(ids), weight[ids])
            with pytest.raises(IndexError):
                gpt.tok_emb(torch.tensor([[4]]))
            with torch.no_grad():
                gpt.tok_emb.weight += 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert gpt.tok_emb is before
    weight[[3, 5, 7, 99]] += 1
    assert torch.equal(before.weight, weight)
