"""Texts → labels: in any batches, in half the precision, one chunk ahead.   pytest tests/inference/test_classifier.py"""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset, DatasetDict
from support.strange_folders import write_model
from transformers import GPT2Tokenizer

from hf_spam import SpamClassifier, SpamGPTConfig, SpamGPTForSequenceClassification, UserError
from hf_spam.engines.loading import Precision
from hf_spam.inference.repeats import Repeats
from hf_spam.inference.texts import prefetch


@pytest.fixture(scope="module")
def texts(messages: pd.DataFrame) -> list[str]:
    """Real messages, and what nobody expects of one."""
    return [*messages["Text"].head(60), "", " ", "a" * 300, "<|endoftext|>", "\ud800 lone", "你好 🎉"]


def build(pooling: str = "last_token", **options: object) -> SpamGPTForSequenceClassification:
    torch.manual_seed(0)
    sizes = {"emb_dim": 32, "n_heads": 2, "n_layers": 2, "context_length": 128, "initializer_range": 0.2}
    labels = {"id2label": {0: "ham", 1: "spam"}}
    return SpamGPTForSequenceClassification(SpamGPTConfig(**sizes, **labels, pooling=pooling, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("pooling", ["last_token", "last_position"])
def test_the_budget_changes_nothing_but_the_speed(texts: list[str], tokenizer: GPT2Tokenizer, pooling: str) -> None:
    model = build(pooling)
    expected = torch.cat([SpamClassifier(model, tokenizer).logits([text]) for text in texts])
    assert expected.argmax(dim=1).unique().tolist() == [0, 1]
    seen: list[tuple[int, int]] = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    for budget in (1, 100, 700, 100_000):
        seen.clear()
        found = SpamClassifier(model, tokenizer, token_budget=budget).logits(texts)
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
        width = 128 if pooling == "last_position" else 0
        assert all(rows == 1 or rows * max(width, longest) <= budget for rows, longest in seen)
        assert len(seen) == (len(texts) if budget == 1 else len(seen))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token_budget": 0}, "--token_budget: expected a whole number from 1 to 100,000,000, found 0"),
        ({"token_budget": 1.5}, "--token_budget: expected a whole number from 1 to 100,000,000, found 1.5"),
        ({"token_budget": True}, "--token_budget: expected a whole number from 1"),
        ({"precision": "fp8"}, "--precision: expected fp32 or bf16, found 'fp8'"),
    ],
)
def test_options_of_no_such_value(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write_model(tmp_path / "model")
    with pytest.raises(UserError, match=message):
        SpamClassifier.from_pretrained(tmp_path / "model", **options)


@pytest.mark.parametrize("checkpoint", [None, 5, b"model", ["model"]])
def test_a_checkpoint_of_another_type(checkpoint: Any) -> None:
    with pytest.raises(
        TypeError, match=f"expected a folder or the name of a repository, found {type(checkpoint).__name__}"
    ):
        SpamClassifier.from_pretrained(checkpoint)


def test_no_texts(tokenizer: GPT2Tokenizer) -> None:
    classifier = SpamClassifier(build(), tokenizer)
    assert classifier([]) == []
    assert classifier.logits([]).shape == (0, 2)
    assert list(classifier.stream([])) == []


def test_long_texts_are_cut_with_one_warning(tokenizer: GPT2Tokenizer, caplog: pytest.LogCaptureFixture) -> None:
    classifier = SpamClassifier(build(), tokenizer)
    with caplog.at_level(logging.WARNING, logger="hf_spam"):
        long, cut, short = classifier.logits(["word " * 500, "word " * 128, "word"])
    assert [record.message for record in caplog.records] == [
        "2 of 3 texts have more than 128 tokens and were cut to that length"
    ]
    assert torch.equal(long, cut)
    assert not torch.equal(long, short)


def test_texts_of_any_kind(tokenizer: GPT2Tokenizer) -> None:
    """One text gives one prediction; whatever holds texts in order gives a list."""
    classifier = SpamClassifier(build(), tokenizer)
    expected = classifier(["See you", "Win a prize"])
    (one,) = classifier(["See you"])
    assert classifier("See you") == one
    assert torch.equal(classifier.logits("See you"), classifier.logits(["See you"])[0])
    assert classifier(np.str_("See you")) == one
    for texts in (
        ("See you", "Win a prize"),
        Dataset.from_dict({"text": ["See you", "Win a prize"]})["text"],
        pd.Series(["See you", "Win a prize"], index=[7, 3]),
        np.array(["See you", "Win a prize"]),
        np.array(["See you", "Win a prize"], dtype=object),
        iter(["See you", "Win a prize"]),
        (text for text in ["See you", "Win a prize"]),
    ):
        assert classifier(texts) == expected
    assert classifier(pd.Series([], dtype=str)) == []


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (b"See you", "found bytes"),
        (None, "found NoneType"),
        (5, "found int"),
        ({"See you": 1}, "found dict"),
        ({"See you"}, "found set"),
        (["See you", 5], "found int at position 1"),
        ([None], "found NoneType at position 0"),
        (["See you", float("nan")], "found float at position 1"),
        ([b"See you"], "found bytes at position 0"),
        ([["See you"]], "found list at position 0"),
        (np.array([1, 2]), "found int64 at position 0"),
        (np.array([["See you"]]), "found ndarray"),
        (np.array("See you"), "found ndarray"),
        (pd.DataFrame({"text": ["See you"]}), "found DataFrame. Pass its column of texts."),
        (Dataset.from_dict({"text": ["See you"]}), "found Dataset. Pass its column of texts: data['text']."),
        (DatasetDict({"train": Dataset.from_dict({"text": ["See you"]})}), "found DatasetDict"),
        (Path("a.txt"), "found PosixPath"),
        (pd.Series(["See you", None]), "at position 1"),
    ],
)
def test_no_texts_at_all(tokenizer: GPT2Tokenizer, texts: Any, found: str) -> None:
    classifier = SpamClassifier(build(), tokenizer)
    for call in (classifier, classifier.logits):
        with pytest.raises(
            TypeError, match="expected a string, or a list, Series, array or generator of strings, "
        ) as error:
            call(texts)
        assert found in str(error.value)


