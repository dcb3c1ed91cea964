"""Accuracy, precision, recall and F1 as `evaluate` metrics that need no download.

With two classes, precision, recall and F1 are those of the positive class, spam (id 1). With more classes they are
unweighted means over the classes. Precision is 0 for a class that is never predicted, recall is 0 for a class that
never occurs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score
from transformers import EvalPrediction

METRICS = ("accuracy", "precision", "recall", "f1")
_PER_CLASS: dict[str, Callable[..., float]] = {"precision": precision_score, "recall": recall_score, "f1": f1_score}


class ClassificationMetric(evaluate.Metric):
    """One of `METRICS`, computed from predicted and true class ids (int64, one of each per text).

    Args:
        name: Which of `METRICS`; also the key of the result.
        num_labels: Number of classes.

    Raises:
        ValueError: If the name is not one of `METRICS`.
    """

    def __init__(self, name: str, num_labels: int = 2) -> None:
        if name not in METRICS:
            raise ValueError(f"expected one of {', '.join(METRICS)}, found {name!r}")
        self.num_labels = num_labels
        # In memory, because its cache files would be shared by all of the user's processes.
        super().__init__(config_name=name, keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=f"{self.config_name} of class ids, see {__name__}",
            citation="",
            inputs_description="predictions, references: one class id for each text",
            features=datasets.Features(predictions=datasets.Value("int64"), references=datasets.Value("int64")),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        if self.config_name == "accuracy":
            return {"accuracy": float(accuracy_score(references, predictions))}
        options: dict[str, Any] = {"average": "binary", "pos_label": 1}
        if self.num_labels != 2:
            options = {"average": "macro", "labels": list(range(self.num_labels))}
        score = _PER_CLASS[self.config_name](references, predictions, zero_division=0, **options)
        return {self.config_name: float(score)}


def build_metrics(num_labels: int = 2) -> evaluate.CombinedEvaluations:
    """Return all `METRICS` as one `evaluate` object."""
    return evaluate.combine([ClassificationMetric(name, num_labels) for name in METRICS])


def confusion(references: Sequence[int], predictions: Sequence[int], num_labels: int = 2) -> list[list[int]]:
    """Count texts by true label (rows) and predicted label (columns). *Shape:* `[num_labels, num_labels]`."""
    if not len(references):  # scikit-learn refuses to count nothing
        return [[0] * num_labels for _ in range(num_labels)]
    counts: list[list[int]] = confusion_matrix(references, predictions, labels=range(num_labels)).tolist()
    return counts


def build_compute_metrics(num_labels: int = 2) -> Callable[[EvalPrediction], dict[str, float]]:
    """Return a `compute_metrics` for the Trainer: the argmax of the logits `[N, num_labels]`, then `build_metrics`."""
    metrics = build_metrics(num_labels)

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        scores: dict[str, float] = metrics.compute(
            predictions=prediction.predictions.argmax(axis=-1),  # type: ignore[union-attr]
            references=prediction.label_ids,
        )
        return scores

    return compute_metrics
