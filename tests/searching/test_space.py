"""The search space: what is searched, what is refused before anything is read, and the plot. Without Optuna.

pytest tests/searching/test_space.py
"""

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_spam import UserError
from hf_spam.commands.search import defaults, make_parser, parse
from hf_spam.evaluation.plots import plot_study
from hf_spam.searching import study
from hf_spam.searching.space import Parameter, default_space, describe_space, read_space, starting_setting
from hf_spam.training.presets import PRESETS

Run = Callable[..., tuple[int, str, str]]


class Extremes:
    """Stands in for an Optuna trial: the ends of a range, or the last choice."""

    def __init__(self, end: int) -> None:
        self.end = end

    def suggest_float(self, name: str, *ends: float, log: bool) -> float:
        return ends[self.end] if self.end in (0, 1) else math.pi * 1e-4

    def suggest_int(self, name: str, *ends: int, log: bool) -> int:
        return ends[self.end]

    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any:
        return choices[-1]


def write(folder: Path, text: str) -> Path:
    path = folder / "space.yaml"
    path.write_text(text)
    return path


def test_a_space_is_read_with_the_options_types(tmp_path: Path) -> None:
    """Also `1e-5`, which YAML takes for a text."""
    text = "learning_rate: {low: 1e-5, high: 1e-3, log: true}\nnum_train_epochs: [1, 2]\nwarmup_steps: {low: 0, high: 0.2}\n"
    text += "global_batch_size: {low: 4, high: 16}\nlr_scheduler_type: [linear, cosine]\n"
    space = read_space(write(tmp_path, text), make_parser())
    assert space == (
        Parameter("learning_rate", (), 1e-5, 1e-3, log=True),
        Parameter("num_train_epochs", (1.0, 2.0)),
        Parameter("warmup_steps", (), 0.0, 0.2),
        Parameter("global_batch_size", (), 4, 16, whole=True),
        Parameter("lr_scheduler_type", ("linear", "cosine")),
    )
    assert [parameter.suggest(Extremes(0)) for parameter in space] == [1e-5, 2.0, 0.0, 4, "cosine"]
    assert [parameter.suggest(Extremes(1)) for parameter in space] == [1e-3, 2.0, 0.2, 16, "cosine"]
    assert space[0].suggest(Extremes(2)) == 0.000314  # what a person would type
    assert describe_space(space).splitlines()[:2] == [
        "space  learning_rate      1e-05 to 0.001, log-uniform",
        "       num_train_epochs   1, 2",
    ]


def test_the_default_space_holds_the_presets_own_settings() -> None:
    """It is tried first, so that the best is never worse."""
    for preset, names in (("quickstart", {"drop_rate", "warmup_steps"}), ("default", set()), ("book", set())):
        options = defaults() | PRESETS[preset]
        start = starting_setting(default_space(options), options)
        assert start is not None
        assert names <= set(start)
        assert start["learning_rate"] == options["learning_rate"]
    other = options | {"learning_rate": 1.0, "global_batch_size": 12}
    rate, *_ = space = default_space(other)
    assert (rate.low, rate.high, space[2].choices) == (1e-5, 1.0, (8, 12, 16, 32))
    assert starting_setting(default_space(options), other) is None


