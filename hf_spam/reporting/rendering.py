"""A report as Markdown, as one HTML page and as JSON; texts of strangers stand in it as text alone."""

import base64
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..errors import UserError, one_line, plain
from ..system.files import apply_umask, atomic_folder
from ..system.place import check_new_folder
from .figures import plain_numbers
from .publishing import RESULTS_FILE

Cell = tuple[str, str]  # what it says, and what stands smaller below it
_CAPTIONS = {
    "roc": "ROC: recall over the false positive rate, which is logarithmic",
    "precision-recall": "Precision over recall",
    "calibration": "Calibration: how many of a bin have the label, over its mean score; the dotted line is perfect",
    "scores": "Scores of the model: messages in each of 25 bins",
    "scatter": "The number predicted over the number given; the dotted line is perfect",
}


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: What it is about.
        header: The names of its columns.
        rows: Cells.
        note: What must be known to read it.
        text: The column that holds messages, if one does.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    text: int | None = None


@dataclass(frozen=True)
class Report:
    """All that a report says.

    Attributes:
        title: The model and the messages.
        verdict: The first line: whether the model is better than the baselines.
        better: Whether it is.
        notes: Lines below the title.
        tables: The tables.
        pictures: PNG by the name that `curves.draw` gives it.
        record: The same for machines.
        eval_results: The file of the Hub's format, if the messages are a data set of the Hub.
    """

    title: str
    verdict: str
    better: bool
    notes: Sequence[str]
    tables: Sequence[Table]
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    eval_results: str | None = None


def to_markdown(report: Report) -> str:
    """Return a report as Markdown, with its pictures as files beside it."""
    lines = [f"**{plain(report.verdict)}**", "", f"# {plain(report.title)}", ""]
    for note in report.notes:
        lines += [plain(note), ""]
    for number, table in enumerate(report.tables):
        lines += [f"## {plain(table.title)}", "", *([plain(table.note), ""] if table.note else [])]
        lines.append(f"| {' | '.join(map(plain, table.header))} |")
        lines.append(f"| --- |{' ---: |' * (len(table.header) - 1)}")
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in table.rows]
        lines.append("")
        if number == 0 and report.pictures:
            shown = (f"![{plain(_CAPTIONS[name])}]({name}.png)" for name in report.pictures)
            lines += ["## Curves", "", *shown, ""]
    return "\n".join(lines).rstrip() + "\n"


def to_text(table: Table) -> str:
    """Return a table for the console."""
    lines = [list(table.header), *([" ".join(part for part in cell if part) for cell in row] for row in table.rows)]
    shown = [[one_line(cell) for cell in line] for line in lines]
    widths = [max(len(line[column]) for line in shown) for column in range(len(table.header))]
    rows = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in shown]
    return "\n".join([one_line(table.title), *rows, *([one_line(table.note)] if table.note else []), ""])


def to_html(report: Report) -> str:
    """Return a report as one page, which loads nothing."""
    pictures = [
        {"caption": _CAPTIONS[name], "source": f"data:image/png;base64,{base64.b64encode(png).decode()}"}
        for name, png in report.pictures.items()
    ]
    tables = [
        {
            "title": one_line(table.title),
            "note": one_line(table.note),
            "header": [one_line(cell) for cell in table.header],
            "rows": [[tuple(map(one_line, cell)) for cell in row] for row in table.rows],
            "text": -1 if table.text is None else table.text,
        }
        for table in report.tables
    ]
    page = _environment().get_template("report.html").render(
        title=one_line(report.title),
        verdict=one_line(report.verdict),
        better=report.better,
        notes=[one_line(note) for note in report.notes],
        tables=tables,
        pictures=pictures,
    )  # fmt: skip
    return f"{page}\n"


def save_report(report: Report, folder: Path) -> None:
    """Write a report to a new folder, whole or not at all.

    Raises:
        UserError: If the folder holds something already or cannot be written.
    """
    check_new_folder("report", folder)
    try:
        with atomic_folder(folder) as temporary:
            (temporary / "report.md").write_text(to_markdown(report), encoding="utf-8")
            (temporary / "report.html").write_text(to_html(report), encoding="utf-8")
            text = json.dumps(plain_numbers(report.record), indent=2, ensure_ascii=True, allow_nan=False)
            (temporary / "report.json").write_text(f"{text}\n", encoding="utf-8")
            for name, png in report.pictures.items():
                (temporary / f"{name}.png").write_bytes(png)
            if report.eval_results is not None:
                (temporary / RESULTS_FILE).parent.mkdir()
                (temporary / RESULTS_FILE).write_text(report.eval_results, encoding="utf-8")
            apply_umask(temporary)
    except OSError as error:
        raise UserError(f"--report {folder}: cannot be written: {error.strerror}.") from None


@functools.cache
def _environment() -> Environment:
    loader = PackageLoader(__package__, package_path="")
    return Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True)


def _cell(cell: Cell) -> str:
    # The rules for the start of a line, which a cell is not, would make entities of numbers.
    return plain(f"a {' '.join(part for part in cell if part)}")[2:]
