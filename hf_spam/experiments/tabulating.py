"""The table of experiments: Markdown, CSV and a plot, with published figures beside ours."""

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import one_line
from ..evaluation.intervals import wilson
from ..evaluation.plots import plot_intervals
from ..system.files import write_atomically
from .listing import Experiment
from .records import Planned, Result

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Row:
    """An experiment with its runs.

    Attributes:
        experiment: The experiment.
        results: One for each seed.
        same_as: An earlier experiment with the same options, which was not run again.
    """

    experiment: Experiment
    results: list[Result]
    same_as: str | None = None

    def accuracy(self, split: str) -> float:
        """Return the mean accuracy over the seeds, from 0 to 1."""
        return statistics.mean(result.accuracies[split] for result in self.results)

    def interval(self, split: str) -> tuple[float, float]:
        """Return the 95 % interval of the accuracy: what another draw of as many messages could give."""
        messages = self.results[0].messages[split]
        return wilson(round(self.accuracy(split) * messages), messages) or (0.0, 1.0)

    @property
    def spread(self) -> float | None:
        """The standard deviation of the test accuracy over the seeds; `None` for one seed."""
        tests = [result.accuracies["test"] for result in self.results]
        return statistics.stdev(tests) if len(tests) > 1 else None

    @property
    def seconds(self) -> float:
        """The mean seconds of training."""
        return statistics.mean(result.seconds for result in self.results)

    @property
    def peak_mb(self) -> float | None:
        """The highest memory of the runs."""
        peaks = [result.peak_mb for result in self.results if result.peak_mb is not None]
        return max(peaks, default=None)


def make_rows(experiments: Sequence[Experiment], results: Sequence[Result]) -> list[Row]:
    """Return a row for each experiment that has results."""
    rows: list[Row] = []
    first: dict[str, str] = {}
    for experiment in experiments:
        own = [result for result in results if result.name == experiment.name]
        if own:
            key = Planned(own[0].name, own[0].seed, own[0].options).key
            earlier = first.setdefault(key, experiment.name)
            rows.append(Row(experiment, own, None if earlier == experiment.name else earlier))
    return rows


def write_tables(rows: Sequence[Row], folder: Path) -> str:
    """Write `table.md`, `table.csv` and `accuracy-plot.png` and `.pdf`; return the Markdown."""
    text = to_markdown(rows)
    write_atomically(folder / "table.md", text.encode())
    write_atomically(folder / "table.csv", to_csv(rows).encode())
    plot_intervals(
        {
            row.experiment.name: (row.accuracy("test"), *row.interval("test"), row.experiment.published.get("test"))
            for row in rows
        },
        "Test accuracy",
        folder,
        "accuracy-plot",
    )
    return text


def describe_setting(rows: Sequence[Row]) -> str:
    """Return the line above the table: weights, sizes, seeds and machine, and how far published figures compare."""
    results = [result for row in rows for result in row.results]
    weights = sorted({str(result.options.get("weights", "hub")) for result in results})
    sizes = sorted({str(result.options.get("model_size", "small")) for result in results})
    seeds = sorted({result.seed for result in results})
    machine = results[0].environment
    pretrained = weights != ["random"]
    hint = "" if pretrained else "; the published figures are of pretrained weights: compare the rows with each other"
    return one_line(
        f"Weights: {', '.join(weights)}; size: {', '.join(sizes)}; "
        f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}{hint}. Measured on "
        f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}."
    )


def to_markdown(rows: Sequence[Row]) -> str:
    """Return the table: accuracies in %, the 95 % interval of the test accuracy, and published accuracies."""
    if not rows:
        return "No experiment has a result yet.\n"
    several = any(row.spread is not None for row in rows)
    head = ["experiment", "", *_SPLITS, "test, 95 %", *(["± over seeds"] if several else [])]
    head += ["s", "peak MB", "trained", "published"]
    lines = [describe_setting(rows), "", _line(head), _line(["---"] * len(head))]
    for row in rows:
        low, high = row.interval("test")
        cells = [row.experiment.name, row.experiment.title + (f" (as {row.same_as})" if row.same_as else "")]
        cells += [f"{100 * row.accuracy(split):.2f}" for split in _SPLITS]
        cells += [f"{100 * low:.1f} to {100 * high:.1f}"]
        if several:
            cells.append("" if row.spread is None else f"{100 * row.spread:.2f}")
        cells += [f"{row.seconds:.1f}", "" if row.peak_mb is None else f"{row.peak_mb:,.0f}"]
        cells.append(f"{row.results[0].trained_parameters:,}")
        published = [row.experiment.published.get(split) for split in _SPLITS]
        cells.append(" / ".join(f"{value:.2f}" for value in published if value is not None))
        lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(one_line(cell).replace("|", r"\|") for cell in cells) + " |"


def to_csv(rows: Sequence[Row]) -> str:
    """Return a line for each experiment and seed, with accuracies from 0 to 1 and published ones in %."""
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\n")
    names = ["train_accuracy", "validation_accuracy", "test_accuracy", "test_low", "test_high", "validation_loss"]
    names += ["seconds", "peak_mb", "parameters", "trained_parameters"]
    published = [f"published_{name}" for name in (*_SPLITS, "minutes")]
    writer.writerow(["experiment", "title", "seed", "same_as", *names, *published])
    for row in rows:
        for result in row.results:
            messages = result.messages["test"]
            low, high = wilson(round(result.accuracies["test"] * messages), messages) or (0.0, 1.0)
            figures: list[float | None] = [*(result.accuracies[split] for split in _SPLITS), low, high]
            figures += [result.losses["validation"], result.seconds, result.peak_mb]
            figures += [result.parameters, result.trained_parameters]
            given = [row.experiment.published.get(name, "") for name in (*_SPLITS, "minutes")]
            named = [row.experiment.name, row.experiment.title, result.seed, row.same_as or ""]
            writer.writerow([*named, *figures, *given])
    return target.getvalue()
