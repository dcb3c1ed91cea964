"""Out-of-fold logits: what each fold's model says of the messages that it was not trained on. One file a fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import UserError
from ..system.files import atomic_file
from .folds import Collection, Fold

FOLDS = "folds"
OUT_OF_FOLD = "out-of-fold.parquet"
OURS = "model"  # among systems, as in a report
ROW, SEED, FOLD, GROUP, LABEL = "row", "seed", "fold", "group", "label"  # columns


@dataclass(frozen=True)
class OutOfFold:
    """The logits of one seed: every message once, from the fold that held it out.

    Attributes:
        seed: Of the folds.
        folds: The fold of each message. *Shape:* `[N]`.
        logits: By system, the project's own first. *Shape:* `[N, num_labels]` each.
    """

    seed: int
    folds: NDArray[np.int64]
    logits: dict[str, NDArray[np.float64]]


def fold_file(folder: Path, fold: Fold) -> Path:
    """Return the file of a fold."""
    return folder / FOLDS / f"seed-{fold.seed}-fold-{fold.number}.parquet"


def save_fold(path: Path, fold: Fold, collection: Collection, logits: Mapping[str, NDArray[Any]]) -> None:
    """Write the logits of a fold's messages, whole or not at all.

    Args:
        path: The file.
        fold: Which messages.
        collection: Their groups and labels.
        logits: By system. *Shape:* `[len(test), num_labels]` each.
    """
    rows = fold.rows["test"]
    ids = collection.task.ids(collection.frame["Label"].iloc[rows])
    columns: dict[str, Any] = {
        ROW: rows,
        SEED: np.full(len(rows), fold.seed),
        FOLD: np.full(len(rows), fold.number),
        GROUP: np.asarray(collection.groups)[rows],
        LABEL: pa.array(ids),
    }
    for system, values in logits.items():
        for id_, label in enumerate(collection.task.names):
            columns[column(system, label)] = np.asarray(values, dtype=np.float64)[:, id_]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def load_seed(folder: Path, folds: Sequence[Fold], collection: Collection) -> OutOfFold:
    """Return what the folds of one seed left, in the order of the messages.

    Raises:
        UserError: If a file is damaged or of other messages.
    """
    number, names = len(collection.frame), collection.task.names
    logits: dict[str, NDArray[np.float64]] = {}
    of_fold = np.zeros(number, dtype=np.int64)
    for fold in folds:
        path, rows = fold_file(folder, fold), fold.rows["test"]
        try:
            table = pq.read_table(path)
            if table[ROW].to_pylist() != rows.tolist():
                raise ValueError("other messages")
            end = column("", names[0])
            for system in (column.removesuffix(end) for column in table.column_names if column.endswith(end)):
                values = np.stack([table[column(system, label)].to_numpy() for label in names], axis=1)
                logits.setdefault(system, np.full((number, len(names)), np.nan))[rows] = values
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise UserError(f"{path}: expected the logits of a fold, found none: {error}. Remove the file.") from None
        of_fold[rows] = fold.number
    return OutOfFold(folds[0].seed, of_fold, logits)


def save_all(folder: Path, folds: Sequence[Fold]) -> Path:
    """Write one file of all folds, and return it."""
    target = folder / OUT_OF_FOLD
    with atomic_file(target) as temporary:
        pq.write_table(pa.concat_tables([pq.read_table(fold_file(folder, fold)) for fold in folds]), temporary)
    return target


def column(system: str, label: str) -> str:
    """Return the name of the column that holds a system's logit of a label."""
    return f"{system}: {label}"
