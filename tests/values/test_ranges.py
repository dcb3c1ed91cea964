"""Ranges: which values an option accepts, and what is said of the others.   pytest tests/values/test_ranges.py"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_spam import DataArguments, ModelArguments, SpamTrainingArguments, UserError
from hf_spam.dataclass_options import DataclassParser
from hf_spam.options import OptionParser, option
from hf_spam.values.ranges import FILE, FOLDER, SEED, Range, check_text, check_values

UNIT = Range(at_least=0, below=1)
STEPS = Range(above=0, at_most=100, share=True)


@pytest.mark.parametrize(
    ("range_", "whole", "good", "bad", "words"),
    [
        (SEED, True, [0, 7, 2**32 - 1, np.int64(3)], [-1, 2**32, 1.0, True, "7", None, math.nan], "a whole number from 0 to 4,294,967,295"),
        (UNIT, False, [0, 0.0, 0.999, np.float32(0.5)], [-0.001, 1, 1.0, math.nan, math.inf, -math.inf, False, "0"], "a number of at least 0 and below 1"),
        (Range(above=0, at_most=2.5), False, [1e-300, 2.5], [0, 2.6, 10**400], "a number above 0 and at most 2.5"),
        (Range(above=0, below=1), False, [0.5], [0, 1], "a number above 0 and below 1"),
        (Range(at_least=1, at_most=9, besides=-1), True, [-1, 1, 9], [-2, 0, 10], "-1 or a whole number from 1 to 9"),
        (STEPS, False, [0.1, 1, 1.0, 100], [0, 1.5, 99.5, 101, math.inf], "a number above 0 and at most 100, whole from 1 on"),
    ],
)  # fmt: skip
def test_what_a_range_holds(range_: Range, whole: bool, good: list[Any], bad: list[Any], words: str) -> None:
    assert [value for value in good if not range_.holds(value, whole)] == []
    assert [value for value in bad if range_.holds(value, whole)] == []
    assert range_.describe(whole) == words


@pytest.mark.parametrize("bounds", [{}, {"at_least": 1}, {"at_least": 1, "above": 1, "at_most": 2}, {"at_most": 1}])
def test_a_range_ends_on_both_sides(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected one of at_least and above, and one of at_most and below"):
        Range(**bounds)  # type: ignore[arg-type]


@given(st.floats() | st.integers())
def test_what_is_held_is_finite_and_between(value: float) -> None:
    if Range(at_least=-5, below=10**6).holds(value, whole=False):
        assert -5 <= value < 10**6
    elif math.isfinite(value):
        assert not -5 <= value < 10**6


@dataclass
class Arguments:
    """One option of each kind."""

    count: int | None = option(None, "How many.", range=SEED)
    share: float = option(0.5, "Which share.", range=UNIT)
    kind: Literal["a", "b"] | None = option(None, "Which kind.")
    sure: bool = option(True, "Whether.")
    source: str | None = option(None, "Where from.", metavar=FILE)
    place: str = option("out", "Where to.", metavar=FOLDER)

    def __post_init__(self) -> None:
        check_values(self)


def parser() -> OptionParser:
    made = DataclassParser(Arguments, prog="x", description="")
    made.add_argument("--by_hand", type=float, range=UNIT, help="More.")
    made.add_argument("--file", type=Path, metavar=FILE, help="A file.")
    return made


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", -1, "--count: expected a whole number from 0 to 4,294,967,295, found -1."),
        ("count", 10**30, f"found {10**30}"),
        ("share", math.nan, "--share: expected a number of at least 0 and below 1, found nan."),
        ("share", None, "--share: expected a number of at least 0 and below 1, found None."),
        ("kind", "c", "--kind: expected one of a, b, found 'c'."),
        ("sure", "yes", "--sure: expected true or false, found 'yes'."),
        ("source", "", "--source: expected a value, found an empty text."),
        ("source", "a\0b", "--source: expected a text without NUL characters"),
        ("source", "\ud800", "--source: expected a text that can be encoded"),
        ("source", 7, "--source: expected a text, found 7."),
        ("place", None, "--place: expected a text, found None."),
        ("place", "x" * 5000, "cannot be used: File name too long."),
    ],
)
def test_the_python_api_is_checked(name: str, value: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        Arguments(**{name: value})
    assert message in str(error.value)
    assert f"--{name}" in str(error.value)


def test_the_command_line_is_checked(tmp_path: Path) -> None:
    for argv, name in (
        (["--count", "-1"], "count"),
        (["--share", "nan"], "share"),
        (["--by_hand", "inf"], "by_hand"),
        (["--source", " "], "source"),
        (["--source", str(tmp_path)], "source"),
        (["--file", str(tmp_path)], "file"),
        (["--place", __file__], "place"),
        (["--place", f"{__file__}/x"], "place"),
        (["--place", "x" * 5000], "place"),
        (["--place=--"], "place"),
    ):
        with pytest.raises(UserError, match=f"--{name}"):
            parser().given(argv)
        with pytest.raises(UserError, match=f"--{name}"):
            parser().parse_args(argv)
    good = ["--count", "3", "--share", "0", "--by_hand", "0.5", "--source", __file__, "--place", str(tmp_path / "new")]
    assert parser().given(good)["by_hand"] == 0.5


def test_defaults_pass() -> None:
    assert Arguments(count=None, place=Path("x")).count is None  # type: ignore[arg-type]
    assert parser().given([]) == {}


@given(st.text())
def test_any_text_is_accepted_or_refused(text: str) -> None:
    try:
        check_text("name", text, FOLDER)
    except UserError as error:
        assert str(error).startswith("--name")  # noqa: PT017


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (DataArguments, {"train_fraction": math.nan}),
        (DataArguments, {"data_source": "internet"}),
        (DataArguments, {"balance": 1}),
        (ModelArguments, {"drop_rate": math.nan}),
        (ModelArguments, {"context_length": 0}),
        (ModelArguments, {"model_size": "huge"}),
        (ModelArguments, {"pooling": "max"}),
        (SpamTrainingArguments, {"seed": -1}),
        (SpamTrainingArguments, {"num_train_epochs": -1}),
        (SpamTrainingArguments, {"adam_beta1": 1.0}),
        (SpamTrainingArguments, {"dataloader_num_workers": 10**6}),
        (SpamTrainingArguments, {"train_sampling_strategy": "sorted"}),
        (SpamTrainingArguments, {"log_level": "loud"}),
    ],
)
def test_our_dataclasses_check_themselves(type_: type[Any], values: dict[str, Any], tmp_path: Path) -> None:
    place = {"output_dir": str(tmp_path)} if type_ is SpamTrainingArguments else {}
    with pytest.raises(UserError, match=f"--{next(iter(values))}"):
        type_(**values, **place)
