"""Other tasks than ham and spam, from the file to the card: more labels, several for a text, numbers.

pytest tests/commands/test_tasks.py
"""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.warm_process import WarmProcess
from transformers import pipeline

from hf_spam import SpamClassifier
from hf_spam.hub.model_card import build_model_card

WORDS = {"ham": "see you at home", "service": "your parcel has arrived", "fraud": "claim your prize now"}
NUMBERS = {"ham": 0.0, "service": 0.5, "fraud": 2.0}
ORDER = ["ham", "service", "fraud"]


def rows() -> list[tuple[str, str]]:
    """Texts with one of three labels, of which the third is rare."""
    labels = ["ham", "ham", "service", "ham", "service", "fraud"] * 10
    return [(f"{WORDS[label]} {number}", label) for number, label in enumerate(labels)]


def content(task: str) -> list[dict[str, Any]]:
    """The rows as a file of that task holds them."""
    if task == "several":
        return [
            {"text": text, "label": [label, "new"] if n % 2 else [label]} for n, (text, label) in enumerate(rows())
        ]
    return [{"text": text, "label": NUMBERS[label] if task == "numbers" else label} for text, label in rows()]


OPTIONS = {
    "three": ["--labels", ",".join(ORDER), "--balance", "class_weights", "--prior", "fraud=0.01"],
    "several": [],
    "numbers": ["--problem_type", "regression"],
}
FIGURES = {
    "three": {"accuracy", "precision", "recall", "f1", "precision_weighted", "recall_weighted", "f1_weighted"},
    "several": {"accuracy", "precision", "recall", "f1", "precision_micro", "recall_micro", "f1_micro"},
    "numbers": {"mse", "rmse", "mae", "r2"},
}


@pytest.fixture(scope="module")
def train(
    tmp_path_factory: pytest.TempPathFactory, warm: WarmProcess, gpt2_folder: Path
) -> Callable[..., tuple[Path, str]]:
    """Train on a task's rows by the real command; return the run and what was printed."""

    def run(task: str, *more: object) -> tuple[Path, str]:
        folder = tmp_path_factory.mktemp(task)
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content(task)))
        recipe = ["--weights", gpt2_folder, "--trainable", "all", "--learning_rate", "1e-3", "--max_steps", "12"]
        argv = ["train", "--data_file", "rows.jsonl", *OPTIONS[task], *recipe, "--output_dir", "run", *more]
        result = warm.call(argv, folder)
        assert result.returncode == 0, result.stderr
        return folder / "run", result.stdout

    return run


@pytest.mark.parametrize(
    "task", ["three", *(pytest.param(task, marks=pytest.mark.slow) for task in ("several", "numbers"))]
)
def test_from_the_file_to_the_card(train: Callable[..., tuple[Path, str]], warm: WarmProcess, task: str) -> None:
    folder, output = train(task)
    metrics = json.loads((folder / "metrics.json").read_text())
    figures = metrics["splits"]["test"]
    assert FIGURES[task] <= set(figures)
    assert metrics["examples"] == []  # messages of the user's own are in no record
    said = re.findall(r"^(?:before|after) training, [^:]+: train (\w+)", output, re.MULTILINE)
    assert said == (["loss"] if task == "numbers" else ["accuracy", "loss", "accuracy"])
    assert ("confusion" in figures) == (folder / "confusion-plot.png").is_file() == (task == "three")

    classifier, classify = SpamClassifier.from_pretrained(folder), pipeline("text-classification", model=str(folder))
    texts = list(WORDS.values())
    for text, scores, theirs in zip(texts, classifier.all_scores(texts), classify(texts, top_k=None), strict=True):
        assert scores == pytest.approx({it["label"]: it["score"] for it in theirs}, abs=1e-6)
        if task != "three":  # sigmoids and numbers do not add up to 1
            assert sum(scores.values()) != pytest.approx(1, abs=1e-3)
        assert classifier(text).to_dict() == max(theirs, key=lambda it: it["score"]) | {
            "score": classifier(text).score
        }

    report = warm.call(["evaluate", folder], folder.parent)
    assert report.returncode == 0, report.stderr
    for name in FIGURES[task]:
        shown = f"{figures[name]:.3f}" if task == "numbers" else f"{figures[name]:.2%}"
        assert f"{name} {shown}" in report.stdout

    card = build_model_card(folder, "you/model")
    assert not re.search(r"\bspam\b", re.sub("hf[-_]spam", "", card), re.IGNORECASE)
    assert "winner" not in card + output
    if task == "three":
        assert output.startswith("labels 0 ham · 1 service · 2 fraud\n")
        assert "labels 0 ham" in output
        assert all(f"| {label} |" in card for label in ORDER)
        assert "![Confusion matrix of the test split](confusion-plot.png)" in card
        assert "0.01 fraud" in card


@pytest.mark.slow
def test_a_prior_moves_the_bias_alone(train: Callable[..., tuple[Path, str]]) -> None:
    """Of what the loss saw as a third, to 1 and to 20 in 100; the others share the rest as in the file."""
    rare, often = (
        load_file(train("three", "--prior", f"fraud={share}")[0] / "model.safetensors") for share in (0.01, 0.2)
    )
    assert {name for name in rare if not torch.equal(rare[name], often[name])} == {"score.bias"}
    shift = often["score.bias"] - rare["score.bias"]
    assert shift.tolist() == pytest.approx([math.log(0.8 / 0.99)] * 2 + [math.log(20)], abs=1e-5)
