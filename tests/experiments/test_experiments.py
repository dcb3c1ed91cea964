"""Experiments: the list, what runs and what does not run again, the table.   pytest tests/experiments"""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from support.warm_process import WarmProcess

from hf_spam.commands import experiments as command
from hf_spam.errors import Interrupted, UserError
from hf_spam.experiments.listing import CHAPTER, Experiment, choose, read_experiments
from hf_spam.experiments.records import Planned, load_results
from hf_spam.experiments.running import run_all
from hf_spam.experiments.tabulating import make_rows, to_csv, to_markdown
from hf_spam.trainable import adapters


class FakeTraining:
    """Stands in for `hf-spam train`: writes a run's record, or fails as it is told to."""

    def __init__(self, fails: str | None = None) -> None:
        self.seen: list[dict[str, Any]] = []
        self.fails = fails

    def __call__(self, options: dict[str, Any]) -> None:
        self.seen.append(options)
        place = Path(options["output_dir"])
        if self.fails is not None and self.fails in place.name:
            raise UserError("no such weights")
        print(f"Ep 1 of {place.name}")
        splits = {name: {"accuracy": 0.9, "messages": 100, "loss": 0.1} for name in ("train", "validation", "test")}
        training = {"seconds": 2.0, "parameters": 100, "trained_parameters": 10}
        machine = {"device": "a CPU", "threads": 2, "torch": "2"}
        place.mkdir(parents=True)
        record = {"splits": splits, "training": training, "environment": machine}
        (place / "metrics.json").write_text(json.dumps(record))


def plan(*names: str, **options: Any) -> list[Planned]:
    return [Planned(name, 123, {"weights": "random", **options}) for name in names]


def test_the_chapters_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its 19 rows in order with their figures, and the three exercises; each option of each is one of train's."""
    monkeypatch.setattr(adapters, "require_peft", lambda what: None)
    listed = read_experiments(CHAPTER)
    assert [it.name for it in listed][:19] == [f"row-{number:02}" for number in range(1, 20)]
    assert [it.name for it in listed][19:] == ["exercise-6.1", "exercise-6.2", "exercise-6.3"]
    assert all(it.published.keys() == {"train", "validation", "test", "minutes"} for it in listed[:19])
    planned = command.plan(listed, {"weights": "random", "model_size": "mini"}, [123])
    same = {run.name: next(it.name for it in planned if it.key == run.key) for run in planned}
    assert {name: first for name, first in same.items() if name != first} == {
        **{"row-06": "row-01", "row-07": "row-01", "row-08": "row-01", "row-09": "row-05", "row-10": "row-05"},
        **{"exercise-6.1": "row-13", "exercise-6.2": "row-05", "exercise-6.3": "row-02"},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiments: []", "expected experiments, a list of mappings, found a list"),
        ("experiments: [{title: a}]", "experiment 1: expected a name of letters, digits.* found null"),
        ("experiments: [{name: ../a}]", "experiment 1: expected a name of letters, digits"),
        ("experiments: [{name: a}, {name: a}]", "expected a different name for each experiment, found a twice"),
        ("experiments: [{name: a, option: {}}]", "experiment 1: expected name, title, options, published, found 'option'"),
        ("experiments: [{name: a, options: [x]}]", "a: expected options, a mapping of names to values, found a list"),
        ("experiments: [{name: a, options: {seed: 1}}]", "a: expected options of the recipe, found seed, which the command"),
        ("experiments: [{name: a, options: {hub_token: x}}]", "found hub_token, which the command decides"),
        ("experiments: [{name: a, published: {test: high}}]", "a: expected as published test a number, found a text"),
        ("runs: []", "the list: expected options, experiments, found 'runs'"),
        ("- a", "expected a mapping"),
    ],
)  # fmt: skip
def test_lists_that_say_something_else(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_experiments(tmp_path / "list.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "cls"}, "^bad: argument --pooling: invalid choice"),
        ({"colour": "red"}, "^bad: .*--colour"),
        (
            {"pad_to": "context"},
            "^bad: --pad_to: expected --pooling last_position or mean_positions, found last_token",
        ),
        ({"prefix_cache": "on", "trainable": "all"}, "^bad: --prefix_cache on: cannot be made: every block"),
        ({"output_file": "x"}, "^bad: "),
    ],
)
def test_every_option_is_checked_before_the_first_run(options: dict[str, Any], message: str) -> None:
    listed = [Experiment("good", "good"), Experiment("bad", "bad", options)]
    with pytest.raises(UserError, match=message):
        command.plan(listed, {}, [1])


