"""The lowest threshold that keeps a promise: at most so many messages of one kind are stopped.

Let a threshold stop k of n independent messages, and pass the next one by a hair. The share of all such messages that
it stops then has the distribution Beta(k + 1, n - k), whatever the scores are: it lies above an order statistic (Wilks
1941). So the promise "at most a share b, with confidence c" holds for every k whose exact binomial bound (Clopper and
Pearson 1934) is at most b. The largest such k is also where fixed sequence testing stops that starts with the
strictest threshold (Angelopoulos et al. 2021).

A true share just below b still stops more than b of the next few thousand messages, by chance, half of the time. What
users count is these. So k is also chosen such that, with the same confidence, at most a share b of the next n messages
is stopped: their number is beta-binomial, exactly. Where n is too small for that, the binomial bound is all there is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, betabinom

from .scores import Floats

_MARGIN = 0.02  # at most, above the highest score that must pass: where only the stopped ones are higher still


@dataclass(frozen=True)
class Promise:
    """At most a share `budget` of the messages that should pass is stopped, with this confidence."""

    budget: float = 0.005
    confidence: float = 0.95

    def needed(self) -> int:
        """Return how many independent messages it takes to make the promise at all."""
        return math.ceil(math.log(1 - self.confidence) / math.log1p(-self.budget) - 1e-9)

    def allowed(self, number: int) -> int:
        """Return how many of so many independent messages may be stopped; -1 if there are too few for the promise."""
        return -1 if number < self.needed() else _allowed(number, self.budget, self.confidence)


@lru_cache
def _allowed(number: int, budget: float, confidence: float) -> int:
    """Search the largest number that may be stopped. Both bounds grow with it."""

    def kept(stopped: int) -> bool:
        next_ones = betabinom.sf(math.floor(budget * number + 1e-9), number, stopped + 1, number - stopped)
        return upper_bound(stopped, number, confidence) <= budget and next_ones <= 1 - confidence

    low, high = 0, math.floor(budget * number)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if kept(middle) else (low, middle - 1)
    return low


def upper_bound(stopped: int, number: int, confidence: float = 0.95) -> float:
    """Return the exact binomial upper bound of a share of which `stopped` of `number` were seen."""
    if stopped >= number:
        return 1.0
    return float(beta.ppf(confidence, stopped + 1, number - stopped))


def choose_threshold(scores: ArrayLike, promise: Promise) -> float | None:
    """Return the lowest threshold that keeps the promise. A message at or above it is stopped.

    Args:
        scores: Of independent messages that should pass, none of them seen in training. *Shape:* `[N]`.
        promise: How many may be stopped.

    Returns:
        A number between the highest score that must pass and the next one, so that no rounding decides; `None` if
        there are too few scores for the promise.
    """
    scores = np.asarray(scores, dtype=np.float64)
    allowed = promise.allowed(len(scores))
    if allowed < 0:
        return None
    if allowed >= len(scores):
        return -math.inf
    passes = np.sort(scores)[-1 - allowed]
    higher = scores[scores > passes].min(initial=passes + _MARGIN)
    return float(max((passes + higher) / 2, np.nextafter(passes, np.inf)))


def one_of_each(scores: ArrayLike, groups: Sequence[int]) -> Floats:
    """Return the highest score of each group: near duplicates are no independent messages."""
    scores, numbers = np.asarray(scores, dtype=np.float64), np.unique(np.asarray(groups), return_inverse=True)[1]
    highest = np.full(numbers.max(initial=-1) + 1, -np.inf)
    np.maximum.at(highest, numbers, scores)
    return highest
