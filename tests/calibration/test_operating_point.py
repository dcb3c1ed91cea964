"""The operating point: folded into a head, it decides where it was chosen.   pytest tests/calibration"""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from hf_spam import UserError
from hf_spam.calibration.operating_point import choose_point, fold, folded_lead
from hf_spam.calibration.resplitting import try_promise
from hf_spam.calibration.risk import Promise
from hf_spam.calibration.scores import calibration_error, fit_temperature, lead, log_loss
from hf_spam.checkpoint.operating_point import read_point
from hf_spam.data.labels import Task
from hf_spam.data.splits import SPAM

THREE = Task(("ham", "offer", "spam"), positive="spam")


def draw(task: Task, number: int = 4000, sharpness: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that know the labels, `sharpness` times too sure of it."""
    random = np.random.default_rng(3)
    labels = random.choice(len(task.names), size=number)
    true = random.normal(size=(number, len(task.names))) + 4 * np.eye(len(task.names))[labels]
    return sharpness * true, labels


@pytest.mark.parametrize("task", [SPAM, THREE], ids=["two", "three"])
def test_folded_in(task: Task) -> None:
    """The head decides as the threshold does, for every label; one message of each group counts."""
    logits, labels = draw(task)
    groups = list(range(len(labels)))
    point = choose_point(logits, labels.tolist(), groups, task, Promise(0.01), Promise(0.05))
    head = nn.Linear(len(task.names), len(task.names)).double()
    with torch.no_grad():
        head.weight.copy_(torch.eye(len(task.names)))
        head.bias.zero_()
    fold(head, point, task)
    folded = head(torch.tensor(logits)).detach().numpy()
    positive = task.positive_id
    scores = lead(folded, positive)
    assert scores == pytest.approx(folded_lead(logits, point, task))
    spam = labels == positive
    assert (scores[~spam] >= 0).sum() == point.stopped == Promise(0.01).allowed((~spam).sum())
    assert (scores[spam] >= 0).mean() == point.caught
    assert point.unsure is not None
    assert point.unsure < 0
    assert sum(point.decide(score) != "allow" for score in scores[~spam]) == Promise(0.05).allowed((~spam).sum())
    assert {point.decide(score) for score in scores} == {"allow", "unsure", "block"}
    if len(task.names) == 2:
        assert ((folded.argmax(axis=1) == positive) == (scores >= 0)).all()


def test_near_duplicates_count_once() -> None:
    """A thousand copies of one message promise nothing."""
    logits, labels = draw(SPAM, 1000)
    with pytest.raises(UserError, match=r"expected at least 598 messages.*found 1\. 597 are missing"):
        choose_point(logits, labels.tolist(), [0] * 1000, SPAM, Promise(0.005))


def test_the_temperature() -> None:
    logits, labels = draw(SPAM, 20_000)
    temperature = fit_temperature(logits, labels)
    best = min(np.linspace(0.2, 5, 97), key=lambda divisor: log_loss(logits / divisor, labels))
    assert temperature == pytest.approx(best, abs=0.06)
    before, after = (
        calibration_error(expit(lead(logits / divisor, 1)), labels == 1) for divisor in (1.0, temperature)
    )
    assert after < before / 2
    assert after < 0.01


def test_calibration_error() -> None:
    """By hand: a bin of one message that is 0.1 off, and one of three that are 0.9 - 2/3 off."""
    assert calibration_error([0.1, 0.9, 0.9, 0.9], [0, 1, 1, 0], bins=2) == pytest.approx(
        0.1 / 4 + (0.9 - 2 / 3) * 3 / 4
    )
    assert np.isnan(calibration_error([], []))


def test_the_promise_on_unseen_groups() -> None:
    logits, labels = draw(SPAM, 3000, sharpness=1)
    groups = [number // 2 for number in range(3000)]
    trial = try_promise(logits, labels.tolist(), groups, SPAM, Promise(0.02), resplits=60)
    assert trial is not None
    assert trial.broken <= 5
    assert 0.8 < trial.caught <= 1
    assert try_promise(logits[:300], labels[:300].tolist(), groups[:300], SPAM, Promise(0.005)) is None


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0}, {"temperature": "1"}, {"positive": "eggs"}, {"threshold": True}, {"bound": float("nan")},
     {"budget": None}, {"more": 1}, {"stopped": 10**13}],
    ids=str,
)  # fmt: skip
def test_a_strangers_point(change: dict[str, object]) -> None:
    logits, labels = draw(SPAM)
    values = choose_point(logits, labels.tolist(), range(len(labels)), SPAM, Promise(0.01)).to_dict()
    names = dict(enumerate(SPAM.names))
    assert read_point(None, names, Path("config.json")) is None
    found = read_point(values, names, Path("config.json"))
    assert found is not None
    assert found.to_dict() == values
    with pytest.raises(UserError, match=r"config\.json: expected"):
        read_point(values | change, names, Path("config.json"))