def test_names() -> None:
    listed = [Experiment("a", "a"), Experiment("b", "b")]
    assert [it.name for it in choose(listed, ["b"])] == ["b"]
    with pytest.raises(UserError, match=r"expected names of experiments \(a, b\), found c"):
        choose(listed, ["c", "a"])


def test_going_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What failed is tried again, what is finished is not; equal options run once; others are refused."""
    planned = [*plan("a", "b"), *plan("c", causal=False), *plan("d")]
    broken = FakeTraining(fails="c-seed")
    assert run_all(planned, tmp_path, broken) == ["c-seed-123: no such weights"]
    assert [Path(options["output_dir"]).name for options in broken.seen] == ["a-seed-123", "c-seed-123"]
    assert [(it.name, it.seconds) for it in load_results(tmp_path)] == [("a", 2.0), ("b", 2.0), ("d", 2.0)]
    whole = FakeTraining()
    assert run_all(planned, tmp_path, whole) == []
    assert [Path(options["output_dir"]).name for options in whole.seen] == ["c-seed-123"]
    assert run_all(planned, tmp_path, whole) == []
    assert len(whole.seen) == 1
    assert (tmp_path / "runs" / "a-seed-123.log").read_text() == "Ep 1 of a-seed-123\n"
    output = capsys.readouterr().out
    assert "[2/4] b-seed-123: test accuracy 90.00%, the same options as a; about 1 min for 2 more\n" in output
    assert "Ep 1" not in output
    with pytest.raises(UserError, match="holds a with seed 123, whose --causal was another"):
        run_all(plan("a", causal=False), tmp_path, whole)


def test_stopped_in_a_run(tmp_path: Path) -> None:
    def stopped(options: dict[str, Any]) -> None:
        raise Interrupted(15, "stopped by SIGTERM after step 2 of 9. Resume with: hf-spam train --output_dir x")

    with pytest.raises(Interrupted) as stop:
        run_all(plan("a"), tmp_path, stopped)
    assert stop.value.message == "stopped by SIGTERM after step 2 of 9. The same command goes on from there"


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """From a list of one's own to the files; what failed says so, and the same command goes on."""
    (tmp_path / "mine.yaml").write_text(
        "options: {weights: random}\nexperiments: [{name: a}, {name: b, options: {causal: false}}]"
    )
    argv = ["--list", str(tmp_path / "mine.yaml"), "--output_dir", str(tmp_path / "out"), "--seeds", "1", "2"]
    assert command.main(command.parse([*argv, "--show"])) == 0
    assert capsys.readouterr().out == "a             a\nb             b\n"
    monkeypatch.setattr(command.train, "main", FakeTraining(fails="b-seed-2"))
    assert command.main(command.parse(argv)) == 2
    assert "1 of 4 runs failed; run the same command again" in capsys.readouterr().out
    monkeypatch.setattr(command.train, "main", FakeTraining())
    assert command.main(command.parse(argv)) == 0
    output = capsys.readouterr().out
    assert "| b | b | 90.00 | 90.00 | 90.00 | 82.6 to 94.5 | 0.00 |" in output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"runs", "results.json", "table.md", "table.csv", "accuracy-plot.png", "accuracy-plot.pdf"}
    with pytest.raises(UserError, match="--seeds: expected a whole number from 0"):
        command.parse(["--seeds", "-1"])
    (tmp_path / "photo.jpg").write_text("x")
    with pytest.raises(UserError, match="expected an empty folder or results, found others"):
        command.prepare(tmp_path, False)


