"""The confidence intervals: published ones, and the metrics' own.   pytest tests/evaluation/test_intervals.py"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_spam.evaluation.intervals import intervals, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [(0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605))],
)
def test_wilson(successes: int, trials: int, expected: tuple[float, float]) -> None:
    """The last two rows: R. G. Newcombe 1998, table I, method 3."""
    assert wilson(successes, trials) == pytest.approx(expected, abs=2e-4)


def test_of_nothing_there_is_no_interval() -> None:
    assert wilson(0, 0) is None
    assert intervals([[5, 0], [0, 0]])["recall"] is None
    assert intervals([[5, 0], [0, 0]])["f1"] is None
    assert set(intervals([[1, 0, 0], [0, 1, 0], [0, 0, 1]])) == {"accuracy"}


@given(st.lists(st.integers(0, 500), min_size=4, max_size=4))
def test_intervals_hold_their_figures(counts: list[int]) -> None:
    right, alarms, misses, hits = counts
    found = intervals([[right, alarms], [misses, hits]])
    shares = {
        "accuracy": (right + hits, sum(counts)),
        "precision": (hits, hits + alarms),
        "recall": (hits, hits + misses),
        "f1": (2 * hits, 2 * hits + alarms + misses),
    }
    for name, (part, whole) in shares.items():
        interval = found[name]
        assert (interval is None) == (whole == 0)
        if interval is not None:
            assert -1e-9 <= interval[0] <= part / whole + 1e-9
            assert part / whole - 1e-9 <= interval[1] <= 1 + 1e-9


def test_each_metric_has_its_own() -> None:
    """Of 150 texts 95 are ham, 5 of which are called spam, and 55 spam, 10 of which are missed."""
    low, high = wilson(45, 60) or (0, 0)
    assert intervals([[90, 5], [10, 45]]) == {
        "accuracy": wilson(135, 150),
        "precision": wilson(45, 50),
        "recall": wilson(45, 55),
        "f1": (2 * low / (1 + low), 2 * high / (1 + high)),
    }
    assert intervals([[3, 1, 0], [0, 2, 1], [0, 0, 4]])["accuracy"] == wilson(9, 11)
