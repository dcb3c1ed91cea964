"""The figures of a report, each with a 95 % interval by bootstrap over groups of near duplicates.

Every figure is computed from weights of the messages: 1 for each is the figure itself, the counts of a resample give
the figure there. Whole groups are drawn, because copies of one message are no independent evidence. The same seed
draws the same resamples for every model, so that differences between models are paired.

The calibration error (ECE) has 15 bins of equal mass. With two labels it is about the score of the positive one, with
more about the score of the predicted one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.labels import MULTI, REGRESSION, Task

Array = NDArray[np.float64]
Measured = dict[str, Array]

RESAMPLES = 1000
SEED = 123
BUDGETS = (0.001, 0.005, 0.01)  # of blocked messages of the negative label
BINS = 15
_BLOCK = 2**18  # weights in memory at a time
_SMALLEST = 1e-15  # score in a logarithm, as scikit-learn takes it
_ROUNDING = 1e-12
_SURE = 0.5  # of several labels each counts above this score


@dataclass(frozen=True)
class Estimate:
    """A figure, its interval, and its value in every resample.

    Attributes:
        value: The figure.
        low: The lower end of the 95 % interval.
        high: The upper end.
        resampled: *Shape:* `[resamples]`.
    """

    value: float
    low: float
    high: float
    resampled: Array

    @classmethod
    def of(cls, values: Array) -> "Estimate":
        """Return the estimate of values, of which the first is the figure itself. *Shape:* `[1 + resamples]`."""
        rest = values[1:][np.isfinite(values[1:])]
        low, high = np.percentile(rest, [2.5, 97.5]) if len(rest) else (np.nan, np.nan)
        return cls(float(values[0]), float(low), float(high), values[1:])

    def minus(self, other: "Estimate") -> "Estimate":
        """Return the paired difference of two estimates from the same resamples."""
        return Estimate.of(np.concatenate([[self.value - other.value], self.resampled - other.resampled]))


def estimate(
    task: Task, labels: Array, scores: Array, groups: NDArray[np.int64], resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, Estimate]:
    """Return the figures of a task with their intervals.

    Args:
        task: What the labels are.
        labels: As `Task.targets` returns them. *Shape:* `[N]`, of several labels for a text `[N, num_labels]`.
        scores: From `SpamClassifier.scores`. *Shape:* `[N, num_labels]`.
        groups: The group of each message. *Shape:* `[N]`.
        resamples: How many are drawn.
        seed: Of the resamples.

    Returns:
        Estimates by name; a figure of one label of several is called `figure/label`.
    """
    measure = _measure(task, np.asarray(labels), np.asarray(scores, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        blocks = [measure(weights) for weights in resample(np.asarray(groups), resamples, seed)]
    return {name: Estimate.of(np.concatenate([block[name] for block in blocks])) for name in blocks[0]}


def resample(groups: NDArray[np.int64], resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[Array]:
    """Yield how often each message is in each resample, in blocks; at first 1 for each message.

    Yields:
        *Shape:* `[block, N]`.
    """
    yield np.ones((1, len(groups)))
    random, number = np.random.default_rng(seed), int(groups.max()) + 1
    size = max(1, _BLOCK // max(len(groups), number))
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        drawn = random.integers(number, size=(rows, number)) + number * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * number).reshape(rows, number)
        yield counts[:, groups].astype(np.float64)


def rates(target: NDArray[np.bool_], score: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Return each different score, the highest first, and the weight of what has at least it: targets, and others.

    Args:
        target: Which messages have the label. *Shape:* `[N]`.
        score: The label's score. *Shape:* `[N]`.
        weights: *Shape:* `[R, N]`.

    Returns:
        The scores `[S]`, the targets `[R, S]` and the others `[R, S]`.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    ordered = weights[:, order]
    every = np.cumsum(ordered, axis=1)[:, ends]
    hits = np.cumsum(ordered * target[order], axis=1)[:, ends]
    return score[order][ends], hits, every - hits


def bins_of(score: Array) -> NDArray[np.int64]:
    """Return the bin of each score, of equal mass; equal scores share one. *Shape:* `[N]`."""
    edges = np.unique(np.quantile(score, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, score, side="left")


def _measure(task: Task, labels: Array, scores: Array) -> Callable[[Array], Measured]:
    if task.problem_type == REGRESSION:
        return lambda weights: _numbers(labels, scores[:, 0], weights)
    if task.is_binary:
        id_ = task.positive_id
        return lambda weights: _two(labels == id_, scores[:, id_], scores.argmax(axis=1) == id_, weights)
    return lambda weights: _many(task, labels, scores, weights)


def _two(
    target: NDArray[np.bool_], score: Array, chosen: NDArray[np.bool_], weights: Array, whole: bool = True
) -> Measured:
    hit, false, missed, right = (
        weights @ mask.astype(np.float64)
        for mask in (target & chosen, ~target & chosen, target & ~chosen, ~target & ~chosen)
    )
    total = weights.sum(axis=1)
    product = np.sqrt((hit + false) * (hit + missed) * (right + false) * (right + missed))
    found: Measured = {
        "accuracy": (hit + right) / total,
        "precision": _share(hit, hit + false),
        "recall": _share(hit, hit + missed),
        "f1": _share(2 * hit, 2 * hit + false + missed),
        "mcc": _share(hit * right - false * missed, product),
        "blocked": np.where(false + right > 0, false / (false + right), np.nan),
    }
    clipped = np.clip(score, _SMALLEST, 1 - _SMALLEST)
    if whole:
        found["log_loss"] = weights @ -np.log(np.where(target, clipped, 1 - clipped)) / total
        found["brier"] = weights @ (score - target) ** 2 / total
        found["ece"] = _calibration_error(score, target, weights)
    _, hits, others = rates(target, score, weights)
    caught, blocked = hits / hits[:, -1:], others / others[:, -1:]
    found["roc_area"] = np.asarray(np.trapezoid(_from_zero(caught), _from_zero(blocked), axis=1))
    precise = np.where(hits + others > 0, hits / (hits + others), 0)
    found["pr_area"] = (np.diff(caught, axis=1, prepend=0) * precise).sum(axis=1)
    for budget in BUDGETS if whole else ():
        within = np.where(blocked <= budget + _ROUNDING, caught, 0).max(axis=1)
        found[f"caught_at_{budget:g}"] = np.where(np.isfinite(found["roc_area"]), within, np.nan)
    return found


def _many(task: Task, labels: Array, scores: Array, weights: Array) -> Measured:
    several, total = task.problem_type == MULTI, weights.sum(axis=1)
    each = np.arange(len(task.names))
    target = labels > _SURE if several else labels[:, None] == each
    chosen = scores > _SURE if several else scores.argmax(axis=1)[:, None] == each
    found: Measured = {"accuracy": weights @ (target == chosen).all(axis=1).astype(np.float64) / total}
    clipped = np.clip(scores, _SMALLEST, 1 - _SMALLEST)
    if several:
        losses = -np.log(np.where(target, clipped, 1 - clipped)).mean(axis=1)
        found["brier"] = weights @ ((scores - target) ** 2).mean(axis=1) / total
    else:
        losses = -np.log(clipped[np.arange(len(labels)), labels.astype(np.int64)])
        found["brier"] = weights @ ((scores - target) ** 2).sum(axis=1) / total
        right: NDArray[np.bool_] = np.asarray((target & chosen).any(axis=1))
        found["ece"] = _calibration_error(scores.max(axis=1), right, weights)
        true, predicted = (weights @ mask.astype(np.float64) for mask in (target, chosen))  # [R, num_labels]
        same = weights @ (target & chosen).any(axis=1).astype(np.float64)
        spread = np.sqrt((total**2 - (true**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1)))
        found["mcc"] = _share(same * total - (true * predicted).sum(axis=1), spread)
    found["log_loss"] = weights @ losses / total
    labelled = [_two(target[:, id_], scores[:, id_], chosen[:, id_], weights, whole=False) for id_ in each]
    for name in ("precision", "recall", "f1", "roc_area", "pr_area"):
        found[f"{name}_macro"] = np.stack([own[name] for own in labelled]).mean(axis=0)
    hit, predicted, true = (
        weights @ mask.sum(axis=1).astype(np.float64) for mask in (target & chosen, chosen, target)
    )
    found["precision_micro"], found["recall_micro"] = _share(hit, predicted), _share(hit, true)
    found["f1_micro"] = _share(2 * hit, predicted + true)
    for label, own in zip(task.names, labelled, strict=True):
        found |= {f"{name}/{label}": values for name, values in own.items() if name not in ("accuracy", "mcc")}
    return found


def _numbers(target: Array, number: Array, weights: Array) -> Measured:
    total = weights.sum(axis=1)
    squares = weights @ (number - target) ** 2 / total
    spread: Array = weights @ target**2 / total - (weights @ target / total) ** 2
    found = {"rmse": np.sqrt(squares), "mae": weights @ np.abs(number - target) / total, "mse": squares}
    return found | {"r2": np.where(spread > _ROUNDING, 1 - squares / spread, np.nan)}


def _calibration_error(score: Array, right: NDArray[np.bool_], weights: Array) -> Array:
    """Return the mean over bins of how far the mean score is from the share that is right, by mass. *Shape:* `[R]`."""
    of_bin = np.eye(BINS)[bins_of(score)]  # [N, BINS]
    return np.abs(weights @ (of_bin * (score - right)[:, None])).sum(axis=1) / weights.sum(axis=1)


def _share(part: Array, whole: Array) -> Array:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0.0)


def _from_zero(values: Array) -> Array:
    return np.concatenate([np.zeros((len(values), 1)), values], axis=1)


def plain_numbers(value: Any) -> Any:
    """Return numbers as JSON has them: no number is null."""
    if isinstance(value, dict):
        return {str(key): plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain_numbers(item) for item in value]
    if isinstance(value, np.generic):
        return plain_numbers(value.item())
    return None if isinstance(value, float) and not np.isfinite(value) else value
