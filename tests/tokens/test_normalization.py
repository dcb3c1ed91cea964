"""The normaliser: what it undoes, what it leaves alone, and that it travels in `tokenizer.json`.

pytest tests/tokens/test_normalization.py
"""

import json
import random
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast, pipeline

from hf_spam import SpamClassifier, SpamGPTConfig, SpamGPTForSequenceClassification, UserError
from hf_spam.checkpoint.opening import open_checkpoint
from hf_spam.robustness.perturbations import PERTURBATIONS, perturb
from hf_spam.tokens.encoding import begin, encode
from hf_spam.tokens.look_alikes import LOOK_ALIKES
from hf_spam.tokens.normalization import build_normalizer, find_our_normalizer, normalize_before

# ASCII words with one space between them.
WORDS = st.lists(st.from_regex(r"[!-~]{1,12}", fullmatch=True), min_size=2, max_size=8)
HARD = ["F R E E entry", "ｆｒｅｅ <|endoftext|>", "с\u200bаll nоw", "a b", "x y z", " \ud800 ", "", "é 1 2 3  4 5"]


NORMALIZERS = {"unicode": build_normalizer("unicode"), "all": build_normalizer("all")}


def normal(text: str, kind: str = "all") -> str:
    normalizer = NORMALIZERS[kind]
    assert normalizer is not None
    return normalizer.normalize_str(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("F R E E entry", "FREE entry"),
        ("W I N   £ 1 0 0 0   t o   y o u !", "WIN £1000 to you!"),
        ("I a car", "I a car"),
        ("a b", "a b"),
        ("see you  at  8", "see you  at  8"),
        ("a\nb\nc", "a\nb\nc"),
        ("f\u00adr\u200be\ufeffe\u2060", "free"),
        ("\U0001d5d9\U0001d5e5\U0001d5d8\U0001d5d8 ①", "FREE 1"),
        ("СΑᏞᏞ", "CAᏞᏞ"),  # Cherokee letters are in no table of ours
    ],
)
def test_what_it_undoes(text: str, expected: str) -> None:
    assert normal(text) == expected


@given(WORDS, st.sampled_from(["spacing", "zero_width", "full_width", "look_alikes"]), st.integers(0, 5))
def test_disguises_of_words_are_undone(words: list[str], name: str, seed: int) -> None:
    text = " ".join(words)
    assert normal(perturb(name, normal(text), seed)) == normal(text)


@given(st.text())
def test_without_runs_unicode_is_as_all(text: str) -> None:
    """Whatever stands there, spaces are all that `all` may change beyond `unicode`."""
    assert normal(text).replace(" ", "") == normal(text, "unicode").replace(" ", "")


def test_every_look_alike_has_one_letter() -> None:
    others = "".join(first + second for first, second in LOOK_ALIKES.values())
    assert len(set(others)) == len(others)
    assert all(letter == normal(each) for letter, both in LOOK_ALIKES.items() for each in "".join(both))


def test_hostile_texts_take_linear_time() -> None:
    for piece in ("a ", " ", "a  ", "a\u200b", "ｆ ", "\u0301"):
        short, long = (min(_seconds(piece * (size // len(piece))) for _ in range(2)) for size in (20_000, 80_000))
        assert long < 16 * short + 0.05, piece


def _seconds(text: str) -> float:
    start = time.process_time()
    normal(text)
    return time.process_time() - start


@pytest.mark.slow
def test_real_messages_keep_their_ids(tokenizer: GPT2Tokenizer, collection: Path) -> None:
    texts = [line.split("\t", 1)[1] for line in collection.read_text(encoding="utf-8").split("\n") if line]
    ours = normalize_before(tokenizer, "all")
    kept = [text for text in texts if normal(text) == text]
    assert len(kept) > 0.99 * len(texts)
    assert encode(ours, kept) == encode(tokenizer, kept)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, tokenizer: GPT2Tokenizer) -> Path:
    """A tiny classifier whose tokenizer normalises."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("normalized")
    config = SpamGPTConfig(context_length=32, emb_dim=16, n_heads=2, n_layers=1, initializer_range=0.5)
    config.id2label = {0: "ham", 1: "spam"}
    SpamGPTForSequenceClassification(config).save_pretrained(folder)
    ours = normalize_before(tokenizer, "all")
    ours.model_max_length = 32
    ours.save_pretrained(folder)
    return folder


def test_it_travels(saved: Path) -> None:
    """`AutoTokenizer`, ours and the pipeline read the same ids, and see no padding in a message."""
    theirs, opened = AutoTokenizer.from_pretrained(saved), open_checkpoint(saved)
    assert opened.tokenizer is not None
    texts = [text for text in HARD if "\ud800" not in text]
    assert isinstance(theirs, PreTrainedTokenizerFast)
    assert find_our_normalizer(theirs.backend_tokenizer)
    assert find_our_normalizer(opened.tokenizer.backend_tokenizer)
    assert theirs(texts)["input_ids"] == opened.tokenizer(texts)["input_ids"]
    assert encode(theirs, ["F R E E"]) == encode(theirs, ["FREE"])
    assert opened.config.pad_token_id not in encode(theirs, [texts[1]])[0]
    assert json.loads((saved / "tokenizer.json").read_text())["normalizer"]["type"] == "Sequence"
    classifier, classify = SpamClassifier.from_pretrained(saved), pipeline("text-classification", model=str(saved))
    texts = [*filter(None, texts), *(perturb(name, "Win a free prize, call now", 3) for name in PERTURBATIONS)]
    for ours, prediction in zip(classifier(texts), classify(texts, truncation=True), strict=True):
        assert ours.label == prediction["label"]
        assert ours.score == pytest.approx(prediction["score"], abs=1e-5)


def test_very_long_texts_are_begun_right(tokenizer: GPT2Tokenizer) -> None:
    """Of a long text a beginning suffices, also where much of it is invisible or spaced out."""
    ours, draw = normalize_before(tokenizer, "all"), random.Random(0)
    pieces = ["free prize ", "a b c ", "\u200b" * 40, "ｗｉｎ  ", "x   y z ", "call now ", "о", "\n", "\u0301"]
    for _ in range(5):
        text = "".join(draw.choices(pieces, k=300))
        shorter = begin(ours, text, 2)
        assert len(shorter) < len(text) / 2
        assert encode(ours, [text], 2)[0] == encode(ours, [text])[0][: len(encode(ours, [text], 2)[0])]
        assert len(encode(ours, [text], 2)[0]) > 2
    blank = "\u200b" * 2000 + " win the prize"
    assert encode(ours, [blank], 2) == encode(ours, [blank])


def test_other_normalisers_are_not_ours(tokenizer: GPT2Tokenizer) -> None:
    ours = normalize_before(tokenizer, "unicode")
    assert find_our_normalizer(ours.backend_tokenizer) is not None
    assert find_our_normalizer(tokenizer.backend_tokenizer) is None
    assert normalize_before(ours, "unicode") is ours
    assert normalize_before(ours, "none") is ours
    with pytest.raises(UserError, match="--normalize all: expected weights whose tokenizer does not normalise"):
        normalize_before(ours, "all")
