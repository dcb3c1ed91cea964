"""The pictures of a report, each drawn for the model and its baselines."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..data.labels import REGRESSION, Task
from ..errors import one_line, shorten
from .figures import bins_of, rates

Scores = Mapping[str, NDArray[np.float64]]
_MOST_LABELS = 6  # with a curve of their own
_BARS = 25


def draw(task: Task, labels: NDArray[Any], scores: Scores) -> dict[str, bytes]:
    """Return the pictures as PNG by name.

    Args:
        task: What the labels are.
        labels: As `Task.targets` returns them.
        scores: Of each model, the reported one first. *Shape:* `[N, num_labels]`.
    """
    if task.problem_type == REGRESSION:
        return {"scatter": _png(lambda axes: _scatter(axes, labels, next(iter(scores.values()))[:, 0]))}
    lines: dict[str, tuple[NDArray[np.bool_], NDArray[np.float64]]] = {}
    if task.is_binary:
        id_ = task.positive_id
        for name, own in scores.items():
            lines[name] = (labels == id_, own[:, id_])
    else:
        first = next(iter(scores.values()))
        for id_, label in enumerate(task.names[:_MOST_LABELS]):
            target = labels[:, id_] > 0 if labels.ndim == 2 else labels == id_
            lines[shorten(one_line(label), 24)] = (target, first[:, id_])
    lines = {name.replace("$", r"\$"): line for name, line in lines.items() if 0 < line[0].sum() < len(line[0])}
    if not lines:
        return {}
    whose = one_line(f"{task.positive} score" if task.is_binary else "score").replace("$", r"\$")
    return {
        "roc": _png(lambda axes: _roc(axes, lines)),
        "precision-recall": _png(lambda axes: _precision_recall(axes, lines)),
        "calibration": _png(lambda axes: _calibration(axes, lines, whose)),
        "scores": _png(lambda axes: _histogram(axes, lines, task, whose)),
    }


def _png(paint: Callable[[Any], None]) -> bytes:
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    paint(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _roc(axes: Any, lines: Mapping[str, Any]) -> None:
    for number, (name, (target, score)) in enumerate(lines.items()):
        _, hits, others = rates(target, score, np.ones((1, len(score))))
        if len(hits[0]) > 1:
            axes.step(
                [0, *others[0] / others[0, -1]], [0, *hits[0] / hits[0, -1]], where="post", **_style(number, name)
            )
    axes.set_xscale("symlog", linthresh=1e-3)  # what matters is on the left
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.001, 0.01, 0.1, 1], ["0", "0.1 %", "1 %", "10 %", "100 %"])
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("False positive rate")
    axes.set_ylabel("Recall")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")


def _precision_recall(axes: Any, lines: Mapping[str, Any]) -> None:
    for number, (name, (target, score)) in enumerate(lines.items()):
        _, hits, others = rates(target, score, np.ones((1, len(score))))
        if len(hits[0]) > 1:
            axes.plot(hits[0] / hits[0, -1], hits[0] / (hits[0] + others[0]), **_style(number, name))
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("Recall")
    axes.set_ylabel("Precision")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower left")


def _calibration(axes: Any, lines: Mapping[str, Any], whose: str) -> None:
    axes.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
    for number, (name, (target, score)) in enumerate(lines.items()):
        of_bin = bins_of(score)
        if len(np.unique(of_bin)) > 1:
            means = [(score[of_bin == bin_].mean(), target[of_bin == bin_].mean()) for bin_ in np.unique(of_bin)]
            axes.plot(*zip(*means, strict=True), marker="o", markersize=3, **_style(number, name))
    axes.set_xlabel(f"Mean {whose} of a bin")
    axes.set_ylabel("Share that has the label")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="upper left")


def _histogram(axes: Any, lines: Mapping[str, Any], task: Task, whose: str) -> None:
    target, score = next(iter(lines.values()))
    names = [str(task.positive), next(name for name in task.names if name != task.positive)] if task.is_binary else []
    names = [shorten(one_line(name), 24).replace("$", r"\$") for name in names] or ["with the label", "without it"]
    parts = [score[target], score[~target]]
    axes.hist(parts, bins=np.linspace(0, 1, _BARS + 1).tolist(), label=names, color=["C3", "C0"])
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(whose.capitalize() if task.is_binary else f"Score of {next(iter(lines))}")
    axes.set_ylabel("Messages")
    axes.legend(fontsize="small", loc="upper center")


def _scatter(axes: Any, labels: NDArray[Any], numbers: NDArray[np.float64]) -> None:
    ends = [min(labels.min(), numbers.min()), max(labels.max(), numbers.max())]
    axes.plot(ends, ends, color="gray", linewidth=0.8, linestyle=":")
    axes.plot(labels, numbers, "o", markersize=3, alpha=0.5)
    axes.set_xlabel("Number given")
    axes.set_ylabel("Number predicted")
    axes.grid(alpha=0.3)


def _style(number: int, name: str) -> dict[str, Any]:
    return {"color": f"C{number}", "linewidth": 1.0 if number else 2.0, "label": name}
