"""Where the seconds of our fine-tuning go, and how much of the machine's matrix product each part reaches."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import Trainer

from ..model.configuration_spam_gpt import SpamGPTConfig
from ..trainable.frozen_prefix import PrefixCollator
from ..training import callbacks, fine_tuning
from ..training.trainer import SpamTrainer

PASS, STEPS, ESTIMATES, EVALUATIONS = "prefix pass", "forward and backward", "interim estimates", "evaluations"
OPTIMIZER, BATCHES, REST = "optimizer", "making batches", "the Trainer and the rest"

_PLACES: list[tuple[str, Any, str]] = [
    (PASS, fine_tuning, "load_or_fill"),
    (STEPS, SpamTrainer, "training_step"),
    (OPTIMIZER, torch.optim.AdamW, "step"),
    (BATCHES, PrefixCollator, "__call__"),
    (ESTIMATES, callbacks, "estimate"),
    (EVALUATIONS, Trainer, "evaluate"),
    (EVALUATIONS, Trainer, "predict"),
]


@contextmanager
def timed(places: Sequence[tuple[str, Any, str]] = tuple(_PLACES)) -> Iterator[dict[str, float]]:
    """Sum up the seconds of each part within the block. What a part calls of another counts there alone.

    Args:
        places: Parts, and the functions that they consist of: an owner and the name of its attribute.
    """
    spent = {part: 0.0 for part, _, _ in places}
    inner: list[float] = []  # of the calls under way, the seconds of the parts they called

    def clocked(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                taken = time.perf_counter() - start
                spent[part] += taken - inner.pop()
                if inner:
                    inner[-1] += taken

        return call

    originals = [(owner, name, vars(owner)[name]) for _, owner, name in places]
    try:
        for part, owner, name in places:
            setattr(owner, name, clocked(part, getattr(owner, name)))
        yield spent
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def operations(
    config: SpamGPTConfig, frozen: int, distinct: Sequence[int], messages: dict[str, int]
) -> dict[str, int]:
    """Return the operations of the matrix products of each part that has any, without attention's own.

    Args:
        config: The model's.
        frozen: How many blocks are frozen. The last of the others is computed for one position, so one is expected.
        distinct: The lengths of the distinct texts in tokens.
        messages: How many messages each part scores.
    """
    block = 24 * config.emb_dim**2  # of one position: 2 for each of 12 · emb_dim² weights
    found = {PASS: block * frozen * sum(distinct)}
    trained = config.n_layers - frozen
    return found | {part: block * trained * number * (3 if part == STEPS else 1) for part, number in messages.items()}
