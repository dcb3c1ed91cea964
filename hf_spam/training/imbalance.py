"""Labels of different frequency: losses that weigh them, and scores for another mix than the one trained on.

Cross-entropy learns the mix of the training messages: its logits are those of the texts plus the logarithm of each
label's share. So a model that was trained on one mix scores for another one, exactly as if it had been trained there,
once the difference of these logarithms is added to the bias of its head (Saerens et al. 2002, section 2.2).
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from datasets import DatasetDict
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.arguments import Balance
from ..data.labels import SINGLE, Task
from ..data.loading import Prepared
from ..data.splits import task_of
from ..errors import UserError

_FOCUS = 2.0  # gamma of Lin et al. 2017

Loss = Callable[..., Tensor]


def build_loss(balance: Balance, splits: DatasetDict) -> Loss | None:
    """Return a loss for the Trainer that weighs the labels of the training split; `None` for the model's own.

    Args:
        balance: `class_weights`: each label counts the same in total, like scikit-learn's `balanced`. `focal`: each
            text counts by (1 - p)², where p is the probability of its label.
        splits: The splits.
    """
    if balance == "class_weights":
        counts = torch.tensor(_counts(splits), dtype=torch.float32)
        return _WeightedLoss(counts.sum() / (len(counts) * counts))
    return focal_loss if balance == "focal" else None


def focal_loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
    """Return the mean of (1 - p)² · -log p over the texts of an optimizer step. Takes what the Trainer passes."""
    losses = F.cross_entropy(outputs.logits.float(), labels, reduction="none")  # [B]
    return _mean((1 - torch.exp(-losses)) ** _FOCUS * losses, num_items_in_batch)


class _WeightedLoss:
    """Cross-entropy in which every text counts by the weight of its label."""

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights  # [num_labels], 1 on average over the texts

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        losses = F.cross_entropy(outputs.logits.float(), labels, self.weights.to(labels.device), reduction="none")
        return _mean(losses, num_items_in_batch)


def _mean(losses: Tensor, number: Tensor | int | None) -> Tensor:
    """Divide by the texts of the whole step, so that accumulated batches add up to its mean."""
    return losses.mean() if number is None else losses.sum() / number


def learned_shares(splits: DatasetDict, balance: Balance) -> dict[str, float]:
    """Return the share of each label that the loss sees in training; equal ones where it weighs them so."""
    names, counts = task_of(splits).names, _counts(splits)
    if balance == "class_weights":
        return dict.fromkeys(names, 1 / len(names))
    return {name: number / sum(counts) for name, number in zip(names, counts, strict=True)}


def parse_prior(text: str, task: Task) -> dict[str, float]:
    """Return the shares in the value of `--prior`: NAME=SHARE, separated by commas.

    Raises:
        UserError: If it is none, names other labels than the task's, or the shares cannot add up to 1.
    """
    if task.problem_type != SINGLE:
        raise UserError("--prior: expected one label for each text, found another task. Leave it out.")
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.rpartition("="))
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if name not in task.names or name in shares or not 0 < share < 1:
            raise UserError(
                f"--prior: expected the share of a label between 0 and 1, as in {task.names[-1]}=0.13, each of "
                f"{', '.join(task.names[:10])} at most once, found {part.strip()!r}."
            )
        shares[name] = share
    total, whole = sum(shares.values()), len(shares) == len(task.names)
    if (whole and abs(total - 1) > 1e-6) or (not whole and total >= 1):
        raise UserError(f"--prior: expected shares that add up to 1, found {total:g}.")
    return shares


def complete_prior(prior: Mapping[str, float], mix: Mapping[str, float]) -> dict[str, float]:
    """Return a share for every label: those that the prior does not name divide the rest as they do in `mix`."""
    rest, others = 1 - sum(prior.values()), sum(share for name, share in mix.items() if name not in prior)
    return {name: prior[name] if name in prior else rest * share / others for name, share in mix.items()}


@torch.no_grad()
def correct_prior(head: nn.Linear, learned: Mapping[str, float], prior: Mapping[str, float]) -> None:
    """Shift the head's bias, so that the scores are those for a mix of `prior`. They stay so wherever the model goes.

    Args:
        head: The classifier's. *Shape of its bias:* `[num_labels]`.
        learned: The share of each label in training, in the order of their ids.
        prior: The share of each label in use.
    """
    shift = [math.log(prior[name] / share) for name, share in learned.items()]
    head.bias.add_(torch.tensor(shift, dtype=head.bias.dtype, device=head.bias.device))


def describe_mix(learned: Mapping[str, float], mix: Mapping[str, int], task: Task) -> str | None:
    """Return a line that says by how much the scores are off at the messages' own mix; `None` if they are not."""
    total = sum(mix.values())
    if not task.is_binary or not total or task.positive is None:
        return None
    name = task.positive
    share, real = learned[name], mix[name] / total
    if not 0 < real < 1 or abs(share - real) < 0.01:
        return None
    factor = share / (1 - share) * (1 - real) / real
    off = f"{factor:.2g} times too high" if factor > 1 else f"{1 / factor:.2g} times too low"
    return (
        f"note   scores are for {share:.1%} {name}, but {real:.1%} of all messages are {name}: there its odds are "
        f"{off}; --prior {name}={real:.2g} corrects them"
    )


def _counts(splits: DatasetDict) -> list[int]:
    found = Counter(splits["train"]["label"][:])
    return [found[id_] for id_ in range(len(task_of(splits).names))]


def learned_mix(given: str | None, prepared: Prepared) -> tuple[dict[str, float] | None, dict[str, float] | None]:
    """Return the share of each label that training sees, and the share that the scores are to be corrected to.

    Raises:
        UserError: If `--prior` is no such share, or the loss does not learn one.
    """
    task = prepared.task
    if given is not None and prepared.balance == "focal":
        raise UserError("--prior: expected a loss that learns shares, found --balance focal. Use class_weights.")
    named = parse_prior(given, task) if given is not None else None
    if task.problem_type != SINGLE or prepared.balance == "focal":
        return None, None
    learned = learned_shares(prepared.splits, prepared.balance)
    total = sum(prepared.mix.values())
    mix = {name: number / total for name, number in prepared.mix.items()} if total else learned
    return learned, None if named is None else complete_prior(named, {name: mix[name] for name in task.names})
