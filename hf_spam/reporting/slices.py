"""The messages by what can be seen of them: length, digits, links, characters beyond ASCII."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.labels import MULTI, REGRESSION, Task
from ..evaluation.metrics import ClassificationMetric

_QUANTILES = 4
_LINK = re.compile(r"https?://|www\.|\b[\w-]+\.(com|net|org|co|uk|info|biz|me|ly)\b", re.IGNORECASE)


def slices_of(texts: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Return which texts are in which slice, by the slice's name; a slice without texts is left out."""
    lengths = np.array([len(text) for text in texts])
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, _QUANTILES + 1)[1:-1]).astype(np.int64))
    lowest, highest = [0, *(edges + 1)], [*edges, int(lengths.max())]
    found = {
        f"{max(low, int(lengths.min()))} to {high} characters": (lengths >= low) & (lengths <= high)
        for low, high in zip(lowest, highest, strict=True)
    }
    for name, has in (
        ("digits", lambda text: any(character.isdigit() for character in text)),
        ("a link", lambda text: _LINK.search(text) is not None),
        ("characters beyond ASCII", lambda text: not text.isascii()),
    ):
        mask = np.array([has(text) for text in texts])
        found |= {f"with {name}": mask, f"without {name}": ~mask}
    return {name: mask for name, mask in found.items() if mask.any()}


def slice_rows(task: Task, texts: Sequence[str], references: NDArray[Any], predictions: NDArray[Any]) -> list[Any]:
    """Return a row for each slice.

    Args:
        task: What the labels are.
        texts: N texts.
        references: As those of `ClassificationMetric`.
        predictions: The same.

    Returns:
        Dictionaries of `slice`, `messages` and figures; with two labels of how many have the positive one, and of the
        shares that are caught and blocked (`None` of none).
    """
    rows = []
    for name, mask in slices_of(texts).items():
        row: dict[str, Any] = {"slice": name, "messages": int(mask.sum())}
        true, said = references[mask], predictions[mask]
        if task.is_binary:
            positive, chosen = true == task.positive_id, said == task.positive_id
            row |= {"positive": int(positive.sum()), "caught": _share(chosen[positive])}
            row["blocked"] = _share(chosen[~positive])
        figures = ClassificationMetric(task).compute(predictions=said, references=true)
        shown = ("mae", "rmse") if task.problem_type == REGRESSION else ("accuracy", "f1")
        if task.problem_type == MULTI:
            shown = ("accuracy", "f1_micro")
        rows.append(row | {figure: figures[figure] for figure in (shown[:1] if task.is_binary else shown)})
    return rows


def _share(chosen: NDArray[np.bool_]) -> float | None:
    return float(chosen.mean()) if len(chosen) else None
