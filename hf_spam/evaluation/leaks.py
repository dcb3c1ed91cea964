"""Figures of a split without the messages that have a near duplicate in the training split."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.loading import Prepared
from .metrics import WITHOUT_TWINS, report_figures


def judge_without_twins(
    figures: Mapping[str, dict[str, Any]], logits: Mapping[str, NDArray[Any]], prepared: Prepared
) -> None:
    """Add to the figures of each split that leaks those of its other messages, if there are any.

    Args:
        figures: By split, changed in place.
        logits: By split, in the order of its messages. *Shape:* `[N, num_labels]`.
        prepared: The splits, and what they share.
    """
    for name, leak in (prepared.leaks or {}).items():
        labels = np.asarray(prepared.task.targets(prepared.splits[name]["label"][:]))
        if name in figures and 0 < len(leak.rows) < len(labels):
            others = (np.delete(values, leak.rows, axis=0) for values in (logits[name], labels))
            figures[name][WITHOUT_TWINS] = report_figures(prepared.task, *others)
