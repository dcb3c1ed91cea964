"""Any GPT-2 for `--weights`: its body, its own tokenizer, by folder or by name.   pytest tests/conversion/test_any_gpt2.py"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import other_gpt2s
from support.loopback_server import LoopbackServer, serve_repository
from support.other_gpt2s import END
from support.strange_folders import change_json, write_model
from support.warm_process import WarmProcess
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    GPT2Model,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    PreTrainedTokenizerBase,
)

from hf_spam import ModelArguments, SpamClassifier, SpamGPTConfig, SpamGPTForCausalLM, UserError
from hf_spam.checkpoint.loading import load_model
from hf_spam.checkpoint.opening import Kind, open_checkpoint
from hf_spam.conversion.finding import ALIASES
from hf_spam.conversion.from_gpt2 import HUB_REPOSITORIES, fill, load_checkpoint
from hf_spam.conversion.to_book import as_book
from hf_spam.training.initial_model import (
    build_config,
    describe_weights,
    initialize_model,
    limit_length,
    load_tokenizer,
    load_weights,
    special_ids,
)

Run = Callable[..., tuple[int, str, str]]
TEXTS = ["Gewinnen Sie jetzt!", "Grüße 🎉 ", "  a  b", "", "win </s> <s> [SEP] <|endoftext|>a", "今日は ＜／ｓ＞ 東京"]

WAYS: dict[str, Callable[[Path], Path]] = {
    "german": lambda folder: other_gpt2s.write(folder, "german"),
    "two files": other_gpt2s.write_two_files,
    "japanese, padded": lambda folder: other_gpt2s.write(folder, "japanese", 30),
    "unigram": lambda folder: other_gpt2s.write(folder, "unigram"),
    "chinese": lambda folder: other_gpt2s.write(folder, "chinese", 7),
    "half precision in shards": other_gpt2s.write_shards,
    "bf16 in a pickle": other_gpt2s.write_pickle,
    "a classifier": other_gpt2s.write_classifier,
    "the body": other_gpt2s.write_body,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A GPT-2 written in each of these ways."""
    made: dict[str, Path] = {}

    def make(way: str) -> Path:
        if way not in made:
            made[way] = WAYS[way](tmp_path_factory.mktemp("gpt2s") / "folder")
        return made[way]

    return make


def unmarked(texts: list[str]) -> list[str]:
    return [text for text in texts if not any(mark in text for mark in ("</s>", "＜", "[SEP]"))]


@pytest.mark.parametrize("way", WAYS)
def test_the_body_and_the_tokenizer_are_theirs(folders: Callable[[str], Path], way: str) -> None:
    folder = folders(way)
    checkpoint = load_checkpoint(str(folder), with_tokenizer=True)
    ours, theirs = checkpoint.tokenizer, AutoTokenizer.from_pretrained(folder)
    assert ours is not None
    for text in unmarked(TEXTS):
        assert ours(text)["input_ids"] == theirs(text)["input_ids"], text
    assert ours.pad_token_id in (theirs.pad_token_id, theirs.eos_token_id)
    assert ours.model_max_length == (40 if way == "two files" else 48)
    model = SpamGPTForCausalLM(SpamGPTConfig(**checkpoint.sizes, pad_token_id=ours.pad_token_id)).eval()
    fill(as_book(model), checkpoint)
    body = GPT2Model.from_pretrained(folder).float().eval()
    ids = torch.tensor([ours(TEXTS[0])["input_ids"]])
    with torch.no_grad():
        expected = body(ids).last_hidden_state @ body.wte.weight.T
        torch.testing.assert_close(model(ids).logits, expected, rtol=0, atol=1e-4)
    assert ("of its GPT2ForSequenceClassification the head is left out" in checkpoint.notes) == (way == "a classifier")


