"""Train a model for each fold, and keep its logits as soon as they are there."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import Interrupted, one_line
from ..evaluation.metrics import format_metric, report_figures
from .folds import Collection, Fold
from .out_of_fold import fold_file, save_fold

# Of a fold: the logits of its held-out messages, by system.
Logits = Mapping[str, NDArray[Any]]
Train = Callable[[Fold], Logits]


def run_folds(folds: Sequence[Fold], collection: Collection, folder: Path, train: Train) -> None:
    """Train on every fold that is not finished.

    Args:
        folds: The folds, in order.
        collection: The messages.
        folder: Where their files go.
        train: Trains on one.

    Raises:
        Interrupted: If SIGTERM or Ctrl-C came. What is finished stays.
    """
    missing = [fold for fold in folds if not fold_file(folder, fold).is_file()]
    began = time.monotonic()
    for done, fold in enumerate(missing):
        start = time.monotonic()
        try:
            logits = train(fold)
        except Interrupted as stop:
            finished = len(folds) - len(missing) + done
            stop.message = f"stopped; {finished} of {len(folds)} folds are finished. The same command goes on."
            raise
        save_fold(fold_file(folder, fold), fold, collection, logits)
        rest = len(missing) - done - 1
        minutes = (time.monotonic() - began) / (done + 1) * rest / 60
        left = f"; about {max(1, round(minutes))} min for {rest} more" if rest else ""
        ours = describe_fold(fold, collection, next(iter(logits.values())))
        place = f"[{folds.index(fold) + 1}/{len(folds)}] seed {fold.seed}, fold {fold.number}"
        print(one_line(f"{place}: {ours}, {time.monotonic() - start:.0f} s{left}"), flush=True)


def describe_fold(fold: Fold, collection: Collection, logits: NDArray[Any]) -> str:
    """Return the figures of a fold's held-out messages in a clause."""
    task = collection.task
    labels = task.targets(task.ids(collection.frame["Label"].iloc[fold.rows["test"]]))
    figures = report_figures(task, logits, labels)
    names = [name for name in ("accuracy", "precision", "recall", "mse", "loss") if name in figures]
    return ", ".join(f"{name} {format_metric(name, figures[name])}" for name in names)
