"""The attack keeps its bounds, finds what it can find, and is the same every time.

pytest tests/robustness/test_attack.py
"""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hf_spam.robustness.attack import attack


def distance(one: str, other: str) -> int:
    """How many characters are replaced, inserted or deleted."""
    row = list(range(len(other) + 1))
    for number, character in enumerate(one, 1):
        before, row[0] = row[0], number
        for place, letter in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (character != letter))
    return row[-1]


def words_of_spam(texts: list[str]) -> list[float]:
    """A filter that counts words."""
    return [sum(text.count(word) for word in ("free", "prize", "call")) - 0.5 for text in texts]


def test_it_breaks_the_words_that_count() -> None:
    text = "Hello there, this is your free prize, so please call us at once"
    [found] = attack(words_of_spam, [text])
    assert found.score < 0
    assert 3 <= found.edits <= 6
    assert distance(text, found.text) <= found.edits
    assert [word for word in text.split() if word not in found.text.split()] == ["free", "prize,", "call"]
    assert attack(words_of_spam, ["no words", text])[1] == found  # whatever else is attacked


@given(st.lists(st.text(max_size=60), max_size=4), st.integers(1, 60), st.floats(0, 0.5))
def test_bounds_hold(texts: list[str], queries: int, share: float) -> None:
    asked: Counter[str] = Counter()

    def score(some: list[str]) -> list[float]:
        asked["all"] += len(some)
        return [sum(map(ord, text)) + 1.0 for text in some]

    found = attack(score, texts, share, queries)
    assert asked["all"] == sum(each.queries for each in found) <= queries * len(texts)
    for text, each in zip(texts, found, strict=True):
        assert distance(text, each.text) <= each.edits <= share * len(text)
        assert score([each.text]) == [each.score]
        assert each.score <= score([text])[0]
