"""Batches of similar length: every text once, none above the budget, none needlessly small.

pytest tests/tokens/test_batching.py
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_spam.tokens.batching import token_batches


@pytest.mark.parametrize(
    ("lengths", "budget", "max_texts", "batches"),
    [
        ([5, 5, 5, 5], 10, None, [[0, 1], [2, 3]]),  # exactly full
        ([5, 5, 5, 5], 9, None, [[0], [1], [2], [3]]),
        ([1, 7, 2, 3], 9, None, [[1], [3, 2, 0]]),
        ([20, 1], 10, None, [[0], [1]]),  # longer than the budget: by itself
        ([0, 0, 0], 2, None, [[0, 1], [2]]),  # an empty text takes a position
        ([1] * 5, 100, 2, [[0, 1], [2, 3], [4]]),
        ([], 10, None, []),
    ],
)
def test_batches(lengths: list[int], budget: int, max_texts: int | None, batches: list[list[int]]) -> None:
    assert list(token_batches(lengths, budget, max_texts)) == batches


@given(lengths=st.lists(st.integers(0, 30)), budget=st.integers(1, 90), max_texts=st.none() | st.integers(1, 5))
def test_any_lengths(lengths: list[int], budget: int, max_texts: int | None) -> None:
    batches = list(token_batches(lengths, budget, max_texts))
    order = [text for batch in batches for text in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[text] for text in order] == sorted(lengths, reverse=True)
    for number, batch in enumerate(batches):
        width = max(1, lengths[batch[0]])
        assert len(batch) == 1 or width * len(batch) <= budget
        assert len(batch) <= (max_texts or len(batch))
        if number + 1 < len(batches):  # the next text would not have fitted
            assert width * (len(batch) + 1) > budget or len(batch) == max_texts


def test_padding_is_bounded() -> None:
    """Beyond it, a batch ends; the longest text comes first."""
    lengths = [100, 10, 90, 12, 11]
    assert list(token_batches(lengths, 1000)) == [[0, 2, 3, 4, 1]]
    assert list(token_batches(lengths, 1000, max_padding=10)) == [[0, 2], [3, 4, 1]]
    assert list(token_batches(lengths, 1000, max_padding=0)) == [[0], [2], [3], [4], [1]]
