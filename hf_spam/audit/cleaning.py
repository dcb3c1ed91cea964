"""Messages without exact duplicates and without texts that have several labels."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ..tables.columns import list_rows
from .auditing import label_keys
from .findings import group_rows

Conflicts = Literal["drop", "majority", "keep"]


@dataclass(frozen=True)
class Cleaned:
    """What remains of messages.

    Attributes:
        frame: The rows that remain, in their order: columns `Label` and `Text`.
        duplicates: The numbers of the rows left out, from 1, because an earlier one has the same text and label.
        conflicts: The numbers of the rows left out because the same text has another label.
    """

    frame: pd.DataFrame
    duplicates: list[int]
    conflicts: list[int]

    def describe(self) -> str:
        """Say how many rows remain, and which do not."""
        removed = [(self.duplicates, "repeats of an earlier row"), (self.conflicts, "their text has several labels")]
        said = ", and ".join(f"{list_rows(rows)} ({why})" for rows, why in removed if rows)
        return f"{len(self.frame):,} rows remain{said and f'; left out: {said}'}"


def clean(frame: pd.DataFrame, conflicts: Conflicts = "drop") -> Cleaned:
    """Keep the first of the rows with the same text and label, and decide about texts that have several labels.

    Args:
        frame: Columns `Label` and `Text`.
        conflicts: Of a text with several labels, `drop` leaves out all rows, `majority` keeps the most frequent label
            (none if two are equally frequent), and `keep` keeps one row of each label.
    """
    keys = label_keys(frame["Label"].tolist())
    duplicates: list[int] = []
    disputed: list[int] = []
    for group in group_rows(frame["Text"].tolist()):
        accepted = _accepted(Counter(keys[row - 1] for row in group), conflicts)
        seen = set()
        for row in group:
            label = keys[row - 1]
            if label not in accepted:
                disputed.append(row)
            elif label in seen:
                duplicates.append(row)
            seen.add(label)
    left_out = {row - 1 for row in (*duplicates, *disputed)}
    remaining = frame.iloc[[index for index in range(len(frame)) if index not in left_out]].reset_index(drop=True)
    return Cleaned(remaining, sorted(duplicates), sorted(disputed))


def _accepted(votes: Counter[Hashable], conflicts: Conflicts) -> set[Hashable]:
    """Return the labels that a text may keep."""
    if len(votes) == 1 or conflicts == "keep":
        return set(votes)
    (first, most), (_, next_most) = votes.most_common(2)
    return {first} if conflicts == "majority" and most > next_most else set()
