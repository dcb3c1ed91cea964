"""Fit a classifier's head anew, so that it gets corrections right and everything else stays as it was.

Only the head changes. What it reads of a text is computed once, so a fit takes seconds. The loss is convex: it has one
minimum, the same on every run. Corrections get the smallest weight with which all of them are right; if that grows
beyond all bounds, it cannot be done.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..inference.classifier import SpamClassifier
from .leads import ENOUGH, lack, lead_of

_ANCHOR = 1e-3  # weight of the distance from the old head
_WEIGHTS = tuple(10.0**power for power in range(-1, 6))  # of the corrections, the smallest that does is taken
_STEPS = 200


def read_features(classifier: SpamClassifier, texts: Sequence[str]) -> Tensor:
    """Return what the head reads of each text, pooled. *Shape:* `[N, width]`, in double precision."""
    model: Any = classifier.model  # ours: an export has no head to exchange
    head = model.score
    model.score = nn.Identity()
    try:
        return classifier.logits(list(texts)).double()
    finally:
        model.score = head


def learn_by_head(
    head: nn.Linear, corrections: Tensor, labels: Sequence[int], training: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the head closest to the old one that gets every correction right.

    Args:
        head: The old head. *Shape of its weight:* `[num_labels, width]`.
        corrections: What it reads of the corrected messages. *Shape:* `[C, width]`.
        labels: The ids of their right labels.
        training: What it reads of messages whose scores should stay. *Shape:* `[N, width]`.

    Returns:
        Its weight and its bias. *Shapes:* as the old ones.

    Raises:
        UserError: If no head gets all of them right, with how many it fails on.
    """
    old_weight, old_bias = head.weight.detach().double(), head.bias.detach().double()
    before = F.linear(training, old_weight, old_bias)
    targets = torch.tensor(labels)
    for strength in _WEIGHTS:
        weight, bias = _fit(old_weight, old_bias, corrections, targets, training, before.softmax(dim=1), strength)
        # As the model will compute it.
        leads = lead_of(F.linear(corrections.float(), weight.float(), bias.float()), targets)
        if (leads >= ENOUGH).all():
            return weight.float(), bias.float()
    wrong = int((leads < ENOUGH).sum())
    raise UserError(
        f"expected corrections that can all be learned, found {wrong:,} of {len(labels):,} that cannot: the model "
        f"sees no difference between them and other messages. Train anew with them among the training messages."
    )


def _fit(
    old_weight: Tensor,
    old_bias: Tensor,
    corrections: Tensor,
    targets: Tensor,
    training: Tensor,
    before: Tensor,
    strength: float,
) -> tuple[Tensor, Tensor]:
    """Minimise what training messages and the head lose, and the corrections still lack."""
    weight, bias = old_weight.clone().requires_grad_(), old_bias.clone().requires_grad_()
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=_STEPS, tolerance_grad=1e-9, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        solver.zero_grad()
        after = F.linear(training, weight, bias).log_softmax(dim=1)
        kept = F.kl_div(after, before, reduction="batchmean")
        lacking = lack(lead_of(F.linear(corrections, weight, bias), targets)).mean()
        distance = ((weight - old_weight) ** 2).sum() + ((bias - old_bias) ** 2).sum()
        loss = kept + strength * lacking + _ANCHOR * distance
        loss.backward()
        return loss

    solver.step(closure)
    return weight.detach(), bias.detach()
