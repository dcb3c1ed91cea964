"""The chapter's two figures, loss and accuracy over epochs, and two runs' losses on top of each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


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

    As in the chapter, the values are spread evenly over the run; train is solid, validation dash-dotted.

    Args:
        train: Values on training batches, in order of time.
        validation: Values on validation batches, as many.
        epochs: Length of the run in epochs, the lower axis.
        examples_seen: Length of the run in messages, the upper axis.
        label: What is drawn (`loss`, `accuracy`): the vertical axis, and the files' name.
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
    """Draw the loss of every step of several runs on top of each other, the first thick, the others dashed over it.

    Args:
        runs: The losses of each run in order of steps, by the run's name.
        folder: Where `<name>.pdf` and `<name>.png` go.
        name: The files' name.

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


def _save(figure: Figure, folder: Path, name: str) -> list[Path]:
    files = [folder / f"{name}.{suffix}" for suffix in ("pdf", "png")]
    for file in files:
        figure.savefig(file, dpi=150)
    return files
