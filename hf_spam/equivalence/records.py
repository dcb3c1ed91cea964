"""The record of a fine-tuning, written in the same way by both loops so that the two can be compared."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..evaluation.history import History


@dataclass(frozen=True)
class Step:
    """One optimizer step, recorded just before the parameters change.

    Attributes:
        ids: Digest of the token ids as they reached the GPT, including padding.
        labels: Digest of the labels.
        loss: Mean cross-entropy of the step's messages.
        gradient_norm: Euclidean norm over all gradients.
        learning_rate: Learning rate of the first parameter group.
    """

    ids: str
    labels: str
    loss: float
    gradient_norm: float
    learning_rate: float


@dataclass(frozen=True)
class Record:
    """The record of a whole fine-tuning.

    Attributes:
        steps: Every optimizer step.
        history: The interim estimates.
        accuracies: The final accuracy on each split.
        parameters: The final parameters, by their name in `GPTModel`.
    """

    steps: list[Step]
    history: History
    accuracies: dict[str, float]
    parameters: dict[str, Tensor]


def digest(tensor: Tensor) -> str:
    """Return a short hash of a tensor's shape and values; equal tensors have equal digests on any machine."""
    content = repr(list(tensor.shape)).encode() + tensor.detach().cpu().contiguous().numpy().tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def gradient_norm(parameters: Iterable[Tensor]) -> float:
    """Return the Euclidean norm over the gradients of all parameters that have one."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))
