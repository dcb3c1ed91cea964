"""Copies in disguise: which, of what, and that runs train on them and evaluate without.

pytest tests/robustness/test_augmentation.py
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from datasets import DatasetDict
from safetensors.torch import load_file
from transformers import AutoTokenizer, GPT2Tokenizer

from hf_spam import SpamClassifier
from hf_spam.data.labels import Task
from hf_spam.data.splits import to_splits
from hf_spam.robustness.augmentation import COPIES, add_copies, disguised_copies, training_rows
from hf_spam.tokens.tokenization import tokenize


@pytest.fixture(scope="module")
def splits() -> DatasetDict:
    """40 ham and 20 spam to train on."""
    rows = [("ham" if n % 3 else "spam", f"message number {n} is free") for n in range(60)]
    frame = pd.DataFrame(rows, columns=["Label", "Text"])
    return to_splits({"train": frame, "validation": frame[:3], "test": frame[:3]}, Task())


def test_copies_keep_the_mix(splits: DatasetDict) -> None:
    texts, labels = disguised_copies(splits["train"], 0.25, seed=1)
    assert Counter(labels) == {0: 10, 1: 5}
    assert (texts, labels) == disguised_copies(splits["train"], 0.25, seed=1)
    assert texts != disguised_copies(splits["train"], 0.25, seed=2)[0]
    many, of = disguised_copies(splits["train"], 2.5, seed=1)
    assert Counter(of) == {0: 100, 1: 50}
    assert len(set(many)) > 120  # a message's copies differ


def test_what_is_evaluated_stays(splits: DatasetDict, tokenizer: GPT2Tokenizer) -> None:
    tokenized = tokenize(splits, tokenizer, 64)
    more = add_copies(tokenized, splits, tokenizer, 0.25, 1)
    assert more["train"][:] == tokenized["train"][:]
    rows = training_rows(more)
    assert len(rows) == 75
    assert rows.features == tokenized["train"].features
    assert rows[:60] == tokenized["train"][:]
    assert rows[60:] == more[COPIES][:]
    assert add_copies(tokenized, splits, tokenizer, 0.0, 1) is tokenized


@pytest.mark.slow
def test_a_run_with_copies(
    run: Callable[..., tuple[int, str, str]], gpt2_folder: Path, few_messages: Path, tmp_path: Path
) -> None:
    """Resumed bit for bit, and the same with the prefix cache as without; its tokenizer and an export's normalise."""
    options = "--normalize all --augment 0.5 --num_train_epochs 1 --save_strategy steps --save_steps 8"
    argv = ["train", "--weights", gpt2_folder, "--data_file", few_messages, *options.split()]
    argv += ["--save_total_limit", "9", "--disable_tqdm", "true"]
    code, out, err = run(*argv, "--output_dir", tmp_path / "whole", "--keep_checkpoints", "true")
    assert code == 0, err
    assert "copies 45 messages for training once more, perturbed" in out
    assert "17 steps an epoch" in out
    assert "; normalizes: all" in out
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    figures = json.loads((tmp_path / "whole" / "metrics.json").read_text())["splits"]
    assert figures["train"]["messages"] == 91
    assert json.loads((tmp_path / "whole" / "tokenizer.json").read_text())["normalizer"]
    code, _, err = run(
        *argv, "--resume_from_checkpoint", tmp_path / "whole" / "checkpoint-8", "--output_dir", tmp_path / "resumed"
    )
    assert code == 0, err
    resumed = load_file(tmp_path / "resumed" / "model.safetensors")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
    code, _, err = run(*argv, "--output_dir", tmp_path / "uncached", "--prefix_cache", "off")
    assert code == 0, err
    uncached = load_file(tmp_path / "uncached" / "model.safetensors")
    assert all(torch.allclose(uncached[name], tensor, atol=1e-5) for name, tensor in whole.items())
    code, _, err = run("export", tmp_path / "whole", "--format", "gpt2", "--output_dir", tmp_path / "stock")
    assert code == 0, err
    texts = ["F R E E entry", "\u200bfree entry", "see you"]
    ours = SpamClassifier.from_pretrained(tmp_path / "whole")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "stock")
    assert theirs(texts)["input_ids"] == ours.tokenizer(texts)["input_ids"]
    assert torch.allclose(
        SpamClassifier.from_pretrained(tmp_path / "stock").logits(texts), ours.logits(texts), atol=1e-4
    )
