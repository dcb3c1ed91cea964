"""Requests that wait together are scored together, by one thread; the event loop neither tokenizes nor scores."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..engines.engine import Logits
from ..inference.classifier import SpamClassifier
from ..tokens.encoding import cut, encode, special_counts
from .metrics import Metrics

# Positions of padding that cost as much as a batch by itself, measured on a CPU with the quickstart's model and GPT-2
# small's shape. Without this bound, 32 messages took 1.5 times as long.
_MAX_PADDING = 32
_CHARACTERS = 4  # of a token, roughly: how much is taken at once need not be exact, as batches are counted in tokens
# Seconds for which is taken what waits, at least a batch. A small model needs hundreds of texts for its full speed: of
# the quickstart's, 64 at once reach two thirds of it, 256 nine tenths.
_TURN = 0.15
_MOST = 8  # batches that are taken at once


class Busy(Exception):
    """More texts wait than may, or the server is about to stop."""


@dataclass(frozen=True)
class Scored:
    """What the model makes of a request's texts.

    Attributes:
        logits: In float32. *Shape:* `[N, num_labels]`.
        lengths: How many tokens were read of each text.
        longer: How many texts were longer than the model reads, and cut.
    """

    logits: Logits
    lengths: list[int]
    longer: int


@dataclass(eq=False)  # two requests may be alike
class _Job:
    texts: Sequence[str]
    answer: "asyncio.Future[Scored]"
    taken: int = 0  # texts
    parts: list[Scored] = field(default_factory=list)
    arrived: float = field(default_factory=time.monotonic)


class _Piece(NamedTuple):
    """Texts of a request that are scored at once, all of them or some."""

    job: _Job
    start: int
    end: int


class Scorer:
    """A queue of requests, and the thread that scores them.

    The thread takes what waits, in the order of arrival, up to about as many tokens as one of the classifier's batches
    holds, or as it can score in a moment. While it scores, others gather. What is left of a request with more waits
    behind them, so that a large one holds up nobody for long.

    Args:
        classifier: The model.
        max_queue: How many texts may wait.
        max_latency: How many seconds the first of them waits for company.
        metrics: What is counted.
    """

    def __init__(self, classifier: SpamClassifier, max_queue: int, max_latency: float, metrics: Metrics) -> None:
        self._classifier = classifier
        self._max_queue = max_queue
        self._max_latency = max_latency
        self._metrics = metrics
        self._budget = (
            _CHARACTERS * classifier.token_budget * classifier.engine.lanes
        )  # characters of a batch for each core
        self._most = self._budget  # of what is taken at once
        self._max_length = classifier.max_length
        self._max_padding = _MAX_PADDING if classifier.engine.on_cpu else None
        _, self._after = special_counts(classifier.encoder)
        self._jobs: deque[_Job] = deque()
        self._waiting = 0  # texts
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="scoring", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Refuse new requests, answer those that wait, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @property
    def is_running(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive() and not self._closed

    async def score(self, texts: Sequence[str]) -> Scored:
        """Return what the model makes of texts.

        Raises:
            Busy: If too many wait.
            UserError: If the model's weights are damaged.
        """
        job = _Job(texts, asyncio.get_running_loop().create_future())
        with self._changed:
            if self._closed or self._waiting + len(texts) > self._max_queue:
                raise Busy(f"expected at most {self._max_queue:,} waiting texts, found {self._waiting:,} already")
            self._jobs.append(job)
            self._waiting += len(texts)
            self._changed.notify()
        return await job.answer

    def _run(self) -> None:
        while pieces := self._take():
            failure: Exception | None = None
            try:
                self._score(pieces)
            except Exception as error:
                with self._changed:
                    for job in (piece.job for piece in pieces if piece.end < len(piece.job.texts)):
                        self._jobs.remove(job)
                        self._waiting -= len(job.texts) - job.taken
                done, failure = [piece.job for piece in pieces], error
            else:
                done = [piece.job for piece in pieces if piece.end == len(piece.job.texts)]
            if done:
                done[0].answer.get_loop().call_soon_threadsafe(_answer, done, failure)

    def _take(self) -> list[_Piece]:
        """Return what is scored next; nothing when there will be no more."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            if self._jobs and self._max_latency:
                self._wait_for_company(self._jobs[0].arrived + self._max_latency)
            pieces: list[_Piece] = []
            size = 0  # characters
            while self._jobs:
                job = self._jobs[0]
                end = job.taken
                while end < len(job.texts) and (not size or size + len(job.texts[end]) <= self._most):
                    size += max(1, len(job.texts[end]))
                    end += 1
                if end == job.taken:
                    break
                pieces.append(_Piece(self._jobs.popleft(), job.taken, end))
                self._waiting -= end - job.taken
                job.taken = end
                if end < len(job.texts):
                    self._jobs.append(job)
                    break
        return pieces

    def _wait_for_company(self, until: float) -> None:
        """Wait until then, or until there is enough for a batch."""
        while not self._closed and sum(len(text) for job in self._jobs for text in job.texts) < self._budget:
            if not self._changed.wait(max(0.0, until - time.monotonic())):
                return

    def _score(self, pieces: Sequence[_Piece]) -> None:
        began = time.perf_counter()
        texts = [text for job, start, end in pieces for text in job.texts[start:end]]
        ids = encode(self._classifier.encoder, texts, self._max_length)
        longer = [len(row) > self._max_length for row in ids]
        rows = [cut(row, self._max_length, self._after) for row in ids]
        logits = self._classifier.score_ids(rows, self._max_padding)
        speed = sum(map(len, texts)) / (time.perf_counter() - began)
        self._most = int(min(max(self._budget, _TURN * speed), _MOST * self._budget))
        self._metrics.scored(len(texts), sum(longer))
        at = 0
        for job, start, end in pieces:
            upto = at + end - start
            job.parts.append(Scored(logits[at:upto], [len(row) for row in rows[at:upto]], sum(longer[at:upto])))
            at = upto


def _answer(jobs: Sequence[_Job], failure: Exception | None) -> None:
    """Hand the results over, in the event loop."""
    for job in jobs:
        if job.answer.done():  # its client's request was cancelled
            continue
        if failure is not None:
            job.answer.set_exception(failure)
        else:
            job.answer.set_result(_join(job.parts))


def _join(parts: Sequence[Scored]) -> Scored:
    if len(parts) == 1:
        return parts[0]
    lengths = [length for part in parts for length in part.lengths]
    return Scored(np.concatenate([part.logits for part in parts]), lengths, sum(part.longer for part in parts))
