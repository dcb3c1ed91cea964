"""The chapter's two figures, loss and accuracy over epochs, and a figure that overlays the losses of several runs."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..errors import UserError, one_line, shorten
from .history import History

_SUFFIXES = ("pdf", "png")
_MOST_CELLS = 25  # labels of a confusion matrix whose cells show their numbers


def plot_history(history: History, epochs: float, folder: Path) -> list[Path]:
    """Draw the losses and the accuracies of a run, each if there are any, and return the files.

    Args:
        history: The run's estimates.
        epochs: Length of the run in epochs.
        folder: Where the files go; see `plot_values`.
    """
    files = []
    for label, train, validation in (
        ("loss", history.train_losses, history.validation_losses),
        ("accuracy", history.train_accuracies, history.validation_accuracies),
    ):
        if train:
            seen = history.examples_seen
            files += plot_values(train, validation, epochs=epochs, examples_seen=seen, label=label, folder=folder)
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
    train: Sequence[float],
    validation: Sequence[float],
    *,
    epochs: float,
    examples_seen: int,
    label: str,
    folder: Path,
) -> list[Path]:
    """Draw one quantity over a run and save it as `<label>-plot.pdf` and `<label>-plot.png`.

    As in the chapter, the values are spaced evenly over the run. The training line is solid, the validation line
    dash-dotted.

    Args:
        train: Values on training batches, in chronological order.
        validation: The same number of values on validation batches.
        epochs: Length of the run in epochs, for the lower axis.
        examples_seen: Length of the run in messages, for the upper axis.
        label: The quantity (`loss`, `accuracy`), for the vertical axis and the file names.
        folder: Where the files go.

    Returns:
        The two files.
    """
    figure = Figure(figsize=(5, 3), layout="constrained")  # no pyplot: no global state, no display
    axes = figure.add_subplot()
    steps = max(len(train) - 1, 1)
    x = [epochs * number / steps for number in range(len(train))]
    marker = "o" if len(train) == 1 else ""
    axes.plot(x, train, marker=marker, label=f"Training {label}")
    axes.plot(x, validation, marker=marker, linestyle="-.", label=f"Validation {label}")
    axes.set_xlabel("Epochs")
    axes.set_ylabel(label.capitalize())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
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
