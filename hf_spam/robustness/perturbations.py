"""Named changes of a message that a reader hardly minds: how senders get past filters.

Each is a function of a text and a generator of random numbers. The same ones are made of ham, because a filter that
blocks whatever looks odd has only moved its mistakes.
"""

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from ..tokens.look_alikes import LOOK_ALIKES
from .disguises import LEET, MARKS, SYNONYMS, ZERO_WIDTH

Perturbation = Callable[[str, random.Random], str]
T = TypeVar("T")

_SHARE = 0.5  # of the letters or words that could be changed
_WORD = re.compile(r"[^\W\d_]+")


def perturb(name: str, text: str, seed: int = 0) -> str:
    """Return a text after one of the `PERTURBATIONS`: the same on every machine, whatever was perturbed before.

    Args:
        name: Which.
        text: The text.
        seed: For other random draws.
    """
    return PERTURBATIONS[name](text, generator(name, text, seed))


def generator(*key: object) -> random.Random:
    """Return a generator of random numbers that depends on nothing but what is given."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode("utf-8", "surrogatepass")).digest()
    return random.Random(int.from_bytes(digest, "big"))


def choose(options: Sequence[T], draw: random.Random) -> T:
    """Return one of the options. `Random.random` alone draws the same in every version of Python."""
    return options[int(draw.random() * len(options))]


def _space(text: str, draw: random.Random) -> str:
    return " ".join(text)


def _space_tightly(text: str, draw: random.Random) -> str:
    return " ".join("".join(text.split()))


def _space_words(text: str, draw: random.Random) -> str:
    def change(match: re.Match[str]) -> str:
        return " ".join(match[0]) if len(match[0]) > 2 and draw.random() < _SHARE else match[0]

    return _WORD.sub(change, text)


def _substitute(text: str, draw: random.Random, table: Mapping[str, str]) -> str:
    def change(character: str) -> str:
        options = table.get(character, "")
        return choose(options, draw) if options and draw.random() < _SHARE else character

    return "".join(map(change, text))


def _append(text: str, draw: random.Random, marks: str) -> str:
    """Put marks after letters that a letter follows; a mark at the end of a word would be no disguise."""
    pairs = zip(text, [*text[1:], " "], strict=False)
    return "".join(
        one + choose(marks, draw) if one.isalpha() and other.isalpha() and draw.random() < _SHARE else one
        for one, other in pairs
    )


def _widen(text: str, draw: random.Random) -> str:
    return "".join(chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else character for character in text)


def _mistype(text: str, draw: random.Random) -> str:
    def change(match: re.Match[str]) -> str:
        word = match[0]
        if len(word) < 4 or draw.random() >= _SHARE:
            return word
        place = 1 + int(draw.random() * (len(word) - 2))  # the first and the last letter stay
        return choose(typos(word, place), draw)

    return _WORD.sub(change, text)


def typos(word: str, place: int) -> list[str]:
    """Return a word with two letters swapped, a letter lost or a letter doubled at a place."""
    before, letter, after = word[:place], word[place], word[place + 1 :]
    return [before + after[:1] + letter + after[1:], before + after, before + letter * 2 + after]


def _alternate(text: str, draw: random.Random) -> str:
    return "".join(character.upper() if place % 2 else character.lower() for place, character in enumerate(text))


def _reword(text: str, draw: random.Random) -> str:
    def change(match: re.Match[str]) -> str:
        options = SYNONYMS.get(match[0].lower())
        if options is None:
            return match[0]
        other = choose(options, draw)
        return other.upper() if match[0].isupper() else other.capitalize() if match[0][0].isupper() else other

    return _WORD.sub(change, text)


_SUBSTITUTES = {letter: others for letter, (others, _) in LOOK_ALIKES.items()}
_LEET = {**LEET} | {letter.upper(): digits for letter, digits in LEET.items()}

PERTURBATIONS: Mapping[str, Perturbation] = {
    "spacing": _space,
    "tight_spacing": _space_tightly,
    "spaced_words": _space_words,
    "look_alikes": partial(_substitute, table=_SUBSTITUTES),
    "accents": partial(_append, marks=MARKS),
    "zero_width": partial(_append, marks=ZERO_WIDTH),
    "full_width": _widen,
    "leet": partial(_substitute, table=_LEET),
    "typos": _mistype,
    "lower_case": lambda text, draw: text.lower(),
    "upper_case": lambda text, draw: text.upper(),
    "mixed_case": _alternate,
    "synonyms": _reword,
}
