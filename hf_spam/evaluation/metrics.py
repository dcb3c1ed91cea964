"""The figures of each task, through an `evaluate` metric that needs no download.

With two labels, precision, recall and F1 are those of the positive one. With more labels, or several for a text, they
are unweighted means over the labels; `_weighted` means count each label as often as it occurs, `_micro` means count
all decisions together. Precision is 0 for a label that is never predicted, recall is 0 for one that never occurs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import datasets
import evaluate
import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    mean_absolute_error,
    mean_squared_error,
    precision_recall_fscore_support,
    r2_score,
)
from torch.nn import functional as F
from transformers import EvalPrediction

from ..data.labels import MULTI, REGRESSION, SINGLE, Task
from ..errors import one_line, shorten

METRICS = ("accuracy", "precision", "recall", "f1")
REGRESSION_METRICS = ("mse", "rmse", "mae", "r2")
PER_LABEL = ("precision", "recall", "f1", "messages")
WITHOUT_TWINS = "without_twins"  # of a split: the figures without near duplicates of the training split
_MOST_ROWS = 30  # of the table of labels
_THREE = ("precision", "recall", "f1")
ALL_METRICS = (*METRICS, *(f"{name}_{mean}" for mean in ("weighted", "micro") for name in _THREE), *REGRESSION_METRICS)


def metric_names(task: Task) -> tuple[str, ...]:
    """Return the names of a task's figures, in the order in which they are shown."""
    if task.problem_type == REGRESSION:
        return REGRESSION_METRICS
    if task.is_binary:
        return METRICS
    return (*METRICS, *(f"{name}_{'micro' if task.problem_type == MULTI else 'weighted'}" for name in _THREE))


def format_metric(name: str, value: float) -> str:
    """Return a figure as it is shown: a share in %, anything else as a number."""
    return f"{value:.3f}" if name in (*REGRESSION_METRICS, "loss") else f"{value:.2%}"


