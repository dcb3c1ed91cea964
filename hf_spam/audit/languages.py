"""Which languages the texts are in, by py3langid: offline, and the same on every run."""

from collections import Counter
from collections.abc import Sequence

from .findings import Finding, one_by_one

UNKNOWN = "unknown"
_CONFIDENCE = 0.8  # below it, short texts are mostly taken for another language
_RARE = 0.05  # of the texts whose language is known
_MOST_CHARACTERS = 1000


def detect_languages(texts: Sequence[str]) -> list[str] | None:
    """Return the ISO 639 code of each text's language, or `UNKNOWN`; `None` if py3langid is not installed."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        return None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found = (identifier.classify(text[:_MOST_CHARACTERS]) for text in texts)
    return [code if confidence >= _CONFIDENCE else UNKNOWN for code, confidence in found]


def find_rare_languages(languages: Sequence[str]) -> Finding:
    """Return the rows in languages that few texts are in."""
    known = Counter(code for code in languages if code != UNKNOWN)
    rare = {code for code, number in known.items() if number < _RARE * known.total()}
    rows = {row: code for row, code in enumerate(languages, start=1) if code in rare}
    return one_by_one(
        "rare languages", rows, "Check that they belong here: a model learns little of a language from a few texts."
    )
