"""The report of a checkpoint: its figures on its own data or on other messages."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..data.arguments import SOURCES, DataArguments
from ..data.labels import LabelRules, Task, task_of_config
from ..data.loading import Prepared, prepare, read_messages
from ..data.splits import fingerprint
from ..dataclass_options import DataclassParser
from ..errors import UserError, one_line
from ..inference.classifier import SpamClassifier
from ..options import build, merge, read_config, to_argv
from ..system import processes
from ..system.reading import is_folder, read_json
from ..system.run_folder import ARGUMENTS_FILE, METRICS_FILE
from .leaks import judge_without_twins
from .metrics import format_metric, label_table, metric_names, report_figures

# Options of the data that a report does not ask: the labels are the model's, and `--split` names a split.
NOT_HERE = ("labels", "problem_type", "prior", "split", "deduplicate")
_MOST_CELLS = 12  # labels of a confusion matrix on the console
# What a checkpoint's arguments.json may say here: which messages, never where anything is written or kept.
_RECORDED = {field.name for field in fields(DataArguments)} - {"cache_dir", "bpe_dir"}


@dataclass(frozen=True)
class Chosen:
    """The messages to report on.

    Attributes:
        texts: The texts.
        labels: The label of each, as `Task.ids` returns it.
        name: What they are called.
        task: The model's labels.
        source: Where they come from; see `data.loading.Prepared`.
        held_out: Whether they are the test split of the model's own data.
    """

    texts: list[str]
    labels: list[Any]
    name: str
    task: Task
    source: str = "own"
    held_out: bool = False


def choose_messages(
    model: str, folder: Path, config: Any, data_options: Mapping[str, Any], split: str | None = None
) -> Chosen:
    """Return the messages to report on.

    Args:
        model: The checkpoint as the user named it, for messages.
        folder: The checkpoint's folder, which records the data it was trained on.
        config: The model's configuration. Its labels are those that the messages must have, in its order.
        data_options: Options of `DataArguments`; other keys are ignored. If they name a source, that source is used
            instead of the checkpoint's own data.
        split: One of `SPLITS`, or `all`. The default is `test` for the checkpoint's own data and `all` for another
            source.

    Raises:
        UserError: If no source is named and the checkpoint does not record one, or if its source now gives other
            splits than it was trained on.
    """
    arguments, rules, named = _data_of(model, folder, config, data_options)
    task = task_of_config(config, arguments.positive_label)
    split = split or ("all" if named else "test")
    if split == "all":
        frame = read_messages(arguments, rules).frame
        if not named:
            _say_what_was_read(model, arguments)
        return Chosen(frame["Text"].tolist(), task.ids(frame["Label"]), "all messages", task)
    prepared = _prepare(model, folder, arguments, rules, named)
    rows = prepared.splits[split]
    held_out = split == "test" and not named
    return Chosen(rows["text"][:], rows["label"][:], f"the {split} split", task, prepared.source, held_out)


def own_splits(model: str, folder: Path, config: Any, data_options: Mapping[str, Any]) -> Prepared:
    """Return all splits of a model's own data, or of the data that the options name; see `choose_messages`."""
    arguments, rules, named = _data_of(model, folder, config, data_options)
    return _prepare(model, folder, arguments, rules, named)


def _data_of(
    model: str, folder: Path, config: Any, data_options: Mapping[str, Any]
) -> tuple[DataArguments, LabelRules, bool]:
    """Return where the messages are, what their labels must be, and whether the options name them."""
    data_options = {name: value for name, value in data_options.items() if name != "split"}  # here it is a name
    named = any(name in data_options for name in ("data_source", *SOURCES))
    if not named:
        data_options = merge(recorded_options(model, folder), data_options)
    arguments: DataArguments = build(DataArguments, data_options)
    task = task_of_config(config, arguments.positive_label)
    return arguments, LabelRules(task.names, arguments.label_rules().renamed, task.positive, task.problem_type), named


def _prepare(model: str, folder: Path, arguments: DataArguments, rules: LabelRules, named: bool) -> Prepared:
    prepared = prepare(arguments, rules)
    if not named:
        _say_what_was_read(model, arguments)
    recorded = None if named else recorded_fingerprint(folder)
    if recorded is not None and fingerprint(prepared.splits) != recorded:
        raise UserError(f"{model}: its data has changed since it was trained: the splits are no longer the same.")
    return prepared


