"""A run's plots: one for each quantity that was estimated.   pytest tests/evaluation/test_plots.py"""

from pathlib import Path

from hf_spam.evaluation.history import History
from hf_spam.evaluation.plots import plot_history


def test_what_was_estimated_is_drawn(tmp_path: Path) -> None:
    history = History([1, 2], [2.0, 1.0], [2.1, 1.2], [0.5], [0.6], 16)
    files = plot_history(history, 1.0, tmp_path)
    names = [f"{label}-plot.{kind}" for label in ("loss", "accuracy") for kind in ("pdf", "png")]
    assert [file.name for file in files] == names
    assert all(file.stat().st_size > 1000 for file in files)


def test_what_was_not_estimated_has_no_plot(tmp_path: Path) -> None:
    """`--eval_freq 0` takes no losses."""
    plot_history(History([], [], [], [0.5], [0.6], 16), 1.0, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"accuracy-plot.pdf", "accuracy-plot.png"}