@pytest.mark.parametrize("way", ["german", "japanese, padded", "unigram", "chinese"])
def test_no_text_makes_a_special_token(folders: Callable[[str], Path], way: str) -> None:
    """But those around it. Anything else is read as AutoTokenizer reads it."""
    ours = load_checkpoint(str(folders(way)), with_tokenizer=True).tokenizer
    theirs = AutoTokenizer.from_pretrained(folders(way))
    assert ours is not None
    marks = [token for token in theirs.all_special_tokens if token != theirs.unk_token]
    special = set(theirs.convert_tokens_to_ids(marks))
    around = ours("")["input_ids"]
    pieces = st.sampled_from([*marks, "<", "/s", ">", " ", "＜／ｓ＞", "a", "Gewinnen", END[1:]])

    @settings(max_examples=50)
    @given(st.lists(pieces | st.text(max_size=3), max_size=5).map("".join))
    def check(text: str) -> None:
        text = text.encode("utf-8", "replace").decode()
        ids = ours(text)["input_ids"]
        assert sum(id_ in special for id_ in ids) == sum(id_ in special for id_ in around), text
        normal = theirs.backend_tokenizer.normalizer
        seen = text + ("" if normal is None else normal.normalize_str(text))
        if not any(mark in seen for mark in marks):
            assert ids == theirs(text)["input_ids"], text

    check()


def test_a_model_of_sentencepiece(tmp_path: Path) -> None:
    """Neither of the two libraries that usually read it is needed. Its ids are those of the same pieces elsewhere."""
    folder = other_gpt2s.write_sentencepiece(tmp_path)
    checkpoint = load_checkpoint(str(folder), with_tokenizer=True)
    ours, theirs = checkpoint.tokenizer, other_gpt2s.japanese()
    assert ours is not None
    for text in unmarked(TEXTS):
        assert ours(text)["input_ids"] == theirs(text)["input_ids"], text
    assert (ours.pad_token, ours.eos_token, ours.bos_token, checkpoint.notes) == ("<pad>", "</s>", "<s>", ())
    assert ours("a</s>")["input_ids"].count(ours.eos_token_id) == 1
    data = (folder / "spiece.model").read_bytes()
    refused = 0
    for number in range(200):
        place = number * len(data) // 200
        (folder / "spiece.model").write_bytes(
            data[:place] if number % 2 else data[:place] + b"\xff" + data[place + 1 :]
        )
        try:
            load_checkpoint(str(folder), with_tokenizer=True)
        except UserError as error:
            refused += "\n" not in str(error)
    assert refused > 100


@pytest.mark.parametrize("way", ["german", "unigram"])
def test_tokens_added_for_messages_are_seen_and_survive(tmp_path: Path, way: str) -> None:
    tokenizer = other_gpt2s.KINDS[way]()
    tokenizer.add_special_tokens({"extra_special_tokens": ["[URL]"]})
    tokenizer.add_tokens(["[PHONE]"])
    other_gpt2s.make_model(len(tokenizer)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    ours = load_checkpoint(str(tmp_path / "model"), with_tokenizer=True).tokenizer
    assert ours is not None
    ours.save_pretrained(tmp_path / "saved")
    url, phone = tokenizer.convert_tokens_to_ids(["[URL]", "[PHONE]"])
    for read in (ours, AutoTokenizer.from_pretrained(tmp_path / "saved", trust_remote_code=False)):
        ids = read(f"win [URL] [PHONE]{ours.eos_token}")["input_ids"]
        assert (ids.count(url), ids.count(phone), ids.count(ours.eos_token_id)) == (1, 1, 0)


# --- what is refused -------------------------------------------------------------------------------------------------


def write_bert(folder: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForMaskedLM(BertConfig(vocab_size=50, **sizes)).save_pretrained(folder)  # type: ignore[arg-type]


def write_neo(folder: Path) -> None:
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "attention_types": [[["global"], 1]]}
    GPTNeoForCausalLM(GPTNeoConfig(vocab_size=50, **sizes)).save_pretrained(folder)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("write", "words"),
    [(write_bert, "a bert model (BertForMaskedLM)"), (write_neo, "a gpt_neo model (GPTNeoForCausalLM)")],
)
def test_other_architectures_are_named(run: Run, tmp_path: Path, write: Callable[[Path], None], words: str) -> None:
    write(tmp_path / "model")
    code, output, error = run("train", "--weights", tmp_path / "model", "--data_source", "sample")
    assert (code, output, error.count("\n")) == (2, "", 1)
    assert f"expected a GPT-2, found {words}. --weights takes models whose config.json says model_type gpt2" in error


def piece(change: Callable[[dict], object]) -> Callable[[Path], object]:
    return change_json("tokenizer.json", lambda values: change(values) and None)


def appended(values: dict) -> None:
    special = {"</s>": {"id": "</s>", "ids": [999], "tokens": ["</s>"]}}
    single = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}]
    values["post_processor"] = {"type": "TemplateProcessing", "single": single, "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": special}  # fmt: skip


