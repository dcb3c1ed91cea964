"""Looking inside a checkpoint: parts, positions, attention.   pytest tests/evaluation/test_inspection.py"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import GPT2Tokenizer

from hf_spam import SpamClassifier, SpamGPTConfig, SpamGPTForSequenceClassification
from hf_spam.conversion.to_book import as_book
from hf_spam.evaluation.inspection import attention_of, describe_parts, describe_reading, list_parts, read_text
from hf_spam.trainable.freezing import freeze

Run = Callable[..., tuple[int, str, str]]
TEXT = "Do you have\x1b[31m time"


@pytest.fixture
def model() -> SpamGPTForSequenceClassification:
    torch.manual_seed(0)
    config = SpamGPTConfig(context_length=32, emb_dim=16, n_heads=4, n_layers=3, id2label={0: "ham", 1: "spam"})
    return SpamGPTForSequenceClassification(config).eval()


@pytest.mark.parametrize("pooling", ["last_token", "last_position"])
def test_the_command(run: Run, tiny_run: Callable[[str], Path], tmp_path: Path, pooling: str) -> None:
    """What it prints is what the run recorded and what a prediction reads."""
    folder, picture = tiny_run(pooling), tmp_path / "attention.png"
    code, out, err = run("inspect", folder, TEXT, "--output", picture, "--block", 0)
    assert (code, err) == (0, "")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == [picture.name]
    training = json.loads((folder / "metrics.json").read_text())["training"]
    whole = re.search(r"^all +([0-9,]+) +([0-9,]+)$", out, re.MULTILINE)
    assert whole
    sizes = [int(number.replace(",", "")) for number in whole.groups()]
    assert sizes == [training["parameters"], training["trained_parameters"]]
    assert "trains all\n" in out
    classifier = SpamClassifier.from_pretrained(folder)
    (line,) = [line for line in out.splitlines() if line.endswith("← read")]
    expected = classifier.logits(TEXT).tolist()
    assert [float(word) for word in line.split()[-4:-2]] == pytest.approx(expected, abs=1e-3)
    config = classifier.model.config
    length = len(classifier.tokenizer(TEXT)["input_ids"])
    assert int(line.split()[0]) == (length if pooling == "last_token" else config.pad_to_length) - 1
    assert "\x1b" not in out
    assert r"'\x1b'" in out
    assert f"\n{classifier(TEXT).label}  {classifier(TEXT).score:.4f}\n" in out
    again = run("inspect", folder, TEXT, "--output", picture)
    assert (again[0], "exists already, and nothing is overwritten" in again[2]) == (2, True)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--output", "a.png"], "--output: expected a TEXT whose attention is drawn, found none."),
        (["text", "--block", "0"], "--block: expected --output, the picture of that block, found none."),
        (["text", "--output", "a.pdf"], "--output: expected a file whose name ends in .png, found a.pdf."),
        (["text", "--output", "a.png", "--block", "2"], "--block: expected a block of the model, 0 to 1, found 2."),
        (["text", "--output", "a.png", "--block", "-1"], "--block: expected a whole number from 0"),
    ],
    ids=["no text", "no picture", "another format", "too deep", "negative"],
)
def test_what_makes_no_sense(run: Run, tiny_run: Callable[[str], Path], argv: list[str], message: str) -> None:
    code, out, err = run("inspect", tiny_run("last_token"), *argv)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_an_export_is_refused(run: Run, tiny_run: Callable[[str], Path], tmp_path: Path) -> None:
    argv = ["--format", "gpt2", "--output_dir", tmp_path / "stock"]
    assert run("export", tiny_run("last_token"), *argv)[0] == 0
    code, out, err = run("inspect", tmp_path / "stock", "text")
    assert (code, out) == (2, "")
    assert err == (
        f"hf-spam: error: {tmp_path / 'stock'}: expected a checkpoint, found an export to GPT-2, whose layers are not "
        f"ours. Name the run that it was exported from.\n"
    )


def test_no_record(
    run: Run, model: SpamGPTForSequenceClassification, tokenizer: GPT2Tokenizer, tmp_path: Path
) -> None:
    """A model that `save_pretrained` saved; then a record that does not fit it."""
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    code, out, _ = run("inspect", tmp_path)
    assert code == 0
    assert "trains not recorded\n" in out
    assert "trained" not in out
    (tmp_path / "arguments.json").write_text('{"trainable": "last_block"}')
    (tmp_path / "metrics.json").write_text('{"training": {"trained_parameters": 1234}}')
    assert "trains last_block, 1,234 parameters\n" in run("inspect", tmp_path)[1]
    (tmp_path / "metrics.json").write_text("[]")
    assert run("inspect", tmp_path)[0] == 2


def test_parts_add_up(model: SpamGPTForSequenceClassification) -> None:
    names = set(freeze(model, "last_block"))
    parts = {part.name: part for part in list_parts(model, names)}
    sizes = {name: parameter.numel() for name, parameter in as_book(model).named_parameters()}
    whole = [part for name, part in parts.items() if name[0] != " "]
    assert sum(part.parameters for part in whole) == sum(sizes.values())
    assert sum(part.trained or 0 for part in whole) == sum(sizes[name] for name in names)
    inner = [part.parameters for name, part in parts.items() if name[0] == " "]
    assert sum(inner) == parts["trf_blocks.0"].parameters
    assert parts["  att.W_query"].shape == "[16, 16] + [16]"
    assert (parts["trf_blocks.1"].trained, parts["trf_blocks.2"].trained) == (0, parts["trf_blocks.2"].parameters)
    assert re.search(r"^trf_blocks\.2 +as trf_blocks\.0 +3,280 +3,280$", describe_parts(parts.values()), re.MULTILINE)


def test_logits_and_attention_are_the_models(
    model: SpamGPTForSequenceClassification, tokenizer: GPT2Tokenizer
) -> None:
    """At each position the logits of the text up to there; each block's weights as transformers would return them."""
    reading = read_text(model, tokenizer, "Do you have time")
    assert reading.ids == [5211, 345, 423, 640]
    assert reading.tokens == ["Do", " you", " have", " time"]
    assert reading.read == [3]
    with torch.no_grad():
        for place in range(4):
            alone = model(torch.tensor([reading.ids[: place + 1]])).logits[0]
            torch.testing.assert_close(reading.logits[place], alone, rtol=0, atol=1e-5)
        expected = model(torch.tensor([reading.ids]), output_attentions=True).attentions
    for block in range(3):
        found = attention_of(model, reading, block)
        torch.testing.assert_close(found, expected[block][0, :, 3], rtol=0, atol=1e-6)
    assert describe_reading(model, reading).splitlines()[4].endswith("← read")


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both ways"])
@pytest.mark.parametrize(
    ("pooling", "read"),
    [
        ("first_token", [0]),
        ("last_token", [3]),
        ("last_position", [5]),
        ("mean", [0, 1, 2, 3]),
        ("mean_positions", [0, 1, 2, 3, 4, 5]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_read_gives_the_score(tokenizer: GPT2Tokenizer, pooling: str, read: list[int], causal: bool) -> None:
    torch.manual_seed(0)
    config = SpamGPTConfig(context_length=32, emb_dim=16, n_heads=4, n_layers=2, pooling=pooling, causal=causal)
    config.pad_to_length = 6 if "position" in pooling else None
    model = SpamGPTForSequenceClassification(config).eval()
    reading = read_text(model, tokenizer, "Do you have time")
    assert reading.read == read
    with torch.no_grad():
        expected = model(torch.tensor([[5211, 345, 423, 640]])).logits[0]
    torch.testing.assert_close(reading.logits[read].mean(dim=0), expected, rtol=0, atol=1e-5)
    last = attention_of(model, reading, 1)[:, read[-1]]
    assert last.shape == (4,)
    assert describe_reading(model, reading).count("← read") == len(read)


def test_an_empty_text_and_one_that_is_too_long(
    model: SpamGPTForSequenceClassification, tokenizer: GPT2Tokenizer
) -> None:
    """They are read as for a prediction: as one `<|endoftext|>`, and cut."""
    assert read_text(model, tokenizer, "").ids == [50256]
    assert len(read_text(model, tokenizer, "word " * 50).ids) == 32
