"""The report of a checkpoint: its figures on its own data or on other messages."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..data.arguments import DataArguments
from ..data.loading import load_splits, read_messages
from ..data.sources import LABELS
from ..data.splits import SPLITS, fingerprint
from ..errors import UserError, one_line
from ..inference.classifier import SpamClassifier
from ..options import OptionParser, build, merge, read_config, to_argv
from ..system import processes
from ..system.reading import is_folder, read_json
from ..system.run_folder import ARGUMENTS_FILE, METRICS_FILE
from .metrics import ClassificationMetric, confusion

_FILES = ("data_file", "data_dir")
_SOURCES = ("data_source", *_FILES)
# What a checkpoint's arguments.json may say here: which messages, never where anything is written or kept.
_RECORDED = (
    *_SOURCES, "text_column", "label_column", "balance", "train_fraction", "validation_fraction", "split_seed",
    "max_length",
)  # fmt: skip


def choose_messages(
    model: str, folder: Path, data_options: Mapping[str, Any], split: str | None = None
) -> tuple[list[str], list[int], str]:
    """Return the texts and label ids to report on, and a name for them.

    Args:
        model: The checkpoint as the user named it, for messages.
        folder: The checkpoint's folder, which records the data it was trained on.
        data_options: Options of `DataArguments`; other keys are ignored. If they name a source, that source is used
            instead of the checkpoint's own data.
        split: One of `SPLITS`, or `all`. The default is `test` for the checkpoint's own data and `all` for another
            source.

    Raises:
        UserError: If no source is named and the checkpoint does not record one, or if its source now gives other
            splits than it was trained on.
    """
    named = any(name in data_options for name in _SOURCES)
    split = split or ("all" if named else "test")
    if not named:
        data_options = merge(recorded_options(model, folder), data_options)
    arguments: DataArguments = build(DataArguments, data_options)
    if split == "all" and arguments.data_dir is None:
        frame = read_messages(arguments)
        if not named:
            _say_what_was_read(model, arguments)
        return frame["Text"].tolist(), [LABELS.index(label) for label in frame["Label"]], "all messages"
    splits = load_splits(arguments)
    if not named:
        _say_what_was_read(model, arguments)
    recorded = None if named else recorded_fingerprint(folder)
    if recorded is not None and fingerprint(splits) != recorded:
        raise UserError(f"{model}: its data has changed since it was trained: the splits are no longer the same.")
    chosen = SPLITS if split == "all" else (split,)
    texts = [text for name in chosen for text in splits[name]["text"][:]]
    labels = [label for name in chosen for label in splits[name]["label"][:]]
    return texts, labels, "all splits" if split == "all" else f"the {split} split"


def _say_what_was_read(model: str, arguments: DataArguments) -> None:
    path = arguments.data_file or arguments.data_dir
    if path and processes.rank() == 0:
        print(f"read {one_line(path)}, which {ARGUMENTS_FILE} of {one_line(model)} names", file=sys.stderr)


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
    if not is_folder(model) and any(name in found for name in _FILES):
        raise UserError(
            f"{model}: its {ARGUMENTS_FILE} names a file on its author's machine, which is not read. Name --data_file."
        )
    parser = OptionParser(DataArguments, prog="hf-spam evaluate", description=None)
    try:
        options: dict[str, Any] = parser.given(to_argv(found, parser))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
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


def report(classifier: SpamClassifier, texts: list[str], labels: list[int]) -> tuple[dict[str, float], pd.DataFrame]:
    """Return `METRICS` with the mean loss, and the confusion matrix (rows: true labels; columns: predicted labels).

    Several processes share the texts. Each text is scored once, and every process gets the whole report.

    Raises:
        UserError: If the model's labels are not those of the messages.
    """
    require_labels(classifier)
    logits = processes.gather_shards(classifier.logits(processes.shard(texts)), len(texts))
    predictions = logits.argmax(dim=1).tolist()
    figures: dict[str, float] = ClassificationMetric().compute(predictions=predictions, references=labels)
    figures["loss"] = float(torch.nn.functional.cross_entropy(logits, torch.tensor(labels)))
    rows, columns = ([f"{side} {label}" for label in LABELS] for side in ("true", "predicted"))
    return figures, pd.DataFrame(confusion(labels, predictions), index=rows, columns=columns)


def require_labels(classifier: SpamClassifier) -> None:
    """Check that a model's labels are those of the messages, in their order.

    Raises:
        UserError: If they are not.
    """
    found = list(classifier.model.config.id2label.values())
    if found != LABELS:
        raise UserError(
            f"expected a model with the labels {', '.join(LABELS)}, in this order, found {', '.join(found)}. "
            f"Use hf-spam predict, which names the model's own labels."
        )
