"""What is caught and blocked before and after each perturbation, and under attack."""

from collections.abc import Sequence
from typing import Any

from ..data.labels import Task
from ..errors import UserError, one_line
from ..inference.classifier import SpamClassifier
from .attack import QUERIES, SHARE, attack
from .perturbations import PERTURBATIONS, generator, perturb

_MOST_ATTACKED = 100  # messages of each label
AS_THEY_ARE = "none"
ATTACK = "attack"


def measure(
    classifier: SpamClassifier, texts: Sequence[str], labels: Sequence[Any], task: Task, seed: int = 0
) -> dict[str, Any]:
    """Return how many messages of the positive label are caught, and how many others are blocked, in each disguise.

    The attack may ask the classifier. It hides the positive label; its twin makes the others look like it.

    Args:
        classifier: The model.
        texts: The messages.
        labels: The id of each one's label.
        task: The model's labels.
        seed: Of the perturbations and the attack.

    Returns:
        `positive` and `other`, the labels; `rows`, each with `disguise`, `caught`, `positives`, `blocked`, `others`.

    Raises:
        UserError: If the model's texts have none of two labels.
    """
    if not task.is_binary:
        raise UserError(
            f"--robustness: expected a model of two labels, one of which is caught, found {len(task.names)} labels or "
            f"another task."
        )
    sides = {
        positive: [text for text, label in zip(texts, labels, strict=True) if (label == task.positive_id) == positive]
        for positive in (True, False)
    }

    def margins(some: list[str]) -> list[float]:
        """Return by how much the positive label's logit is above the other's: above 0 it is given."""
        logits = classifier.logits(some)  # [N, 2]
        difference = logits[:, task.positive_id] - logits[:, 1 - task.positive_id]
        return [float(value) for value in difference]

    def opposite(some: list[str]) -> list[float]:
        return [-margin for margin in margins(some)]

    def flagged(some: list[str]) -> int:
        return sum(margin > 0 for margin in margins(some)) if some else 0

    def row(name: str, changed: dict[bool, list[str]]) -> dict[str, Any]:
        caught, blocked = flagged(changed[True]), flagged(changed[False])
        return {
            "disguise": name,
            "caught": caught,
            "positives": len(changed[True]),
            "blocked": blocked,
            "others": len(changed[False]),
        }

    rows = [row(AS_THEY_ARE, sides)]
    for name in PERTURBATIONS:
        rows.append(row(name, {side: [perturb(name, text, seed) for text in some] for side, some in sides.items()}))
    changed = {}
    for side, some in sides.items():
        drawn = sorted(some, key=lambda text: generator("drawn", text, seed).random())[:_MOST_ATTACKED]
        found = attack(margins if side else opposite, drawn, seed=seed)
        changed[side] = [each.text for each in found]
    rows.append(row(ATTACK, changed))
    other = task.names[1 - task.positive_id]
    return {"positive": task.positive, "other": other, "seed": seed, "share": SHARE, "queries": QUERIES, "rows": rows}


def describe_robustness(figures: dict[str, Any]) -> str:
    """Return the figures as a table."""
    heads = ("disguise", f"caught {figures['positive']}", f"blocked {figures['other']}")
    lines = [
        (
            row["disguise"],
            _share(row["caught"], row["positives"]),
            _share(row["blocked"], row["others"]),
        )
        for row in figures["rows"]
    ]
    widths = [max(len(one_line(line[column])) for line in (heads, *lines)) for column in range(3)]
    return "\n".join(
        f"{one_line(name):<{widths[0]}}  {one_line(caught):>{widths[1]}}  {one_line(blocked):>{widths[2]}}"
        for name, caught, blocked in (heads, *lines)
    )


def _share(number: int, total: int) -> str:
    return f"{number / total:.1%} ({number:,} of {total:,})" if total else "no messages"
