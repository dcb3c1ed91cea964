"""The report of a checkpoint: its figures on its own data or on other messages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..data.arguments import DataArguments
from ..data.loading import load_splits, read_messages
from ..data.sources import LABELS
from ..data.splits import SPLITS, fingerprint
from ..errors import UserError
from ..inference.classifier import SpamClassifier
from ..options import build, merge, read_config
from ..system import processes
from ..system.run_folder import ARGUMENTS_FILE, METRICS_FILE
from .metrics import ClassificationMetric, confusion

_SOURCES = ("data_source", "data_file", "data_dir")


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
        path = folder / ARGUMENTS_FILE
        if not path.is_file():
            raise UserError(f"{model}: no {ARGUMENTS_FILE} says which data it was trained on. Name --data_file.")
        data_options = merge(read_config(path), data_options)
    arguments: DataArguments = build(DataArguments, data_options)
    if split == "all" and arguments.data_dir is None:
        frame = read_messages(arguments)
        return frame["Text"].tolist(), [LABELS.index(label) for label in frame["Label"]], "all messages"
    splits = load_splits(arguments)
    metrics = folder / METRICS_FILE
    if not named and metrics.is_file() and fingerprint(splits) != read_config(metrics)["data"]["fingerprint"]:
        raise UserError(f"{model}: its data has changed since it was trained: the splits are no longer the same.")
    chosen = SPLITS if split == "all" else (split,)
    texts = [text for name in chosen for text in splits[name]["text"][:]]
    labels = [label for name in chosen for label in splits[name]["label"][:]]
    return texts, labels, "all splits" if split == "all" else f"the {split} split"


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