def test_several_threads_at_once(texts: list[str], tokenizer: GPT2Tokenizer) -> None:
    """Each gets its own results."""
    classifier = SpamClassifier(build(), tokenizer, token_budget=300)
    shares = [texts[start::4] for start in range(4)] * 4
    expected = [classifier.logits(share) for share in shares]
    classifier.repeats = Repeats()
    with ThreadPoolExecutor(8) as threads:
        for one, other in zip(threads.map(classifier.logits, shares), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_half_the_precision(
    texts: list[str], tokenizer: GPT2Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("half")
    build().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    whole, half = (SpamClassifier.from_pretrained(folder, precision=precision) for precision in precisions)
    assert (whole.model.dtype, half.model.dtype) == (torch.float32, torch.bfloat16)
    expected, found = whole.logits(texts), half.logits(texts)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found.softmax(dim=1), expected.softmax(dim=1), rtol=0, atol=0.05)


def test_a_stream_of_chunks(texts: list[str], tokenizer: GPT2Tokenizer) -> None:
    classifier = SpamClassifier(build(), tokenizer)
    chunks = [texts[:20], [], texts[20:21], texts[21:]]
    found = list(classifier.stream(iter(chunks)))
    assert [len(predictions) for predictions in found] == [20, 0, 1, len(texts) - 21]
    expected = SpamClassifier(build(), tokenizer)(texts)
    for one, other in zip([prediction for predictions in found for prediction in predictions], expected, strict=True):
        assert one.label == other.label
        assert one.score == pytest.approx(other.score, abs=1e-5)


def test_very_many_texts(texts: list[str], tokenizer: GPT2Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Window after window, in order."""
    classifier = SpamClassifier(build(), tokenizer)
    expected = classifier.logits(texts)
    classifier.repeats = Repeats()
    monkeypatch.setattr("hf_spam.inference.classifier._WINDOW", 25)
    torch.testing.assert_close(classifier.logits(texts), expected, rtol=0, atol=1e-5)


def test_the_next_item_is_made_meanwhile() -> None:
    made = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    for number in prefetch(items()):
        if number < 2:
            assert made[number + 1].wait(timeout=10)  # while this one is still in work
        if number == 0:
            assert not made[2].is_set()  # no further


def test_an_error_of_the_items_is_the_callers() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("torn file")

    drawn = prefetch(items())
    assert next(drawn) == 1
    with pytest.raises(ValueError, match="torn file"):
        next(drawn)
