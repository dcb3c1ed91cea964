"""By how much a right label leads, and what is lacking where it does not lead by enough."""

from torch import Tensor
from torch.nn import functional as F

WANTED = 0.2  # of a correction's label over the next one: so much is asked for, so that no rounding decides
ENOUGH = WANTED / 2
_SHARPNESS = 4.0


def lead_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Return by how much the right label's logit exceeds the highest of the others.

    Args:
        logits: *Shape:* `[N, num_labels]`.
        targets: The ids of the right labels. *Shape:* `[N]`.

    Returns:
        *Shape:* `[N]`.
    """
    right = logits.gather(1, targets[:, None])[:, 0]
    others = logits.scatter(1, targets[:, None], float("-inf")).amax(dim=1)
    return right - others


def lack(leads: Tensor) -> Tensor:
    """Return what each lead lacks: about the distance to what is wanted, nearly nothing beyond. *Shape:* `[N]`."""
    return F.softplus(_SHARPNESS * (WANTED - leads)) / _SHARPNESS
