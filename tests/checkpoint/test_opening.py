"""A folder with a model is right, or it is refused in one line: nothing is guessed, and no code of it runs.

pytest tests/checkpoint/test_opening.py
"""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import strange_folders
from support.strange_folders import FAULTS, GPT2_FAULTS, Fault, change_json, config, flip_bits, link, split
from support.warm_process import WarmProcess
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hf_spam import SpamClassifier, UserError
from hf_spam.conversion.from_gpt2 import load_checkpoint
from hf_spam.system.manifest import write_manifest

TEXTS = ["You are a winner", "hi", "", "ü 🎉 \n"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    for kind in ("checkpoint", "gpt2", "language model"):
        strange_folders.write_model(folder / kind, kind)
    strange_folders.write_gpt2(folder / "weights")
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def model(models: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the classifier, to be changed."""
    return Path(shutil.copytree(models["checkpoint"], tmp_path / "model"))


@pytest.mark.parametrize("kind", ["checkpoint", "gpt2"])
def test_scores_as_transformers_does(models: dict[str, Path], kind: str) -> None:
    folder = models[kind]
    classifier = SpamClassifier.from_pretrained(folder)
    theirs = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    assert classifier.tokenizer.backend_tokenizer.to_str() == theirs.backend_tokenizer.to_str()
    assert classifier.tokenizer.init_kwargs["model_max_length"] == theirs.model_max_length
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = torch.cat([network(**theirs([text], return_tensors="pt")).logits for text in TEXTS if text])
    found = classifier.logits([text for text in TEXTS if text])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("fault", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_folder_with_a_fault_is_refused(model: Path, fault: Fault, words: str) -> None:
    fault(model)
    with pytest.raises(UserError) as refused:
        SpamClassifier.from_pretrained(model)
    message = str(refused.value)
    assert words in message
    assert message.startswith(str(model))
    assert "\n" not in message
    assert len(message) <= 1000


@pytest.mark.parametrize(("fault", "words"), GPT2_FAULTS.values(), ids=GPT2_FAULTS.keys())
def test_weights_with_a_fault_are_refused(models: dict[str, Path], tmp_path: Path, fault: Fault, words: str) -> None:
    folder = Path(shutil.copytree(models["weights"], tmp_path / "weights"))
    fault(folder)
    with pytest.raises(UserError) as refused:
        load_checkpoint(str(folder))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not Path("ran").exists()


UNHARMED: dict[str, Fault] = {
    "parts": split(lambda map_: {"weight_map": map_}),
    "a link inside": link("model.safetensors", "weights/file"),
    "no limit of length": change_json("tokenizer_config.json", {"model_max_length": 1e30}),
    "settings that have no effect here": config(use_cache=True, output_attentions=True, torch_dtype="float16"),
    "code of its own": config(auto_map={"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"}),
    "an auto_map of 5": config(auto_map=5),
    "an attention kernel to download": config(attn_implementation="somebody/evil-kernel"),
    "an adapter beside it": lambda folder: (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "x/y"}'),
    "labels without the reverse": config(label2id=None),
}  # fmt: skip


@pytest.mark.parametrize("change", UNHARMED.values(), ids=UNHARMED.keys())
def test_what_has_no_effect_on_the_scores(models: dict[str, Path], model: Path, change: Fault) -> None:
    change(model)
    expected = SpamClassifier.from_pretrained(models["checkpoint"]).logits(TEXTS)
    assert torch.equal(SpamClassifier.from_pretrained(model).logits(TEXTS), expected)


EVIL = "import pathlib\npathlib.Path('{}').touch()\n"


@pytest.mark.parametrize("kind", ["checkpoint", "gpt2"])
def test_no_code_runs_whatever_a_message_says(
    models: dict[str, Path], tmp_path: Path, warm: WarmProcess, kind: str
) -> None:
    """What transformers asks on standard input, a message would answer."""
    folder = Path(shutil.copytree(models[kind], tmp_path / "model"))
    for name in ("evil", "configuration_spam_gpt", "gpt", "modeling_spam_gpt", "tokenization_evil"):
        (folder / f"{name}.py").write_text(EVIL.format(tmp_path / "ran"))
    auto_map = {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"}
    change_json("config.json", {"auto_map": auto_map})(folder)
    change_json("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Slow", "evil.Fast"]}})(folder)
    ours = warm.call(["predict", folder], tmp_path, stdin="y\n1\nyes\ntrue\n")
    assert (ours.returncode, len(ours.stdout.splitlines())) == (0, 4), ours.stderr
    change_json("config.json", {"model_type": "evil"})(folder)
    theirs = warm.call(["predict", folder], tmp_path, stdin="y\n1\nyes\n")
    assert (theirs.returncode, theirs.stdout) == (2, "")
    assert theirs.stderr.count("\n") == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_flipped_bits_are_noticed_or_without_effect_on_the_form(model: Path, name: str) -> None:
    """Whatever a bad disk makes of a file: scores that are numbers, or one line."""
    original = (model / name).read_bytes()
    refused = 0
    for seed in range(25):
        (model / name).write_bytes(original)
        flip_bits(name, seed)(model)
        try:
            assert torch.isfinite(SpamClassifier.from_pretrained(model).logits(TEXTS)).all()
        except UserError:
            refused += 1
    assert refused or name == "model.safetensors"


def test_a_changed_file_is_told(
    models: dict[str, Path], model: Path, caplog: pytest.LogCaptureFixture, run: Callable[..., tuple[int, str, str]]
) -> None:
    write_manifest(model, [path for path in model.iterdir() if path.is_file()])
    with caplog.at_level(logging.WARNING, logger="hf_spam"):
        SpamClassifier.from_pretrained(model)
    assert caplog.records == []
    assert run("verify", model)[:2] == (0, f"{model}: 11 files as they were saved; a classifier of ham, spam\n")
    change_json("config.json", {"id2label": {"0": "spam", "1": "ham"}, "label2id": {"spam": 0, "ham": 1}})(model)
    with caplog.at_level(logging.WARNING, logger="hf_spam"):
        SpamClassifier.from_pretrained(model)
    assert "does not fit its manifest.json: config.json has changed" in caplog.records[-1].message
    code, _, error = run("verify", model)
    assert code == 2
    assert f"{model}: expected the files of manifest.json, found that config.json has changed" in error
    (model / "manifest.json").unlink()
    code, _, error = run("verify", model)
    assert code == 2
    assert "manifest.json is missing" in error


def test_scores_that_are_no_numbers_are_refused(models: dict[str, Path]) -> None:
    """Of finite weights that are too large."""
    classifier = SpamClassifier.from_pretrained(models["checkpoint"])
    with torch.no_grad():
        classifier.model.score.weight.fill_(3e38)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="expected finite scores, found 4 of 4 texts without"):
        classifier(TEXTS)


def test_other_kinds_are_named(models: dict[str, Path]) -> None:
    with pytest.raises(
        UserError, match="expected a classifier or an export to GPT-2 or an export to ONNX or an adapter, found a lang"
    ):
        SpamClassifier.from_pretrained(models["language model"])
    with pytest.raises(UserError, match="found architectures \\['GPT2LMHeadModel'\\]"):
        SpamClassifier.from_pretrained(models["weights"])


def test_labels_are_counted_by_their_names(model: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    """Both names swapped is a right model of its own, which is right where the other was wrong."""
    Path("mine.csv").write_text("label,text\n" + "ham,hello there\nspam,win a prize\n" * 20)
    shares = []
    for names in (("ham", "spam"), ("spam", "ham")):
        ids = {name: id_ for id_, name in enumerate(names)}
        config(id2label={str(id_): name for name, id_ in ids.items()}, label2id=ids)(model)
        predicted = [
            line.split("\t")[0] for line in run("predict", model, "hello there", "win a prize")[1].splitlines()
        ]
        right = (predicted[0] == "ham") + (predicted[1] == "spam")
        code, output, _ = run("evaluate", model, "--data_file", "mine.csv")
        assert code == 0
        assert f"accuracy {right / 2:.2%}" in output
        shares.append(right / 2)
    assert sum(shares) == 1
    Path("other.csv").write_text("label,text\nham,a\nfraud,b\n")
    code, output, error = run("evaluate", model, "--data_file", "other.csv")
    assert (code, output) == (2, "")
    assert "other.csv: expected labels spam, ham, found 'fraud' in row 2" in error


def test_messages_are_safe(model: Path) -> None:
    """A file's content cannot control the terminal that shows the refusal."""
    config(architectures=["\x1b[2J\u2028\r\n" * 200])(model)
    with pytest.raises(UserError) as refused:
        SpamClassifier.from_pretrained(model)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) <= 1000
    assert json.loads((model / "config.json").read_text())