def training_rows(
    model: str, folder: Path, config: Any, data_options: Mapping[str, Any]
) -> tuple[list[str], list[Any]] | str:
    """Return the texts and labels that a checkpoint was trained on, or why they are not at hand.

    Args:
        model: See `choose_messages`.
        folder: See there.
        config: See there.
        data_options: Of these only what says where files are kept, and which label is positive.
    """
    kept = {name: data_options[name] for name in ("cache_dir", "positive_label") if name in data_options}
    try:
        chosen = choose_messages(model, folder, config, kept, "train")
    except UserError as error:
        return str(error)
    return chosen.texts, chosen.labels


def _say_what_was_read(model: str, arguments: DataArguments) -> None:
    given = [getattr(arguments, name) for name in SOURCES if getattr(arguments, name) is not None]
    paths = [path for value in given for path in (value if isinstance(value, list) else [value])]
    if paths and processes.rank() == 0:
        print(
            f"read {one_line(' and '.join(paths))}, which {ARGUMENTS_FILE} of {one_line(model)} names", file=sys.stderr
        )


def recorded_options(model: str, folder: Path) -> dict[str, Any]:
    """Return the options of the data that a checkpoint records, checked as if they were typed.

    Raises:
        UserError: If it records none, an option has a wrong value, or a checkpoint that was downloaded names a file:
            that is a place on its author's machine, not on this one.
    """
    path = folder / ARGUMENTS_FILE
    if not path.exists():
        raise UserError(f"{model}: no {ARGUMENTS_FILE} says which data it was trained on. Name --data_file.")
    found = {name: value for name, value in read_config(path).items() if name in _RECORDED and value is not None}
    if not is_folder(model) and (named := [name for name in SOURCES if name in found]):
        what = "a data set" if named == ["dataset_name"] else "a file on its author's machine"
        raise UserError(
            f"{model}: its {ARGUMENTS_FILE} names {what}, which is not read. Name --data_file or --dataset_name."
        )
    parser = DataclassParser(DataArguments, prog="hf-spam evaluate", description=None)
    try:
        options: dict[str, Any] = parser.given(to_argv(found, parser))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if "-" in options.get("data_file", []):
        raise UserError(f"{model}: its messages came from standard input. Name --data_file.")
    return options


def recorded_fingerprint(folder: Path) -> str | None:
    """Return the fingerprint of the splits that a checkpoint was trained on, if it records any figures.

    Raises:
        UserError: If it records figures without one.
    """
    path = folder / METRICS_FILE
    if not path.exists():
        return None
    data = read_json(path).get("data")
    found = data.get("fingerprint") if isinstance(data, dict) else None
    if not isinstance(found, str):
        raise UserError(f"{path}: expected a text 'fingerprint' under 'data', found none. Name --data_file.")
    return found


def report(classifier: SpamClassifier, chosen: Chosen) -> tuple[dict[str, Any], torch.Tensor]:
    """Return the figures of a model on messages, see `metrics.report_figures`, and the logits.

    Several processes share the texts. Each text is scored once, and every process gets the whole report.

    Raises:
        UserError: If there are no messages.
    """
    if not chosen.texts:
        raise UserError(f"{chosen.name}: expected messages, found none. Name --data_file.")
    logits = processes.gather_shards(classifier.logits(processes.shard(chosen.texts)), len(chosen.texts))
    return report_figures(chosen.task, logits, chosen.task.targets(chosen.labels)), logits


def report_splits(prepared: Prepared, logits: Mapping[str, torch.Tensor]) -> dict[str, dict[str, Any]]:
    """Return the figures of every split, also without near duplicates of the training split.

    Args:
        prepared: The splits.
        logits: Of each split. *Shape:* `[N, num_labels]`.
    """
    task, splits = prepared.task, prepared.splits
    figures = {
        name: report_figures(task, values, task.targets(splits[name]["label"][:])) for name, values in logits.items()
    }
    judge_without_twins(figures, {name: values.numpy() for name, values in logits.items()}, prepared)
    return figures


def describe_report(figures: Mapping[str, Any], task: Task) -> str:
    """Return the figures in a line, then the confusion matrix or the figures of each label."""
    names = [*metric_names(task), "loss"]
    lines = ["  ".join(f"{name} {format_metric(name, figures[name])}" for name in names)]
    if "confusion" in figures and len(task.names) <= _MOST_CELLS:
        rows, columns = ([one_line(f"{side} {label}") for label in task.names] for side in ("true", "predicted"))
        lines.append(pd.DataFrame(figures["confusion"], index=rows, columns=columns).to_string())
    if "per_label" in figures:
        lines.append(label_table(figures["per_label"]))
    return "\n".join(lines)
