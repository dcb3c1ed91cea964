"""Level 9: the published figures of GPT-2's real weights, as oracles. They need the Hub and UCI, and some 40 minutes.

pytest -m network tests/equivalence/test_published.py
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hf_spam import GPTModel, SpamGPTConfig
from hf_spam.conversion.from_gpt2 import GPT2Checkpoint, load_checkpoint
from hf_spam.data import sampling, sources
from hf_spam.data.arguments import Plan
from hf_spam.data.splits import SPLITS
from hf_spam.equivalence import native_loop
from hf_spam.tokens.encoding import longest_text
from hf_spam.tokens.tokenization import build_tokenizer, gpt2_encoding, tokenize
from hf_spam.trainable.freezing import freeze
from hf_spam.training.arguments import ModelArguments, SpamTrainingArguments
from hf_spam.training.fine_tuning import fine_tune
from hf_spam.training.initial_model import build_config, initialize_model

pytestmark = [pytest.mark.network, pytest.mark.timeout(3600)]

# Published with torch on an M3 laptop; another machine's rounding moves a training's losses in the third decimal.
LOSS = 0.01
ACCURACY = 0.015  # over whole splits, about what rounding moves; 0.3 points are one message of 300

WHOLE_SPLITS = [97.21, 97.32, 95.67]  # accuracies in % of train, validation and test
LOG = """
Ep 1 (Step 000000): Train loss 2.153, Val loss 2.392
Ep 1 (Step 000050): Train loss 0.617, Val loss 0.637
Ep 1 (Step 000100): Train loss 0.523, Val loss 0.557
Training accuracy: 70.00% | Validation accuracy: 72.50%
Ep 2 (Step 000150): Train loss 0.561, Val loss 0.489
Ep 2 (Step 000200): Train loss 0.419, Val loss 0.397
Ep 2 (Step 000250): Train loss 0.409, Val loss 0.353
Training accuracy: 82.50% | Validation accuracy: 85.00%
Ep 3 (Step 000300): Train loss 0.333, Val loss 0.320
Ep 3 (Step 000350): Train loss 0.340, Val loss 0.306
Training accuracy: 90.00% | Validation accuracy: 90.00%
Ep 4 (Step 000400): Train loss 0.136, Val loss 0.200
Ep 4 (Step 000450): Train loss 0.153, Val loss 0.132
Ep 4 (Step 000500): Train loss 0.222, Val loss 0.137
Training accuracy: 100.00% | Validation accuracy: 97.50%
Ep 5 (Step 000550): Train loss 0.207, Val loss 0.143
Ep 5 (Step 000600): Train loss 0.083, Val loss 0.074
Training accuracy: 100.00% | Validation accuracy: 97.50%
""".strip().splitlines()


@pytest.fixture(scope="module")
def small() -> GPT2Checkpoint:
    return load_checkpoint("hub", "small")


def classifier(checkpoint: GPT2Checkpoint) -> GPTModel:
    """As the chapter prepares it for training."""
    config = SpamGPTConfig(**checkpoint.sizes, attn_implementation="eager")  # type: ignore[call-arg]
    model = initialize_model(config, checkpoint, seed=123).model
    freeze(model, "last_block")
    return model.eval()


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", line)]


def test_logits_of_a_sentence(small: GPT2Checkpoint) -> None:
    """Do you have time"""
    with torch.no_grad():
        logits = classifier(small)(torch.tensor([[5211, 345, 423, 640]]))
    expected = [[-1.5854, 0.9904], [-3.7235, 7.4548], [-2.2661, 6.6049], [-3.5983, 3.9902]]
    torch.testing.assert_close(logits[0], torch.tensor(expected), rtol=0, atol=2e-4)


def test_initial_accuracies_and_losses(small: GPT2Checkpoint, tmp_path: Path) -> None:
    splits = native_loop.split_messages(sources.read_uci(tmp_path))
    loaders = native_loop.build_loaders(splits, gpt2_encoding())
    model = classifier(small)
    torch.manual_seed(123)
    accuracies = [native_loop.loader_accuracy(model, loader, 10) for loader in loaders.values()]
    assert accuracies == [0.4625, 0.45, 0.4875]
    losses = [native_loop.loader_loss(model, loader, 5) for loader in loaders.values()]
    assert losses == pytest.approx([2.453, 2.583, 2.322], abs=1e-3)


@pytest.mark.parametrize("argv", [["native"], ["train", "--preset", "book"]], ids=["native", "book"])
def test_the_whole_log(run: Callable[..., tuple[int, str, str]], tmp_path: Path, argv: list[str]) -> None:
    """Both routes print the chapter's log and reach its accuracies; the native one also generates its sentence."""
    code, output, error = run(*argv, "--cache_dir", tmp_path, "--output_dir", tmp_path / "run")
    assert code == 0, error
    lines = [line for line in output.splitlines() if line.startswith(("Ep ", "Training accuracy"))]
    assert [line.split(":")[0] for line in lines] == [line.split(":")[0] for line in LOG]
    for line, expected in zip(lines, LOG, strict=True):
        tolerance = LOSS if expected.startswith("Ep") else 2.5  # one of the 40 messages
        assert numbers(line) == pytest.approx(numbers(expected), abs=tolerance), (line, expected)
    if argv == ["native"]:
        whole = next(line for line in output.splitlines() if line.startswith("after training, "))
        assert numbers(whole) == pytest.approx(WHOLE_SPLITS, abs=100 * ACCURACY)
        assert "generated: 'Every effort moves you forward." in output
        assert "The first step is to understand the importance of your work" in output
        assert "spam      You are a winner" in output
        assert "not spam  Hey, just wanted" in output
    else:
        splits = json.loads((tmp_path / "run" / "metrics.json").read_text())["splits"]
        found = [100 * splits[name]["accuracy"] for name in SPLITS]
        assert found == pytest.approx(WHOLE_SPLITS, abs=100 * ACCURACY)


def test_row_16_of_the_variations(small: GPT2Checkpoint, tmp_path: Path) -> None:
    """The last real token is read. The variations shuffle the balanced messages twice, so their splits are others."""
    balanced = sampling.undersample(sources.read_uci(tmp_path))
    splits = sampling.prepare_splits(balanced.sample(frac=1, random_state=123), Plan("none"))
    tokenizer = build_tokenizer()
    longest = longest_text(tokenizer, list(splits["train"]["text"]))
    config = build_config(ModelArguments(), small, len(tokenizer), None, longest)
    arguments = SpamTrainingArguments(output_dir=str(tmp_path / "run"), disable_tqdm=True)
    tokenized = tokenize(splits, tokenizer, longest)
    run = fine_tune(initialize_model(config, small, 123), tokenizer, splits, tokenized, arguments, "last_block")
    found = [run.splits[name]["accuracy"] for name in SPLITS]
    assert found == pytest.approx([0.9942, 0.9866, 0.9833], abs=ACCURACY)
