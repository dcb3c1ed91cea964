"""A run's plots: what was measured, where it was measured.   pytest tests/evaluation/test_plots.py"""

import math
from dataclasses import asdict
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from hf_spam import UserError
from hf_spam.evaluation import plots
from hf_spam.evaluation.history import History, parse_history
from hf_spam.evaluation.plots import plot_history, plot_values

# Two epochs and a half of four steps, evaluated every two steps.
HISTORY = History(
    steps=[1, 6],
    train_losses=[2.0, 1.0],
    validation_losses=[2.1, 1.2],
    train_accuracies=[0.5, 0.75, 0.9],
    validation_accuracies=[0.6, 0.7, 0.8],
    examples_seen=80,
    evaluation_epochs=[0.5, 1.0],
    evaluation_losses=[1.8, 1.4],
    evaluation_accuracies=[0.55, 0.65],
)


def test_each_value_stands_where_it_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the legend says which line is an estimate and which the whole split."""
    drawn = {}

    def keep(figure: Figure, folder: Path, name: str) -> list[Path]:
        lines = figure.axes[0].get_lines()
        drawn[name] = {line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in lines}
        legend = figure.axes[0].get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == list(drawn[name])
        low, high = figure.axes[1].get_xlim()
        assert (low, high) == pytest.approx((-0.03 * 80, 1.03 * 80))  # messages, above
        return []

    monkeypatch.setattr(plots, "_save", keep)
    plot_history(HISTORY, 10, 2.5, tmp_path)
    assert drawn == {
        "loss-plot": {
            "Training loss (estimate)": [(0.25, 2.0), (1.5, 1.0)],
            "Validation loss (estimate)": [(0.25, 2.1), (1.5, 1.2)],
            "Validation loss (whole split)": [(0.5, 1.8), (1.0, 1.4)],
        },
        "accuracy-plot": {
            "Training accuracy (estimate)": [(1.0, 0.5), (2.0, 0.75), (2.5, 0.9)],
            "Validation accuracy (estimate)": [(1.0, 0.6), (2.0, 0.7), (2.5, 0.8)],
            "Validation accuracy (whole split)": [(0.5, 0.55), (1.0, 0.65)],
        },
    }


@pytest.mark.parametrize(
    ("history", "labels"),
    [
        (History([1, 2], [2.0, 1.0], [2.1, 1.2], [0.5], [0.6], 16), ["loss", "accuracy"]),
        (History([], [], [], [0.5], [0.6], 16), ["accuracy"]),  # --eval_freq 0
        (History([], [], [], [], [], 16, [1.0], [0.4]), ["loss"]),  # and a regression
        (History(), []),
    ],
    ids=["all", "no losses", "evaluations alone", "nothing"],
)
def test_what_was_not_measured_has_no_plot(tmp_path: Path, history: History, labels: list[str]) -> None:
    files = plot_history(history, 2, 1.0, tmp_path)
    assert [file.name for file in files] == [f"{label}-plot.{kind}" for label in labels for kind in ("pdf", "png")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(file.stat().st_size > 1000 for file in files)


def test_a_value_that_is_no_number_leaves_a_gap(tmp_path: Path) -> None:
    lines = {"Training loss": ([1.0], [math.nan]), "Validation loss": ([1.0], [0.5])}
    files = plot_values(lines, epochs=0.5, examples_seen=8, label="loss", folder=tmp_path)
    assert [file.name for file in files] == ["loss-plot.pdf", "loss-plot.png"]
    assert files[0].read_bytes().startswith(b"%PDF")
    assert files[1].read_bytes().startswith(b"\x89PNG")


def test_records_of_earlier_versions_are_read() -> None:
    """They have no evaluations."""
    record = asdict(HISTORY)
    assert parse_history(record, "x") == HISTORY
    early = {name: value for name, value in record.items() if not name.startswith("evaluation_")}
    history = parse_history(early, "x")
    assert (history.steps, history.evaluation_epochs) == (HISTORY.steps, [])
    history.evaluation_epochs.append(1.0)
    assert parse_history(early, "x").evaluation_losses == parse_history(early, "x").evaluation_epochs == []


@pytest.mark.parametrize(
    "change",
    [{"evaluation_epochs": [1.0]}, {"evaluation_losses": ["a", "b"]}, {"evaluation_accuracies": [1.0]}, {"more": []}],
    ids=str,
)
def test_records_that_are_none_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(UserError, match="x: expected the interim estimates of a run, found something else"):
        parse_history(asdict(HISTORY) | change, "x")
