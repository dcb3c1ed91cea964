"""Compare a converted model with the original: changed labels, largest differences, accuracy of both."""

from dataclasses import asdict, dataclass
from math import inf

from torch import Tensor, tensor

from ..errors import UserError

MAX_CHANGED = 0.005  # share of the labels


@dataclass(frozen=True)
class Agreement:
    """The results of two models on the same messages.

    Attributes:
        messages: The number of messages.
        changed: The number of messages whose label changed, or whose new scores are not finite.
        score_difference: The largest difference of a probability (softmax), over all messages and classes.
        logit_difference: The largest difference of a logit.
        accuracy_before: The accuracy of the original, between 0 and 1.
        accuracy_after: The accuracy of the converted model, between 0 and 1.
    """

    messages: int
    changed: int
    score_difference: float
    logit_difference: float
    accuracy_before: float
    accuracy_after: float

    @property
    def changed_share(self) -> float:
        """The share of the messages whose label changed."""
        return self.changed / self.messages

    def __str__(self) -> str:
        return (
            f"{self.changed} of {self.messages:,} labels changed ({self.changed_share:.2%}), largest score difference "
            f"{self.score_difference:.2g} (of a logit: {self.logit_difference:.2g}), "
            f"accuracy {self.accuracy_before:.2%} → {self.accuracy_after:.2%}"
        )

    def require(self, max_changed: float) -> None:
        """Refuse a conversion that changes too many labels.

        Raises:
            UserError: If the share of changed labels is larger than `max_changed`.
        """
        if self.changed_share > max_changed:
            raise UserError(
                f"the conversion changes too many labels and was discarded: expected at most {max_changed:.2%} of the "
                f"labels to change, found {self}. Leave out --int8, or allow more with --max_changed."
            )

    def to_dict(self) -> dict[str, float]:
        """Return the figures by name, for a JSON file."""
        return asdict(self)


def measure_agreement(before: Tensor, after: Tensor, labels: list[int]) -> Agreement:
    """Compare the logits of a converted model with those of the original.

    Args:
        before: The logits of the original. *Shape:* `[N, num_labels]`, N at least 1.
        after: The logits of the converted model for the same messages. *Shape:* `[N, num_labels]`.
        labels: The N true class ids.

    Raises:
        UserError: If there are no messages.
    """
    if not labels:
        raise UserError("expected messages to compare the converted model on, found none. Name --data_file.")
    true, finite = tensor(labels), after.isfinite().all(dim=1)
    was, is_now = before.argmax(dim=1), after.argmax(dim=1).masked_fill(~finite, -1)
    difference = (before.softmax(dim=1) - after.softmax(dim=1)).abs()
    return Agreement(
        messages=len(labels),
        changed=int((was != is_now).sum()),
        score_difference=float(difference.nan_to_num(nan=1.0).max()),
        logit_difference=float((before - after).abs().nan_to_num(nan=inf).max()),
        accuracy_before=float((was == true).float().mean()),
        accuracy_after=float((is_now == true).float().mean()),
    )
