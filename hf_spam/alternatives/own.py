"""Ours among the contenders: the quickstart's model, as a checkpoint in fp32 and as an int8 export."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..conversion.from_gpt2 import SIZES
from ..data.labels import HAM_SPAM
from ..inference.classifier import SpamClassifier
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..system.files import atomic_folder
from ..tokens.tokenization import build_tokenizer
from ..training.presets import PRESETS
from .contest import Contest, Label

CHECKPOINT, EXPORT = "checkpoint", "export"
_METRICS = "metrics.json"


def command() -> list[str]:
    """Return the words that start `hf-spam`, beside this Python or else as a module."""
    found = shutil.which("hf-spam", path=str(Path(sys.executable).parent))
    return [found] if found else [sys.executable, "-m", "hf_spam"]


def checkpoint(contest: Contest) -> Path:
    """Return a checkpoint of the quickstart's recipe on the chapter's split; it trains if it is not there yet.

    Where the contest trains none, it is of the quickstart's shape with random weights.
    """
    folder = contest.place / CHECKPOINT
    if (folder / "config.json").exists():
        return folder
    if contest.train_ours:
        argv = ["train", "--preset", "quickstart", "--split", "chapter", "--data_file", str(_messages(contest))]
        _run([*argv, "--output_dir", str(folder), "--overwrite_output_dir", "true"])
        return folder
    preset = PRESETS["quickstart"]
    sizes: dict[str, Any] = {**SIZES[preset["model_size"]], "id2label": dict(enumerate(HAM_SPAM))}
    same = {name: preset[name] for name in ("context_length", "pooling", "causal")}
    torch.manual_seed(123)
    folder.mkdir(exist_ok=True)
    with atomic_folder(folder) as writing:
        SpamGPTForSequenceClassification(SpamGPTConfig(**sizes, **same)).save_pretrained(writing)
        build_tokenizer().save_pretrained(writing)
    return folder


def export(contest: Contest) -> Path:
    """Return the checkpoint as ONNX in int8; it is exported if it is not there yet."""
    folder = contest.place / EXPORT
    if not (folder / "config.json").exists():
        argv = ["export", str(checkpoint(contest)), "--int8", "--output_dir", str(folder), "--overwrite_output_dir"]
        random = ["--data_file", str(_messages(contest)), "--max_changed", "1"]  # random scores change with rounding
        _run([*argv, *([] if contest.train_ours else random)])
    return folder


def _messages(contest: Contest) -> Path:
    """Return a file that gives the same splits."""
    path = contest.place / "messages.csv"
    if not path.exists():
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("Label", "Text"), *zip(contest.labels, contest.texts, strict=True)])
    return path


def _run(argv: list[str]) -> None:
    done = subprocess.run([*command(), *argv], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"hf-spam {argv[0]}: exit code {done.returncode}: {done.stderr.strip()}")


@dataclass(frozen=True)
class Ours:
    """The quickstart's model by `SpamClassifier`."""

    name: str
    folder: str
    needs: dict[str, str]

    def prepare(self, contest: Contest) -> dict[str, Any]:
        """Train or export it; an export's fit is its checkpoint's."""
        place = checkpoint(contest)
        if self.folder == EXPORT:
            export(contest)
        if not contest.train_ours:
            return {}
        return {"fit": json.loads((place / _METRICS).read_text(encoding="utf-8"))["training"]["seconds"]}

    def load(self, folder: Path) -> Label:
        """Return the classifier."""
        classifier = SpamClassifier.from_pretrained(folder)
        return lambda texts: [str(found.label) for found in classifier(texts)]

    def start(self, folder: Path) -> list[str]:
        """Return `hf-spam predict`."""
        return [*command(), "predict", str(folder)]


CONTENDERS = (
    Ours("ours, quickstart, fp32", CHECKPOINT, {}),
    Ours("ours, quickstart, ONNX int8", EXPORT, dict.fromkeys(("onnx", "onnxruntime"), "onnx")),
)
