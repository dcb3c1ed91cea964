"""Read the messages and splits that the options describe, and say what became of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd
from datasets import DatasetDict

from ..errors import UserError, one_line
from ..tables.columns import list_names
from ..tables.folders import ALL
from . import sources
from .arguments import Balance, DataArguments
from .grouping import Leak, describe_leaks, find_leaks
from .label_reading import read_labels, require_variety
from .labels import SINGLE, LabelRules, Task
from .messages import Messages, join_messages
from .messages import read_messages as read_tables
from .sampling import (
    complete_splits,
    deduplicate,
    deduplicate_splits,
    oversample,
    prepare_splits,
    require_labels,
    undersample,
)
from .splits import SPLITS, task_of, to_splits


@dataclass(frozen=True)
class Prepared:
    """Splits, and how they came about.

    Attributes:
        splits: Train, validation and test.
        task: What they teach.
        balance: What was done, or is left to the loss, about labels of different frequency.
        mix: The messages of each label before any were dropped or repeated.
        notes: What the console says of them, a line each.
        source: The source's name for the record: `uci` (also when read from files), `sample` or `own`.
        given: Whether the splits were there, so that none was drawn.
        leaks: What splits share with the training split; see `grouping.find_leaks`.
    """

    splits: DatasetDict
    task: Task
    balance: Balance
    mix: dict[str, int]
    notes: list[str]
    source: str = "own"
    given: bool = False
    leaks: Mapping[str, Leak] | None = None


def read_sources(arguments: DataArguments, rules: LabelRules | None = None) -> dict[str, Messages]:
    """Return the messages of the source, by their splits, or as `all` if they are in none.

    Args:
        arguments: Which source.
        rules: What the labels are, if they are a model's; by default what the options say.

    Raises:
        UserError: If the source cannot be read, or a row is not a labelled text.
    """
    rules = rules or arguments.label_rules()
    tables = sources.open_tables(arguments)
    if tables is not None:
        return read_tables(tables, rules)
    sample = arguments.data_source == "sample"
    frame = sources.read_sample() if sample else sources.read_uci(arguments.cache_dir)
    labels, task = read_labels(frame["Label"].tolist(), sources.COLLECTION, rules)
    return {ALL: Messages(pd.DataFrame({"Label": labels, "Text": frame["Text"]}), task)}


def read_messages(arguments: DataArguments, rules: LabelRules | None = None) -> Messages:
    """Return all messages of the source, of all its splits; see `read_sources`."""
    return join_messages(read_sources(arguments, rules))


def load_splits(arguments: DataArguments) -> DatasetDict:
    """Return the splits of the source, or its messages balanced and split."""
    return prepare(arguments).splits


def prepare(arguments: DataArguments, rules: LabelRules | None = None) -> Prepared:
    """Return the splits that the options describe, and what became of the messages.

    Args:
        arguments: The options.
        rules: See `read_sources`.

    Raises:
        UserError: If the messages cannot be read, have a single label, or leave a split without a label.
    """
    messages = read_sources(arguments, rules or arguments.label_rules())
    fresh = set(messages) <= {ALL, "train"}  # a set with one split has none
    prepared = _fresh(arguments, next(iter(messages.values()))) if fresh else _given(arguments, messages)
    splits = _limit(prepared.splits, arguments)
    notes = list(prepared.notes)
    leaks = find_leaks(splits)
    notes += describe_leaks(splits, leaks)
    return replace(prepared, splits=splits, leaks=leaks, notes=[one_line(f"note   {note}") for note in notes])


def _place(arguments: DataArguments) -> str:
    """Return what messages of errors call the source."""
    paths = arguments.data_file or arguments.train_file or arguments.test_file or arguments.validation_file or [""]
    return arguments.data_dir or arguments.dataset_name or paths[0] or arguments.data_source or "uci"


def _given(arguments: DataArguments, messages: Mapping[str, Messages]) -> Prepared:
    """Return the splits that are there. Those that are missing are cut from train, and only train is balanced."""
    task, place = next(iter(messages.values())).task, _place(arguments)
    if "train" not in messages:
        raise UserError(
            f"{place}: expected messages for training, found only those for {' and '.join(messages)}. Name them with "
            f"--train_file, or give all messages with --data_file."
        )
    notes = [note for each in messages.values() for note in each.notes]
    require_variety(messages["train"].frame["Label"].tolist(), task, place)
    frames = {name: each.frame for name, each in messages.items()}
    if absent := task.missing(frames["train"]["Label"]):
        raise UserError(
            f"expected every label among the messages for training, found no {list_names(absent)}. Give messages of "
            f"them, or merge labels with --label_map."
        )
    plan = arguments.plan(task)
    if missing := [name for name in SPLITS if name not in frames]:
        frames = complete_splits(frames, plan, task)
        sizes = " and ".join(f"{len(frames[name]):,} for {name}" for name in missing)
        notes.append(f"messages cut from train: {sizes}")
    mix = dict(Counter(frames["train"]["Label"])) if task.problem_type == SINGLE else {}
    # Splits that somebody made are balanced only where it is asked for.
    balance: Balance = plan.balance if arguments.balance is not None else "none"
    if balance in ("undersample", "oversample"):
        before = len(frames["train"])
        change = undersample if balance == "undersample" else oversample
        frames["train"] = change(frames["train"], plan.seed, task).sample(frac=1, random_state=plan.seed)
        notes.append(f"{len(frames['train']):,} messages for training of {before:,}, equally many of each label")
    splits = to_splits({name: frames[name] for name in SPLITS}, task)
    if arguments.deduplicate:
        before = sum(map(len, splits.values()))
        splits = deduplicate_splits(splits)
        notes.append(
            f"{before - sum(map(len, splits.values())):,} messages removed, whose text stands in an earlier one"
        )
    return Prepared(splits, task, balance, mix, notes, given=True)


def _fresh(arguments: DataArguments, messages: Messages) -> Prepared:
    """Return messages balanced and split."""
    frame, task = messages.frame, messages.task
    require_variety(frame["Label"].tolist(), task, _place(arguments))
    notes = list(messages.notes)
    source = "uci" if sources.is_collection(frame) else arguments.data_source or "own"
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
        where = " in training" if plan.split == "grouped" else ""
        notes.append(
            f"used {used:,} of {len(frame):,} messages, equally many of each label{where}; --balance none uses all"
        )
    return Prepared(splits, task, plan.balance, mix, notes, source)


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
    found = set(limited["train"]["label"][:]) if task.problem_type == SINGLE else ()
    if missing := task.missing(task.names[id_] for id_ in found):
        raise UserError(
            f"--max_train_samples {arguments.max_train_samples}: expected every label in training, found no "
            f"{list_names(missing)}. Use more messages."
        )
    return DatasetDict(limited)
