"""The interim estimates of a fine-tuning, in order of time."""

from dataclasses import dataclass, field


@dataclass
class History:
    """Estimates on a few batches, in order of time.

    `train_losses` and `validation_losses` belong to `steps` (optimizer steps done when they were taken), the
    accuracies to the ends of the epochs. `examples_seen` counts training messages.
    """

    steps: list[int] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    train_accuracies: list[float] = field(default_factory=list)
    validation_accuracies: list[float] = field(default_factory=list)
    examples_seen: int = 0