def test_an_unfinished_run_is_resumed(tmp_path: Path) -> None:
    checkpoint = tmp_path / "runs" / "a-seed-123.partial" / "checkpoint-2"
    checkpoint.mkdir(parents=True)
    (checkpoint / "seal.json").write_text("{}")
    training = FakeTraining()
    run_all(plan("a", "b"), tmp_path, training)
    assert [options.get("resume_from_checkpoint") for options in training.seen] == ["last"]


def test_the_table() -> None:
    figures = {"messages": dict.fromkeys(("train", "validation", "test"), 300), "losses": {"validation": 0.1}}
    figures |= {"seconds": 2.0, "peak_mb": 512.0, "parameters": 9000, "trained_parameters": 1234}
    figures["environment"] = {"device": "a CPU", "threads": 2, "torch": "2.0"}
    listed = [Experiment("a", "x | y", published={"train": 96.63, "validation": 99.33, "test": 95.0, "minutes": 0.28}),
              Experiment("b", "same"), Experiment("c", "never run")]  # fmt: skip
    from hf_spam.experiments.records import Result

    options = {"weights": "random", "model_size": "mini"}
    results = [
        Result(name=name, seed=seed, options=options, accuracies={"train": 1.0, "validation": 0.9, "test": test}, **figures)
        for name in ("a", "b")
        for seed, test in ((1, 0.95), (2, 0.97))
    ]  # fmt: skip
    rows = make_rows(listed, results)
    text = to_markdown(rows)
    assert text.startswith(
        "Weights: random; size: mini; seeds 1, 2; the published figures are of pretrained weights: "
    )
    assert (
        r"| a | x \| y | 100.00 | 90.00 | 96.00 | 93.1 to 97.7 | 1.41 | 2.0 | 512 | 1,234 | 96.63 / 99.33 / 95.00 |"
        in text
    )
    assert "| b | same (as a) |" in text
    assert "never run" not in text
    table = list(csv.DictReader(to_csv(rows).splitlines()))
    assert [(it["experiment"], it["seed"], it["test_accuracy"], it["published_test"]) for it in table][:2] == [
        ("a", "1", "0.95", "95.0"),
        ("a", "2", "0.97", "95.0"),
    ]
    assert to_markdown([]) == "No experiment has a result yet.\n"


@pytest.mark.slow
def test_rows_that_must_agree(few_messages: Path, warm: WarmProcess, tmp_path: Path) -> None:
    """Really trained: the ignored label changes no bit; accumulated batches of one agree with one batch; others differ."""
    names = ["row-01", "row-02", "row-13", "row-15", "row-16", "row-17", "row-18", "row-19"]
    argv = ["experiments", *names, "--data_file", few_messages, "--weights", "random", "--model_size", "tiny"]
    argv += [
        "--context_length",
        64,
        "--learning_rate",
        "1e-2",
        "--num_train_epochs",
        1,
        "--output_dir",
        tmp_path / "out",
    ]
    output = warm.run(argv, tmp_path)
    assert "[8/8] row-19-seed-123: test accuracy" in output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("results.json", "table.md", "table.csv", "accuracy-plot.png", "accuracy-plot.pdf", "runs"),
    }
    losses = {it.name: it.losses["validation"] for it in load_results(tmp_path / "out")}
    assert losses["row-01"] == losses["row-18"]
    assert losses["row-15"] == pytest.approx(losses["row-16"], abs=1e-5)
    shared = [*argv[:1], "row-01", *argv[1 + len(names) : -1], tmp_path / "shared"]
    warm.run(shared, tmp_path, 2)
    assert load_results(tmp_path / "shared")[0].losses["validation"] == pytest.approx(losses["row-01"], abs=1e-4)
    distinct = [losses[name] for name in names if name not in ("row-15", "row-18")]
    assert len({round(loss, 6) for loss in distinct}) == len(distinct)
