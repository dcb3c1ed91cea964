"""Scores of messages that no model was trained on, for what is promised about new ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..data.labels import Task
from ..errors import UserError
from .out_of_fold import GROUP, LABEL, OURS, OUT_OF_FOLD, SEED, column


@dataclass(frozen=True)
class Evidence:
    """Scored messages.

    Attributes:
        logits: *Shape:* `[N, num_labels]`.
        labels: The id of each message's label.
        groups: The group of near duplicates of each message.
        name: What they are called.
    """

    logits: NDArray[Any]
    labels: Sequence[int]
    groups: Sequence[int]
    name: str


def load_evidence(folder: Path, task: Task) -> Evidence:
    """Return the scores of a folder of `hf-spam cross-validate`, of its first seed: each message once.

    Raises:
        UserError: If it is none, or of other labels.
    """
    path = folder / OUT_OF_FOLD
    columns = [column(OURS, label) for label in task.names]
    try:
        table = pq.read_table(path, columns=[SEED, GROUP, LABEL, *columns])
        table = table.filter(pa.compute.equal(table[SEED], table[SEED][0]))
        logits = np.stack([table[name].to_numpy() for name in columns], axis=1)
        labels, groups = table[LABEL].to_pylist(), table[GROUP].to_pylist()
    except (OSError, KeyError, ValueError, IndexError, pa.ArrowException) as error:
        raise UserError(
            f"{path}: expected the scores of hf-spam cross-validate for {', '.join(task.names)}, found none: {error}."
        ) from None
    return Evidence(logits, labels, groups, f"{len(labels):,} messages out of fold")
