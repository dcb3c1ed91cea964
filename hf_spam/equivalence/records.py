"""What a fine-tuning goes through, written down the same way by both loops, so that the two can be compared."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..evaluation.history import History


@dataclass(frozen=True)
class Step:
    """One optimizer step, seen just before the parameters change.

    Attributes:
        ids: Digest of the token ids as they reached the GPT, padding included.
        labels: Digest of the labels.
        loss: Mean cross-entropy of the step's messages.
        gradient_norm: Euclidean norm of all gradients together.
        learning_rate: The first parameter group's.
    """

    ids: str
    labels: str
    loss: float
    gradient_norm: float
    learning_rate: float


@dataclass(frozen=True)
class Record:
    """A whole fine-tuning.

    Attributes:
        steps: Every optimizer step.
        history: The interim estimates.
        accuracies: Of each split, at the end.
        parameters: The final values, under `GPTModel`'s names.
    """

    steps: list[Step]
    history: History
    accuracies: dict[str, float]
    parameters: dict[str, Tensor]


def digest(tensor: Tensor) -> str:
    """A short hash of a tensor's shape and values: equal tensors, equal digests, on any machine."""
    content = repr(list(tensor.shape)).encode() + tensor.detach().cpu().contiguous().numpy().tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def gradient_norm(parameters: Iterable[Tensor]) -> float:
    """Euclidean norm of the gradients of all parameters that have one."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))
