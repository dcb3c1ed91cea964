"""Logits to what each kind of client expects."""

from collections.abc import Sequence
from typing import Any

from ..checkpoint.operating_point import OperatingPoint
from ..engines.engine import Logits, sigmoid, softmax
from ..inference.classifier import SpamClassifier
from .shapes import Classified


def transform(logits: Logits, function: str | None, classifier: SpamClassifier) -> Logits:
    """Turn logits into scores by a named function, or by that which suits the model.

    Args:
        logits: *Shape:* `[N, num_labels]`.
        function: softmax, sigmoid or none; `None` for the model's own.
        classifier: The model.

    Returns:
        *Shape:* `[N, num_labels]`.
    """
    if function is None:
        return classifier.to_scores(logits)
    return {"softmax": softmax, "sigmoid": sigmoid, "none": lambda rows: rows}[function](logits)


def ranked(row: Sequence[float], labels: Sequence[str], top_k: int | None) -> list[dict[str, Any]]:
    """Return the labels of a text with their scores, the highest first, at most `top_k`."""
    order = sorted(range(len(row)), key=lambda id_: -row[id_])[:top_k]
    return [{"label": labels[id_], "score": row[id_]} for id_ in order]


def classified(rows: Sequence[Sequence[float]], labels: Sequence[str]) -> list[Classified]:
    """Return the likeliest label of each text beside all its probabilities."""
    return [
        Classified(index=index, label=labels[row.index(max(row))], probs=list(row), num_classes=len(labels))
        for index, row in enumerate(rows)
    ]


def decided(rows: Sequence[Sequence[float]], labels: Sequence[str], point: OperatingPoint) -> list[dict[str, Any]]:
    """Return what becomes of each text, beside its likeliest label."""
    decisions = point.decide_all(rows, labels)
    return [{**ranked(row, labels, 1)[0], "decision": decision} for row, decision in zip(rows, decisions, strict=True)]
