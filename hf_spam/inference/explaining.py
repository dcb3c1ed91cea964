"""Which words of a text make its label: exact occlusion, the text scored again without each word.

The weight of a word is how much the log-odds of the label fall when it is left out. It is no share of the score: words
may replace each other, so that the weights of all need not sum to the score.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.labels import MULTI, REGRESSION, Task
from ..engines.engine import Logits
from ..errors import UserError, one_line
from .classifier import SpamClassifier

MOST_WORDS = 1000
_WORD = re.compile(r"\S+")
_MARKED = 3  # words, the most important


@dataclass(frozen=True)
class Weight:
    """A word and what it does.

    Attributes:
        word: As it stands in the text.
        start: Its first character.
        end: The one after its last.
        weight: How much the log-odds of the label (of a regression the number) fall without it.
    """

    word: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Explanation:
    """What the words of a text do.

    Attributes:
        label: The label that the weights are about; of a regression the number's name.
        log_odds: Of the label with all words; of a regression the number.
        weights: A weight for each word, in the order of the text.
        rest: What the weights lack to the log-odds, where they are complete: those of a text of no words. `None` of
            occlusion.
    """

    label: str
    log_odds: float
    weights: Sequence[Weight]
    rest: float | None = None


def explain(classifier: SpamClassifier, text: str, task: Task) -> Explanation:
    """Return what each word of a text does to a label: the positive one of two, else the likeliest.

    Args:
        classifier: Any model that classifies.
        text: A text.
        task: Its labels.

    Raises:
        UserError: If the text has too many words.
    """
    words = find_words(text)
    return weigh(words, classifier.raw_logits([text, *leave_out(text, words)]), task)


def leave_out(text: str, words: Sequence[re.Match[str]]) -> list[str]:
    """Return the text without each of its words, in their order."""
    return [text[: word.start()] + text[word.end() :].lstrip() for word in words]


def weigh(words: Sequence[re.Match[str]], logits: Logits, task: Task) -> Explanation:
    """Return what each word does, from what the model makes of the text and of the text without each.

    Args:
        words: The words.
        logits: Of the text, then of those that `leave_out` returns. *Shape:* `[1 + len(words), num_labels]`.
        task: The labels.
    """
    id_ = task.positive_id if task.is_binary else int(logits[0].argmax())
    odds = log_odds(logits, id_, task)
    weights = [
        Weight(word[0], word.start(), word.end(), float(odds[0] - one))
        for word, one in zip(words, odds[1:], strict=True)
    ]
    return Explanation(task.names[id_], float(odds[0]), weights)


def find_words(text: str) -> list[re.Match[str]]:
    """Return the words of a text: what stands between spaces.

    Raises:
        UserError: If there are too many.
    """
    words = list(_WORD.finditer(text))
    if len(words) > MOST_WORDS:
        raise UserError(f"--explain: expected a text of at most {MOST_WORDS:,} words, found {len(words):,}. Cut it.")
    return words


def log_odds(logits: Logits, id_: int, task: Task) -> NDArray[np.float64]:
    """Return the log-odds of a label against all others; of a regression the number. *Shape:* `[N]`.

    Args:
        logits: *Shape:* `[N, num_labels]`.
        id_: The label.
        task: The labels.
    """
    exact = np.asarray(logits, np.float64)
    if task.problem_type in (MULTI, REGRESSION):  # each label is against its absence
        return exact[:, id_]
    rest = np.delete(exact, id_, axis=1)
    return exact[:, id_] - np.logaddexp.reduce(rest, axis=1)


def describe_weights(found: Explanation) -> str:
    """Return the words with their weights, a line each, and a mark at the most important ones."""
    ranked = sorted(found.weights, key=lambda one: -abs(one.weight))[:_MARKED]
    rest = "" if found.rest is None else f", {found.rest:+.3f} of them without words"
    lines = [one_line(f"{found.label}: log-odds {found.log_odds:+.3f}{rest}")]
    for one in found.weights:
        mark = "*" if any(one is each for each in ranked) else " "
        lines.append(f"{mark} {one.weight:+8.3f}  {one_line(one.word)}")
    return "\n".join(lines)
