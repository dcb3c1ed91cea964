"""A finished fine-tuning, and the folder that it is saved to."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import (
    GPT2Tokenizer,
)

from ..evaluation.history import History
from ..evaluation.plots import plot_history
from ..inference.classifier import EXAMPLES, SpamClassifier
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..system.environment import environment
from ..system.run_folder import METRICS_FILE


@dataclass(frozen=True)
class Run:
    """What a fine-tuning leaves: the model, its figures, and what it went through.

    `splits` maps each split to `METRICS`, `loss` (mean over the messages), `messages` and their `confusion`.
    """

    model: SpamGPTForSequenceClassification
    tokenizer: GPT2Tokenizer
    splits: dict[str, dict[str, Any]]
    history: History
    training: dict[str, Any]
    data: dict[str, Any]


def classify_examples(run: Run) -> list[dict[str, Any]]:
    """The chapter's two example messages with their labels and scores."""
    predictions = SpamClassifier(run.model, run.tokenizer)(EXAMPLES)
    return [{"text": text, **asdict(prediction)} for text, prediction in zip(EXAMPLES, predictions, strict=True)]


def save_run(run: Run, examples: list[dict[str, Any]], folder: Path) -> None:
    """Write the checkpoint (weights, configuration, code, tokenizer), `metrics.json` and the plots into `folder`."""
    run.model.save_pretrained(folder)
    run.tokenizer.save_pretrained(folder)
    record = {
        "splits": run.splits,
        "examples": examples,
        "training": run.training,
        "data": run.data,
        "history": asdict(run.history),
        "environment": environment(run.model.device),
    }
    text = json.dumps(_finite(record), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / METRICS_FILE).write_text(text + "\n", encoding="utf-8")
    plot_history(run.history, run.training["epochs"], folder)


def _finite(value: Any) -> Any:
    """NaN and infinity, which JSON does not have, become null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
