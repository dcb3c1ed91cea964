"""Two sides compared place by place: what differs, by how much, where first.   pytest tests/equivalence/test_comparison.py"""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_spam.equivalence.comparison import Comparison, compare, compare_records, format_table, to_json
from hf_spam.equivalence.records import Record, Step, digest, gradient_norm
from hf_spam.evaluation.history import History

finite = st.floats(-1e6, 1e6)


@given(values=st.lists(finite, min_size=1, max_size=20), changed=st.integers(0, 19), by=st.floats(0.1, 10))
def test_the_first_place_beyond_the_tolerance(values: list[float], changed: int, by: float) -> None:
    expected = {f"step {number}": value for number, value in enumerate(values)}
    same = compare(4, "loss", expected, dict(expected))
    assert (same.passed, same.difference, same.where, same.values) == (True, 0.0, None, len(values))
    place = f"step {changed % len(values)}"
    found = expected | {place: expected[place] + by}
    bent = compare(4, "loss", expected, found, tolerance=by / 2)
    assert (bent.level, bent.what, bent.tolerance) == (4, "loss", by / 2)
    assert (bent.passed, bent.where) == (False, place)
    assert bent.difference == pytest.approx(by)
    assert compare(4, "loss", expected, found, tolerance=by * 2).passed


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        (1.0, 1.0 + 2**-52, 2**-52),
        (math.nan, math.nan, 0.0),
        (math.nan, 1.0, math.inf),
        (math.inf, math.inf, 0.0),
        (math.inf, 1.0, math.inf),
        (math.inf, -math.inf, math.inf),
        (torch.zeros(1), 0.0, math.inf),
        ("ham", "ham", 0.0),
        ("ham", "spam", math.inf),
        ("1.0", 1.0, math.inf),
        (torch.zeros(3), torch.tensor([0.0, 0.5, -0.25]), 0.5),
        (torch.zeros(3), torch.zeros(1, 3), math.inf),
        (torch.zeros(3), torch.tensor([0.0, math.nan, 0.0]), math.inf),
        (torch.tensor([1, 2]), torch.tensor([1, 5]), 3.0),
        (torch.ones(1), torch.ones(1) + 2**-23, 2**-23),
    ],
)
def test_differences(one: object, other: object, difference: float) -> None:
    comparison = compare(1, "values", {"here": one}, {"here": other})  # type: ignore[dict-item]
    assert comparison.difference == difference
    assert comparison.passed is (difference == 0)


def test_a_place_that_one_side_lacks() -> None:
    """More steps, or fewer, are another training; nothing at all proves nothing."""
    assert compare(4, "loss", {"step 0": 1.0, "step 1": 2.0}, {"step 0": 1.0}, tolerance=9).where == "step 1"
    assert compare(4, "loss", {"step 0": 1.0}, {"step 0": 1.0, "step 1": 2.0}, tolerance=9).where == "step 1"
    assert not compare(4, "loss", {}, {}).passed


def record(loss: float = 0.5, labels: str = "b", weight: float = 1.0, accuracy: float = 0.75) -> Record:
    steps = [Step("a", "b", 1.0, 2.0, 1e-3), Step("a", labels, loss, 2.0, 1e-3)]
    history = History([1], [0.9], [0.8], [0.5], [math.nan], 16)
    return Record(steps, history, {"test": accuracy}, {"final_norm.scale": torch.full((4,), weight)})


def test_records_by_quantity() -> None:
    tolerances = {"labels of each batch": 0.0, "loss of each step": 0.0, "interim estimates": 0.0}
    tolerances |= {"accuracy of each split": 0.5, "final parameters": 1e-3}
    bent = record(loss=0.25, labels="c", weight=1.5, accuracy=0.5)
    comparisons = compare_records(4, {"all": (record(), record()), "last": (record(), bent)}, tolerances, "x: ")
    assert [(one.what, one.where, one.difference, one.values) for one in comparisons] == [
        ("x: labels of each batch", "last, step 1", math.inf, 4),
        ("x: loss of each step", "last, step 1", 0.25, 4),
        ("x: interim estimates", None, 0.0, 12),
        ("x: accuracy of each split", None, 0.25, 2),
        ("x: final parameters", "last, final_norm.scale", 0.5, 8),
    ]
    assert [(one.level, one.tolerance) for one in comparisons] == [(4, limit) for limit in tolerances.values()]


def test_the_table_and_the_json() -> None:
    comparisons = [
        Comparison(1, "rows", 1494, 0.0, 0.0, None),
        Comparison(4, "loss of each step", 650, 3e-6, 1e-5, None),
        Comparison(4, "labels", 650, math.inf, 0.0, "step 17"),
        Comparison(4, "estimates", 0, 0.0, 0.0, None),
    ]
    assert format_table(comparisons, {1: "1 rows", 4: "4 training"}).splitlines() == [
        "level       compared           values  largest difference  tolerance",
        "1 rows      rows                1,494                   0   last bit  passed",
        "4 training  loss of each step     650               3e-06      1e-05  passed",
        "            labels                650                 inf   last bit  FAILED, first at step 17",
        "            estimates               0                   0   last bit  FAILED, first at nothing to compare",
    ]
    machine = json.loads(json.dumps(to_json(comparisons), allow_nan=False))
    assert [one["passed"] for one in machine] == [True, True, False, False]
    assert (machine[1]["difference"], machine[2]["difference"], machine[2]["where"]) == (3e-6, None, "step 17")


def test_digests() -> None:
    """Equal for equal ids alone: not for another value, shape or order."""
    ids = torch.arange(6).view(2, 3)
    assert digest(ids) == digest(ids.T.contiguous().T) == digest(ids.clone())
    others = [ids + 1, ids.view(3, 2), ids.flip(0), ids.int()]
    assert len({digest(ids), *map(digest, others)}) == 5


def test_gradient_norm() -> None:
    one, other, frozen = torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True), torch.zeros(3)
    one.grad, other.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    assert gradient_norm([one, other, frozen]) == 5.0
