"""Trackers: off unless asked for, and then a file or a database of the user's own.

pytest -m trackers tests/training/test_trackers.py (needs the extras [tensorboard,trackio])
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]
RECIPE = ["--data_source", "sample", "--weights", "random", "--model_size", "tiny", "--context_length", "64"]
RECIPE += ["--max_length", "40", "--max_steps", "3", "--logging_strategy", "steps", "--logging_steps", "1"]


@pytest.mark.parametrize("name", ["tensorboard", "trackio"])
def test_a_missing_tracker(run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, error = run("train", *RECIPE, "--report_to", name)
    assert code == 2
    assert f'--report_to {name} needs the extra [{name}], which is missing: pip install -e ".[{name}]"' in error


@pytest.mark.trackers
@pytest.mark.filterwarnings("ignore")  # theirs
def test_tensorboard(run: Run, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run("train", *RECIPE, "--report_to", "tensorboard", "--output_dir", tmp_path / "run")[0] == 0
    (events,) = (tmp_path / "run").rglob("events.out.tfevents.*")
    accumulator = EventAccumulator(str(events))
    accumulator.Reload()
    assert len(accumulator.Scalars("train/loss")) == 3
    assert {"eval/loss", "eval/accuracy", "eval/f1"} <= set(accumulator.Tags()["scalars"])


@pytest.mark.trackers
@pytest.mark.filterwarnings("ignore")
def test_trackio(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    assert run("train", *RECIPE, "--report_to", "trackio", "--output_dir", tmp_path / "run")[0] == 0
    assert list((tmp_path / "trackio").glob("*.db"))
