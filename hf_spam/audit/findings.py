"""What an audit finds: rows by number, what is seen there, and what to do about it."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Finding:
    """One kind of fault.

    Attributes:
        name: What the rows are.
        groups: The numbers of the rows, from 1, those that belong together in one group.
        remedy: What to do about them.
        seen: What is seen in a row, by its number, where the name does not say it.
    """

    name: str
    groups: list[list[int]]
    remedy: str
    seen: Mapping[int, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of rows."""
        return sum(map(len, self.groups))

    def largest_first(self) -> "Finding":
        """Return the finding with the largest groups first, those of the same size in their order."""
        return replace(self, groups=sorted(self.groups, key=len, reverse=True))

    @property
    def is_grouped(self) -> bool:
        """Tell whether rows belong together."""
        return any(len(group) > 1 for group in self.groups)


def one_by_one(name: str, seen: Mapping[int, str], remedy: str) -> Finding:
    """Return a finding of rows that do not belong together, in the order of `seen`."""
    return Finding(name, [[row] for row in seen], remedy, seen)


def group_rows(keys: Iterable[Hashable]) -> list[list[int]]:
    """Return the numbers of the rows with the same key, from 1, in order of appearance."""
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys, start=1):
        groups[key].append(row)
    return list(groups.values())


def by_labels(groups: Iterable[list[int]], labels: Sequence[Hashable], several: bool) -> list[list[int]]:
    """Return the groups of two and more rows that have several labels, or only one.

    Args:
        groups: Numbers of rows, from 1.
        labels: The label of each row.
        several: Which.
    """
    return [group for group in groups if len(group) > 1 and (len({labels[row - 1] for row in group}) > 1) == several]
