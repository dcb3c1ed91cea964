"""How far a measured share may be from the true one: 95 % confidence intervals of accuracy, precision, recall and F1.

All are Wilson's score intervals (E. B. Wilson 1927), which hold for few messages and for shares near 0 and 1. They
say what another draw of messages of the same kind would change, not what messages of another kind would.
"""

from collections.abc import Sequence

from scipy.stats import binomtest

Interval = tuple[float, float]


def wilson(successes: int, trials: int) -> Interval | None:
    """The 95 % interval of a share; `None` of nothing."""
    if trials == 0:
        return None
    interval = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def intervals(confusion: Sequence[Sequence[int]]) -> dict[str, Interval | None]:
    """The 95 % intervals of the metrics.

    Of F1 = 2J / (1 + J), where J = TP / (TP + FP + FN) is a share, and its interval is carried over.

    Args:
        confusion: Messages by true label (rows) and predicted label (columns). *Shape:* `[num_labels, num_labels]`.

    Returns:
        By metric; of more than two labels only `accuracy`, since the means over the classes are no shares.
    """
    total = sum(map(sum, confusion))
    found = {"accuracy": wilson(sum(row[label] for label, row in enumerate(confusion)), total)}
    if len(confusion) == 2:
        (_, false_positives), (false_negatives, hits) = confusion
        jaccard = wilson(hits, hits + false_positives + false_negatives)
        found |= {
            "precision": wilson(hits, hits + false_positives),
            "recall": wilson(hits, hits + false_negatives),
            "f1": jaccard and (2 * jaccard[0] / (1 + jaccard[0]), 2 * jaccard[1] / (1 + jaccard[1])),
        }
    return found
