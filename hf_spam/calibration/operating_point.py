"""Choose where a model decides, and fold that into its head."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from ..checkpoint.operating_point import OperatingPoint
from ..data.labels import Task
from ..errors import UserError
from .risk import Promise, choose_threshold, one_of_each, upper_bound
from .scores import Floats, fit_temperature, lead


def choose_point(
    logits: ArrayLike,
    labels: Sequence[int],
    groups: Sequence[int],
    task: Task,
    promise: Promise,
    unsure: Promise | None = None,
) -> OperatingPoint:
    """Choose temperature and threshold on messages that the model has not seen in training.

    Args:
        logits: *Shape:* `[N, num_labels]`.
        labels: The id of each message's label.
        groups: The group of near duplicates of each message; of each, the message with the highest score counts.
        task: The labels, with a positive one.
        promise: How many other messages may be blocked.
        unsure: How many may be blocked or unsure.

    Raises:
        UserError: If there are too few messages for the promise, with how many are missing.
    """
    if task.positive is None:
        raise UserError("expected a positive label, found none. Name it with --positive_label.")
    positive, ids = task.names.index(task.positive), np.asarray(labels)
    temperature = fit_temperature(logits, ids)
    scores = lead(np.asarray(logits, dtype=np.float64) / temperature, positive)
    others = ids != positive
    highest = one_of_each(scores[others], np.asarray(groups)[others].tolist())
    threshold = choose_threshold(highest, promise)
    if threshold is None:
        raise UserError(too_few(len(highest), promise, task.positive))
    lower = choose_threshold(highest, unsure) if unsure is not None else None
    stopped = int((highest >= threshold).sum())
    return OperatingPoint(
        positive=task.positive,
        temperature=temperature,
        threshold=threshold,
        unsure=None if lower is None else min(0.0, lower - threshold),
        budget=promise.budget,
        confidence=promise.confidence,
        groups=len(highest),
        stopped=stopped,
        bound=upper_bound(stopped, len(highest), promise.confidence),
        caught=float((scores[~others] >= threshold).mean()) if (~others).any() else math.nan,
        unsure_budget=None if unsure is None else unsure.budget,
    )


def too_few(found: int, promise: Promise, positive: str) -> str:
    """Return what to say where there are too few messages for a promise."""
    needed = promise.needed()
    return (
        f"--budget {promise.budget:g} with --confidence {promise.confidence:g}: expected at least {needed:,} messages "
        f"other than {positive}, no two of them alike, that the model was not trained on; found {found:,}. "
        f"{needed - found:,} are missing: give more messages, or choose a larger budget."
    )


@torch.no_grad()
def fold(head: nn.Linear, point: OperatingPoint, task: Task) -> None:
    """Scale and shift a classifier's head, so that it decides at the operating point.

    Args:
        head: Changed in place. *Shape of its weight:* `[num_labels, width]`; it needs a bias.
        point: What to fold in.
        task: The labels.
    """
    head.weight.div_(point.temperature)
    head.bias.div_(point.temperature)
    head.bias[task.names.index(point.positive)] -= point.threshold


def folded_lead(logits: ArrayLike, point: OperatingPoint, task: Task) -> Floats:
    """Return the positive label's lead that a model would give with the point in its head.

    Args:
        logits: Without it. *Shape:* `[N, num_labels]`.
        point: What would be folded in.
        task: The labels.

    Returns:
        *Shape:* `[N]`.
    """
    scaled = np.asarray(logits, dtype=np.float64) / point.temperature
    return np.asarray(lead(scaled, task.names.index(point.positive)) - point.threshold)
