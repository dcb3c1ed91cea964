"""The classifier as transformers' own GPT-2 classifier: the same logits, on all real messages.   pytest tests/conversion/test_to_gpt2.py"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.warm_process import WarmProcess
from transformers import GPT2ForSequenceClassification, GPT2Tokenizer, pipeline

from hf_spam import SpamClassifier, SpamGPTConfig, SpamGPTForSequenceClassification, UserError
from hf_spam.conversion.from_gpt2 import SIZES
from hf_spam.conversion.to_gpt2 import to_gpt2
from hf_spam.data import sources
from hf_spam.engines.gpt2 import GPT2Classifier

Run = Callable[..., tuple[int, str, str]]
STOCK = ["--pooling", "last_token", "--causal", "true"]  # what transformers' own GPT-2 can do


def build(size: str = "tiny", **options: object) -> SpamGPTForSequenceClassification:
    """Random weights, and a head whose biases are far from zero."""
    torch.manual_seed(0)
    model = SpamGPTForSequenceClassification(SpamGPTConfig(**{**SIZES[size], "context_length": 256, **options})).eval()
    torch.nn.init.normal_(model.score.bias)
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "scale", "shift")):
            torch.nn.init.normal_(parameter, mean=float(name.endswith("scale")), std=0.2)
    return model


def largest_difference(
    model: SpamGPTForSequenceClassification, tokenizer: GPT2Tokenizer, folder: Path, texts: list[str]
) -> float:
    """Of any logit of any text, saved and loaded in between."""
    to_gpt2(model).save_pretrained(folder)
    saved = GPT2ForSequenceClassification.from_pretrained(folder)
    ours = SpamClassifier(model, tokenizer).logits(texts)
    theirs = SpamClassifier(GPT2Classifier(saved, model.config), tokenizer).logits(texts)
    return float((ours - theirs).abs().max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "every"),
    [("mini", 1), ("small", 48)],
)
def test_on_all_messages(size: str, every: int, collection: Path, tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
    texts = sources.read_file(collection)["Text"].tolist()
    assert len(texts) == 5572
    assert largest_difference(build(size), tokenizer, tmp_path, texts[::every]) < 1e-5


@pytest.mark.parametrize("num_labels", [1, 2, 3])
@pytest.mark.parametrize("qkv_bias", [True, False])
def test_any_labels_and_biases(num_labels: int, qkv_bias: bool, tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
    texts = ["You are a winner", "", "See you at eight", "a <|endoftext|> in a text<|endoftext|>", "Free! " * 90]
    model = build(num_labels=num_labels, qkv_bias=qkv_bias)
    assert largest_difference(model, tokenizer, tmp_path, texts) < 1e-5


@pytest.mark.parametrize(
    ("problem", "num_labels"),
    [("single_label_classification", 3), ("multi_label_classification", 3), ("regression", 1)],
)
def test_the_kind_of_problem_stays(problem: str, num_labels: int, tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
    """The pipeline turns the logits of the export into the scores that they were before."""
    model = build(num_labels=num_labels, problem_type=problem)
    to_gpt2(model).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["problem_type"] == problem
    expected = SpamClassifier(model, tokenizer).all_scores("You are a winner")
    found = pipeline("text-classification", model=str(tmp_path))("You are a winner", top_k=None)
    assert {it["label"]: it["score"] for it in found} == pytest.approx(expected, abs=1e-5)


def test_padding_on_the_left() -> None:
    model = build()
    ids, mask = torch.randint(0, 50000, (3, 9)), torch.ones(3, 9, dtype=torch.long)
    mask[0, :4], mask[1, :8], mask[2] = 0, 0, 0
    with torch.no_grad():
        torch.testing.assert_close(
            GPT2Classifier(to_gpt2(model), model.config)(ids, mask).logits, model(ids, mask).logits, rtol=0, atol=1e-5
        )


def test_what_has_no_place_in_theirs() -> None:
    with pytest.raises(UserError, match="expected a model that is read at its last_token"):
        to_gpt2(build(pooling="last_position"))
    model = build()
    with torch.no_grad():
        model.score.weight[1] = model.score.weight[0]
    with pytest.raises(UserError, match="expected a head whose classes have different weights"):
        to_gpt2(model)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, warm: WarmProcess) -> Path:
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("trained")
    options = ["--preset", "quickstart", *STOCK, "--model_size", "tiny", "--max_steps", "30"]
    warm.run(["train", *options, "--output_dir", "run"], folder)
    return folder / "run"


@pytest.mark.slow
def test_the_command(run: Run, trained: Path, warm_bare: WarmProcess, tmp_path: Path) -> None:
    """Exported, checked, loaded by a process that has transformers alone, and by our own commands."""
    folder = tmp_path / "stock"
    code, output, error = run("export", trained, "--format", "gpt2", "--output_dir", folder)
    assert code == 0, error
    assert "the test split: 0 of 973 labels changed (0.00%)" in output
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("gpt2", ["GPT2ForSequenceClassification"])
    assert "auto_map" not in config
    assert not list(folder.glob("*.py"))
    assert json.loads((folder / "agreement.json").read_text())["logit_difference"] < 1e-5

    texts = ["You are a winner", "See you at eight", "ok"]
    program = (
        "import json, sys\n"
        "from transformers import pipeline\n"
        "classify = pipeline('text-classification', model=sys.argv[1])\n"
        "print(json.dumps(classify(json.loads(sys.argv[2]), batch_size=2)))\n"
    )
    result = warm_bare.call([folder, json.dumps(texts)], tmp_path, program)
    assert result.returncode == 0, result.stderr
    expected = SpamClassifier.from_pretrained(trained)(texts)
    ours = SpamClassifier.from_pretrained(folder)(texts)
    for theirs, before, after in zip(json.loads(result.stdout), expected, ours, strict=True):
        assert theirs["label"] == before.label == after.label
        assert [theirs["score"], after.score] == pytest.approx([before.score] * 2, abs=1e-6)

    _, before_export, _ = run("evaluate", trained)
    _, after_export, _ = run("evaluate", folder)
    assert after_export.splitlines()[1:] == before_export.splitlines()[1:]
    code, listing, _ = run("push", folder, "alice/stock", "--dry_run", "true")
    assert code == 0
    assert "modeling_spam_gpt.py" not in listing
    assert run("push", folder, "alice/stock", "--output_dir", tmp_path / "pushed")[0] == 0
    card = (tmp_path / "pushed" / "README.md").read_text()
    assert "trust_remote_code" not in card
    assert "converted to transformers' own `GPT2ForSequenceClassification`" in card
    assert "0 labels differ from those of the original" in card.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--int8"], "expected --int8 with --format onnx, found --format gpt2"),
        (["--format", "tflite"], "invalid choice: 'tflite'"),
    ],
)
def test_formats_that_are_not(run: Run, trained: Path, tmp_path: Path, options: list[str], message: str) -> None:
    code, _, error = run("export", trained, "--format", "gpt2", *options, "--output_dir", tmp_path / "out")
    assert code == 2
    assert message in error
    assert not (tmp_path / "out").exists()


def test_exported_twice(run: Run, trained: Path, tmp_path: Path) -> None:
    assert run("export", trained, "--format", "gpt2", "--output_dir", tmp_path / "one")[0] == 0
    code, _, error = run("export", tmp_path / "one", "--format", "gpt2", "--output_dir", tmp_path / "two")
    assert code == 2
    assert "expected a checkpoint, found an export. Name the checkpoint that it was made from." in error