def growing(values: dict) -> None:
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 50}
    values["normalizer"] = {"type": "Sequence", "normalizers": [step] * 4}


TOKENIZER_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "more tokens than the model": (change_json("config.json", {"vocab_size": 20}), "expected ids below 20, the size of the model's vocabulary"),
    "an id appended": (piece(appended), "the model's, found that it appends 999"),
    "growth": (piece(growing), "expected normalizers that make at most 10,000 characters of one, found 6,250,000"),
    "no unknown": (piece(lambda values: values["model"].update(unk_id=None)), "expected a tokenizer that can be built"),
    "an unknown beyond": (piece(lambda values: values["model"].update(unk_id=10**6)), "expected a tokenizer that can be built"),
    "of a new kind": (piece(lambda values: values["model"].update(type="Neural")), "expected a tokenizer that can be built"),
    "pieces without scores": (piece(lambda values: values["model"].update(vocab=[["a"]])), "expected a tokenizer that can be built"),
    "no pieces": (piece(lambda values: values["model"].update(vocab=[])), "expected a tokenizer that can be built"),
    "an expression that is none": (piece(lambda values: values.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False})), "expected a tokenizer that can be built"),
    "a list": (lambda folder: (folder / "tokenizer.json").write_text("[]"), "expected a JSON object"),
    "a damaged one": (lambda folder: (folder / "tokenizer.json").write_text('{"model": {'), "expected JSON"),
    "a pad token of 5": (change_json("tokenizer_config.json", {"pad_token": 5}), "expected a token as pad_token, found 5"),
    "in a format that is not read": (lambda folder: (folder / "tokenizer.json").rename(folder / "tokenizer.model"), "found tokenizer.model. Save both in a new folder, and name that"),
    "none": (lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "tokenizer_config.json")], "expected a tokenizer beside weights with a vocabulary of"),
}  # fmt: skip


@pytest.mark.parametrize(("fault", "words"), TOKENIZER_FAULTS.values(), ids=TOKENIZER_FAULTS.keys())
def test_tokenizers_with_a_fault_are_refused(
    run: Run, folders: Callable[[str], Path], tmp_path: Path, fault: Callable[[Path], object], words: str
) -> None:
    folder = Path(shutil.copytree(folders("unigram"), tmp_path / "model"))
    fault(folder)
    code, output, error = run("train", "--weights", folder, "--data_source", "sample")
    assert (code, output, error.count("\n")) == (2, "", 1), error
    assert words in error


