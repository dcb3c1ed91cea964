"""Compare a converted model with the original: changed labels, largest differences, accuracy of both."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError

MAX_CHANGED = 0.005  # share of the labels
LARGEST_SHIFT = 0.05  # of a regression's number, in standard deviations of the original's


@dataclass(frozen=True)
class Agreement:
    """The results of two models on the same messages.

    Attributes:
        messages: The number of messages.
        changed: The number of messages whose label changed, or one of whose labels, or whose new scores are not
            finite; with regression, whose number changed by more than `LARGEST_SHIFT` standard deviations.
        score_difference: The largest difference of a score (softmax, sigmoid, or the number itself), over all messages
            and labels.
        logit_difference: The largest difference of a logit.
        accuracy_before: The share of messages that the original labels correctly; with regression its R².
        accuracy_after: The same of the converted model.
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
                f"labels to change, found {self}. Leave out --int8, which --format web implies, or allow more with "
                f"--max_changed."
            )

    def to_dict(self) -> dict[str, float]:
        """Return the figures by name, for a JSON file."""
        return asdict(self)


def measure_agreement(
    before: Tensor, after: Tensor, targets: Sequence[Any], problem_type: str | None = None
) -> Agreement:
    """Compare the logits of a converted model with those of the original.

    Args:
        before: The logits of the original. *Shape:* `[N, num_labels]`, N at least 1.
        after: The logits of the converted model for the same messages. *Shape:* `[N, num_labels]`.
        targets: The N true class ids; rows of 0 and 1 with several labels for a text; numbers with regression.
        problem_type: As in the model's configuration.

    Raises:
        UserError: If there are no messages.
    """
    if not len(targets):
        raise UserError("expected messages to compare the converted model on, found none. Name --data_file.")
    true, finite = torch.tensor(targets), after.isfinite().all(dim=1)
    scores: list[Tensor]
    if problem_type == "regression":
        scores = [before[:, 0], after[:, 0]]
        moved = (scores[0] - scores[1]).abs() > LARGEST_SHIFT * scores[0].std(correction=0)
        spread = (true - true.mean()).square().mean()
        rights = [1 - (true - numbers).square() / spread for numbers in scores]
    elif problem_type == "multi_label_classification":
        scores = [before.sigmoid(), after.sigmoid()]
        moved = ((before > 0) != (after > 0)).any(dim=1)
        rights = [((logits > 0) == (true > 0)).all(dim=1) for logits in (before, after)]
    else:
        scores = [before.softmax(dim=1), after.softmax(dim=1)]
        moved = before.argmax(dim=1) != after.argmax(dim=1)
        rights = [logits.argmax(dim=1) == true for logits in (before, after)]
    rights[1] = rights[1] * finite
    return Agreement(
        messages=len(true),
        changed=int((moved | ~finite).sum()),
        score_difference=float((scores[0] - scores[1]).abs().nan_to_num(nan=1.0).max()),
        logit_difference=float((before - after).abs().nan_to_num(nan=inf).max()),
        accuracy_before=float(rights[0].float().mean()),
        accuracy_after=float(rights[1].float().mean()),
    )
