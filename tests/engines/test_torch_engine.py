"""A checkpoint in plain torch scores as its model of transformers does, and starts without transformers.

pytest tests/engines/test_torch_engine.py
"""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from transformers import GPT2Tokenizer

from hf_spam import SpamClassifier, SpamGPTConfig, SpamGPTForSequenceClassification
from hf_spam.engines.loading import Precision
from hf_spam.engines.torch_engine import PlainEngine, TorchEngine
from hf_spam.errors import UserError
from hf_spam.model.fields_spam_gpt import Pooling, SpamGPTFields

TEXTS = ["", "See you", "WIN a £1000 prize now, call 09061234567", "a b c d e f g h i j", "🎉" * 9]


def save(folder: Path, tokenizer: GPT2Tokenizer, **options: Any) -> SpamGPTForSequenceClassification:
    torch.manual_seed(1)
    labels = {0: "ham", 1: "spam", 2: "smishing"}
    sizes = {"context_length": 48, "emb_dim": 20, "n_heads": 2, "n_layers": 2, "id2label": labels}
    model = SpamGPTForSequenceClassification(SpamGPTConfig(**sizes, **options)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_the_same_scores(
    tokenizer: GPT2Tokenizer, tmp_path: Path, pooling: Pooling, causal: bool, precision: Precision
) -> None:
    """To the last bit, also when the model of transformers has taken over."""
    model = save(tmp_path, tokenizer, pooling=pooling, causal=causal)
    expected = SpamClassifier(model.to(torch.bfloat16 if precision == "bf16" else torch.float32), tokenizer)
    plain = SpamClassifier.from_pretrained(tmp_path, precision=precision)
    assert isinstance(plain.engine, PlainEngine)
    logits = plain.logits(TEXTS)
    assert plain.engine._whole is None
    assert torch.equal(logits, expected.logits(TEXTS))
    assert type(plain.model) is SpamGPTForSequenceClassification
    assert type(plain.config) is SpamGPTConfig
    assert plain.engine._plain is None  # not in memory twice
    plain.repeats = expected.repeats.__class__()
    assert torch.equal(logits, plain.logits(TEXTS))


def test_what_is_changed_in_the_model_counts(tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
    save(tmp_path, tokenizer)
    classifier = SpamClassifier.from_pretrained(tmp_path)
    before = classifier.logits(TEXTS)
    with torch.no_grad():
        classifier.model.score.bias += 1
    torch.testing.assert_close(classifier.logits(TEXTS), before + 1)
    other = SpamClassifier.from_pretrained(tmp_path)
    classifier.model = other.model
    assert isinstance(classifier.engine, TorchEngine)
    assert torch.equal(classifier.logits(TEXTS), before)


def test_a_folder_that_changes_meanwhile(tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
    """The model is the one that was loaded, whatever lies there now."""
    save(tmp_path, tokenizer)
    classifier = SpamClassifier.from_pretrained(tmp_path)
    before = classifier.logits(TEXTS)
    (tmp_path / "model.safetensors").unlink()
    assert classifier.model.training is False
    classifier.repeats = type(classifier.repeats)()
    assert torch.equal(classifier.logits(TEXTS), before)


def test_one_model_for_all_threads(tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
    save(tmp_path, tokenizer)
    classifier, found = SpamClassifier.from_pretrained(tmp_path), []
    threads = [threading.Thread(target=lambda: found.append((classifier.model, classifier.tokenizer))) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(id(model), id(tokenizer)) for model, tokenizer in found}) == 1


def test_damaged_weights_are_refused(tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
    """Before anything is scored; what is wrong is named as in a checkpoint."""
    model = save(tmp_path, tokenizer)
    model.model.trf_blocks[1].ff.layers[0].weight.data[3, 3] = torch.nan
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"model.trf_blocks.1.ff.layers.0.weight: expected finite values, found 1 of"):
        SpamClassifier.from_pretrained(tmp_path)


def test_the_fields_are_the_configurations() -> None:
    fields, config = SpamGPTFields(), SpamGPTConfig()
    for name in vars(fields):
        if name != "architectures":
            assert getattr(config, name) == getattr(fields, name), name
    assert (config.num_labels, config.max_text_length) == (fields.num_labels, fields.max_text_length)
    given = SpamGPTFields(n_layers=3, pooling="mean_positions", id2label={0: "a"}, label2id={"a": 0})
    assert {**vars(given), "architectures": None} == {
        name: getattr(SpamGPTConfig.from_fields(given), name) for name in vars(given)
    }


PROGRAM = """
import sys, hf_spam.cli
assert hf_spam.cli.main(["predict", sys.argv[1], "Hello"]) == 0
heavy = {"transformers", "accelerate", "datasets", "pandas", "pyarrow", "scipy", "huggingface_hub", "sympy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert "torch._dynamo" not in sys.modules
"""


def test_a_label_needs_no_transformers(tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
    """Importing it, and torch's compiler, takes longer than torch and the weights."""
    save(tmp_path, tokenizer)
    found = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM, tmp_path], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.split("\t")[0] in ("ham", "spam", "smishing")
