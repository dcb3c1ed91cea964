"""What a threshold does on the run's validation split: how much is caught, and how much is blocked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from ..data.labels import MULTI, REGRESSION, Task
from ..errors import UserError
from ..evaluation.report import choose_messages
from .scoring import Messages


@dataclass(frozen=True)
class Counts:
    """What a threshold does.

    Attributes:
        label: What is caught.
        caught: How many of its messages are at or above the threshold.
        of: How many it has.
        blocked: How many others are.
        others: How many there are.
    """

    label: str
    caught: int
    of: int
    blocked: int
    others: int


@dataclass(frozen=True)
class Validation:
    """The scores of a split, with what is true.

    Attributes:
        names: The labels.
        scores: *Shape:* `[N, num_labels]`.
        true: Whether a message has a label. *Shape:* `[N, num_labels]`.
    """

    names: Sequence[str]
    scores: list[list[float]]
    true: list[list[bool]]

    def at(self, threshold: float, label: str) -> Counts:
        """Return what a threshold of a label's score does."""
        id_ = self.names.index(label)
        above = [row[id_] >= threshold for row in self.scores]
        has = [row[id_] for row in self.true]
        return Counts(
            label,
            sum(one and two for one, two in zip(above, has, strict=True)),
            sum(has),
            sum(one and not two for one, two in zip(above, has, strict=True)),
            len(has) - sum(has),
        )


async def validate(messages: Messages, model: str, folder: Path) -> Validation:
    """Score the validation split of the data that a run records.

    Args:
        messages: What scores.
        model: The model as the user named it.
        folder: Its folder.

    Raises:
        UserError: If the run does not record its data, the data is no longer there or has changed, or the model
            returns numbers.
    """
    if messages.task.problem_type == REGRESSION:
        raise UserError("expected a model of labels, found one that returns a number.")
    config: Any = messages.classifier.config
    chosen = await anyio.to_thread.run_sync(choose_messages, model, folder, config, {}, "validation")
    if not chosen.texts:
        raise UserError(f"{chosen.name}: expected messages, found none.")
    logits, _ = await messages.score(chosen.texts)
    return Validation(
        messages.task.names, messages.classifier.to_scores(logits).tolist(), _true(chosen.labels, chosen.task)
    )


def _true(labels: Sequence[Any], task: Task) -> list[list[bool]]:
    ids = range(len(task.names))
    if task.problem_type == MULTI:
        return [[id_ in row for id_ in ids] for row in labels]
    return [[id_ == label for id_ in ids] for label in labels]
