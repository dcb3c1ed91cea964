"""What a fine-tuning records of loss and accuracy on its way: estimates, and evaluations of the validation split."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..errors import UserError

# What the chapter reads of each split before training.
UNTRAINED_BATCHES = {"accuracy": 10, "loss": 5}


@dataclass
class History:
    """Estimates on a few batches, and evaluations of the whole validation split, in chronological order.

    Attributes:
        steps: Optimizer steps completed when each loss was estimated.
        train_losses: One for each of `steps`.
        validation_losses: One for each of `steps`.
        train_accuracies: One for each epoch, at its end.
        validation_accuracies: One for each epoch, at its end.
        examples_seen: Number of training messages so far.
        evaluation_epochs: Epochs completed, whole or in part, when the whole validation split was evaluated.
        evaluation_losses: One for each of `evaluation_epochs`.
        evaluation_accuracies: The same; empty for a task that has no accuracy.
    """

    steps: list[int] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    train_accuracies: list[float] = field(default_factory=list)
    validation_accuracies: list[float] = field(default_factory=list)
    examples_seen: int = 0
    evaluation_epochs: list[float] = field(default_factory=list)
    evaluation_losses: list[float] = field(default_factory=list)
    evaluation_accuracies: list[float] = field(default_factory=list)


EVALUATIONS = ("evaluation_epochs", "evaluation_losses", "evaluation_accuracies")


def describe_untrained(quantity: str, values: Mapping[str, float]) -> str:
    """Return the line with the accuracy or the loss of each split before training, the same for both routes."""
    return f"before training, {UNTRAINED_BATCHES[quantity]} batches: {_describe(quantity, values)}"


def describe_trained(accuracies: Mapping[str, float]) -> str:
    """Return the line with the accuracy of each split after training, the same for both routes."""
    return f"after training, all messages: {_describe('accuracy', accuracies)}"


def _describe(quantity: str, values: Mapping[str, float]) -> str:
    form = ".2%" if quantity == "accuracy" else ".3f"
    return ", ".join(f"{split} {quantity} {value:{form}}" for split, value in values.items())


def parse_history(record: dict[str, Any], name: object) -> History:
    """Return the history of a record that a stranger may have written.

    Args:
        record: The fields of a `History`. Our first versions kept no evaluations.
        name: Where it comes from, for the message.

    Raises:
        UserError: If it has other fields, values that are no numbers, or lists of different lengths.
    """
    record = {**{name: [] for name in EVALUATIONS}, **record}
    lists = {field.name for field in fields(History)} - {"examples_seen"}
    numbers = [value for key in lists if isinstance(record.get(key), list) for value in record[key]]
    well_formed = (
        set(record) == {*lists, "examples_seen"}
        and all(isinstance(record[key], list) for key in lists)
        and all(type(value) in (int, float) for value in numbers)
        and all(type(value) is int for value in (*record["steps"], record["examples_seen"]))
        and len(record["steps"]) == len(record["train_losses"]) == len(record["validation_losses"])
        and len(record["train_accuracies"]) == len(record["validation_accuracies"])
        and len(record["evaluation_epochs"]) == len(record["evaluation_losses"])
        and len(record["evaluation_accuracies"]) in (0, len(record["evaluation_epochs"]))
    )
    if not well_formed:
        raise UserError(f"{name}: expected the interim estimates of a run, found something else.")
    return History(**record)
