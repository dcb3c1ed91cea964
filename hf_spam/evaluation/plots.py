"""The chapter's two figures, loss and accuracy over epochs, and a figure that overlays the losses of several runs."""

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..errors import UserError, one_line, shorten
from .history import History

_SUFFIXES = ("pdf", "png")
_STYLES = ("-", "-.", "--")  # the chapter's two, and one of ours
_FEW = 12  # points of a line that are marked one by one
_PANELS = 4  # of a study, beside each other
_MOST_CELLS = 25  # labels of a confusion matrix whose cells show their numbers


def plot_history(history: History, steps: int, epochs: float, folder: Path) -> list[Path]:
    """Draw the losses and the accuracies of a run, each if there are any, and return the files.

    Each value stands where it was measured: a loss at its step, an accuracy at the end of its epoch, an evaluation of
    the whole validation split where the Trainer asked for one. (The chapter spaces them evenly from 0 to the end.)

    Args:
        history: The run's estimates and evaluations.
        steps: Length of the run in optimizer steps.
        epochs: The same in epochs.
        folder: Where the files go; see `plot_values`.
    """
    files = []
    ends = [min(number + 1.0, epochs) for number in range(len(history.train_accuracies))]
    for label, measured, train, validation, whole in (
        (
            "loss",
            [step * epochs / steps for step in history.steps],
            history.train_losses,
            history.validation_losses,
            history.evaluation_losses,
        ),
        (
            "accuracy",
            ends,
            history.train_accuracies,
            history.validation_accuracies,
            history.evaluation_accuracies,
        ),
    ):
        lines = {
            f"Training {label} (estimate)": (measured, train),
            f"Validation {label} (estimate)": (measured, validation),
            f"Validation {label} (whole split)": (history.evaluation_epochs, whole),
        }
        if train or whole:
            seen = history.examples_seen
            files += plot_values(lines, epochs=epochs, examples_seen=seen, label=label, folder=folder)
    return files


def prove_drawable() -> None:
    """Draw a small figure into memory: what stands in the way of the plots shows before the work, not after it.

    Raises:
        UserError: If matplotlib cannot draw.
    """
    try:
        figure = Figure(figsize=(1, 1))
        figure.add_subplot().set_xlabel("Epochs")
        for suffix in _SUFFIXES:
            figure.savefig(io.BytesIO(), format=suffix, dpi=50)
    except Exception as error:
        raise UserError(f"the plots cannot be drawn: {type(error).__name__}: {error}") from error


def plot_values(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    epochs: float,
    examples_seen: int,
    label: str,
    folder: Path,
) -> list[Path]:
    """Draw one quantity over a run and save it as `<label>-plot.pdf` and `<label>-plot.png`.

    Args:
        lines: By its name in the legend, where a line's values were measured, in epochs, and the values. At most
            three; an empty one is left out.
        epochs: Length of the run in epochs, for the lower axis.
        examples_seen: Length of the run in messages, for the upper axis.
        label: The quantity (`loss`, `accuracy`), for the vertical axis and the file names.
        folder: Where the files go.

    Returns:
        The two files.
    """
    figure = Figure(figsize=(5, 3), layout="constrained")  # no pyplot: no global state, no display
    axes = figure.add_subplot()
    for number, (name, (measured, values)) in enumerate(lines.items()):
        if values:
            marker = "o" if len(values) <= _FEW else ""
            colour, style = f"C{number}", _STYLES[number]
            axes.plot(measured, values, color=colour, linestyle=style, marker=marker, markersize=4, label=name)
    axes.set_xlim(-0.03 * epochs, 1.03 * epochs)
    axes.set_xlabel("Epochs")
    axes.set_ylabel(label.capitalize())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize="small")
    top = axes.twiny()
    top.set_xlim(*(limit / epochs * examples_seen for limit in axes.get_xlim()))
    top.set_xlabel("Examples seen")
    return _save(figure, folder, f"{label}-plot")


