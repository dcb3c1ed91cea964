"""Does a promise hold on messages that it was not made on? Drawn many times from groups of near duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.labels import Task
from ..errors import UserError
from .operating_point import choose_point, folded_lead
from .risk import Promise, one_of_each


@dataclass(frozen=True)
class Trial:
    """How often a promise was broken.

    Attributes:
        budget: The promised share.
        resplits: How often messages were divided anew.
        broken: In how many of these more of the unseen groups were blocked, each by its message with the highest
            score. That is what is promised.
        broken_by_messages: In how many more of the unseen messages were, with every copy of one counted.
        blocked: The mean share of unseen messages that were blocked.
        caught: The mean share of the positive label's unseen messages that were.
    """

    budget: float
    resplits: int
    broken: int
    broken_by_messages: int
    blocked: float
    caught: float


def try_promise(
    logits: ArrayLike,
    labels: Sequence[int],
    groups: Sequence[int],
    task: Task,
    promise: Promise,
    *,
    resplits: int = 100,
    seed: int = 123,
    share: float = 0.5,
) -> Trial | None:
    """Choose the operating point on some groups and judge it on the others, again and again.

    Args:
        logits: Of messages out of fold. *Shape:* `[N, num_labels]`.
        labels: The id of each message's label.
        groups: The group of each message.
        task: The labels, with a positive one.
        promise: What is promised.
        resplits: How often.
        seed: Of the divisions.
        share: The share of the groups that the point is chosen on.

    Returns:
        What became of the promise; `None` if a part has too few messages for it.
    """
    logits, ids = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    numbers: NDArray[Any] = np.unique(np.asarray(groups), return_inverse=True)[1]
    random, positive = np.random.default_rng(seed), task.positive_id
    blocked, by_group, caught = [], [], []
    for _ in range(resplits):
        chosen = (random.permutation(numbers.max() + 1) < share * (numbers.max() + 1))[numbers]
        try:
            point = choose_point(logits[chosen], ids[chosen].tolist(), numbers[chosen].tolist(), task, promise)
        except UserError:
            return None
        leads, spam = folded_lead(logits[~chosen], point, task), ids[~chosen] == positive
        stopped = leads >= 0
        blocked.append(float(stopped[~spam].mean()))
        by_group.append(float((one_of_each(leads[~spam], numbers[~chosen][~spam].tolist()) >= 0).mean()))
        caught.append(float(stopped[spam].mean()))
    broken, by_messages = (sum(rate > promise.budget for rate in rates) for rates in (by_group, blocked))
    return Trial(promise.budget, resplits, broken, by_messages, float(np.mean(blocked)), float(np.mean(caught)))
