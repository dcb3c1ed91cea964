"""The metrics: scikit-learn's figures through evaluate, with the network cut.   pytest tests/evaluation/test_metrics.py"""

import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from transformers import EvalPrediction

from hf_spam.data.labels import Task
from hf_spam.evaluation.metrics import METRICS, ClassificationMetric, build_compute_metrics


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to connect fails the test."""
    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail(f"tried to connect: {args}"))


ids = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30)


@given(pairs=ids)
def test_two_classes(pairs: list[tuple[int, int]]) -> None:
    predictions, references = map(list, zip(*pairs, strict=True))
    found = ClassificationMetric().compute(predictions=predictions, references=references)
    assert found == {
        "accuracy": pytest.approx(np.mean(np.equal(predictions, references))),
        "precision": pytest.approx(sk.precision_score(references, predictions, zero_division=0)),
        "recall": pytest.approx(sk.recall_score(references, predictions, zero_division=0)),
        "f1": pytest.approx(sk.f1_score(references, predictions, zero_division=0)),
    }


def test_spam_is_the_positive_class() -> None:
    found = ClassificationMetric().compute(predictions=[1, 1, 1, 0], references=[1, 0, 0, 1])
    assert found == {"accuracy": 0.25, "precision": pytest.approx(1 / 3), "recall": 0.5, "f1": pytest.approx(0.4)}


def test_more_classes_are_averaged() -> None:
    found = ClassificationMetric(Task(("a", "b", "c"))).compute(predictions=[0, 1, 1], references=[0, 1, 0])
    assert found["recall"] == pytest.approx((0.5 + 1 + 0) / 3)  # class 2 never occurs and counts 0


def test_by_batches() -> None:
    metric = ClassificationMetric()
    metric.add_batch(predictions=[0, 1], references=[0, 0])
    metric.add_batch(predictions=[1], references=[1])
    assert metric.compute() == {
        "accuracy": pytest.approx(2 / 3),
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
    }


def test_for_the_trainer() -> None:
    logits = np.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    found = build_compute_metrics()(EvalPrediction(predictions=logits, label_ids=np.array([0, 1, 1])))
    assert list(found) == list(METRICS)
    assert found["accuracy"] == pytest.approx(2 / 3)
