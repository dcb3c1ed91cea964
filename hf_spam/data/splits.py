"""Splits: a `DatasetDict` whose features name the labels; saved, read, counted and described."""

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from ..errors import UserError, one_line
from ..system.files import atomic_folder
from ..system.place import find_place, prove_writable
from ..tables.folders import COPY, read_folder
from .labels import MULTI, REGRESSION, SCORE, SINGLE, LabelRules, Task
from .messages import read_messages

SPLITS = ("train", "validation", "test")
SPAM = Task()  # the chapter's


def features(task: Task) -> Features:
    """Return the types of a split's columns: the single place where the names of the labels' ids stand."""
    label: Any = Value("float64") if task.problem_type == REGRESSION else ClassLabel(names=list(task.names))
    return Features({"text": Value("string"), "label": List(label) if task.problem_type == MULTI else label})


def task_of(splits: DatasetDict, positive: str | None = None) -> Task:
    """Return what splits teach, from their features."""
    label = splits["train"].features["label"]
    if isinstance(label, ClassLabel):
        return Task(tuple(label.names), SINGLE, positive)
    if isinstance(label, Value):
        return Task((SCORE,), REGRESSION, positive)
    return Task(tuple(label.feature.names), MULTI, positive)


def to_splits(frames: Mapping[str, pd.DataFrame], task: Task) -> DatasetDict:
    """Return frames of the columns `Label` and `Text` as a `DatasetDict` with the columns `text` and `label`."""
    return DatasetDict(
        {
            name: Dataset.from_dict(
                {"text": frame["Text"].tolist(), "label": task.ids(frame["Label"])}, features=features(task)
            )
            for name, frame in frames.items()
        }
    )


def check_new(folder: str | os.PathLike[str]) -> Path:
    """Check that splits can be written to a folder, and return where that is.

    Raises:
        UserError: If the folder is not empty or cannot be written.
    """
    place = find_place(folder)
    if place.is_file() or (place.is_dir() and any(place.iterdir())):
        raise UserError(f"{place}: not empty, and nothing is overwritten. Choose another folder or remove it.")
    prove_writable(place)
    return place


def save_splits(splits: DatasetDict, folder: str | os.PathLike[str]) -> None:
    """Write three CSVs and, in `dataset/`, the `DatasetDict` itself.

    The CSVs have the chapter's columns: `Label`, with 0 and 1 for ham and spam and the names of others, and `Text`.
    After an error nothing is left.

    Raises:
        UserError: See `check_new`.
    """
    folder = check_new(folder)
    task = task_of(splits)
    with ExitStack() as stack:
        try:
            staging = stack.enter_context(atomic_folder(folder))
        except OSError as error:
            raise UserError(f"{folder}: cannot be written: {error.strerror}. Choose another --output_dir.") from None
        for name, rows in splits.items():
            frame = pd.DataFrame({"Label": _readable(rows["label"][:], task), "Text": rows["text"]})
            # A bare carriage return would end a row when read back, so quote every text if one contains it.
            quoted: Literal[0, 2] = (
                csv.QUOTE_NONNUMERIC if frame["Text"].str.contains("\r").any() else csv.QUOTE_MINIMAL
            )
            frame.to_csv(staging / f"{name}.csv", index=False, quoting=quoted)
        splits.save_to_disk(staging / COPY)


def _readable(labels: list[Any], task: Task) -> list[Any]:
    """Return the labels of a split as its CSV has them."""
    if task.problem_type == REGRESSION or task.is_spam:
        return labels
    if task.problem_type == MULTI:
        return [json.dumps([task.names[id_] for id_ in ids], ensure_ascii=False) for ids in labels]
    return [task.names[id_] for id_ in labels]


def read_splits(folder: str | os.PathLike[str], rules: LabelRules | None = None) -> DatasetDict:
    """Read splits that `save_splits` wrote, into memory: the CSVs, which somebody may have edited, with the names of
    the labels that the `DatasetDict` beside them records.

    Args:
        folder: The folder.
        rules: What is known of the labels beside what the folder says.

    Raises:
        UserError: If a split is missing, or see `tables.folders.read_folder`.
    """
    tables = read_folder(folder)
    if missing := [name for name in SPLITS if name not in tables]:
        raise UserError(f"{folder}: expected splits, found no {' and no '.join(missing)}.")
    messages = read_messages({name: tables[name] for name in SPLITS}, rules)
    return to_splits({name: each.frame for name, each in messages.items()}, messages["train"].task)


def count(splits: DatasetDict) -> pd.DataFrame:
    """Count the messages of each label (columns, and `total`) in each split (rows)."""
    task = task_of(splits)
    counts = {}
    for name, rows in splits.items():
        labels = rows["label"][:]
        if task.problem_type == REGRESSION:
            counts[name] = {"total": len(labels)}
            continue
        found = Counter(labels if task.problem_type == SINGLE else (id_ for ids in labels for id_ in ids))
        counts[name] = {count_name(label): found[id_] for id_, label in enumerate(task.names)} | {"total": len(labels)}
    return pd.DataFrame.from_dict(counts, orient="index")


def count_name(label: str) -> str:
    """Return the column of a label in `count`; `total` is taken."""
    return f"label {label}" if label == "total" else label


def fingerprint(splits: DatasetDict) -> str:
    """Return a short hash of all texts and labels in order, the same on every machine."""
    digest = hashlib.sha256()
    for name in SPLITS:
        digest.update(json.dumps([splits[name]["text"][:], splits[name]["label"][:]]).encode())
    return digest.hexdigest()[:16]


def repeated(splits: DatasetDict) -> dict[str, int]:
    """Count the messages of each other split that also occur, word for word, in the training split."""
    known = set(splits["train"]["text"][:])
    return {name: sum(text in known for text in splits[name]["text"][:]) for name in SPLITS if name != "train"}


def describe_splits(splits: DatasetDict, longest: int) -> str:
    """Return one line: how many messages of each label, in which splits, and how long."""
    counts = count(splits)
    sizes = " / ".join(f"{total:,} {name}" for name, total in counts["total"].items())
    names = list(counts.columns)[:-1]
    labels = " + ".join(f"{counts[label].sum():,} {label}" for label in names[:10])
    more = f" + {len(names) - 10:,} more labels" if len(names) > 10 else ""
    return one_line(f"data   {labels}{more}{': ' if names else ''}{sizes}; longest train text {longest} tokens")
