"""The interim estimates of loss and accuracy that a fine-tuning records."""

from dataclasses import dataclass, field


@dataclass
class History:
    """Estimates on a few batches, in chronological order.

    Attributes:
        steps: Optimizer steps completed when each loss was estimated.
        train_losses: One for each of `steps`.
        validation_losses: One for each of `steps`.
        train_accuracies: One for each epoch, at its end.
        validation_accuracies: One for each epoch, at its end.
        examples_seen: Number of training messages so far.
    """

    steps: list[int] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    train_accuracies: list[float] = field(default_factory=list)
    validation_accuracies: list[float] = field(default_factory=list)
    examples_seen: int = 0
