"""Near duplicates: the join finds exactly the pairs that a comparison of all pairs finds.

pytest tests/data/test_near_duplicates.py
"""

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_spam.data import near_duplicates
from hf_spam.data.near_duplicates import near_groups, normalise
from hf_spam.data.sources import read_file


def trigrams(text: str) -> set[str]:
    text = normalise(text)
    return {text[start : start + 3] for start in range(max(1, len(text) - 2))}


def compare_all(texts: list[str], similarity: float) -> list[int]:
    """The groups by definition."""
    of = list(range(len(texts)))
    for first, second in combinations(range(len(texts)), 2):
        one, other = trigrams(texts[first]), trigrams(texts[second])
        same = normalise(texts[first]) == normalise(texts[second])
        if same or 2 * len(one & other) >= similarity * (len(one) + len(other)) - 1e-9:
            of = [of[first] if group == of[second] else group for group in of]
    number: dict[int, int] = {}
    return [number.setdefault(group, len(number)) for group in of]


# Few letters and words, so that many texts are nearly the same.
WORDS = st.lists(st.sampled_from(["win", "Win!", "a", "prize", "prizes", "call", "08712", "now", "é", ""]), max_size=6)
TEXTS = st.lists(WORDS.map(" ".join) | st.text("abAB1 .", max_size=8) | st.text(max_size=4), max_size=14)


@given(TEXTS, st.sampled_from([0.5, 0.75, 0.8, 1.0]), st.sampled_from([1, 20, 2**21]))
def test_groups_are_those_of_all_pairs(texts: list[str], similarity: float, block: int) -> None:
    """For any similarity, and however many pairs are in memory at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_BLOCK", block)
        assert near_groups(texts, similarity) == compare_all(texts, similarity)


def test_what_is_nearly_the_same() -> None:
    groups = near_groups(
        [
            "You have won 100 pounds! Call 08712 300 220 now",
            "See you at home",
            "you have WON 900 pounds; call 08799 111 222 now.",
            "You have won 100 pounds! Ring 08712 300 220 now",
            "See you at the office",
            ":-)",
            ":-(",
        ]
    )
    assert groups == [0, 1, 0, 0, 2, 3, 4]


def test_a_very_long_text_is_compared_by_its_beginning() -> None:
    words = " ".join(f"word{number:x}" for number in range(4000))
    assert near_groups([words, f"{words} end", words[::-1]]) == [0, 0, 1]


@pytest.mark.slow
def test_the_collection(collection: Path) -> None:
    """The figures that hf_spam/README.md reports."""
    frame = read_file(collection)
    for similarity, groups, spam, largest in [(0.8, 4890, 444, 31), (0.75, 4852, 424, 40)]:
        found = near_groups(frame["Text"].tolist(), similarity)
        assert len(set(found)) == groups
        assert len({group for group, label in zip(found, frame["Label"], strict=True) if label == "spam"}) == spam
        assert max(Counter(found).values()) == largest