REFUSED: dict[str, tuple[str, list[str], str]] = {
    "no option": ("width: [1, 2]", [], "expected options that can be searched (learning_rate, "),
    "a seed": ("seed: [1, 2]", [], "found 'seed'"),
    "nothing": ("{}", [], "expected at least one option, found none"),
    "a list": ("- 1", [], "expected a mapping of options to values, found list"),
    "one value": ("num_train_epochs: [1]", [], "num_train_epochs: expected two values or more, found 1"),
    "twice": ("num_train_epochs: [1, 1.0]", [], "num_train_epochs: expected different values"),
    "a key twice": ("drop_rate: [0, 0.1]\ndrop_rate: [0, 0.2]", [], "the key 'drop_rate' stands there twice"),
    "a number": ("num_train_epochs: 3", [], "expected a list of values, or a mapping of low, high and perhaps log"),
    "no high": ("learning_rate: {low: 1e-5}", [], "expected a list of values, or a mapping of low, high"),
    "another key": ("learning_rate: {low: 1e-5, high: 1, step: 2}", [], "expected a list of values, or a mapping"),
    "a range of words": (
        "optim: {low: sgd, high: adamw_torch}",
        [],
        "optim: expected a list of values, found a range",
    ),
    "upside down": ("learning_rate: {low: 1, high: 0.1}", [], "expected a low below the high, found 1 and 0.1"),
    "log of 0": ("weight_decay: {low: 0, high: 1, log: true}", [], "expected a low above 0 for a logarithmic scale"),
    "log of a word": ("weight_decay: {low: 1, high: 2, log: 3}", [], "expected true or false as log, found '3'"),
    "out of range": ("drop_rate: [0, 1.5]", [], "--drop_rate: expected a number of at least 0 and below 1, found 1.5"),
    "no number": ("drop_rate: [0, x]", [], "argument --drop_rate: invalid float value: 'x'"),
    "no optimizer": ("optim: [adamw_torch, best]", [], "--optim: expected one of "),
    "nested": ("drop_rate: [[0], 0.1]", [], "drop_rate: expected plain values"),
    "an anchor": ("drop_rate: &a [0, 0.1]", [], "found an anchor or alias"),
    "fixed and searched": ("drop_rate: [0, 0.1]", ["--drop_rate", "0.2"], "--drop_rate: expected a fixed option"),
    "a cache and dropout": ("drop_rate: [0, 0.1]", ["--prefix_cache", "on"], "--prefix_cache on: cannot be made: "),
    "another batch": (
        "global_batch_size: [4, 8]",
        ["--per_device_train_batch_size", "4"],
        "--per_device_train_batch_size: expected a fixed option",
    ),
    "a size of weights": ("model_size: [small, medium]", ["--preset", "default"], "expected --weights random"),
    "no trials": ("drop_rate: [0, 0.1]", ["--trials", "0"], "--trials: expected a whole number from 1 to 10,000"),
    "another judge": ("drop_rate: [0, 0.1]", ["--objective", "f1"], "invalid choice: 'f1'"),
    "a run to resume": ("drop_rate: [0, 0.1]", ["--resume_from_checkpoint", "last"], "unrecognized arguments"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_searched_is_refused_in_one_line(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Before anything is read or written."""
    text, options, message = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hf_spam.commands.search.main", lambda options: 1 / 0)
    path = write(tmp_path, text)
    code, out, err = run("search", "--preset", "quickstart", "--space", path, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_given_is_not_searched() -> None:
    options = parse(["--preset", "quickstart", "--learning_rate", "1e-3", "--per_device_train_batch_size", "4"])
    names = {parameter.name for parameter in options["space"]}
    assert names == {"num_train_epochs", "weight_decay", "warmup_steps", "drop_rate"}
    assert (options["trials"], options["objective"], options["output_dir"]) == (20, "loss", "outputs/search")


def test_without_optuna_the_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "optuna" else found(name, *more)
    )
    code, out, err = run("search", "--preset", "quickstart")
    assert (code, out) == (2, "")
    assert err.startswith("hf-spam: error: a search needs Optuna. Install it: pip install ")
    assert "[search]" in err


def test_a_search_goes_on_only_as_it_was_asked() -> None:
    known = {"space": [1], "options": {"seed": 1, "preset": "book"}, "objective": "loss"}
    study.require_same(Path("s"), known, known)
    with pytest.raises(UserError, match=r"s: holds a search of another space\. Choose another --output_dir"):
        study.require_same(Path("s"), known, known | {"space": [2]})
    with pytest.raises(UserError, match=r"s: holds a search of another --drop_rate, --seed\."):
        study.require_same(Path("s"), known, known | {"options": {"seed": 2, "preset": "book", "drop_rate": 0.1}})
    with pytest.raises(UserError, match=r"s: holds a search of another space, options, objective\."):
        study.require_same(Path("s"), 5, known)


def test_of_several_as_good_the_one_with_less_loss_is_the_best() -> None:
    trials = [
        {"number": n, "loss": loss, "accuracy": a} for n, loss, a in ((1, 0.3, 0.9), (2, 0.2, 0.9), (3, 0.1, 0.8))
    ]
    assert study.best_trial(trials, "accuracy")["number"] == 2
    assert study.best_trial(trials, "loss")["number"] == 3


def test_the_plot_of_a_study(tmp_path: Path) -> None:
    """One that diverged is left out; where all did, there is none."""
    settings = [{"learning_rate": 10.0**-n, "optim": "sgd", "drop_rate": n / 10} for n in range(1, 4)]
    options: dict[str, Any] = {"choices": {"optim": ("adamw_torch", "sgd")}, "logarithmic": {"learning_rate"}}
    assert plot_study([math.inf] * 3, settings, objective="loss", folder=tmp_path, **options) == []
    files = plot_study([0.5, math.inf, 0.4], settings, objective="loss", folder=tmp_path, **options)
    assert [file.name for file in files] == ["study-plot.pdf", "study-plot.png"]
    assert all(file.stat().st_size > 1000 for file in files)
