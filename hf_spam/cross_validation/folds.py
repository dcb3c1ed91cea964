"""Which messages each fold trains on, watches and is judged on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.arguments import Balance, DataArguments
from ..data.grouping import APART, deal_groups, make_folds
from ..data.labels import Task
from ..data.loading import Prepared, read_messages
from ..data.near_duplicates import near_groups
from ..data.sampling import deduplicate, oversample, undersample
from ..data.splits import SPLITS, to_splits
from ..errors import one_line


@dataclass(frozen=True)
class Collection:
    """Messages that are cross-validated.

    Attributes:
        frame: Columns `Label` and `Text`.
        task: The labels.
        groups: The group of each message; where near duplicates may be torn apart, each message is its own.
        balance: What is done about labels of different frequency, in training alone.
        notes: What the console says of them.
    """

    frame: pd.DataFrame
    task: Task
    groups: list[int]
    balance: Balance
    notes: list[str]


@dataclass(frozen=True)
class Fold:
    """One division of the messages.

    Attributes:
        seed: Of the division, and of the training.
        number: Its number, from 1.
        rows: The positions of the messages of each split, in order.
    """

    seed: int
    number: int
    rows: dict[str, NDArray[np.int64]]


def read_collection(arguments: DataArguments) -> Collection:
    """Return all messages of the source, and which belong together.

    Raises:
        UserError: See `loading.read_messages`.
    """
    messages = read_messages(arguments)
    frame, notes = messages.frame, list(messages.notes)
    if arguments.deduplicate:
        before = len(frame)
        frame = deduplicate(frame)[0]
        notes.append(f"{before - len(frame):,} messages removed, whose text stands in an earlier one")
    frame = frame.reset_index(drop=True)
    grouped = arguments.split in (None, "grouped")
    groups = near_groups(frame["Text"].tolist(), APART) if grouped else list(range(len(frame)))
    if grouped:
        notes.append(f"{len(set(groups)):,} groups of near duplicates among {len(frame):,} messages stay together")
    balance: Balance = arguments.balance or "none"  # type: ignore[assignment]
    return Collection(frame, messages.task, groups, balance, [one_line(f"note   {note}") for note in notes])


def draw_folds(collection: Collection, number: int, seeds: Sequence[int], validation: float) -> Iterator[Fold]:
    """Yield every fold of every seed.

    Args:
        collection: The messages.
        number: How many folds.
        seeds: One division each.
        validation: The share of a fold's other messages that training watches and does not learn from.

    Raises:
        UserError: If there are fewer groups than folds.
    """
    labels: list[Any] = collection.frame["Label"].tolist()
    groups = np.asarray(collection.groups)
    for seed in seeds:
        folds = make_folds(labels, collection.groups, number, seed, collection.task)
        for place, test in enumerate(folds, start=1):
            others = np.setdiff1d(np.arange(len(labels)), test)
            others = np.random.default_rng([seed, place]).permutation(others)
            of_group = np.unique(groups[others], return_inverse=True)[1]
            part = deal_groups(
                of_group.tolist(), [labels[row] for row in others], [1 - validation, validation], collection.task
            )
            yield Fold(seed, place, {"train": others[part == 0], "validation": others[part == 1], "test": test})


def prepare_fold(collection: Collection, fold: Fold) -> Prepared:
    """Return the splits of a fold, the training split balanced as the options say."""
    frames = {name: collection.frame.iloc[fold.rows[name]].reset_index(drop=True) for name in SPLITS}
    balance, task = collection.balance, collection.task
    if balance in ("undersample", "oversample"):
        change = undersample if balance == "undersample" else oversample
        frames["train"] = change(frames["train"], fold.seed, task).sample(frac=1, random_state=fold.seed)
    mix = {str(name): int(count) for name, count in frames["train"]["Label"].value_counts().items()}
    return Prepared(to_splits(frames, task), task, balance, mix, [])
