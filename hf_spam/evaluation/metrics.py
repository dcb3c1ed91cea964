"""Accuracy, precision, recall and F1 as an `evaluate` metric that needs no download.

With two classes, precision, recall and F1 are those of the positive class, spam (id 1). With more classes they are
unweighted means over the classes. Precision is 0 for a class that is never predicted, recall is 0 for a class that
never occurs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support
from transformers import EvalPrediction

METRICS = ("accuracy", "precision", "recall", "f1")


class ClassificationMetric(evaluate.Metric):
    """All of `METRICS`, computed from predicted and true class ids (int64, one of each per text).

    Args:
        num_labels: Number of classes.
    """

    def __init__(self, num_labels: int = 2) -> None:
        self.num_labels = num_labels
        # In memory, because its cache files would be shared by all of the user's processes.
        super().__init__(keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=f"{', '.join(METRICS)} of class ids, see {__name__}",
            citation="",
            inputs_description="predictions, references: one class id for each text",
            features=datasets.Features(predictions=datasets.Value("int64"), references=datasets.Value("int64")),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        options: dict[str, Any] = {"average": "binary", "pos_label": 1}
        if self.num_labels != 2:
            options = {"average": "macro", "labels": list(range(self.num_labels))}
        scores = precision_recall_fscore_support(references, predictions, zero_division=0, **options)[:3]
        return dict(zip(METRICS, map(float, (accuracy_score(references, predictions), *scores)), strict=True))


def confusion(references: Sequence[int], predictions: Sequence[int], num_labels: int = 2) -> list[list[int]]:
    """Count texts by true label (rows) and predicted label (columns). *Shape:* `[num_labels, num_labels]`."""
    if not len(references):  # scikit-learn refuses to count nothing
        return [[0] * num_labels for _ in range(num_labels)]
    counts: list[list[int]] = confusion_matrix(references, predictions, labels=range(num_labels)).tolist()
    return counts


def build_compute_metrics(num_labels: int = 2) -> Callable[[EvalPrediction], dict[str, float]]:
    """Return a `compute_metrics` for the Trainer: the argmax of the logits `[N, num_labels]`, then `METRICS`."""
    metric = ClassificationMetric(num_labels)

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        scores: dict[str, float] = metric.compute(
            predictions=prediction.predictions.argmax(axis=-1),  # type: ignore[union-attr]
            references=prediction.label_ids,
        )
        return scores

    return compute_metrics
