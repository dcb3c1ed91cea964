"""What is said of a text: its label and score, on request those of other labels, or the labels above a threshold."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoint.operating_point import OperatingPoint
from ..data.labels import REGRESSION, Task
from ..errors import UserError

Answer = dict[str, Any]  # label, score, decision and scores, as far as they are asked for
NAMES = ("label", "score", "decision", "scores")
_DIGITS = 6


@dataclass(frozen=True)
class Prediction:
    """A label of a text and its score, as in `pipeline("text-classification")`.

    The score is the label's probability: softmax where a text has one label, sigmoid where it may have several. With
    regression it is the number itself.
    """

    label: str
    score: float

    def to_dict(self) -> dict[str, str | float]:
        """Return label and score as the pipeline returns them."""
        return asdict(self)


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        top_k: The scores of so many labels, the highest first.
        all_scores: The scores of all labels, in the order of their ids.
        threshold: Of two labels the positive one from this score on; of others every label from it on.
        decision: Whether the message is allowed, unsure or blocked, by the model's operating point.
    """

    top_k: int | None = None
    all_scores: bool = False
    threshold: float | None = None
    decision: bool = False

    def check(self, task: Task, point: OperatingPoint | None = None) -> "Wish":
        """Return the wish if it fits what a model has learned, and where it decides.

        Raises:
            UserError: If not.
        """
        given = [f"--{name}" for name, value in asdict(self).items() if value not in (None, False)]
        if task.problem_type == REGRESSION and given:
            raise UserError(f"{given[0]}: expected a model of labels, found one that returns a number. Leave it out.")
        if self.decision and point is None:
            raise UserError("--decision: expected a model that hf-spam calibrate made, found none. Leave it out.")
        if self.top_k is not None and self.all_scores:
            raise UserError("expected one of --top_k, --all_scores, found both.")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return what is asked for, for the record of an unfinished prediction."""
        return {name: value for name, value in asdict(self).items() if value not in (None, False)}


def answers(
    scores: NDArray[np.float32], task: Task, wish: Wish, point: OperatingPoint | None = None
) -> Iterator[Answer]:
    """Yield what is said of each text.

    Args:
        scores: From `SpamClassifier.scores`. *Shape:* `[N, num_labels]`.
        task: The labels.
        wish: What is asked for.
        point: Where the model decides; needed for decisions.
    """
    rows = scores.tolist()
    decisions = point.decide_all(rows, task.names) if wish.decision and point is not None else [None] * len(rows)
    for row, decision in zip(rows, decisions, strict=True):
        answer = _answer(row, task, wish)
        yield answer if decision is None else {**answer, "decision": decision}


def _answer(row: Sequence[float], task: Task, wish: Wish) -> Answer:
    if task.problem_type == REGRESSION:
        return {"score": row[0]}
    best = max(range(len(row)), key=row.__getitem__)
    label: str | list[str] = task.names[best]
    if wish.threshold is not None and task.is_binary:
        if (row[task.positive_id] >= wish.threshold) != (best == task.positive_id):
            best = 1 - best
        label = task.names[best]
    elif wish.threshold is not None:
        label = [name for name, score in zip(task.names, row, strict=True) if score >= wish.threshold]
    answer: Answer = {"label": label, "score": row[best]}
    order: Iterable[int] = range(len(row)) if wish.all_scores else ()
    if wish.top_k is not None:
        order = sorted(range(len(row)), key=lambda id_: -row[id_])[: wish.top_k]
    scores = {task.names[id_]: row[id_] for id_ in order}
    return {**answer, "scores": scores} if scores else answer


def rounded(answer: Answer) -> Answer:
    """Return what is said of a text as JSON and files have it: scores to six digits."""
    scores = {name: round(score, _DIGITS) for name, score in answer.get("scores", {}).items()}
    return {**answer, "score": round(answer["score"], _DIGITS), **({"scores": scores} if scores else {})}


def answer_fields(task: Task, wish: Wish) -> tuple[str, ...]:
    """Return the names of what is said of a text."""
    label = () if task.problem_type == REGRESSION else ("label",)
    decision = ("decision",) if wish.decision else ()
    return (*label, "score", *decision, *(("scores",) if wish.all_scores or wish.top_k is not None else ()))


def flat_fields(task: Task, wish: Wish) -> tuple[str, ...]:
    """Return the names of the columns of what is said of a text; with all scores one for each label."""
    fields = answer_fields(task, wish)
    return (*fields[:-1], *map(_column, task.names)) if wish.all_scores else fields


def flatten(answer: Answer, wish: Wish) -> Answer:
    """Return what is said of a text by columns; see `flat_fields`."""
    if not wish.all_scores:
        return answer
    scores = {_column(name): score for name, score in answer["scores"].items()}
    return {name: value for name, value in answer.items() if name != "scores"} | scores


def _column(label: str) -> str:
    return f"score_{label}"


def describe_label(label: object) -> str:
    """Return a label, or several, as text in a line."""
    return ", ".join(map(str, label)) if isinstance(label, list) else str(label)


def describe_scores(scores: Mapping[str, float]) -> str:
    """Return scores as text in a line: `ham=0.9000 spam=0.1000`."""
    return " ".join(f"{name}={score:.4f}" for name, score in scores.items())
