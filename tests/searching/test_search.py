"""The search with Optuna: judged on validation alone, goes on where it was killed, and its best is a run's.

pytest -m search tests/searching/test_search.py
"""

import csv
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.messages import write_messages
from support.warm_process import WarmProcess

from hf_spam.training import fine_tuning

pytestmark = pytest.mark.search

Run = Callable[..., tuple[int, str, str]]
TINY = ["--data_file", "messages.csv", "--weights", "random", "--model_size", "tiny", "--context_length", "64"]
TINY += ["--max_length", "32", "--trainable", "all", "--max_steps", "6", "--eval_freq", "2"]
SPACE = (
    "learning_rate: {low: 1e-4, high: 1e-1, log: true}\nglobal_batch_size: [4, 8]\ndrop_rate: {low: 0, high: 0.5}\n"
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, messages: pd.DataFrame) -> Path:
    folder = tmp_path_factory.mktemp("search")
    write_messages(messages, 60, folder / "messages.csv")
    write_messages(messages, 61, folder / "others.csv")
    (folder / "space.yaml").write_text(SPACE)
    return folder


def search(name: str, *more: str) -> list[str]:
    return ["search", *TINY, "--space", "space.yaml", "--trials", "4", "--output_dir", name, *more]


def trials(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def uninterrupted(workplace: Path, warm: WarmProcess) -> Path:
    warm.run(search("whole"), workplace)
    return workplace / "whole"


def test_what_a_search_leaves(uninterrupted: Path) -> None:
    names = {"best.yaml", "study-plot.pdf", "study-plot.png", "study.sqlite3", "trials.csv", "trials.md"}
    assert {path.name for path in uninterrupted.iterdir()} == names
    rows = trials(uninterrupted)
    assert [row["trial"] for row in rows] == ["1", "2", "3", "4"]
    assert len({row["learning_rate"] for row in rows}) == 4
    assert rows[0] | {"learning_rate": "5e-05"} != rows[0]  # the default rate is not in this space: none comes first
    table = (uninterrupted / "trials.md").read_text().splitlines()
    assert len(table) == 6
    best = min(rows, key=lambda row: float(row["loss"]))
    assert [line for line in table if line.startswith("| **")] == [table[1 + int(best["trial"])]]


def test_the_best_configuration_gives_a_run_exactly_that_figure(
    uninterrupted: Path, workplace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, whose draws depend on every draw before."""
    monkeypatch.chdir(workplace)
    assert run("train", "--config", uninterrupted / "best.yaml", "--output_dir", "best")[0] == 0
    figures = json.loads((workplace / "best" / "metrics.json").read_text())["splits"]["validation"]
    best = min(trials(uninterrupted), key=lambda row: float(row["loss"]))
    assert (figures["loss"], figures["accuracy"]) == (float(best["loss"]), float(best["accuracy"]))


def test_a_stopped_and_killed_search_goes_on(uninterrupted: Path, workplace: Path, warm: WarmProcess) -> None:
    """It tries what it would have tried, and no trial twice."""
    log = workplace / "log"
    for number, end in ((1, signal.SIGTERM), (2, signal.SIGKILL)):
        log.unlink(missing_ok=True)
        process = warm.start(search("ended"), workplace)
        while not log.exists() or f"trial {number} of 4" not in log.read_text():
            time.sleep(0.02)
        os.kill(process, end)
        code, printed = warm.wait(process), log.read_text()
        assert not (workplace / "ended" / "trials.csv").exists()
        if end == signal.SIGTERM and code > 0:  # else it came between two trials
            assert code == 128 + signal.SIGTERM
            assert printed.endswith("hf-spam: stopped; 1 trials are finished. The same command goes on.\n")
            assert "Traceback" not in printed
    printed = warm.run(search("ended"), workplace)
    # The line of the second is printed just before it is kept: the signal may come between.
    assert re.search("search 4 trials, [12] of them finished before", printed)
    assert "trial 1 of 4" not in printed
    ours, theirs = ([{**row, "seconds": ""} for row in trials(workplace / name)] for name in ("ended", "whole"))
    assert ours == theirs


def test_a_finished_search_has_nothing_to_do(
    uninterrupted: Path, workplace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setattr("hf_spam.starting.unsaved.UnsavedRuns.train", lambda *args, **kwargs: 1 / 0)
    code, out, _ = run(*search("whole"))
    assert code == 0
    assert "4 of them finished before" in out
    assert out.splitlines()[-2].startswith("best   trial ")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seed", "5"], "holds a search of another --seed."),
        (["--objective", "accuracy"], "holds a search of another objective."),
        (["--space", "other.yaml"], "holds a search of another space."),
        (["--data_file", "others.csv"], "holds a search of another --data_file."),
    ],
    ids=["options", "objective", "space", "data"],
)
def test_another_search_does_not_go_on_there(
    uninterrupted: Path, workplace: Path, run: Run, monkeypatch: pytest.MonkeyPatch, more: list[str], message: str
) -> None:
    monkeypatch.chdir(workplace)
    (workplace / "other.yaml").write_text("drop_rate: [0, 0.1]")
    code, _, err = run(*search("whole", *more))
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_other_messages_under_the_same_name(
    uninterrupted: Path, workplace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    before = (workplace / "messages.csv").read_bytes()
    try:
        (workplace / "messages.csv").write_bytes((workplace / "others.csv").read_bytes())
        code, _, err = run(*search("whole"))
    finally:
        (workplace / "messages.csv").write_bytes(before)
    assert code == 2
    assert "holds a search on other messages" in err


def test_a_file_that_is_no_study(workplace: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    for name, content in (("text", b"hello"), ("torn", b"SQLite format 3\0" + bytes(200))):
        (workplace / name).mkdir()
        (workplace / name / "study.sqlite3").write_bytes(content)
        code, _, err = run(*search(name))
        assert (code, err.count("\n")) == (2, 1)
        assert "study.sqlite3: " in err


def test_the_first_trial_is_the_setting_without_a_search_and_the_test_split_is_left_alone(
    workplace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Any] = []
    real = fine_tuning.score_split
    monkeypatch.setattr(
        "hf_spam.training.fine_tuning.score_split", lambda *args: (judged.append(len(args[1])), real(*args))[1]
    )
    monkeypatch.chdir(workplace)
    code, out, _ = run("search", *TINY, "--objective", "accuracy", "--trials", "2", "--output_dir", "start")
    assert code == 0
    assert judged == [12, 12]  # of 120 messages: 84 train, 24 test
    assert "judged by validation accuracy; the first is the setting without a search" in out
    first = trials(workplace / "start")[0]
    assert (first["learning_rate"], first["global_batch_size"], first["weight_decay"]) == ("5e-05", "8", "0.1")


def test_a_setting_that_diverges_is_a_bad_one(workplace: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    (workplace / "wild.yaml").write_text("learning_rate: [1e-3, 1000]\n")
    options = ["--space", "wild.yaml", "--trials", "4", "--optim", "sgd", "--output_dir", "wild"]
    code, out, _ = run("search", *TINY, *options)
    assert code == 0
    assert "loss inf" in out
    assert "learning_rate: 0.001" in (workplace / "wild" / "best.yaml").read_text()
