"""Compare two routes' results: how far apart they are, and where they first differ."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..evaluation.history import EVALUATIONS
from .records import Record

Value = Tensor | float | str

# What is compared of a record, in the order in which a difference spreads: a wrong label shows before its loss.
QUANTITIES = (
    "token ids of each batch",
    "labels of each batch",
    "loss of each step",
    "gradient norm of each step",
    "learning rate of each step",
    "interim estimates",
    "accuracy of each split",
    "final parameters",
)


@dataclass(frozen=True)
class Comparison:
    """One line of the table.

    Attributes:
        level: The level of the proof, 1 to 8; see `commands/check_equivalence.py`.
        what: What was compared.
        values: Number of values or texts compared.
        difference: The largest difference; infinite if texts or shapes differ or one side lacks a value.
        tolerance: The largest difference that passes; 0 demands equality to the last bit.
        where: The first place beyond the tolerance, if any.
    """

    level: int
    what: str
    values: int
    difference: float
    tolerance: float
    where: str | None

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing was beyond the tolerance."""
        return self.where is None and self.values > 0


def compare(
    level: int, what: str, expected: Mapping[str, Value], found: Mapping[str, Value], tolerance: float = 0.0
) -> Comparison:
    """Compare values place by place, in the order of `expected`. A place that one side lacks is a difference."""
    largest, where, values = 0.0, None, 0
    for place in {**expected, **found}:
        one, other = expected.get(place), found.get(place)
        difference = _difference(one, other)
        largest = max(largest, difference)
        if where is None and difference > tolerance:
            where = place
        values += one.numel() if isinstance(one, Tensor) else 1
    return Comparison(level, what, values, largest, tolerance, where)


def _difference(one: Value | None, other: Value | None) -> float:
    """Return the largest absolute difference; infinite if there is none to compute. NaN equals only NaN."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.shape != other.shape:
            return math.inf
        if torch.equal(one, other):
            return 0.0
        apart = (one.double() - other.double()).abs().max().item()
        return math.inf if math.isnan(apart) else apart
    if isinstance(one, float) and isinstance(other, float):
        if one == other or (math.isnan(one) and math.isnan(other)):
            return 0.0
        return math.inf if math.isnan(one - other) else abs(one - other)
    return 0.0 if isinstance(one, str) and one == other else math.inf


def compare_records(
    level: int, pairs: Mapping[str, tuple[Record, Record]], tolerances: Mapping[str, float], prefix: str = ""
) -> list[Comparison]:
    """Compare pairs of fine-tunings; each comparison covers one quantity over all pairs.

    Args:
        level: The level of the comparisons.
        pairs: The expected and the found record of each configuration, by the configuration's name.
        tolerances: The tolerance of each of the `QUANTITIES` to compare.
        prefix: Put before the name of each quantity.
    """
    expected, found = (_tabulate({name: pair[side] for name, pair in pairs.items()}) for side in (0, 1))
    return [
        compare(level, prefix + what, expected[what], found[what], tolerances[what])
        for what in QUANTITIES
        if what in tolerances
    ]


def _tabulate(records: Mapping[str, Record]) -> dict[str, dict[str, Value]]:
    """Return the values of each of the `QUANTITIES` by place. Steps count from 0, as in the chapter's log."""
    table: dict[str, dict[str, Value]] = {what: {} for what in QUANTITIES}
    for configuration, record in records.items():
        for number, step in enumerate(record.steps):
            place = f"{configuration}, step {number}"
            quantities: tuple[Value, ...] = (step.ids, step.labels, step.loss, step.gradient_norm, step.learning_rate)
            for what, value in zip(QUANTITIES, quantities, strict=False):
                table[what][place] = value
        for name, values in asdict(record.history).items():
            if name in EVALUATIONS:  # of the whole validation split, which the chapter's loop does not make
                continue
            for number, value in enumerate(values if isinstance(values, list) else [values]):
                table["interim estimates"][f"{configuration}, {name} {number}"] = float(value)
        for name, accuracy in record.accuracies.items():
            table["accuracy of each split"][f"{configuration}, {name}"] = accuracy
        for name, parameter in record.parameters.items():
            table["final parameters"][f"{configuration}, {name}"] = parameter
    return table


def format_table(comparisons: Sequence[Comparison], names: Mapping[int, str]) -> str:
    """Format the comparisons as a plain-text table, with each level's name on its first line."""
    rows, level = [], 0
    for comparison in comparisons:
        name = names[comparison.level] if comparison.level != level else ""
        level = comparison.level
        verdict = "passed" if comparison.passed else f"FAILED, first at {comparison.where or 'nothing to compare'}"
        tolerance = f"{comparison.tolerance:.2g}" if comparison.tolerance else "last bit"
        rows.append(
            [name, comparison.what, f"{comparison.values:,}", f"{comparison.difference:.2g}", tolerance, verdict]
        )
    columns = ["level", "compared", "values", "largest difference", "tolerance", ""]
    widths = [max(len(row[column]) for row in [columns, *rows]) for column in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number in (2, 3, 4) else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [columns, *rows]
    )


def to_json(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return the comparisons as JSON values, with `null` for an infinite difference."""
    return [
        asdict(comparison)
        | {
            "passed": comparison.passed,
            "difference": comparison.difference if math.isfinite(comparison.difference) else None,
        }
        for comparison in comparisons
    ]
