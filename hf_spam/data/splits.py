"""Balance and split messages exactly as the chapter does, and save and read the splits."""

import csv
import hashlib
import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from ..errors import UserError
from ..system.files import atomic_folder
from ..system.place import find_place, prove_writable
from .saved_splits import ARROW_FOLDER, read_saved
from .sources import LABELS

SPLITS = ("train", "validation", "test")
FEATURES = Features({"text": Value("string"), "label": ClassLabel(names=LABELS)})


def balance(frame: pd.DataFrame, seed: int = 123) -> pd.DataFrame:
    """Undersample the larger class to the size of the smaller. Ham comes first, then spam, as in the chapter.

    Args:
        frame: Columns `Label` and `Text`.
        seed: The `random_state` of the sampling.
    """
    ham, spam = (frame[frame["Label"] == label] for label in LABELS)
    if len(ham) >= len(spam):
        return pd.concat([ham.sample(len(spam), random_state=seed), spam])
    return pd.concat([ham, spam.sample(len(ham), random_state=seed)])


def split(
    frame: pd.DataFrame, train_fraction: float = 0.7, validation_fraction: float = 0.1, seed: int = 123
) -> DatasetDict:
    """Shuffle messages and split them into train, validation and test (the rest), with the chapter's rounding.

    Args:
        frame: Columns `Label` and `Text`.
        train_fraction: Share of the rows used for training.
        validation_fraction: Share of the rows used for validation.
        seed: The `random_state` of the shuffle.

    Returns:
        A `DatasetDict` of `SPLITS` with the columns `text` and `label`.

    Raises:
        UserError: If a split would be empty.
    """
    shuffled = frame.sample(frac=1, random_state=seed).reset_index(drop=True)
    train_end = int(len(shuffled) * train_fraction)
    validation_end = train_end + int(len(shuffled) * validation_fraction)
    cuts = (shuffled[:train_end], shuffled[train_end:validation_end], shuffled[validation_end:])
    counts = dict(zip(SPLITS, map(len, cuts), strict=True))
    if not all(counts.values()):
        found = ", ".join(f"{number} {name}" for name, number in counts.items())
        raise UserError(
            f"expected messages for every split, found {len(shuffled)} that make {found}. "
            f"Give more messages or other fractions."
        )
    return DatasetDict({name: _to_dataset(cut) for name, cut in zip(SPLITS, cuts, strict=True)})


def prepare_splits(
    messages: pd.DataFrame,
    *,
    balanced: bool = True,
    train_fraction: float = 0.7,
    validation_fraction: float = 0.1,
    seed: int = 123,
) -> DatasetDict:
    """Balance messages, unless told not to, and split them. The defaults are the chapter's."""
    return split(balance(messages, seed) if balanced else messages, train_fraction, validation_fraction, seed)


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
    """Write the chapter's three CSVs (`Label` as 0/1, `Text`) and, under `dataset/`, the `DatasetDict` itself.

    After an error nothing is left.

    Raises:
        UserError: See `check_new`.
    """
    folder = check_new(folder)
    with ExitStack() as stack:
        try:
            staging = stack.enter_context(atomic_folder(folder))
        except OSError as error:
            raise UserError(f"{folder}: cannot be written: {error.strerror}. Choose another --output_dir.") from None
        for name, rows in splits.items():
            frame = pd.DataFrame({"Label": rows["label"], "Text": rows["text"]})
            # A bare carriage return would end a row when read back, so quote every text if one contains it.
            quoted: Literal[0, 2] = (
                csv.QUOTE_NONNUMERIC if frame["Text"].str.contains("\r").any() else csv.QUOTE_MINIMAL
            )
            frame.to_csv(staging / f"{name}.csv", index=False, quoting=quoted)
        splits.save_to_disk(staging / ARROW_FOLDER)


def read_splits(folder: str | os.PathLike[str]) -> DatasetDict:
    """Read splits that `save_splits` wrote, into memory: the `DatasetDict`, or the three CSVs if there is none.

    Raises:
        UserError: If the folder holds neither, or see `read_saved`.
    """
    saved = read_saved(Path(folder), SPLITS)
    return DatasetDict(
        {name: _to_dataset(pd.DataFrame({"Label": labels, "Text": texts})) for name, (texts, labels) in saved.items()}
    )


def count(splits: DatasetDict) -> pd.DataFrame:
    """Count the messages of each label (columns, and `total`) in each split (rows)."""
    counts = {
        name: {label: ids.count(id_) for id_, label in enumerate(LABELS)}
        for name, ids in ((name, rows["label"][:]) for name, rows in splits.items())
    }
    table = pd.DataFrame.from_dict(counts, orient="index")
    return table.assign(total=table.sum(axis=1))


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


def _to_dataset(frame: pd.DataFrame) -> Dataset:
    ids = [LABELS.index(label) for label in frame["Label"]]
    return Dataset.from_dict({"text": frame["Text"].tolist(), "label": ids}, features=FEATURES)


def describe_splits(splits: DatasetDict, longest: int) -> str:
    """Return one line: how many messages of each label, in which splits, and how long."""
    counts = count(splits)
    sizes = " / ".join(f"{total:,} {name}" for name, total in counts["total"].items())
    labels = " + ".join(f"{counts[label].sum():,} {label}" for label in LABELS)
    return f"data   {labels}: {sizes}; longest train text {longest} tokens"
