"""Where a model decides, as its configuration records it: what was folded into its head, and what that promises."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import UserError

Decision = Literal["allow", "unsure", "block"]
_LARGEST = 1e12


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold that is folded into a head, so that every client decides at a probability of 0.5.

    Of each message the lead counts: the positive label's logit, less the highest of the others. Where the head gave a
    lead of z, it now gives z / temperature - threshold.

    Attributes:
        positive: The label that blocks a message.
        temperature: What the logits were divided by.
        threshold: The lead, after the temperature, from which on a message is blocked.
        unsure: The lead as the head gives it now, at most 0, from which on a message is not simply allowed; `None`
            without such a band.
        budget: The share of other messages that is blocked at most.
        confidence: With which that is promised.
        groups: How many groups of near duplicates, without the positive label, the promise rests on.
        stopped: How many of these would be blocked.
        bound: The exact upper bound of the share, at the confidence.
        caught: The share of the positive label's messages that are blocked, of those the point was chosen on.
        unsure_budget: The share of other messages that is blocked or unsure at most, with the same confidence.
    """

    positive: str
    temperature: float
    threshold: float
    unsure: float | None
    budget: float
    confidence: float
    groups: int
    stopped: int
    bound: float
    caught: float
    unsure_budget: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the values, for a configuration."""
        return asdict(self)

    def decide(self, lead: float) -> Decision:
        """Return what becomes of a message, by the lead of the positive label's logit over the next one's."""
        if lead >= 0:
            return "block"
        return "unsure" if self.unsure is not None and lead >= self.unsure else "allow"

    def decide_all(self, scores: Sequence[Sequence[float]], labels: Sequence[str]) -> list[Decision]:
        """Return what becomes of messages.

        Args:
            scores: The probability of each label for each message. *Shape:* `[N, num_labels]`.
            labels: The labels in the order of their ids.
        """
        positive = labels.index(self.positive)
        with np.errstate(divide="ignore"):  # of a score of 0
            logarithms = np.log(np.array(scores, np.float64).reshape(-1, len(labels)))
        others = np.delete(logarithms, positive, axis=1).max(axis=1)
        return [self.decide(lead) for lead in (logarithms[:, positive] - others).tolist()]

    def describe(self) -> str:
        """Return the promise in a sentence."""
        return (
            f"at most {self.budget:.2%} of messages other than {self.positive} are blocked, with "
            f"{self.confidence:.0%} confidence: {self.stopped:,} of {self.groups:,} unlike ones would be (at most "
            f"{self.bound:.2%}); "
            f"{self.caught:.2%} of {self.positive} is caught"
        )


def read_point(values: object, labels: Mapping[int, str], path: Path) -> OperatingPoint | None:
    """Return what a `config.json` says of the operating point, checked; `None` if it says nothing.

    Args:
        values: Its field `operating_point`.
        labels: Its labels by their ids.
        path: The file, for messages.

    Raises:
        UserError: If it is none.
    """
    if values is None:
        return None
    names = {field.name for field in fields(OperatingPoint)}
    optional = {"unsure", "unsure_budget"}
    if not isinstance(values, dict) or not names - optional <= set(values) <= names:
        raise UserError(f"{path}: expected in operating_point {', '.join(sorted(names))}, found something else.")
    if values["positive"] not in labels.values():
        raise UserError(f"{path}: expected in operating_point a label as positive, found {values['positive']!r}.")
    for name in names - {"positive"}:
        value = values.get(name)
        if value is None and name in optional:
            continue
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST:  # nor NaN
            continue
        raise UserError(f"{path}: expected a number as {name} of operating_point, found {value!r}.")
    if values["temperature"] <= 0:
        raise UserError(f"{path}: expected a temperature above 0 in operating_point, found {values['temperature']!r}.")
    return OperatingPoint(**values)
