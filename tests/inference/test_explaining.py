"""What each word does to a label, by leaving it out.   pytest tests/inference/test_explaining.py"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hf_spam import SpamClassifier, UserError
from hf_spam.data.labels import MULTI, REGRESSION, Task
from hf_spam.inference.explaining import describe_weights, explain, log_odds
from hf_spam.inference.gradients import integrate

TEXT = "Free entry:  claim your prize now"


def test_a_weight_is_the_fall_without_the_word(
    tiny_run: Callable[[str], Path], run: Callable[..., tuple[int, str, str]]
) -> None:
    folder = tiny_run("last_token")
    classifier = SpamClassifier.from_pretrained(folder)
    found = explain(classifier, TEXT, Task())
    assert [one.word for one in found.weights] == TEXT.split()
    assert all(TEXT[one.start : one.end] == one.word for one in found.weights)
    odds = [
        float(row[1] - row[0])
        for row in classifier.logits([TEXT, "Free entry:  claim your now", "entry:  claim your prize now"])
    ]
    assert found.log_odds == pytest.approx(odds[0], abs=1e-5)
    assert found.weights[4].weight == pytest.approx(odds[0] - odds[1], abs=1e-5)
    assert found.weights[0].weight == pytest.approx(odds[0] - odds[2], abs=1e-5)
    other = explain(classifier, TEXT, Task(positive="ham"))
    assert other.label == "ham"
    assert [one.weight for one in other.weights] == pytest.approx([-one.weight for one in found.weights], abs=1e-6)
    assert describe_weights(found).count("* ") == 3

    _, output, _ = run("predict", folder, "--explain", TEXT)
    assert len(output.splitlines()) == 2 + 6
    _, output, _ = run("predict", folder, "--explain", "--json", TEXT)
    assert [one["word"] for one in json.loads(output)["explanation"]["weights"]] == TEXT.split()
    with pytest.raises(UserError, match="at most 1,000 words"):
        explain(classifier, "a " * 1001, Task())


def test_log_odds_of_each_kind_of_task() -> None:
    logits = torch.tensor([[1.0, 2.0, -1.0]])
    share = logits.double().softmax(dim=1)[0, 1]
    assert log_odds(logits, 1, Task(("a", "b", "c"))).item() == pytest.approx(float((share / (1 - share)).log()))
    assert log_odds(logits, 1, Task(("a", "b", "c"), MULTI)).item() == 2
    assert log_odds(logits[:, :1], 0, Task(("score",), REGRESSION)).item() == 1


@pytest.mark.explain
@pytest.mark.parametrize("rule", ["last_token", "last_position"])
def test_integrated_gradients_are_complete(
    tiny_run: Callable[[str], Path], run: Callable[..., tuple[int, str, str]], rule: str
) -> None:
    """The weights of the words and the log-odds of a text without them sum to the text's own."""
    folder = tiny_run(rule)
    classifier = SpamClassifier.from_pretrained(folder)
    found = integrate(classifier, TEXT, Task())
    odds = log_odds(classifier.logits([TEXT]), 1, Task()).item()
    assert found.rest is not None
    assert found.log_odds == pytest.approx(odds, abs=1e-4)
    assert found.rest + sum(one.weight for one in found.weights) == pytest.approx(odds, abs=0.02)
    assert [one.word for one in found.weights] == TEXT.split()
    assert max(abs(one.weight) for one in found.weights) > 0
    code, output, _ = run("predict", folder, "--explain", "--explain_method", "integrated_gradients", TEXT)
    assert code == 0
    assert "of them without words" in output
    with pytest.raises(UserError, match="expected a text of 1 to"):
        integrate(classifier, "word " * 999, Task())


def test_integrated_gradients_need_captum(
    tiny_run: Callable[[str], Path], run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    code, _, error = run(
        "predict", tiny_run("last_token"), "--explain", "--explain_method", "integrated_gradients", TEXT
    )
    assert code == 2
    assert 'needs captum: pip install "hf_spam[explain]"' in error
    code, _, error = run("predict", tiny_run("last_token"), "--explain_method", "integrated_gradients", TEXT)
    assert code == 2
    assert "--explain_method: expected --explain beside it" in error