def plot_losses(runs: Mapping[str, Sequence[float]], folder: Path, name: str) -> list[Path]:
    """Draw the loss of every step of several runs in one figure, the first as a thick line, the others dashed over it.

    Args:
        runs: The loss of each step, by the run's name.
        folder: Where `<name>.pdf` and `<name>.png` go.
        name: The files' name without suffix.

    Returns:
        The two files.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for number, (run, losses) in enumerate(runs.items()):
        style = {"linewidth": 1.0, "linestyle": "--"} if number else {"linewidth": 3.0, "alpha": 0.5}
        axes.plot(losses, label=run, marker="" if len(losses) > 1 else "o", **style)
    axes.set_xlabel("Step")
    axes.set_ylabel("Loss")
    axes.legend()
    return _save(figure, folder, name)


def plot_study(
    scores: Sequence[float],
    settings: Sequence[Mapping[str, Any]],
    *,
    objective: str,
    choices: Mapping[str, Sequence[Any]],
    logarithmic: Collection[str],
    folder: Path,
) -> list[Path]:
    """Draw a search and save it as `study-plot.pdf` and `study-plot.png`.

    The first panel has the trials in their order and the best so far; the others each have one option, with its value
    in every trial. A trial that diverged is left out; where all did, nothing is drawn.

    Args:
        scores: What each trial reached on the validation split.
        settings: The options that each tried.
        objective: `loss`, of which less is better, or `accuracy`.
        choices: The options that have a list of values, and these. The others have a range.
        logarithmic: The options whose axis is logarithmic.
        folder: Where the files go.

    Returns:
        The two files.
    """
    values = np.where(np.isfinite(scores), scores, np.nan)
    if np.isnan(values).all():
        return []
    names = list(settings[0])
    columns = min(_PANELS, len(names) + 1)
    rows = -(-(len(names) + 1) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.6 * rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, sharey=True)).ravel()
    best = int(np.nanargmin(values) if objective == "loss" else np.nanargmax(values))
    so_far = (np.fmin if objective == "loss" else np.fmax).accumulate(values)
    panels[0].plot(range(1, len(values) + 1), values, "o", markersize=4, label="Trial")
    panels[0].plot(range(1, len(values) + 1), so_far, drawstyle="steps-post", label="Best so far")
    panels[0].plot(best + 1, values[best], "*", markersize=12, color="C3", label="Best")
    panels[0].set_xlabel("Trial")
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].legend(fontsize="small")
    for name, axes in zip(names, panels[1:], strict=False):
        places = [setting[name] for setting in settings]
        if name in choices:
            places = [list(choices[name]).index(value) for value in places]
            labels = [f"{value:g}" if isinstance(value, float) else str(value) for value in choices[name]]
            axes.set_xticks(range(len(labels)), labels)
            axes.set_xlim(-0.5, len(labels) - 0.5)
        elif name in logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.tick_params("x", labelsize="small", labelrotation=30)
        axes.plot(places, values, "o", markersize=4)
        axes.plot(places[best], values[best], "*", markersize=12, color="C3")
        axes.set_xlabel(name)
    for axes in panels[::columns]:
        axes.set_ylabel(f"Validation {objective}")
    for axes in panels[len(names) + 1 :]:
        axes.set_visible(False)
    return _save(figure, folder, "study-plot")


def plot_confusion(counts: Sequence[Sequence[int]], labels: Sequence[str], folder: Path) -> list[Path]:
    """Draw a confusion matrix and save it as `confusion-plot.pdf` and `confusion-plot.png`.

    The colour of a cell is its share of the texts with that true label; its number is how many there are.

    Args:
        counts: Texts by true label (rows) and predicted label (columns). *Shape:* `[num_labels, num_labels]`.
        labels: The labels' names.
        folder: Where the files go.

    Returns:
        The two files.
    """
    numbers = np.asarray(counts)
    shares = numbers / np.maximum(numbers.sum(axis=1, keepdims=True), 1)
    side = min(2.5 + 0.6 * len(labels), 20)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [shorten(one_line(label), 24).replace("$", r"\$") for label in labels]
    axes.set_xticks(
        range(len(names)), names, rotation=45 if len(names) > 2 else 0, ha="right" if len(names) > 2 else "center"
    )
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("Predicted label")
    axes.set_ylabel("True label")
    if len(names) <= _MOST_CELLS:
        for row, column in np.ndindex(*numbers.shape):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{numbers[row, column]:,}", ha="center", va="center", color=colour)
    figure.colorbar(image, label="Share of the true label", shrink=0.8)
    return _save(figure, folder, "confusion-plot")


def _save(figure: Figure, folder: Path, name: str) -> list[Path]:
    files = [folder / f"{name}.{suffix}" for suffix in _SUFFIXES]
    for file in files:
        figure.savefig(file, dpi=150)
        figure.set_layout_engine("none")  # the second file takes the first one's
    return files


def plot_intervals(
    rows: Mapping[str, tuple[float, float, float, float | None]], label: str, folder: Path, name: str
) -> list[Path]:
    """Draw a share with its interval for each row, the first at the top.

    Args:
        rows: By the row's name: the share, both ends of its interval, each from 0 to 1, and a published one in %.
        label: What the share is.
        folder: Where `<name>.pdf` and `<name>.png` go.
        name: The files' name without suffix.

    Returns:
        The two files.
    """
    figure = Figure(figsize=(7, 1.2 + 0.28 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows))
    shares, lows, highs, published = (
        [100 * (it or 0) for it in column] for column in zip(*rows.values(), strict=True)
    )
    errors = [[share - low for share, low in zip(shares, lows, strict=True)]]
    errors += [[high - share for share, high in zip(shares, highs, strict=True)]]
    axes.errorbar(shares, places, xerr=np.abs(errors), fmt="o", capsize=3, label="Measured, 95 % interval")
    given = [(value / 100, place) for place, value in zip(places, published, strict=True) if value]
    if given:
        axes.plot(*zip(*given, strict=True), "x", color="gray", label="Published")
    axes.set_yticks(places, [shorten(one_line(row), 32).replace("$", r"\$") for row in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(f"{label} (%)")
    axes.legend()
    return _save(figure, folder, name)
