"""A report's tables: figures with their intervals, thresholds, labels, twins, slices and mistakes, as texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.labels import MULTI, REGRESSION, Task
from ..errors import one_line, shorten
from .figures import BINS, BUDGETS, Estimate
from .rendering import Cell, Table

MODEL = "model"
MOST_MISTAKES = 50
_MOST_LABELS = 30  # in a table
_LONGEST = 300  # characters of a message
_NUMBERS = ("log_loss", "brier", "mcc", "rmse", "mae", "mse", "r2")
_NAMES = {
    "blocked": "false positive rate",
    "f1": "F1",
    "mcc": "MCC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": f"ECE ({BINS} equal-mass bins)",
    "roc_area": "area under ROC",
    "pr_area": "area under precision-recall",
    "rmse": "RMSE",
    "mae": "MAE",
    "mse": "MSE",
    "r2": "R²",
}

Estimates = dict[str, Estimate]


def name_figure(task: Task, figure: str) -> str:
    """Return how a figure is called in a table."""
    positive = one_line(task.positive or "")
    negative = one_line(next((name for name in task.names if name != task.positive), "")) if task.is_binary else ""
    if figure.startswith("caught_at_"):
        return f"caught {positive} at {float(figure.rpartition('_')[2]):.1%} blocked {negative}"
    if task.is_binary and figure in ("recall", "blocked"):
        return f"recall (caught {positive})" if figure == "recall" else f"false positive rate (blocked {negative})"
    stem, _, mean = figure.partition("_") if figure.endswith(("_macro", "_micro")) else (figure, "", "")
    if figure.startswith(("roc_area_", "pr_area_")):
        stem, mean = figure[:-6], figure[-5:]
    return _NAMES.get(stem, stem) + (f", {mean}" if mean else "")


def _shown(figure: str, value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.3f}" if figure in _NUMBERS else f"{value:.1%}".replace("%", " %")


def _estimate_cell(figure: str, own: Estimate) -> Cell:
    ends = "" if np.isnan(own.low) else f"({_shown(figure, own.low)}, {_shown(figure, own.high)})"
    return _shown(figure, own.value), ends.replace(" %,", ",")


def figures_table(task: Task, found: Mapping[str, Estimates]) -> Table:
    """Return every figure of every model."""
    figures = [name for name in found[MODEL] if "/" not in name and not name.startswith("caught_at_")]
    rows = []
    for name in figures:
        rows.append([(name_figure(task, name), ""), *(_estimate_cell(name, own[name]) for own in found.values())])
    rule = {
        REGRESSION: "The number that the model returns.",
        MULTI: "A label counts from a score of 0.5 on; accuracy: all labels of a message are right.",
    }.get(task.problem_type, "The label with the highest score.")
    skipped = "" if task.is_binary else " There is no budget of blocked messages: that needs two labels."
    return Table("Figures", ["", *found], rows, rule + skipped)


def threshold_table(task: Task, found: Mapping[str, Estimates], thresholds: Mapping[str, Any]) -> Table:
    """Return what is caught at each budget of blocked messages, and from which score."""
    rows: list[list[Cell]] = []
    for number, budget in enumerate(BUDGETS):
        figure = f"caught_at_{budget:g}"
        row: list[Cell] = [(name_figure(task, figure), "")]
        for name, own in found.items():
            shown, ends = _estimate_cell(figure, own[figure])
            at = thresholds[name][number]["threshold"] if name in thresholds else float("nan")
            row.append((shown, f"{ends} from {at:.4g}" if np.isfinite(at) else ends))
        rows.append(row)
    note = "Each threshold (from …) is chosen on the messages that it is judged on: the best case, and no promise."
    return Table("Over thresholds", ["", *found], rows, note)


def confusion_table(task: Task, counts: Sequence[Sequence[int]]) -> Table:
    """Return the messages by true and predicted label."""
    names = [shorten(one_line(name), 40) for name in task.names]
    rows = [
        [(f"true {name}", ""), *((f"{count:,}", "") for count in row)] for name, row in zip(names, counts, strict=True)
    ]
    return Table("Confusion", ["", *(f"predicted {name}" for name in names)], rows, "Numbers of messages.")


def label_table(task: Task, own: Estimates) -> Table:
    """Return the figures of each label, the weakest first."""
    figures = ("precision", "recall", "f1", "blocked", "roc_area", "pr_area")
    shown = sorted(task.names, key=lambda label: own[f"f1/{label}"].value)[:_MOST_LABELS]
    rows = [
        [(shorten(one_line(label), 40), ""), *(_estimate_cell(name, own[f"{name}/{label}"]) for name in figures)]
        for label in shown
    ]
    note = f"The {_MOST_LABELS} with the lowest F1." if len(task.names) > _MOST_LABELS else "The lowest F1 first."
    return Table("Each label", ["label", *(name_figure(task, name) for name in figures)], rows, note)


def twin_table(task: Task, measured: Mapping[str, tuple[int, Mapping[str, Estimates]]]) -> Table:
    """Return the figures with and without the messages that have a near duplicate among the training rows."""
    rows: list[list[Cell]] = []
    for model in measured["all"][1]:
        for figure in _main(task):
            own = {part: each[model][figure] for part, (_, each) in measured.items()}
            cells = [_estimate_cell(figure, each) for each in own.values()]
            if "without twins" in own:
                cells.append((_gap(figure, own["without twins"].value - own["all"].value), ""))
            rows.append([(name_figure(task, figure), model), *cells])
    count = measured["twins alone"][0] if "twins alone" in measured else 0
    note = f"{count:,} of {measured['all'][0]:,} messages have a near duplicate among the training rows."
    heads = [f"{part} ({number:,})" for part, (number, _) in measured.items()]
    gap = ["gap"] if "without twins" in measured else []
    return Table("Twins", ["", *heads, *gap], rows, note)


def _main(task: Task) -> tuple[str, ...]:
    if task.is_binary:
        return ("accuracy", "recall", "blocked")
    return ("rmse", "mae") if task.problem_type == REGRESSION else ("accuracy", "f1_macro")


def _gap(figure: str, value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:+.3f}" if figure in _NUMBERS else f"{100 * value:+.1f} points"


def slice_table(task: Task, slices: Sequence[Mapping[str, Any]]) -> Table:
    """Return the rows of `slices.slice_rows`."""
    figures = [name for name in slices[0] if name not in ("slice", "messages", "positive")]
    heads = {"caught": f"caught {one_line(task.positive or '')}", "positive": one_line(task.positive or "")}
    rows: list[list[Cell]] = []
    for row in slices:
        counts = [(f"{row[name]:,}", "") for name in ("messages", "positive") if name in row]
        rows.append([(row["slice"], ""), *counts, *((_shown(name, row[name]), "") for name in figures)])
    columns = [name for name in ("messages", "positive") if name in slices[0]]
    names = [heads.get(name) or name_figure(task, name) for name in [*columns, *figures]]
    return Table("Slices", ["", *names], rows, "A message is in several slices. Length: quarters of the messages.")


def mistake_table(task: Task, wrong: Sequence[Mapping[str, Any]]) -> Table:
    """Return the mistakes, the most confident first, as many as are shown."""
    fields = ["label", "predicted_label", "score"] if task.problem_type != REGRESSION else ["label", "score"]
    rows: list[list[Cell]] = []
    for row in wrong[:MOST_MISTAKES]:
        cells = [(_value(row[name]), "") for name in fields]
        rows.append([(f"{row['row']}", ""), *cells, (shorten(one_line(row["text"]), _LONGEST), "")])
    title = "Largest errors" if task.problem_type == REGRESSION else "Mistakes, the most confident first"
    note = f"{min(len(wrong), MOST_MISTAKES):,} of {len(wrong):,}." if wrong else "None."
    return Table(title, ["row", *(name.replace("_", " ") for name in fields), "text"], rows, note, len(fields) + 1)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(shorten(one_line(each), 40) for each in value) or "none"
    return f"{value:.4f}" if isinstance(value, float) else shorten(one_line(value), 40)
