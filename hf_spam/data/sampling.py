"""Which messages are used, and in which split: deduplication, balance, and the split itself."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from datasets import DatasetDict

from ..errors import UserError
from ..tables.columns import list_names
from .arguments import Plan
from .grouping import split_groups
from .labels import SINGLE, Label, Task
from .splits import SPAM, SPLITS, to_splits


def prepare_splits(messages: pd.DataFrame, plan: Plan | None = None, task: Task = SPAM) -> DatasetDict:
    """Balance messages and split them. The defaults are the chapter's.

    Args:
        messages: Columns `Label` and `Text`.
        plan: How.
        task: What the labels are.

    Raises:
        UserError: If a split would be empty.
    """
    plan = plan or Plan()
    if task.problem_type == SINGLE:
        _require_messages(messages, task)
    elif plan.balance != "none":
        raise UserError(
            f"--balance {plan.balance}: expected one label for each text, found another task. Leave it out."
        )
    grouped = plan.split == "grouped"
    if plan.balance == "undersample" and not grouped:
        messages = undersample(messages, plan.seed, task)
    frames = divide(messages, plan, task)
    if plan.balance == "undersample" and grouped:
        frames["train"] = undersample(frames["train"], plan.seed, task).sample(frac=1, random_state=plan.seed)
    if plan.balance == "oversample":
        frames["train"] = oversample(frames["train"], plan.seed, task)
    return to_splits(frames, task)


def divide(frame: pd.DataFrame, plan: Plan, task: Task) -> dict[str, pd.DataFrame]:
    """Split messages as the plan says, without balancing them.

    Raises:
        UserError: If a split would be empty, or see `stratify`.
    """
    if plan.split == "grouped":
        return split_groups(frame, plan, task)
    return stratify(frame, plan, task) if plan.split == "stratified" else cut(frame, plan)


def undersample(frame: pd.DataFrame, seed: int = 123, task: Task = SPAM) -> pd.DataFrame:
    """Draw from each label as many messages as the rarest one has. The labels follow each other, as in the chapter.

    Args:
        frame: Columns `Label` and `Text`.
        seed: The `random_state` of the sampling.
        task: Its labels.
    """
    groups = [frame[frame["Label"] == label] for label in task.names]
    fewest = min(map(len, groups))
    whole = max(number for number, group in enumerate(groups) if len(group) == fewest)  # as it is, in its order
    drawn = [
        group if number == whole else group.sample(fewest, random_state=seed) for number, group in enumerate(groups)
    ]
    return pd.concat(drawn)


def oversample(frame: pd.DataFrame, seed: int = 123, task: Task = SPAM) -> pd.DataFrame:
    """Repeat messages, drawn at random, until each label has as many as the most frequent one. For training alone."""
    require_labels({"train": frame["Label"].tolist()}, task)
    groups = [frame[frame["Label"] == label] for label in task.names]
    most = max(map(len, groups))
    drawn = [group.sample(most - len(group), replace=True, random_state=seed) for group in groups]
    return pd.concat([frame, *drawn]).sample(frac=1, random_state=seed)


def cut(frame: pd.DataFrame, plan: Plan) -> dict[str, pd.DataFrame]:
    """Shuffle messages and cut them into train, validation and test (the rest), with the chapter's rounding.

    Raises:
        UserError: If a split would be empty.
    """
    shuffled = frame.sample(frac=1, random_state=plan.seed).reset_index(drop=True)
    train_end = int(len(shuffled) * plan.train_fraction)
    validation_end = train_end + int(len(shuffled) * plan.validation_fraction)
    cuts = (shuffled[:train_end], shuffled[train_end:validation_end], shuffled[validation_end:])
    counts = dict(zip(SPLITS, map(len, cuts), strict=True))
    if not all(counts.values()):
        found = ", ".join(f"{number} {name}" for name, number in counts.items())
        raise UserError(
            f"expected messages for every split, found {len(shuffled)} that make {found}. "
            f"Give more messages or other fractions."
        )
    return dict(zip(SPLITS, cuts, strict=True))


def complete_splits(frames: Mapping[str, pd.DataFrame], plan: Plan, task: Task) -> dict[str, pd.DataFrame]:
    """Cut the splits that are missing from train, with the shares that the plan has for them. The others stay."""
    parts = divide(frames["train"], plan, task)
    back = [part for name, part in parts.items() if name == "train" or name in frames]
    whole = {"train": pd.concat(back, ignore_index=True)}
    return {name: whole.get(name, frames.get(name, parts[name])) for name in SPLITS}


def stratify(frame: pd.DataFrame, plan: Plan, task: Task) -> dict[str, pd.DataFrame]:
    """Split the messages of each label by themselves, so that every split holds every label.

    Raises:
        UserError: If a label has fewer messages than there are splits, or a text has no single label.
    """
    if task.problem_type != SINGLE:
        raise UserError("--split stratified: expected one label for each text, found another task. Leave it out.")
    shuffled = frame.sample(frac=1, random_state=plan.seed)
    positions = np.arange(len(shuffled))
    labels = shuffled["Label"].to_numpy()
    of_split: dict[str, list[int]] = {name: [] for name in SPLITS}
    rare = []
    for label in task.names:
        own = positions[labels == label]
        if len(own) < len(SPLITS):
            rare.append(f"{label} ({len(own)})")
            continue
        validation = max(1, round(len(own) * plan.validation_fraction))
        test = max(1, round(len(own) * (1 - plan.train_fraction - plan.validation_fraction)))
        if validation + test >= len(own):
            validation = test = 1
        train = len(own) - validation - test
        for name, part in zip(SPLITS, np.split(own, [train, train + validation]), strict=True):
            of_split[name] += part.tolist()
    if rare:
        raise UserError(
            f"expected at least {len(SPLITS)} messages of each label, one for every split, found {list_names(rare)}. "
            f'Give more, or merge labels: --label_map "RARE=OTHER".'
        )
    return {name: shuffled.iloc[sorted(chosen)].reset_index(drop=True) for name, chosen in of_split.items()}


def _require_messages(frame: pd.DataFrame, task: Task) -> None:
    if missing := task.missing(frame["Label"]):
        raise UserError(
            f"expected messages of every label, found none of {list_names(missing)}. Leave it out of --labels, or "
            f"give messages of it."
        )


def require_labels(found: Mapping[str, Collection[Label]], task: Task) -> None:
    """Check that every split holds every label.

    Args:
        found: The labels of each split's messages, by name.
        task: All labels.

    Raises:
        UserError: If one does not, with the remedy.
    """
    for name, labels in found.items():
        if missing := task.missing(labels):
            raise UserError(
                f"expected every label in every split, found no {list_names(missing)} among the {len(labels):,} "
                f"messages of {name}. Use --split stratified, give more messages, or merge labels with --label_map."
            )


def deduplicate(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Keep the first of the messages with the same text, and return how many of the removed had another label."""
    first = frame.drop_duplicates("Text")
    label_of = dict(zip(first["Text"], map(str, first["Label"]), strict=True))
    conflicts = sum(label_of[text] != str(label) for text, label in zip(frame["Text"], frame["Label"], strict=True))
    return first, conflicts


def deduplicate_splits(splits: DatasetDict) -> DatasetDict:
    """Keep the first of the messages with the same text: train's before validation's before test's."""
    seen: set[str] = set()
    kept = {}
    for name in SPLITS:
        rows = []
        for row, text in enumerate(splits[name]["text"][:]):
            if text not in seen:
                seen.add(text)
                rows.append(row)
        kept[name] = splits[name].select(rows)
    return DatasetDict(kept)
