"""What is wrong with single texts: hardly any content, characters that nobody typed, a wrong encoding."""

import re
from collections.abc import Callable, Sequence

from ..errors import escaped
from .findings import Finding, one_by_one

# C0 but for tab and line ends, invisible spaces, and the marks that change the direction of what follows. The joiners
# U+200C and U+200D, which Persian and emoji need, are not among them.
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\xad\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]")
# U+FFFD stands for bytes that could not be decoded; in Windows-1252 0x80 to 0x9f are quotes, dashes and the euro.
_UNDECODED = re.compile("[\ufffd\x80-\x9f]")


def find_text_faults(texts: Sequence[str], is_mojibake: Callable[[str], bool] | None) -> list[Finding]:
    """Return what is wrong with single texts.

    Args:
        texts: The texts.
        is_mojibake: Tells whether a text was decoded as something else than it is, if that can be told.
    """
    blank, hidden, undecoded = {}, {}, {}
    for row, text in enumerate(texts, start=1):
        if not any(map(str.isalnum, text)):
            blank[row] = "no letter or digit"
        if found := _HIDDEN.search(text):
            hidden[row] = escaped(found)
        if found := _UNDECODED.search(text):
            undecoded[row] = escaped(found)
        elif is_mojibake is not None and is_mojibake(text):
            undecoded[row] = "mojibake"
    return [
        one_by_one("almost empty", blank, "Remove them, unless such messages are meant."),
        one_by_one("control characters", hidden, "Remove the characters: a tokenizer makes tokens of them."),
        one_by_one(
            "damaged encoding",
            undecoded,
            "Save the texts again in UTF-8 from where they came; ftfy.fix_text repairs most of what is left.",
        ),
    ]


def mojibake_detector() -> Callable[[str], bool] | None:
    """Return ftfy's heuristic, or `None` if it is not installed."""
    try:
        from ftfy.badness import is_bad
    except ImportError:
        return None
    detector: Callable[[str], bool] = is_bad
    return detector
