"""A checkpoint's figures on messages of its own data, or on others."""

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
from .metrics import build_metrics, confusion

SOURCES = ("data_source", "data_file", "data_dir")


def choose_messages(options: dict[str, Any], folder: Path) -> tuple[list[str], list[int], str]:
    """The texts and label ids to report on, and what to call them.

    Args:
        options: Those of the command.
        folder: The checkpoint's, which remembers its data.

    Raises:
        UserError: If the checkpoint does not say what it was trained on and no source is named, or if its source now
            gives other splits than it was trained on.
    """
    if named := any(name in options for name in SOURCES):
        arguments, split = build(DataArguments, options), options.get("split", "all")
    else:
        path = folder / ARGUMENTS_FILE
        if not path.is_file():
            raise UserError(
                f"{options['model']}: no {ARGUMENTS_FILE} says which data it was trained on. Name --data_file."
            )
        arguments, split = build(DataArguments, merge(read_config(path), options)), options.get("split", "test")
    if split == "all" and arguments.data_dir is None:
        frame = read_messages(arguments)
        return frame["Text"].tolist(), [LABELS.index(label) for label in frame["Label"]], "all messages"
    splits = load_splits(arguments)
    metrics = folder / METRICS_FILE
    if not named and metrics.is_file() and fingerprint(splits) != read_config(metrics)["data"]["fingerprint"]:
        raise UserError(f"{options['model']}: its data has changed since it was trained: the splits are not the same.")
    chosen = SPLITS if split == "all" else (split,)
    texts = [text for name in chosen for text in splits[name]["text"]]
    labels = [label for name in chosen for label in splits[name]["label"]]
    return texts, labels, "all splits" if split == "all" else f"the {split} split"


def report(classifier: SpamClassifier, texts: list[str], labels: list[int]) -> tuple[dict[str, float], pd.DataFrame]:
    """`METRICS` and the mean loss, and the confusion matrix (rows: true labels; columns: predicted).

    Several processes share the texts; each text is scored once, and every process has the whole report.
    """
    logits = processes.gather_shards(classifier.logits(processes.shard(texts)), len(texts))
    predictions = logits.argmax(dim=1).tolist()
    figures: dict[str, float] = build_metrics().compute(predictions=predictions, references=labels)
    figures["loss"] = float(torch.nn.functional.cross_entropy(logits, torch.tensor(labels)))
    rows, columns = ([f"{side} {label}" for label in LABELS] for side in ("true", "predicted"))
    return figures, pd.DataFrame(confusion(labels, predictions), index=rows, columns=columns)
