"""95 % confidence intervals of accuracy, precision, recall and F1.

All are Wilson's score intervals (E. B. Wilson 1927), valid also for few messages and for shares near 0 and 1. They
cover another random draw of messages of the same kind, but not messages of a different kind.
"""

from collections.abc import Sequence

from scipy.stats import binomtest

Interval = tuple[float, float]


def wilson(successes: int, trials: int) -> Interval | None:
    """Return the 95 % interval of `successes` in `trials`; `None` without trials."""
    if trials == 0:
        return None
    interval = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def intervals(confusion: Sequence[Sequence[int]], positive: int = 1) -> dict[str, Interval | None]:
    """Return the 95 % intervals of the metrics.

    F1 is not a share itself, but F1 = 2J / (1 + J) with the share J = TP / (TP + FP + FN): its interval is converted.

    Args:
        confusion: Messages by true label (rows) and predicted label (columns). *Shape:* `[num_labels, num_labels]`.
        positive: The id of the positive one of two labels.

    Returns:
        The interval of each metric. With more than two labels there is only `accuracy`, because means over classes are
        not shares.
    """
    total = sum(map(sum, confusion))
    found = {"accuracy": wilson(sum(row[label] for label, row in enumerate(confusion)), total)}
    if len(confusion) == 2:
        hits, negative = confusion[positive][positive], 1 - positive
        false_positives, false_negatives = confusion[negative][positive], confusion[positive][negative]
        jaccard = wilson(hits, hits + false_positives + false_negatives)
        found |= {
            "precision": wilson(hits, hits + false_positives),
            "recall": wilson(hits, hits + false_negatives),
            "f1": jaccard and (2 * jaccard[0] / (1 + jaccard[0]), 2 * jaccard[1] / (1 + jaccard[1])),
        }
    return found
