"""Each message with its prediction, for a person to read: the mistakes first, the most certain one at the top."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..data.labels import MULTI, REGRESSION, SINGLE, Task
from ..inference.outputs import save_rows

_SURE = 0.5  # of several labels each counts from this score on


def result_rows(texts: Sequence[str], labels: Sequence[Any], scores: Tensor, task: Task) -> list[dict[str, Any]]:
    """Return a row for each message: its number as read, its text, its label, the prediction and its score.

    Args:
        texts: N texts.
        labels: Their labels, as `Task.ids` returns them.
        scores: From `SpamClassifier.scores`. *Shape:* `[N, num_labels]`.
        task: The labels.
    """
    judges: dict[str, Callable[[Any, Sequence[float], Task], tuple[float, dict[str, Any]]]]
    judges = {SINGLE: _one, MULTI: _several, REGRESSION: _number}
    rows = []
    for number, (text, label, row) in enumerate(zip(texts, labels, scores.tolist(), strict=True), 1):
        wrong, fields = judges[task.problem_type](label, row, task)
        rows.append((-wrong, number, {"row": number, "text": text, **fields}))
    return [fields for _, _, fields in sorted(rows, key=lambda each: each[:2])]


def save_results(rows: Sequence[dict[str, Any]], target: Path) -> None:
    """Write the rows in the format that the file's name says.

    Raises:
        UserError: If it cannot be written.
    """
    save_rows(rows, target, list(rows[0]))


# Each returns how wrong a prediction is, from right and certain over right and doubtful to wrong and certain, and what
# stands in the row.


def _one(label: int, scores: Sequence[float], task: Task) -> tuple[float, dict[str, Any]]:
    best = max(range(len(scores)), key=scores.__getitem__)
    wrong = scores[best] if best != label else -scores[best]
    fields = {"label": task.names[label], "predicted_label": task.names[best], "score": round(scores[best], 6)}
    return wrong, {**fields, "correct": best == label}


def _several(label: Sequence[int], scores: Sequence[float], task: Task) -> tuple[float, dict[str, Any]]:
    # By how much each label's score is on the wrong side.
    sides = [(_SURE - score if id_ in label else score - _SURE) for id_, score in enumerate(scores)]
    found = [id_ for id_, score in enumerate(scores) if score >= _SURE]
    names = [[task.names[id_] for id_ in ids] for ids in (sorted(label), found)]
    fields = {"label": names[0], "predicted_label": names[1], "score": round(max(scores), 6)}
    return max(sides), {**fields, "correct": sorted(label) == found}


def _number(label: float, scores: Sequence[float], task: Task) -> tuple[float, dict[str, Any]]:
    return abs(scores[0] - label), {"label": label, "score": round(scores[0], 6)}
