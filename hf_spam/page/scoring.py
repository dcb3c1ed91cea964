"""What the page says of texts, scored by the server's own scorer, which the API shares."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..checkpoint.operating_point import Decision
from ..data.labels import MULTI, REGRESSION, Task, task_of_config
from ..engines.engine import Logits
from ..errors import UserError
from ..inference.classifier import SpamClassifier
from ..inference.explaining import Explanation, find_words, leave_out, log_odds, weigh
from ..serving.scoring import Busy, Scorer
from ..serving.settings import Limits

MOST_EXPLAINED = 300  # words: each is a text to score
_PATIENCE = 60.0  # seconds
_PAUSE = 0.2


@dataclass(frozen=True)
class Verdict:
    """What the model says of a message.

    Attributes:
        scores: The labels with their scores, the highest first.
        decision: What becomes of it, by a calibrated model.
        cut: Whether it is longer than the model reads.
    """

    scores: list[tuple[str, float]]
    decision: Decision | None
    cut: bool


@dataclass(frozen=True)
class Reasons:
    """What the words of a message do.

    Attributes:
        explanation: A weight for each word.
        without_words: The log-odds of a text of no words.
        positive: What the words speak for.
    """

    explanation: Explanation
    without_words: float
    positive: str

    @property
    def total(self) -> float:
        """The sum of the weights."""
        return sum(one.weight for one in self.explanation.weights)

    @property
    def difference(self) -> float:
        """What all words together change. Of weights that are complete it is the sum."""
        return self.explanation.log_odds - self.without_words


class Messages:
    """Scores texts for the page.

    Args:
        classifier: The model.
        scorer: What the server scores with.
        limits: The server's limits.
    """

    def __init__(self, classifier: SpamClassifier, scorer: Scorer, limits: Limits) -> None:
        self.classifier = classifier
        self.point = classifier.operating_point
        self.task: Task = task_of_config(classifier.config, self.point.positive if self.point else None)
        self.limits = limits
        self._scorer = scorer

    async def score(self, texts: Sequence[str]) -> tuple[Logits, int]:
        """Return logits, and how many of the texts are longer than the model reads.

        While too much waits, it waits, too: those who ask the API go first.

        Returns:
            *Shape:* `[N, num_labels]`.

        Raises:
            UserError: If it would wait too long.
        """
        parts: list[Logits] = []
        longer = start = 0
        until = time.monotonic() + _PATIENCE
        while start < len(texts):
            piece = texts[start : start + self.limits.max_texts]
            try:
                found = await self._scorer.score(piece)
            except Busy as error:
                if time.monotonic() > until or not self._scorer.is_running:
                    raise UserError(f"{error}. Try again in a moment.") from None
                await asyncio.sleep(_PAUSE)
                continue
            parts.append(found.logits)
            longer += found.longer
            start += len(piece)
            until = time.monotonic() + _PATIENCE
        return np.concatenate(parts), longer

    def check(self, message: str) -> str:
        """Return a message.

        Raises:
            UserError: If it is empty or too long.
        """
        if not message.strip():
            raise UserError("expected a message, found none. Type or paste one.")
        if len(message) > self.limits.max_chars:
            raise UserError(
                f"expected a message of at most {self.limits.max_chars:,} characters, found {len(message):,}. Cut it."
            )
        return message

    async def judge(self, message: str) -> Verdict:
        """Return what the model says of a message."""
        logits, longer = await self.score([self.check(message)])
        row = self.classifier.to_scores(logits)[0].tolist()
        order = sorted(range(len(row)), key=lambda id_: -row[id_])
        decision = None if self.point is None else self.point.decide_all([row], self.task.names)[0]
        return Verdict([(self.task.names[id_], row[id_]) for id_ in order], decision, longer > 0)

    async def explain(self, message: str) -> Reasons:
        """Return what each of its words does: the message is scored again without it.

        Raises:
            UserError: If there are too many words, or the model returns numbers.
        """
        words = find_words(self.check(message)) if len(message.split(None, MOST_EXPLAINED)) <= MOST_EXPLAINED else []
        if not words:
            raise UserError(f"The words are weighed in messages of at most {MOST_EXPLAINED} words; this one has more.")
        logits, _ = await self.score([message, *leave_out(message, words), ""])
        found = weigh(words, logits[:-1], self.task)
        nothing = float(log_odds(logits[-1:], self.task.names.index(found.label), self.task)[0])
        return Reasons(found, nothing, found.label)

    @property
    def has_several(self) -> bool:
        """Whether a message may have several labels."""
        return self.task.problem_type == MULTI

    @property
    def is_number(self) -> bool:
        """Whether the model returns a number instead of a label."""
        return self.task.problem_type == REGRESSION
