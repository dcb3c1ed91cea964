"""A finished fine-tuning, and the folder that it is saved to."""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ..data.labels import Task, task_of_config
from ..errors import one_line
from ..evaluation.history import History, describe_trained
from ..evaluation.metrics import figures_table
from ..evaluation.plots import plot_confusion, plot_history
from ..inference.classifier import EXAMPLES, SpamClassifier
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..system.environment import environment
from ..system.files import apply_umask
from ..system.manifest import MANIFEST_FILE
from ..system.own_files import BASE_FOLDER
from ..system.run_folder import METRICS_FILE
from ..trainable.adapters import save_adapter, save_base
from .checkpoints import require_finite_weights

_MOST_EXAMPLES = 5


@dataclass(frozen=True)
class Run:
    """The result of a fine-tuning.

    Attributes:
        model: Fine-tuned; of a LoRA with its adapters in place.
        tokenizer: The one it was fine-tuned with.
        splits: For each split its figures; see `evaluation.metrics.report_figures`.
        logits: For each of these splits the logits of its messages, in order. *Shape:* `[N, num_labels]`.
        examples: Messages, classified: the chapter's two with its own data, else some of the test split.
        history: The interim estimates.
        training: Seconds, steps, sizes and options of the training.
        data: Counts and a fingerprint of the splits.
        adapted: Of a LoRA: peft's model around `model`.
    """

    model: SpamGPTForSequenceClassification
    tokenizer: PreTrainedTokenizerFast
    splits: dict[str, dict[str, Any]]
    examples: list[dict[str, Any]]
    history: History
    training: dict[str, Any]
    data: dict[str, Any]
    adapted: Any = None
    logits: dict[str, NDArray[Any]] = field(default_factory=dict)


def choose_examples(splits: DatasetDict, task: Task) -> tuple[str, ...]:
    """Return the chapter's two messages for its own task, else a short message of each label from the test split."""
    if task.is_spam:
        return EXAMPLES
    chosen: dict[str, str] = {}
    for text, label in zip(splits["test"]["text"], splits["test"]["label"], strict=True):
        chosen[str(label)] = min(chosen.get(str(label), text), text, key=lambda text: (len(text) < 20, len(text)))
    return tuple(chosen[label] for label in sorted(chosen)[:_MOST_EXAMPLES])


def classify_examples(
    model: SpamGPTForSequenceClassification, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str] = EXAMPLES
) -> list[dict[str, Any]]:
    """Return texts with their labels and scores."""
    predictions = SpamClassifier(model, tokenizer)(texts)
    return [{"text": text, **asdict(prediction)} for text, prediction in zip(texts, predictions, strict=True)]


def save_run(
    run: Run, folder: str | os.PathLike[str], *, base: str | None = None, place: str | os.PathLike[str] | None = None
) -> None:
    """Write a run to a folder: checkpoint (weights, configuration, code, tokenizer), `metrics.json` and the plots.

    Other files of the folder stay. Each file is replaced whole, the weights first. Of a LoRA the adapter is written
    instead of the weights, and `base/`, the checkpoint that it belongs to, unless that is elsewhere.

    Args:
        run: The result of a fine-tuning.
        folder: Where it goes.
        base: Where a LoRA's base is; see `adapters.own_base`.
        place: Where the folder will be in the end, if it is renamed.

    Raises:
        UserError: If the weights are not finite.
    """
    require_finite_weights(run.model, "the end of the training")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST_FILE).unlink(missing_ok=True)  # it lists the files that are replaced
    with tempfile.TemporaryDirectory(dir=folder, prefix=".run-") as name:
        staging = Path(name)
        if run.adapted is None:
            run.model.save_pretrained(staging)
        else:
            if base is None:
                save_base(run.model, staging / BASE_FOLDER)
                run.tokenizer.save_pretrained(staging / BASE_FOLDER)
            save_adapter(run.adapted, staging, base or str(Path(place or folder).absolute() / BASE_FOLDER))
        run.tokenizer.save_pretrained(staging)
        _move(staging, folder)  # what fails from here on does not lose the weights
        record = {
            "splits": run.splits,
            # Messages of the user's own are no part of the record, which may be pushed.
            "examples": [example for example in run.examples if example["text"] in EXAMPLES],
            "training": run.training,
            "data": run.data,
            "history": asdict(run.history),
            "environment": environment(run.model.device),
        }
        text = json.dumps(_finite(record), indent=2, ensure_ascii=False, allow_nan=False)
        (staging / METRICS_FILE).write_text(text + "\n", encoding="utf-8")
        _move(staging, folder)
        plot_history(run.history, run.training["steps"], run.training["epochs"], staging)
        if "confusion" in run.splits["test"]:
            labels = task_of_config(run.model.config).names
            plot_confusion(run.splits["test"]["confusion"], labels, staging)
        _move(staging, folder)


def _move(staging: Path, folder: Path) -> None:
    apply_umask(staging)
    for file in staging.iterdir():
        if file.is_dir() and (folder / file.name).is_dir():
            shutil.rmtree(folder / file.name)
        os.replace(file, folder / file.name)


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def describe_run(record: Mapping[str, Any], output_dir: Path) -> str:
    """Return the table of figures, the two examples, and what to do next.

    Args:
        record: A run's `splits`, `examples` and `training`, or what `metrics.json` keeps of them.
        output_dir: Where it is.
    """
    width = max((len(example["label"]) for example in record["examples"]), default=0) + 1
    # Of a regression there are none.
    accuracies = {name: figures["accuracy"] for name, figures in record["splits"].items() if "accuracy" in figures}
    examples = [f"{it['label']:{width}}{it['score']:.3f}  {it['text']}" for it in record["examples"]]
    lines = [
        f"trained {record['training']['steps']:,} steps in {record['training']['seconds']:.1f} s",
        *([describe_trained(accuracies)] if accuracies else []),
        "",
        figures_table(record["splits"]),
        "",
        *map(one_line, examples),
        *[""] * bool(examples),
        one_line(f'saved to {output_dir}; try: hf-spam predict {output_dir} "your text"'),
    ]
    return "\n".join(lines)
