"""How good scores are at saying how sure they are, and the temperature that makes them so."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

BINS = 15
_WIDEST = np.log(100.0)  # of the temperature, either way

Floats = NDArray[np.float64]


def lead(logits: ArrayLike, positive: int) -> Floats:
    """Return by how much one label's logit exceeds the highest of the others: of two labels, its log-odds.

    Args:
        logits: *Shape:* `[N, num_labels]`.
        positive: The label's id.

    Returns:
        *Shape:* `[N]`; from 0 on, the label is the one that is predicted.
    """
    logits = np.asarray(logits, dtype=np.float64)
    return np.asarray(logits[:, positive] - np.delete(logits, positive, axis=1).max(axis=1))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the number by which logits are to be divided for the smallest log loss (Guo et al. 2017).

    Args:
        logits: Of messages that the model was not trained on. *Shape:* `[N, num_labels]`.
        labels: The ids of their labels. *Shape:* `[N]`.
    """
    logits = np.asarray(logits, dtype=np.float64)
    found = minimize_scalar(
        lambda log_temperature: log_loss(logits / np.exp(log_temperature), labels),
        bounds=(-_WIDEST, _WIDEST),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def log_loss(logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean cross-entropy of logits `[N, num_labels]` and ids `[N]`."""
    scores = log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    return float(-scores[np.arange(len(scores)), np.asarray(labels)].mean())


def calibration_error(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = BINS) -> float:
    """Return the expected calibration error of one label's probability.

    Messages are divided by their probability into bins of equal width. The error is the mean difference of probability
    and frequency in a bin, weighted by its messages (Naeini et al. 2015).

    Args:
        probabilities: Of the label. *Shape:* `[N]`.
        outcomes: Whether each message has it. *Shape:* `[N]`.
        bins: How many bins.
    """
    probabilities, outcomes = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if not len(probabilities):
        return float("nan")
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    gap: NDArray[Any] = np.bincount(place, outcomes - probabilities, minlength=bins)
    return float(np.abs(gap).sum() / len(probabilities))
