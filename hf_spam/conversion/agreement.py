"""Whether a converted model still says what the original said: labels changed, scores apart, accuracy of both."""

from dataclasses import asdict, dataclass
from math import inf

from torch import Tensor, tensor

from ..errors import UserError

MAX_CHANGED = 0.005  # of the labels: one in two hundred


@dataclass(frozen=True)
class Agreement:
    """Two models on the same messages.

    Attributes:
        messages: How many.
        changed: How many of them got another label, or scores that are no numbers.
        score_difference: The largest, of any message and class (softmax, so at most 1).
        logit_difference: The same before the softmax.
        accuracy_before: Of the original, as a share.
        accuracy_after: Of the converted one.
    """

    messages: int
    changed: int
    score_difference: float
    logit_difference: float
    accuracy_before: float
    accuracy_after: float

    @property
    def changed_share(self) -> float:
        """Of the messages that got another label."""
        return self.changed / self.messages

    def __str__(self) -> str:
        return (
            f"{self.changed} of {self.messages:,} labels changed ({self.changed_share:.2%}), largest score difference "
            f"{self.score_difference:.2g} (of a logit: {self.logit_difference:.2g}), "
            f"accuracy {self.accuracy_before:.2%} → {self.accuracy_after:.2%}"
        )

    def require(self, max_changed: float) -> None:
        """Refuse a conversion that changes too much.

        Raises:
            UserError: If more than a share of `max_changed` of the labels changed.
        """
        if self.changed_share > max_changed:
            raise UserError(
                f"the conversion changes too much and was discarded: expected at most {max_changed:.2%} of the labels "
                f"to change, found {self}. Leave out --int8, or allow more with --max_changed."
            )

    def to_dict(self) -> dict[str, float]:
        """The figures by name, for the record."""
        return asdict(self)


def measure_agreement(before: Tensor, after: Tensor, labels: list[int]) -> Agreement:
    """Hold a converted model's logits against the original's.

    Args:
        before: The original's. *Shape:* `[N, num_labels]`, N at least 1.
        after: The converted model's, of the same messages. *Shape:* `[N, num_labels]`.
        labels: The true class ids, N of them.

    Raises:
        UserError: If there are no messages.
    """
    if not labels:
        raise UserError("expected messages to compare the converted model on, found none. Name --data_file.")
    true, numbers = tensor(labels), after.isfinite().all(dim=1)
    was, is_now = before.argmax(dim=1), after.argmax(dim=1).masked_fill(~numbers, -1)
    apart = (before.softmax(dim=1) - after.softmax(dim=1)).abs()
    return Agreement(
        messages=len(labels),
        changed=int((was != is_now).sum()),
        score_difference=float(apart.nan_to_num(nan=1.0).max()),
        logit_difference=float((before - after).abs().nan_to_num(nan=inf).max()),
        accuracy_before=float((was == true).float().mean()),
        accuracy_after=float((is_now == true).float().mean()),
    )
