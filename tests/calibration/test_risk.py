"""The promise: exact bounds, the published counts, and a simulation in which it is kept.

pytest tests/calibration
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom, binomtest, norm

from hf_spam.calibration.risk import Promise, choose_threshold, one_of_each, upper_bound


@pytest.mark.parametrize(("budget", "needed"), [(0.005, 598), (0.001, 2_995), (0.01, 299), (0.05, 59)])
def test_how_many_it_takes(budget: float, needed: int) -> None:
    """One message fewer, and the bound without an error is above the budget."""
    promise = Promise(budget)
    assert promise.needed() == needed
    assert upper_bound(0, needed) <= budget < upper_bound(0, needed - 1)
    assert promise.allowed(needed) == 0
    assert promise.allowed(needed - 1) == -1


def test_published_bounds() -> None:
    assert upper_bound(0, 75) == pytest.approx(0.039, abs=5e-4)
    assert upper_bound(0, 480) == pytest.approx(0.0062, abs=5e-5)
    one_sided = binomtest(7, 900).proportion_ci(0.90, method="exact").high  # two-sided 90 % is one-sided 95 %
    assert upper_bound(7, 900) == pytest.approx(one_sided)


@given(st.integers(1, 20_000), st.floats(1e-4, 0.5), st.floats(0.5, 0.999))
def test_the_largest_that_is_allowed(number: int, budget: float, confidence: float) -> None:
    """It keeps both bounds, unless it is 0, which only keeps the first; one more breaks one of them."""
    allowed = Promise(budget, confidence).allowed(number)
    if allowed < 0:
        assert upper_bound(0, number, confidence) > budget - 1e-9
        return

    def kept(stopped: int, tolerance: float) -> tuple[bool, bool]:
        more = betabinom.sf(int(budget * number + 1e-9), number, stopped + 1, number - stopped)
        rest = 1 - confidence + tolerance
        return bool(binom.cdf(stopped, number, budget) <= rest), bool(more <= rest)

    assert all(kept(allowed, 1e-9)) or (allowed == 0 and kept(0, 1e-9)[0])
    assert allowed + 1 >= budget * number or not all(kept(allowed + 1, -1e-9))


def test_the_next_ones() -> None:
    """Scores of no matter which distribution: of as many new ones, more than the budget is stopped seldom enough."""
    random, broken = np.random.default_rng(9), 0
    for _ in range(600):
        chosen, new = random.standard_cauchy(size=(2, 2200))
        broken += bool((new >= choose_threshold(chosen, Promise(0.005))).mean() > 0.005)
    assert 0.01 < broken / 600 < 0.05


def test_the_promise_is_kept() -> None:
    """Scores whose true rates are known: of 2,000 thresholds at most a twentieth, and not far fewer, are too low."""
    random = np.random.default_rng(5)
    chosen = [choose_threshold(random.normal(size=1500), Promise(0.01)) for _ in range(2000)]
    broken = np.mean([norm.sf(threshold) > 0.01 for threshold in chosen])
    assert 0.001 < broken < 0.05


@given(st.lists(st.floats(-50, 50), min_size=60, max_size=300))
def test_what_the_threshold_stops(scores: list[float]) -> None:
    promise = Promise(0.05)
    threshold = choose_threshold(scores, promise)
    assert threshold is not None
    stopped = sum(score >= threshold for score in scores)
    assert stopped <= promise.allowed(len(scores))
    lower = max((score for score in scores if score < threshold), default=None)
    assert lower is None or sum(score >= lower for score in scores) > promise.allowed(len(scores))


def test_too_few() -> None:
    assert choose_threshold([1.0] * 597, Promise(0.005)) is None
    assert choose_threshold([], Promise()) is None


def test_one_of_each() -> None:
    assert one_of_each([1.0, 5.0, 2.0, -3.0], [7, 7, 3, 3]).tolist() == [2.0, 5.0]