def test_a_tokenizer_without_any_special_token(folders: Callable[[str], Path], tmp_path: Path) -> None:
    """What the model's configuration names pads; if that names nothing either, the user is asked."""
    folder = Path(shutil.copytree(folders("unigram"), tmp_path / "model"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    change_json("config.json", {"eos_token_id": 3})(folder)
    checkpoint = load_checkpoint(str(folder), with_tokenizer=True)
    assert checkpoint.tokenizer is not None
    assert (checkpoint.tokenizer.pad_token, checkpoint.notes) == ("<s>", ("it has no padding token: '<s>' pads",))
    change_json("config.json", {"eos_token_id": 50256})(folder)
    with pytest.raises(UserError, match="expected a padding token, or an eos_token to pad with, found neither"):
        load_checkpoint(str(folder), with_tokenizer=True)


# --- from weights to a label -----------------------------------------------------------------------------------------


def write_rows(file: Path) -> Path:
    kinds = {"spam": "Gewinnen Sie jetzt", "ham": "schöne Grüße aus München"}
    rows = (f"{label},{text} {number}\n" for number in range(40) for label, text in kinds.items())
    file.write_text("label,text\n" + "".join(rows), encoding="utf-8")
    return file


PIPELINE = """
import json, sys
from transformers import pipeline
classify = pipeline("text-classification", model=sys.argv[1], trust_remote_code=True)
texts = json.loads(sys.argv[2])
print(json.dumps([[found["score"] for found in classify(texts, batch_size=size, truncation=True)] for size in (1, 4)]))
"""


@pytest.mark.parametrize(
    ("way", "options"),
    [
        pytest.param("german", [], marks=pytest.mark.slow),
        pytest.param("japanese, padded", [], marks=pytest.mark.slow),
        pytest.param("japanese, padded", ["--pooling", "last_position"], marks=pytest.mark.slow),
    ],
    ids=["german", "japanese", "japanese, last_position"],
)
def test_from_weights_to_labels(
    run: Run, warm_bare: WarmProcess, folders: Callable[[str], Path], tmp_path: Path, way: str, options: list[str]
) -> None:
    rows, out = write_rows(tmp_path / "rows.csv"), tmp_path / "run"
    fixed = ["--max_steps", "3", "--learning_rate", "1e-2", "--disable_tqdm", "true", "--prefix_cache", "on"]
    code, output, error = run(
        "train", "--weights", folders(way), "--data_file", rows, "--output_dir", out, *fixed, *options
    )
    assert code == 0, error
    assert "start  the folder " in output
    assert "; with its own tokenizer: " in output
    config, classifier = json.loads((out / "config.json").read_text()), SpamClassifier.from_pretrained(out)
    assert config["pad_token_id"] == classifier.tokenizer.pad_token_id
    texts = [*TEXTS, "a b c d e f g " * 20]
    expected = [prediction.score for prediction in classifier(texts)]
    found = warm_bare.call([str(out), json.dumps(texts)], tmp_path, PIPELINE)
    assert found.returncode == 0, found.stderr
    for scores in json.loads(found.stdout):
        assert scores == pytest.approx(expected, abs=1e-6)
    assert json.loads((out / "arguments.json").read_text())["weights"] == str(folders(way))
    assert run("evaluate", out)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("way", ["german", "japanese, padded", "unigram", "chinese"])
def test_all_that_is_done_with_a_run(run: Run, folders: Callable[[str], Path], tmp_path: Path, way: str) -> None:
    """It is resumed with the same end, evaluated, predicted with, verified, exported, pushed, and started from."""
    rows = write_rows(tmp_path / "rows.csv")

    def done(*argv: object) -> str:
        code, output, error = run(*argv)
        assert code == 0, error
        return output

    argv = ["train", "--weights", folders(way), "--data_file", rows, "--max_steps", "6", "--save_strategy", "steps"]
    argv += ["--save_steps", "2", "--save_total_limit", "9", "--keep_checkpoints", "true", "--disable_tqdm", "true"]
    done(*argv, "--output_dir", tmp_path / "run", "--learning_rate", "1e-2")
    again = ["--resume_from_checkpoint", tmp_path / "run" / "checkpoint-2", "--data_file", rows]
    done("train", *again, "--output_dir", tmp_path / "resumed")
    classifier = SpamClassifier.from_pretrained(tmp_path / "run")
    texts = [*TEXTS, "a b c d e f g " * 20, "Gewinnen Sie jetzt 5"]
    expected = classifier.logits(texts)
    assert torch.equal(SpamClassifier.from_pretrained(tmp_path / "resumed").logits(texts), expected)
    done("verify", tmp_path / "run")
    done("evaluate", tmp_path / "run")
    done("predict", tmp_path / "run", "--input", rows, "--output", tmp_path / "scored.jsonl")
    assert len((tmp_path / "scored.jsonl").read_text().splitlines()) == 80
    done("export", tmp_path / "run", "--format", "gpt2", "--output_dir", tmp_path / "gpt2")
    found = SpamClassifier.from_pretrained(tmp_path / "gpt2").logits(texts)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    done("push", tmp_path / "run", "you/x", "--dry_run", "--output_dir", tmp_path / "pushed")
    assert torch.equal(SpamClassifier.from_pretrained(tmp_path / "pushed").logits(texts), expected)
    output = done("train", "--weights", tmp_path / "gpt2", *argv[3:], "--output_dir", tmp_path / "more")
    assert "of its GPT2ForSequenceClassification the head is left out" in output


@pytest.mark.parametrize("kind", ["checkpoint", "language model"])
def test_a_run_of_ours_starts_another(tmp_path: Path, kind: Kind) -> None:
    """The body is taken, the head is new, and texts are no longer cut to the earlier run's length."""
    write_model(tmp_path, kind)
    change_json("tokenizer_config.json", {"model_max_length": 7})(tmp_path)
    first = load_model(open_checkpoint(tmp_path, [kind])).state_dict()
    arguments = ModelArguments(weights=str(tmp_path))
    checkpoint = load_weights(arguments)
    assert checkpoint is not None
    tokenizer = load_tokenizer(checkpoint)
    head = "its labels" if kind == "checkpoint" else "the vocabulary"
    assert f"of a run of ours: its head over {head} is left out" in str(describe_weights(checkpoint, tokenizer))
    config = build_config(arguments, checkpoint, len(tokenizer), None, 20, special_ids(tokenizer))
    limit_length(tokenizer, config, checkpoint, None)
    assert (config.pad_token_id, tokenizer.model_max_length) == (256, 32)
    second = initialize_model(config, checkpoint, 123).state_dict()
    body = [name for name in second if name in first and not name.startswith(("model.out_head", "score"))]
    assert len(body) == 36
    assert all(torch.equal(first[name], second[name]) for name in body)


# --- by name ---------------------------------------------------------------------------------------------------------


def test_by_name(warm: WarmProcess, server: LoopbackServer, folders: Callable[[str], Path], tmp_path: Path) -> None:
    serve_repository(server, "somebody/german-gpt2", folders("german"))
    rows = write_rows(tmp_path / "rows.csv")
    there = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    argv = ["train", "--weights", "somebody/german-gpt2", "--data_file", rows, "--max_steps", "1"]
    found = warm.call([*argv, "--output_dir", tmp_path / "run"], tmp_path, **there)
    assert found.returncode == 0, found.stderr
    assert "start  somebody/german-gpt2 on the Hub; with its own tokenizer: " in found.stdout
    assert (
        json.loads((tmp_path / "run" / "metrics.json").read_text())["training"]["base_model"] == "somebody/german-gpt2"
    )
    card = warm.call(["push", tmp_path / "run", "you/x", "--dry_run", "--output_dir", tmp_path / "pushed"], tmp_path)
    assert card.returncode == 0, card.stderr
    text = (tmp_path / "pushed" / "README.md").read_text(encoding="utf-8")
    assert "base_model: somebody/german-gpt2" in text
    assert "[somebody/german-gpt2](https://huggingface.co/somebody/german-gpt2), whose licence applies" in text
    assert "OpenAI" not in text
    assert json.loads((tmp_path / "pushed" / "arguments.json").read_text())["weights"] == "somebody/german-gpt2"


def test_another_architecture_is_refused_before_its_weights_come(
    warm: WarmProcess, server: LoopbackServer, tmp_path: Path
) -> None:
    write_bert(tmp_path / "bert")
    serve_repository(server, "somebody/bert", tmp_path / "bert")
    there = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    found = warm.call(["train", "--weights", "somebody/bert", "--data_source", "sample"], tmp_path, **there)
    assert (found.returncode, found.stdout) == (2, "")
    assert "expected a GPT-2, found a bert model (BertForMaskedLM)" in found.stderr
    assert not [line for line in server.requests if "safetensors" in line]
    assert [line for line in server.requests if line.startswith("GET") and line.endswith("config.json")]


def test_names(gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder comes before a repository, and the usual names are those of the Hub."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(gpt2_folder, "gpt2")
    assert load_checkpoint("gpt2").repository is None
    assert set(HUB_REPOSITORIES.values()) | {"distilbert/distilgpt2"} == set(ALIASES.values())
    for name in ("./no/such", "/no/such", "no such", "~/gpt2", "a/b/c"):
        with pytest.raises(UserError, match=r"expected weights hub, openai, random, gpt2, .* found no folder"):
            load_checkpoint(name)


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "sizes", "tokens"),
    [
        ("distilgpt2", {"n_layers": 6, "emb_dim": 768, "n_heads": 12, "vocab_size": 50257}, 50257),
        ("gpt2-medium", {"n_layers": 24, "emb_dim": 1024, "n_heads": 16, "vocab_size": 50257}, 50257),
        ("dbmdz/german-gpt2", {"n_layers": 12, "emb_dim": 768, "vocab_size": 50265}, 50265),
    ],
)
def test_published_ones(tokenizer: PreTrainedTokenizerBase, name: str, sizes: dict[str, int], tokens: int) -> None:
    checkpoint = load_checkpoint(name, with_tokenizer=True)
    assert {key: checkpoint.sizes[key] for key in sizes} == sizes
    assert checkpoint.tokenizer is not None
    assert len(checkpoint.tokenizer) <= tokens
    if tokens == 50257:
        assert checkpoint.tokenizer.get_vocab() == tokenizer.get_vocab()
