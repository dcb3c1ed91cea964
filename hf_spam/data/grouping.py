"""Splits and folds that keep near duplicates together, and how far other splits tear them apart."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from datasets import DatasetDict
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from ..errors import UserError
from .arguments import Plan
from .labels import SINGLE, Task
from .near_duplicates import near_groups
from .splits import SPLITS, repeated, task_of

# Lower than an audit's: what stands in different splits should really differ.
APART = 0.75
_MOST_TEXTS = 200_000  # that are compared with each other: some ten seconds

Groups = Sequence[int]


def split_groups(frame: pd.DataFrame, plan: Plan, task: Task) -> dict[str, pd.DataFrame]:
    """Split messages so that near duplicates are in the same split, with the same share of each label in every split.

    Args:
        frame: Columns `Label` and `Text`.
        plan: The shares and the seed.
        task: What the labels are.

    Raises:
        UserError: If a split would be empty.
    """
    shuffled = frame.sample(frac=1, random_state=plan.seed).reset_index(drop=True)
    groups = near_groups(shuffled["Text"].tolist(), APART)
    train, validation = plan.train_fraction, plan.validation_fraction
    parts = deal_groups(groups, shuffled["Label"].tolist(), [train, validation, 1 - train - validation], task)
    frames = {name: shuffled[parts == number].reset_index(drop=True) for number, name in enumerate(SPLITS)}
    if empty := [name for name, part in frames.items() if part.empty]:
        raise UserError(
            f"--split grouped: expected messages for every split, found {len(set(groups)):,} groups of near "
            f"duplicates and none for {' and '.join(empty)}. Give more messages or other fractions."
        )
    return frames


def deal_groups(groups: Groups, labels: Sequence[Any], shares: Sequence[float], task: Task) -> NDArray[np.int64]:
    """Deal out whole groups, the largest first, each to the part that lacks most of its labels.

    Args:
        groups: The group of each message, from 0.
        labels: The label of each message.
        shares: The share of the messages that each part is to have.
        task: What the labels are.

    Returns:
        The part of each message. *Shape:* `[N]`.
    """
    kinds = _kinds(labels, task)
    counts = np.zeros((max(groups, default=-1) + 1, max(kinds, default=-1) + 1))  # [groups, kinds]
    np.add.at(counts, (groups, kinds), 1)
    wanted = np.outer(shares, counts.sum(axis=0))  # [parts, kinds]
    lacking, part = wanted.copy(), np.zeros(len(counts), dtype=np.int64)
    for group in np.argsort(-counts.sum(axis=1), kind="stable"):
        # What each part lacks, as a share of what it is to have: small parts get theirs, too.
        part[group] = ((lacking / np.maximum(wanted, 1e-9)) @ counts[group]).argmax()
        lacking[part[group]] -= counts[group]
    return part[np.asarray(groups, dtype=np.int64)]


def make_folds(labels: Sequence[Any], groups: Groups, number: int, seed: int, task: Task) -> list[NDArray[np.int64]]:
    """Divide messages into folds that keep groups together, with the same share of each label where there is one.

    Args:
        labels: The label of each message.
        groups: The group of each message.
        number: How many folds.
        seed: Of the shuffle.
        task: What the labels are.

    Returns:
        The positions of each fold's messages, in order.

    Raises:
        UserError: If there are fewer groups than folds.
    """
    if len(set(groups)) < number:
        raise UserError(
            f"--folds {number}: expected as many groups of near duplicates, found {len(set(groups)):,}. Use fewer "
            f"folds or more messages."
        )
    kinds = _kinds(labels, task)
    splitter = (
        StratifiedGroupKFold(number, shuffle=True, random_state=seed)
        if task.problem_type == SINGLE
        else GroupKFold(number, shuffle=True, random_state=seed)
    )
    return [held_out for _, held_out in splitter.split(np.zeros((len(kinds), 1)), kinds, groups)]


def _kinds(labels: Sequence[Any], task: Task) -> list[int]:
    """Return the number of each message's label; 0 of all where a message has no single one."""
    if task.problem_type != SINGLE:
        return [0] * len(labels)
    number = {name: id_ for id_, name in enumerate(task.names)}
    return [number.get(label, label) for label in labels]


@dataclass(frozen=True)
class Leak:
    """The messages of a split that have a near duplicate in the training split.

    Attributes:
        rows: Their positions.
        messages: How many messages the split has.
        labels: How many of these rows have each label, and how many messages of the split do.
    """

    rows: list[int]
    messages: int
    labels: dict[str, tuple[int, int]]

    def to_dict(self) -> dict[str, Any]:
        """Return the counts, for the record."""
        return {name: value for name, value in asdict(self).items() if name != "rows"} | {"twins": len(self.rows)}

    def describe(self, split: str, task: Task) -> str:
        """Return the counts as a clause: `86 of 300 test messages (80 of 151 spam)`."""
        of_label = ""
        if task.positive in self.labels:
            twins, all_ = self.labels[task.positive]
            of_label = f" ({twins:,} of {all_:,} {task.positive})"
        return f"{len(self.rows):,} of {self.messages:,} {split} messages{of_label}"


def find_leaks(splits: DatasetDict) -> Mapping[str, Leak] | None:
    """Return what each split but the training split shares with it; `None` if there are too many texts to compare."""
    if sum(map(len, splits.values())) > _MOST_TEXTS:
        return None
    task = task_of(splits)
    groups = iter(near_groups([text for rows in splits.values() for text in rows["text"][:]], APART))
    of_split = {name: [next(groups) for _ in range(len(rows))] for name, rows in splits.items()}
    known = set(of_split["train"])
    leaks = {}
    for name, own in of_split.items():
        if name == "train":
            continue
        rows = [row for row, group in enumerate(own) if group in known]
        labels = splits[name]["label"][:]
        counts = {}
        if task.problem_type == SINGLE:
            twins = [labels[row] for row in rows]
            counts = {label: (twins.count(id_), labels.count(id_)) for id_, label in enumerate(task.names)}
        leaks[name] = Leak(rows, len(own), counts)
    return leaks


def describe_leaks(splits: DatasetDict, leaks: Mapping[str, Leak] | None) -> list[str]:
    """Return a sentence about messages that also stand in train, and one about near duplicates of train's."""
    sentences = []
    if again := {name: number for name, number in repeated(splits).items() if number}:
        counts = " and ".join(f"{number:,} of {len(splits[name]):,} {name}" for name, number in again.items())
        sentences.append(f"{counts} messages also stand in train; --deduplicate removes them")
    if found := {name: leak for name, leak in (leaks or {}).items() if leak.rows}:
        task = task_of(splits)
        counts = " and ".join(leak.describe(name, task) for name, leak in found.items())
        sentences.append(f"{counts} are near duplicates of train's; --split grouped keeps these together")
    return sentences
