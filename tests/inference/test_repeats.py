"""Texts that come again are scored once, and as they would be; what a changed model scored is forgotten.

pytest tests/inference/test_repeats.py
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hf_spam import SpamClassifier
from hf_spam.engines.engine import Logits
from hf_spam.engines.torch_engine import TorchEngine
from hf_spam.inference.repeats import Repeats

TEXTS = ["WIN a prize now", "see you at eight then", "call 09061234567 now to claim"]


@pytest.fixture
def classifier(tiny_run: Callable[[str], Path]) -> SpamClassifier:
    return SpamClassifier.from_pretrained(tiny_run("last_token"))


def count(classifier: SpamClassifier, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows the model gets, call by call."""
    rows: list[int] = []
    model: Any = classifier.model
    forward = model.forward

    def counting(input_ids: torch.Tensor, *args: Any, **options: Any) -> Any:
        rows.append(len(input_ids))
        return forward(input_ids, *args, **options)

    monkeypatch.setattr(model, "forward", counting)
    return rows


def test_a_text_is_scored_once(classifier: SpamClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    right = classifier._score(classifier.tokenize(TEXTS), None)
    rows = count(classifier, monkeypatch)
    many = [TEXTS[number % 2] for number in range(100)]
    logits = classifier.logits(many)
    assert sum(rows) == 2
    assert torch.equal(logits, classifier.logits(many))
    assert np.allclose(logits, right[[number % 2 for number in range(100)]], atol=1e-5)
    assert classifier([*TEXTS, TEXTS[0]])[0] == classifier(TEXTS[0])
    assert sum(rows) == 3  # the third text was new
    assert [len(chunk) for chunk in classifier.stream([many, TEXTS])] == [100, 3]
    assert sum(rows) == 3


def test_a_file_scores_alike_however_often_it_is_interrupted(
    run: Callable[..., tuple[int, str, str]],
    tiny_run: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is remembered from part to part: a run that goes on has not seen the parts before."""
    rows: list[int] = []
    score = SpamClassifier._score

    def counting(self: SpamClassifier, ids: list[list[int]], max_padding: int | None) -> Logits:
        rows.append(len(ids))
        return score(self, ids, max_padding)

    monkeypatch.setattr(SpamClassifier, "_score", counting)
    half = [f"message {number % 512}" for number in range(1024)]
    (tmp_path / "in.txt").write_text("\n".join(half + half))
    argv = ["predict", tiny_run("last_token"), "--input", tmp_path / "in.txt", "--output", tmp_path / "out.csv"]
    assert run(*argv)[0] == 0
    assert rows == [512, 512]


@pytest.mark.parametrize(
    "change",
    [
        lambda model: nn.init.zeros_(model.score.weight),
        lambda model: setattr(model, "score", nn.Linear(model.score.in_features, 2)),
        lambda model: model.load_state_dict({name: -tensor for name, tensor in model.state_dict().items()}),
        lambda model: setattr(model, "score", nn.Identity()),
    ],
    ids=["in place", "another head", "loaded", "no head"],
)
def test_a_changed_model_forgets(classifier: SpamClassifier, change: Callable[[Any], object]) -> None:
    before = classifier.logits(TEXTS)
    with torch.no_grad():
        change(classifier.model)
    after = classifier.logits(TEXTS)
    assert np.array_equal(after, classifier._score(classifier.tokenize(TEXTS), None))
    assert after.shape != before.shape or not torch.allclose(after, before)


def test_dropout_is_not_remembered() -> None:
    asked = []

    def compute(rows: list[int]) -> Logits:
        asked.append(len(rows))
        return np.zeros((len(rows), 2), np.float32)

    repeats, model = Repeats(), nn.Linear(1, 2)
    engine = TorchEngine(model)  # type: ignore[arg-type]
    for training in (True, False):
        model.train(training)
        for _ in range(2):
            repeats.score([[1, 2], [1, 2]], engine.version(), compute)
    assert asked == [2, 2, 1]


def test_the_least_recently_used_is_forgotten() -> None:
    repeats, asked = Repeats(capacity=4), []

    def score(number: int) -> None:
        def compute(rows: list[int]) -> Logits:
            asked.append(number)
            return np.array([[0, number]] * len(rows), np.float32)

        assert repeats.score([[number]], [], compute).tolist() == [[0, number]]

    for number in (1, 2, 1, 3, 1, 2):
        score(number)
    assert asked == [1, 2, 3, 2]


def test_threads() -> None:
    """Each of eight threads gets its own texts' scores, while what is remembered changes under it."""
    repeats, wrong = Repeats(capacity=50), []

    def ask(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(200):
            ids = torch.randint(0, 100, (20, 1), generator=generator)  # what a row scores is its id
            found = repeats.score(ids.tolist(), [], ids.float().numpy().__getitem__)
            if not np.array_equal(found, ids.numpy()):
                wrong.append(ids)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(repeats._known) <= 50
