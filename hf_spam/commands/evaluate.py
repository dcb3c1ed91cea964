"""`hf-spam evaluate`: the report of a checkpoint on a split of its own data, or on other messages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import torch

from .. import processes
from ..arguments import DataArguments
from ..builders import build_splits, read_messages
from ..data import SPLITS, fingerprint
from ..errors import UserError
from ..inference import Precision, SpamClassifier, find_checkpoint
from ..metrics import METRICS as METRIC_NAMES
from ..metrics import build_metrics, confusion
from ..options import OptionParser, build, merge, read_config
from ..run_folder import ARGUMENTS, METRICS
from ..sources import LABELS

SOURCES = ("data_source", "data_file", "data_dir")


def make_parser() -> OptionParser:
    """The checkpoint, what to report on, and the data options."""
    parser = OptionParser(DataArguments, prog="hf-spam evaluate", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="A folder that `hf-spam train` saved, or a repository.")
    parser.add_argument(
        "--split",
        choices=[*SPLITS, "all"],
        help="A split (default: test), or all messages as they are (default where another source is named).",
    )
    parser.add_argument("--precision", choices=get_args(Precision), help="fp32 (default), or bf16: faster.")
    parser.add_argument("--token_budget", type=int, help="Tokens scored at once (default: what suits the device).")
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """The options given."""
    return merge(make_parser().given(argv))


def main(options: dict[str, Any]) -> None:
    """Report on the messages that the options name."""
    processes.join()
    with processes.main_first():
        folder = find_checkpoint(options["model"])
        texts, labels, name = choose_messages(options, folder)
        classifier = SpamClassifier.from_pretrained(
            folder, options.get("token_budget"), options.get("precision", "fp32")
        )
    figures, counts = report(classifier, texts, labels)
    print(f"{options['model']} on {name}, {len(texts):,} messages")
    print("  ".join(f"{metric} {figures[metric]:.2%}" for metric in METRIC_NAMES) + f"  loss {figures['loss']:.3f}")
    print(counts.to_string())


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
        path = folder / ARGUMENTS
        if not path.is_file():
            raise UserError(f"{options['model']}: no {ARGUMENTS} says which data it was trained on. Name --data_file.")
        arguments, split = build(DataArguments, merge(read_config(path), options)), options.get("split", "test")
    if split == "all" and arguments.data_dir is None:
        frame = read_messages(arguments)
        return frame["Text"].tolist(), [LABELS.index(label) for label in frame["Label"]], "all messages"
    splits = build_splits(arguments)
    metrics = folder / METRICS
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
    logits = processes.gather_rows(classifier.logits(processes.own_rows(texts)), len(texts))
    predictions = logits.argmax(dim=1).tolist()
    figures: dict[str, float] = build_metrics().compute(predictions=predictions, references=labels)
    figures["loss"] = float(torch.nn.functional.cross_entropy(logits, torch.tensor(labels)))
    rows, columns = ([f"{side} {label}" for label in LABELS] for side in ("true", "predicted"))
    return figures, pd.DataFrame(confusion(labels, predictions), index=rows, columns=columns)
