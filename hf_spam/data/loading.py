"""Read the messages and splits that the options describe, and say what became of them."""

from collections import Counter
from dataclasses import dataclass, replace

import pandas as pd
from datasets import DatasetDict

from ..errors import UserError, one_line
from . import sources
from .arguments import Balance, DataArguments
from .files import list_names
from .label_reading import read_labels, require_variety
from .labels import SINGLE, LabelRules, Task
from .sampling import deduplicate, deduplicate_splits, prepare_splits, require_labels
from .sources import Messages
from .splits import SPLITS, read_splits, repeated, task_of


@dataclass(frozen=True)
class Prepared:
    """Splits, and how they came about.

    Attributes:
        splits: Train, validation and test.
        task: What they teach.
        balance: What was done, or is left to the loss, about labels of different frequency.
        mix: The messages of each label before any were dropped or repeated.
        notes: What the console says of them, a line each.
    """

    splits: DatasetDict
    task: Task
    balance: Balance
    mix: dict[str, int]
    notes: list[str]


def read_messages(arguments: DataArguments, rules: LabelRules | None = None) -> Messages:
    """Return all messages of the source.

    Args:
        arguments: Which source.
        rules: What the labels are, if they are a model's; by default what the options say.

    Raises:
        UserError: If the source cannot be read, or a row is not a labelled text.
    """
    rules = rules or arguments.label_rules()
    if arguments.data_file is not None:
        return sources.read_labelled(arguments.data_file, arguments.text_column, arguments.label_column, rules)
    sample = arguments.data_source == "sample"
    frame = sources.read_sample() if sample else sources.read_uci(arguments.cache_dir)
    labels, task = read_labels(frame["Label"].tolist(), sources.COLLECTION, rules)
    return Messages(pd.DataFrame({"Label": labels, "Text": frame["Text"]}), task)


def name_source(arguments: DataArguments) -> str:
    """Return the name of the source for the record: `uci` (also when read from a file), `sample` or `own`."""
    if arguments.data_file is not None:
        return "uci" if sources.is_collection(arguments.data_file) else "own"
    return "own" if arguments.data_dir is not None else arguments.data_source or "uci"


def load_splits(arguments: DataArguments) -> DatasetDict:
    """Return prepared splits, or the messages of the source balanced and split."""
    return prepare(arguments).splits


def prepare(arguments: DataArguments, rules: LabelRules | None = None) -> Prepared:
    """Return the splits that the options describe, and what became of the messages.

    Args:
        arguments: The options.
        rules: See `read_messages`.

    Raises:
        UserError: If the messages cannot be read, have a single label, or leave a split without a label.
    """
    rules = rules or arguments.label_rules()
    prepared = _saved(arguments, rules) if arguments.data_dir is not None else _fresh(arguments, rules)
    splits = _limit(prepared.splits, arguments)
    notes = list(prepared.notes)
    again = {name: number for name, number in repeated(splits).items() if number}
    if again:
        counts = " and ".join(f"{number:,} of {len(splits[name]):,} {name}" for name, number in again.items())
        notes.append(f"{counts} messages also stand in train; --deduplicate removes them")
    return replace(prepared, splits=splits, notes=[one_line(f"note   {note}") for note in notes])


def _saved(arguments: DataArguments, rules: LabelRules) -> Prepared:
    """Return the splits in a folder; they are not split or balanced again, but the loss may weigh their labels."""
    splits = read_splits(arguments.data_dir or ".", rules)
    task = task_of(splits, rules.positive)
    if task.problem_type == SINGLE and len(task.names) < 2:
        raise UserError(f"{arguments.data_dir}: expected messages of two labels, found only {task.names[0]!r}.")
    notes = []
    if arguments.deduplicate:
        before = sum(map(len, splits.values()))
        splits = deduplicate_splits(splits)
        notes.append(
            f"{before - sum(map(len, splits.values())):,} messages removed, whose text stands in an earlier one"
        )
    balance: Balance = "none"
    if arguments.balance in ("class_weights", "focal"):
        balance = arguments.plan(task).balance
    return Prepared(splits, task, balance, {}, notes)


def _fresh(arguments: DataArguments, rules: LabelRules) -> Prepared:
    """Return messages balanced and split."""
    messages = read_messages(arguments, rules)
    frame, task = messages.frame, messages.task
    require_variety(frame["Label"].tolist(), task, arguments.data_file or arguments.data_source or "uci")
    notes = []
    if arguments.deduplicate:
        before = len(frame)
        frame, conflicts = deduplicate(frame)
        several = f"; {conflicts:,} of them had another label" if conflicts else ""
        notes.append(f"{before - len(frame):,} messages removed, whose text stands in an earlier one{several}")
    plan = arguments.plan(task)
    mix = dict(Counter(frame["Label"])) if task.problem_type == SINGLE else {}
    splits = prepare_splits(frame, plan, task)
    if task.problem_type == SINGLE:
        require_labels({name: [task.names[id_] for id_ in rows["label"][:]] for name, rows in splits.items()}, task)
    used = sum(map(len, splits.values()))
    if used < len(frame):
        notes.append(f"used {used:,} of {len(frame):,} messages, equally many of each label; --balance none uses all")
    return Prepared(splits, task, plan.balance, mix, notes)


def _limit(splits: DatasetDict, arguments: DataArguments) -> DatasetDict:
    """Keep the first messages of each split, where the options limit them.

    Raises:
        UserError: If a label is then missing in training.
    """
    limits = (arguments.max_train_samples, arguments.max_validation_samples, arguments.max_test_samples)
    if not any(limits):
        return splits
    limited = {
        name: splits[name].select(range(min(limit or len(splits[name]), len(splits[name]))))
        for name, limit in zip(SPLITS, limits, strict=True)
    }
    task = task_of(splits)
    found = set(limited["train"]["label"][:]) if task.problem_type == SINGLE else set()
    missing = [name for id_, name in enumerate(task.names) if task.problem_type == SINGLE and id_ not in found]
    if missing:
        raise UserError(
            f"--max_train_samples {arguments.max_train_samples}: expected every label in training, found no "
            f"{list_names(missing)}. Use more messages."
        )
    return DatasetDict(limited)
