"""The labels of a task: their names in the order of their ids, and what the user says of them.

Every place takes the names from the splits' features or from `config.id2label`, and none from a label's position in a
file. `label_reading` decides them, once, from what a file holds.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import UserError
from ..tables.columns import show

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
SINGLE: ProblemType = "single_label_classification"
MULTI: ProblemType = "multi_label_classification"
REGRESSION: ProblemType = "regression"
SCORE = "score"  # what the number of a regression is called

HAM_SPAM = ("ham", "spam")
SHORT_HAM_SPAM = {"ham": "ham", "spam": "spam", "0": "ham", "1": "spam"}
MOST_LABELS = 1000
_LONGEST_NAME = 200  # characters

Label = str | list[str] | float  # of a message: a name, several names, or a number


@dataclass(frozen=True)
class Task:
    """What a model learns: which labels, and whether a text has one of them, several, or a number.

    Attributes:
        names: The labels' names in the order of their ids; of a regression the number's.
        problem_type: As in transformers' configurations.
        positive: The label that precision, recall and F1 are about, where there are two; with more, what blocks a
            message, if any does.
    """

    names: tuple[str, ...] = HAM_SPAM
    problem_type: ProblemType = SINGLE
    positive: str | None = field(default=None)

    def __post_init__(self) -> None:
        """Choose the positive one of two labels, unless it is given: spam, else the second.

        Raises:
            UserError: If it is none of the labels.
        """
        if self.positive is None:
            if self.is_binary:
                object.__setattr__(self, "positive", "spam" if "spam" in self.names else self.names[1])
        elif self.problem_type == REGRESSION:
            raise UserError("--positive_label: expected labels, found numbers. Leave it out.")
        elif self.positive not in self.names:
            raise UserError(f"--positive_label: expected {' or '.join(self.names[:10])}, found {self.positive}.")

    @property
    def is_binary(self) -> bool:
        """Tell whether a text has one of two labels."""
        return self.problem_type == SINGLE and len(self.names) == 2

    @property
    def is_spam(self) -> bool:
        """Tell whether it is the chapter's task."""
        return self.is_binary and set(self.names) == set(HAM_SPAM)

    @property
    def positive_id(self) -> int:
        """The id of the positive label."""
        return self.names.index(self.positive) if self.positive is not None else 1

    def missing(self, labels: Iterable[Label]) -> list[str]:
        """Return the labels that no text has, if each text has one label."""
        found = set(labels) if self.problem_type == SINGLE else set(self.names)
        return [name for name in self.names if name not in found]

    def ids(self, labels: Iterable[Label]) -> list[Any]:
        """Return the id of each label, the sorted ids of several, or the number."""
        number = {name: id_ for id_, name in enumerate(self.names)}
        if self.problem_type == REGRESSION:
            return [float(label) for label in labels]  # type: ignore[arg-type]
        if self.problem_type == MULTI:
            return [sorted(number[name] for name in label) for label in labels]  # type: ignore[union-attr]
        return [number[label] for label in labels]  # type: ignore[index]

    def targets(self, ids: Iterable[Any]) -> list[Any]:
        """Return ids as models and metrics take them: several of a text as a row of 0 and 1, others as they are."""
        if self.problem_type != MULTI:
            return list(ids)
        return [[float(id_ in row) for id_ in range(len(self.names))] for row in ids]

    def describe(self) -> str:
        """Return the start-up line: every id with its name."""
        if self.problem_type == REGRESSION:
            return f"labels {self.names[0]}: a number (regression)"
        several = "; a text may have several" if self.problem_type == MULTI else ""
        positive = f"; positive: {self.positive}" if self.positive is not None else ""
        shown = [f"{id_} {name}" for id_, name in enumerate(self.names[:20])]
        more = f" · and {len(self.names) - 20:,} more" if len(self.names) > 20 else ""
        return f"labels {' · '.join(shown)}{more}{positive}{several}"


def task_of_config(config: Any, positive: str | None = None) -> Task:
    """Return what a model has learned, from its configuration: the names of `id2label` in the order of their ids."""
    names = tuple(config.id2label[id_] for id_ in sorted(config.id2label))
    type_ = getattr(config, "problem_type", None) or (REGRESSION if len(names) == 1 else SINGLE)
    return Task(names, type_, positive)


@dataclass(frozen=True)
class LabelRules:
    """What the user says of the labels.

    Attributes:
        names: All labels in order, from `--labels`, from a file's `ClassLabel`, or the model's.
        renamed: What stands in the file, and the label that it means.
        positive: See `Task`.
        problem_type: See `Task`; by default several labels in a row make it multi-label.
    """

    names: tuple[str, ...] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    positive: str | None = None
    problem_type: ProblemType | None = None

    def with_names(self, names: Sequence[str] | None) -> "LabelRules":
        """Return the rules with the names that a file records, unless the user has given others."""
        if names is None or self.names is not None:
            return self
        chosen = [self.renamed.get(name, name) for name in names]
        means = [SHORT_HAM_SPAM.get(name.strip().lower()) for name in chosen]
        if None not in means and len(set(means)) == len(names):  # as the chapter writes them
            chosen = [str(name) for name in means]
        renamed = {**self.renamed, **dict(zip(names, chosen, strict=True))}
        return replace(self, names=tuple(dict.fromkeys(chosen)), renamed=renamed)


def parse_labels(text: str) -> tuple[str, ...]:
    """Return the names in the value of `--labels`, separated by commas; quotes protect a comma.

    Raises:
        UserError: If one is blank, too long or there twice.
    """
    names = tuple(name.strip() for name in _split(text, "--labels"))
    if not all(names) or len(set(names)) < len(names) or not 1 <= len(names) <= MOST_LABELS:
        raise UserError(f"--labels: expected different names, separated by commas, found {text!r}.")
    check_names(names, "--labels")
    return names


def parse_label_map(text: str) -> dict[str, str]:
    """Return the pairs in the value of `--label_map`: OLD=NEW, separated by commas; quotes protect a comma.

    Raises:
        UserError: If a part is no such pair, or one label gets two names.
    """
    renamed: dict[str, str] = {}
    for part in _split(text, "--label_map"):
        old, equals, new = (piece.strip() for piece in part.rpartition("="))
        if not (old and equals and new) or renamed.get(old, new) != new:
            raise UserError(f'--label_map: expected "OLD=NEW,OLD=NEW", each OLD once, found {part!r}.')
        renamed[old] = new
    check_names(renamed.values(), "--label_map")
    return renamed


def check_names(names: Iterable[str], place: object) -> None:
    """Check that labels can be shown in a line.

    Raises:
        UserError: If one cannot.
    """
    for name in names:
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise UserError(
                f"{place}: expected labels of up to {_LONGEST_NAME} characters in one line, found {show(name)}. "
                f"Name the column of the labels with --label_column."
            )


def _split(text: str, option: str) -> list[str]:
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise UserError(f"{option}: cannot be parsed: {error}. Double a quote inside quotes.") from None
    return rows[0] if rows and rows[0] else [""]
