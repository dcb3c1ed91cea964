"""A sender who can ask the filter: change a tenth of the characters where it hurts the score most.

Words are ordered by what the score loses without them. Then one edit after the other is tried on the most important
words first, and the best of a word is kept if it lowers the score. What is found is a bound from below: a sender with
more patience finds more.
"""

import random
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from ..tokens.look_alikes import LOOK_ALIKES
from .disguises import LEET, ZERO_WIDTH
from .perturbations import choose, generator, typos

SHARE = 0.1  # of the characters that may change
QUERIES = 200  # texts that the filter scores for a message, at most

Search = Generator[list[str], list[float], "Attacked"]


@dataclass(frozen=True)
class Attacked:
    """What an attack made of a message.

    Attributes:
        text: The text with the lowest score that was found.
        score: Its score.
        edits: The characters that were replaced, inserted or deleted, at most.
        queries: How many texts were scored.
    """

    text: str
    score: float
    edits: int
    queries: int


def attack(
    score: Callable[[list[str]], list[float]],
    texts: Sequence[str],
    share: float = SHARE,
    queries: int = QUERIES,
    seed: int = 0,
) -> list[Attacked]:
    """Lower the score of each text below 0, or as far as the bounds allow.

    Args:
        score: Returns the scores of texts. It gets those of all messages at once, so that it can work in batches.
        texts: The messages.
        share: How many of a message's characters may change.
        queries: How many texts may be scored for a message.
        seed: For other random draws.
    """
    searches = [_search(text, int(share * len(text)), queries, generator("attack", text, seed)) for text in texts]
    asked = {number: next(search) for number, search in enumerate(searches)}
    found: dict[int, Attacked] = {}
    while asked:
        scores = iter(score([text for batch in asked.values() for text in batch]))
        upcoming = {}
        for number, batch in asked.items():
            try:
                upcoming[number] = searches[number].send([next(scores) for _ in batch])
            except StopIteration as end:
                found[number] = end.value
        asked = upcoming
    return [found[number] for number in range(len(texts))]


def _search(text: str, budget: int, queries: int, draw: random.Random) -> Search:
    """Yield texts to be scored, and take their scores, until the score of one is below 0."""
    [lowest] = yield [text]
    used, edits = 1, 0
    parts = re.split(r"(\s+)", text)  # words at even places, what is between them at odd ones
    places = [place for place in range(0, len(parts), 2) if parts[place]][: queries // 2]
    if lowest < 0 or budget < 1 or not places:
        return Attacked(text, lowest, edits, used)
    without = yield [_join(parts, place, "") for place in places]
    used += len(places)
    order = [place for _, place in sorted(zip(without, places, strict=True))]
    improved = True
    while improved and lowest >= 0:
        improved = False
        for place in order:
            tried = [edit for edit in _edits(parts[place], draw) if edit[1] <= budget - edits][: queries - used]
            if not tried:
                continue
            scores = yield [_join(parts, place, word) for word, _ in tried]
            used += len(tried)
            best, (word, cost) = min(zip(scores, tried, strict=True))
            if best < lowest:
                parts[place], lowest, edits, improved = word, best, edits + cost, True
            if lowest < 0:
                break
    return Attacked("".join(parts), lowest, edits, used)


def _join(parts: list[str], place: int, word: str) -> str:
    return "".join([*parts[:place], word, *parts[place + 1 :]])


def _edits(word: str, draw: random.Random) -> list[tuple[str, int]]:
    """Return a few edits of a word, each with its cost in characters."""
    place = int(draw.random() * len(word))
    before, letter, after = word[:place], word[place], word[place + 1 :]
    cyrillic, latin = LOOK_ALIKES.get(letter, ("", ""))
    options = [cyrillic, latin, LEET.get(letter.lower(), ""), letter.swapcase() if letter.isalpha() else ""]
    found = [(before + choose(others, draw) + after, 1) for others in options if others]
    if len(word) > 1:
        inside = 1 + int(draw.random() * (len(word) - 1))
        found += [(word[:inside] + between + word[inside:], 1) for between in (" ", choose(ZERO_WIDTH, draw))]
        swapped, *others = typos(word, place)
        found += [(swapped, 2), *((other, 1) for other in others)]
    return [(other, cost) for other, cost in found if other != word]
