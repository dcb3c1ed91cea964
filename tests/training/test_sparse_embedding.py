"""Training the embeddings that occur: what training all of them gives.   pytest tests/training/test_sparse_embedding.py"""

from pathlib import Path

import pandas as pd
import pytest
import torch
from datasets import Dataset, DatasetDict
from safetensors.torch import load_file
from support.warm_process import WarmProcess

from hf_spam import SpamGPTConfig
from hf_spam.model.gpt import GPTModel
from hf_spam.training.sparse_embedding import used_rows

RECIPE = ["--data_file", "messages.csv", "--weights", "random", "--model_size", "tiny", "--max_length", "40"]
RECIPE += ["--trainable", "all", "--drop_rate", "0.1", "--learning_rate", "1e-2", "--disable_tqdm", "true"]
RECIPE += ["--lr_scheduler_type", "cosine", "--num_train_epochs", "2", "--weight_decay", "0.5", "--eval_freq", "5"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, messages: pd.DataFrame) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    some = pd.concat([messages[messages["Label"] == label].head(65) for label in ("ham", "spam")])
    some.to_csv(folder / "messages.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def every_row(workplace: Path, warm: WarmProcess) -> Path:
    warm.run(["train", *RECIPE, "--used_rows", "false", "--output_dir", "every"], workplace)
    return workplace / "every"


def assert_same_model(found: Path, expected: Path, atol: float = 0.0) -> None:
    """The same parameters: rows in use to the last bit, the others up to the rounding of their decays."""
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (found, expected))
    assert ours.keys() == theirs.keys()
    embedding = "model.tok_emb.weight"
    assert ours[embedding].shape == (50257, 16)
    torch.testing.assert_close(ours.pop(embedding), theirs.pop(embedding), rtol=2e-6, atol=atol)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


@pytest.mark.parametrize("optim", [pytest.param("adamw_torch", marks=pytest.mark.slow), "adamw_torch_fused"])
def test_the_same_model(workplace: Path, warm: WarmProcess, tmp_path: Path, every_row: Path, optim: str) -> None:
    expected = every_row
    if optim == "adamw_torch":
        expected = tmp_path / "every"
        warm.run(["train", *RECIPE, "--optim", optim, "--used_rows", "false", "--output_dir", expected], workplace)
    warm.run(["train", *RECIPE, "--optim", optim, "--output_dir", tmp_path / "used"], workplace)
    assert_same_model(tmp_path / "used", expected)
    assert (tmp_path / "used" / "metrics.json").read_text().split('"environment"')[0].split('"training"')[0] == (
        expected / "metrics.json"
    ).read_text().split('"environment"')[0].split('"training"')[0]


def test_going_on_from_a_checkpoint(workplace: Path, warm: WarmProcess, tmp_path: Path, every_row: Path) -> None:
    """A checkpoint holds the whole embedding; what goes on from it need not use the same rows."""
    kept = ["train", *RECIPE, "--keep_checkpoints", "true", "--save_total_limit", "2", "--output_dir"]
    warm.run([*kept, tmp_path / "whole"], workplace)
    half = sorted((tmp_path / "whole").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))[0]
    state = load_file(half / "model.safetensors")
    assert state["model.tok_emb.weight"].shape == (50257, 16)
    argv = ["train", "--output_dir", tmp_path / "half", "--resume_from_checkpoint", half]
    warm.run(argv, workplace)
    assert_same_model(tmp_path / "half", every_row)


def test_the_best_checkpoint(workplace: Path, warm: WarmProcess, tmp_path: Path) -> None:
    """What is loaded at the end has its decays already."""
    recipe = [*RECIPE, "--load_best_model_at_end", "true", "--metric_for_best_model", "loss"]
    warm.run(["train", *recipe, "--output_dir", tmp_path / "used"], workplace)
    warm.run(["train", *recipe, "--output_dir", tmp_path / "every", "--used_rows", "false"], workplace)
    assert_same_model(tmp_path / "used", tmp_path / "every")


def test_two_processes(workplace: Path, warm: WarmProcess, tmp_path: Path) -> None:
    recipe = [*RECIPE, "--drop_rate", "0", "--learning_rate", "1e-4", "--max_steps", "6"]
    warm.run(["train", *recipe, "--output_dir", tmp_path / "one", "--used_rows", "false"], workplace)
    warm.run(["train", *recipe, "--output_dir", tmp_path / "two"], workplace, processes=2)
    assert_same_model(tmp_path / "two", tmp_path / "one", atol=1e-4)


def test_only_where_the_optimizer_does_nothing_else(workplace: Path, warm: WarmProcess, tmp_path: Path) -> None:
    """SGD with momentum would move a row by what it decayed before."""
    recipe = [*RECIPE, "--optim", "sgd", "--optim_args", "momentum=0.9", "--learning_rate", "0.1"]
    warm.run(["train", *recipe, "--output_dir", tmp_path / "used"], workplace)
    warm.run(["train", *recipe, "--output_dir", tmp_path / "every", "--used_rows", "false"], workplace)
    assert_same_model(tmp_path / "used", tmp_path / "every")


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
