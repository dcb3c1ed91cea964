"""What is worth measuring where there is a GPU: precisions, CUDA graphs, compiled code, batches from one token up."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ..inference.classifier import SpamClassifier
from ..inference.repeats import Repeats
from ..tokens.tokenization import build_tokenizer
from . import inference, training
from .measuring import allow_tf32, seconds

PRECISIONS = ("fp32", "tf32", "bf16")
BUDGETS = (1, 256, 1024, 4096, 16384, 65536, 262144)  # positions of a batch
_LONG = 5.0  # seconds

Work = tuple[str, str, Callable[..., dict[str, Any]], tuple[Any, ...], dict[str, Any]]


def fine_tuning_systems(job: training.Job) -> Iterator[Work]:
    """Yield what fine-tunes: a name, a precision, a function with its arguments."""
    for precision in PRECISIONS:
        yield "ours", precision, training.ours, (job, precision), {}
        yield "ours without CUDA graphs", precision, training.ours, (job, precision), {"cuda_graphs": False}
        yield "one pass of the frozen blocks", precision, training.frozen_pass, (job, precision), {}
        yield "transformers' GPT-2 + Trainer", precision, training.transformers_trainer, (job, precision), {}
    for precision in ("fp32", "tf32"):
        yield "native loop, padded to 120", precision, training.native, (job, precision), {}
    yield "ours, preset book", "fp32", training.ours, (job, "fp32", "book"), {}
    for mode in ("default", "reduce-overhead"):
        yield f"ours, torch.compile {mode}", "bf16", compiled, (job, "bf16", mode), {}


def compiled(job: training.Job, precision: str, mode: str) -> dict[str, Any]:
    """Time our Trainer route with the model compiled, as `accelerate launch --dynamo_backend inductor` asks for it."""
    asked = {"BACKEND": "INDUCTOR", "MODE": mode, "USE_DYNAMIC": "true"}
    os.environ |= {f"ACCELERATE_DYNAMO_{name}": value for name, value in asked.items()}
    return training.ours(job, precision)


def classification(
    task: inference.Task, precision: str, budgets: tuple[int, ...] = BUDGETS, plans: bool = True
) -> dict[str, Any]:
    """Time `SpamClassifier` from text to label, and its batches alone, for each size of a batch.

    Args:
        task: The messages and the model's size.
        precision: One of `PRECISIONS`.
        budgets: The sizes.
        plans: Whether attention may be cuDNN's, which plans anew for each shape.

    Returns:
        For each size messages a second and tokens a second, both from text to label, and `scored`: messages a second
        of texts that are tokenized already.
    """
    allow_tf32(precision)
    torch.backends.cuda.enable_cudnn_sdp(plans)
    half: Any = "bf16" if precision == "bf16" else "fp32"
    model, tokenizer = inference.random_model(task, half), build_tokenizer()
    found = {}
    for budget in budgets:
        classifier = SpamClassifier(model, tokenizer, token_budget=budget)
        classifier.repeats = Repeats(0)
        found[budget] = _rates(classifier, task.texts)
    return {"budgets": found}


def _rates(classifier: SpamClassifier, texts: list[str]) -> dict[str, float]:
    """Time all texts, or two hundred of them where all would take long."""
    some = texts[:: max(1, len(texts) // 200)]
    classifier(some)
    if seconds(lambda: classifier(some)) * len(texts) / len(some) > _LONG:
        texts = some
    ids = classifier.tokenize(texts)
    classifier.score_ids(ids)  # once, because a GPU chooses kernels for each width
    scored, whole = seconds(lambda: classifier.score_ids(ids)), seconds(lambda: classifier(texts))
    return {
        "messages": len(texts),
        "rate": len(texts) / whole,
        "tokens": sum(map(len, ids)) / whole,
        "scored": len(texts) / scored,
    }