class ClassificationMetric(evaluate.Metric):
    """The figures of a task, computed from predictions and references.

    These are class ids (one of each per text), rows of 0 and 1 (one number for each label) with several labels for a
    text, or numbers with regression.

    Args:
        task: What the labels are; by default ham and spam.
    """

    def __init__(self, task: Task | None = None) -> None:
        self.task = task or Task()
        # In memory, because its cache files would be shared by all of the user's processes.
        super().__init__(keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        kind: Any = datasets.Value("float64" if self.task.problem_type == REGRESSION else "int64")
        if self.task.problem_type == MULTI:
            kind = datasets.List(kind)
        return evaluate.MetricInfo(
            description=f"{', '.join(metric_names(self.task))}; see {__name__}",
            citation="",
            inputs_description="predictions, references: one class id for each text, or see the class",
            features=datasets.Features(predictions=kind, references=kind),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        predictions, references = np.asarray(predictions), np.asarray(references)
        if self.task.problem_type == REGRESSION:
            mse = mean_squared_error(references, predictions)
            r2 = r2_score(references, predictions) if len(references) > 1 else float("nan")
            numbers = (mse, mse**0.5, mean_absolute_error(references, predictions), r2)
            return dict(zip(REGRESSION_METRICS, map(float, numbers), strict=True))
        options: dict[str, Any] = {} if self.task.problem_type == MULTI else {"labels": range(len(self.task.names))}
        if self.task.is_binary:
            options = {"average": "binary", "pos_label": self.task.positive_id}
        means = [{"average": "macro"} | options]
        if not self.task.is_binary:
            means.append(options | {"average": "micro" if self.task.problem_type == MULTI else "weighted"})
        figures = [accuracy_score(references, predictions)]
        for mean in means:
            figures += precision_recall_fscore_support(references, predictions, zero_division=0, **mean)[:3]
        return dict(zip(metric_names(self.task), map(float, figures), strict=True))


def decide(task: Task, logits: ArrayLike) -> NDArray[Any]:
    """Return what the logits `[N, num_labels]` predict, as the references of `ClassificationMetric` are."""
    logits = np.asarray(logits, dtype=np.float64)
    if task.problem_type == REGRESSION:
        return logits[:, 0]
    return (logits > 0).astype(np.int64) if task.problem_type == MULTI else logits.argmax(axis=-1)


def mean_loss(task: Task, logits: ArrayLike, references: ArrayLike) -> float:
    """Return the mean loss over all texts, as transformers' heads define it: cross-entropy, BCE or MSE."""
    scores, targets = torch.as_tensor(np.asarray(logits)).double(), torch.as_tensor(np.asarray(references))
    if task.problem_type == REGRESSION:
        return F.mse_loss(scores[:, 0], targets.double()).item()
    if task.problem_type == MULTI:
        return F.binary_cross_entropy_with_logits(scores, targets.double()).item()
    return F.cross_entropy(scores, targets.long()).item()


def report_figures(task: Task, logits: ArrayLike, references: ArrayLike) -> dict[str, Any]:
    """Return everything that is recorded of a set of texts.

    Args:
        task: What the labels are.
        logits: *Shape:* `[N, num_labels]`.
        references: As those of `ClassificationMetric`.

    Returns:
        The task's figures, `loss` and `messages`; with one label for each text the `confusion`; with more than two
        labels, or several for a text, the figures `per_label`.
    """
    predictions, references = decide(task, logits), np.asarray(references)
    figures: dict[str, Any] = ClassificationMetric(task).compute(predictions=predictions, references=references)
    figures |= {"loss": mean_loss(task, logits, references), "messages": len(references)}
    if task.problem_type == SINGLE:
        figures["confusion"] = confusion(references, predictions, len(task.names))
    if task.problem_type != REGRESSION and not task.is_binary:
        figures["per_label"] = per_label(task, predictions, references)
    return figures


def per_label(task: Task, predictions: NDArray[Any], references: NDArray[Any]) -> dict[str, dict[str, float]]:
    """Return `PER_LABEL` of each label: its precision, recall and F1, and how many texts have it."""
    options: dict[str, Any] = {} if task.problem_type == MULTI else {"labels": range(len(task.names))}
    columns = precision_recall_fscore_support(references, predictions, average=None, zero_division=0, **options)
    return {
        name: dict(zip(PER_LABEL, (*map(float, row[:3]), int(row[3])), strict=True))
        for name, row in zip(task.names, zip(*columns, strict=True), strict=True)
    }


def confusion(references: ArrayLike, predictions: ArrayLike, num_labels: int = 2) -> list[list[int]]:
    """Count texts by true label (rows) and predicted label (columns). *Shape:* `[num_labels, num_labels]`."""
    if not len(np.asarray(references)):  # scikit-learn refuses to count nothing
        return [[0] * num_labels for _ in range(num_labels)]
    counts: list[list[int]] = confusion_matrix(references, predictions, labels=range(num_labels)).tolist()
    return counts


def with_twins_apart(splits: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the figures of splits, and after the test split those of its messages without a twin in training."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, figures in splits.items():
        found[name] = figures
        if name == "test" and WITHOUT_TWINS in figures:
            found["test, new"] = figures[WITHOUT_TWINS]
    return found


def figures_table(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures of splits as a table, one row each, and those per label of the test split below it."""
    names = [name for name in (*ALL_METRICS, "loss") if name in next(iter(splits.values()))]
    rows = {
        split: [*(format_metric(name, figures[name]) for name in names), f"{figures['messages']:,}"]
        for split, figures in with_twins_apart(splits).items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[*names, "messages"]).to_string()
    labels = splits.get("test", {}).get("per_label")
    return f"{table}\n\ntest split, each label\n{label_table(labels)}" if labels else table


def label_table(labels: Mapping[str, Mapping[str, float]]) -> str:
    """Return the figures of each label as a table; of very many labels the worst, by F1."""
    shown = sorted(labels, key=lambda name: labels[name]["f1"])[:_MOST_ROWS] if len(labels) > _MOST_ROWS else labels
    rows = {
        shorten(one_line(name), 40): [
            *(format_metric(figure, labels[name][figure]) for figure in PER_LABEL[:3]),
            f"{labels[name]['messages']:,}",
        ]
        for name in shown
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(PER_LABEL)).to_string()
    return f"{table}\nthe {_MOST_ROWS} with the lowest F1 of {len(labels):,}" if len(labels) > _MOST_ROWS else table


def build_compute_metrics(task: Task | None = None) -> Callable[[EvalPrediction], dict[str, float]]:
    """Return a `compute_metrics` for the Trainer: what the logits `[N, num_labels]` predict, then the figures."""
    task = task or Task()
    metric = ClassificationMetric(task)

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        scores: dict[str, float] = metric.compute(
            predictions=decide(task, prediction.predictions),
            references=np.asarray(prediction.label_ids).astype(float if task.problem_type == REGRESSION else int),
        )
        return scores

    return compute_metrics
