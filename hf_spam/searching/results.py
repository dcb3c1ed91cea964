"""What a search leaves: all trials as a table, the best setting as a configuration, the plot of the study."""

import csv
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..evaluation.metrics import format_metric
from ..evaluation.plots import plot_study
from ..system.files import write_atomically
from .space import Space
from .study import Objective, Trial, best_trial

BEST_FILE = "best.yaml"
CSV_FILE = "trials.csv"
MARKDOWN_FILE = "trials.md"


def write_results(
    folder: Path, space: Space, trials: Sequence[Trial], objective: Objective, options: Mapping[str, Any]
) -> Trial:
    """Write the results of finished trials and return the best one.

    Args:
        folder: Where the files go; each is replaced whole.
        space: What was searched.
        trials: From `study.finished_trials`.
        objective: What they are judged by.
        options: The other options of the runs, for the configuration.
    """
    best = best_trial(list(trials), objective)
    names = [parameter.name for parameter in space]
    rows = [_row(trial, names) for trial in trials]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder / CSV_FILE, text.getvalue().encode())
    write_atomically(folder / MARKDOWN_FILE, format_trials(trials, names, best).encode())
    head = f"# Trial {best['number']} of {len(trials)}: {describe_figures(best)} on the validation split.\n"
    chosen = yaml.safe_dump({**options, **best["settings"]}, sort_keys=False, allow_unicode=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".run-") as name:
        plots = plot_study(
            [trial[objective] for trial in trials],
            [trial["settings"] for trial in trials],
            objective=objective,
            choices={parameter.name: parameter.choices for parameter in space if parameter.choices},
            logarithmic={parameter.name for parameter in space if parameter.log},
            folder=Path(name),
        )
        for file in plots:
            os.replace(file, folder / file.name)
    write_atomically(folder / BEST_FILE, f"{head}{chosen}".encode())
    return best


def _row(trial: Trial, names: Sequence[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {name: trial[name] for name in ("loss", "accuracy", "seconds", "steps") if name in trial}
    return {"trial": trial["number"], **{name: trial["settings"][name] for name in names}, **figures}


def format_trials(trials: Sequence[Trial], names: Sequence[str], best: Trial) -> str:
    """Return the trials as a Markdown table, the best one in bold."""
    figures = [name for name in ("loss", "accuracy", "seconds") if name in trials[0]]
    lines = [f"| trial | {' | '.join([*names, *figures])} |", "| --- " * (1 + len(names) + len(figures)) + "|"]
    for trial in trials:
        cells = [str(trial["number"]), *(_short(trial["settings"][name]) for name in names)]
        cells += [
            f"{trial['seconds']:.1f}" if name == "seconds" else format_metric(name, trial[name]) for name in figures
        ]
        lines.append(f"| {' | '.join(f'**{cell}**' if trial is best else cell for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def describe_figures(trial: Trial) -> str:
    """Return the figures of a trial in words."""
    accuracy = f", accuracy {trial['accuracy']:.2%}" if "accuracy" in trial else ""
    return f"loss {trial['loss']:.3f}{accuracy}"


def describe_trial(trial: Trial, trials: int) -> str:
    """Return the line that is printed after a trial."""
    settings = ", ".join(f"{name} {_short(value)}" for name, value in trial["settings"].items())
    return f"trial {trial['number']} of {trials}: {describe_figures(trial)} in {trial['seconds']:.1f} s; {settings}"
