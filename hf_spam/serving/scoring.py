"""Requests that wait together are scored together, by one thread; the event loop neither tokenizes nor scores."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ..inference.classifier import SpamClassifier
from ..tokens.encoding import cut, encode, special_counts
from .metrics import Metrics

# Positions of padding that cost as much as a batch by itself, measured on a CPU with the quickstart's model and GPT-2
# small's shape. Without this bound, 32 messages took 1.5 times as long.
_MAX_PADDING = 32
_CHARACTERS = 4  # of a token, roughly: how much is taken at once need not be exact, as batches are counted in tokens


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

    logits: Tensor
    lengths: list[int]
    longer: int


@dataclass
class _Job:
    texts: Sequence[str]
    answer: "asyncio.Future[Scored]"
    size: int = field(init=False)
    arrived: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.size = sum(map(len, self.texts))


class Scorer:
    """A queue of requests, and the thread that scores them.

    The thread takes what waits, in the order of arrival, up to about as many tokens as one of the classifier's batches
    holds. A request with more is taken alone. While it scores, others gather.

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
        self._budget = _CHARACTERS * classifier.token_budget
        self._max_length = classifier.max_length
        self._max_padding = _MAX_PADDING if classifier.model.device.type == "cpu" else None
        _, self._after = special_counts(classifier.tokenizer)
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
        while jobs := self._take():
            try:
                results: list[Scored] | Exception = self._score(jobs)
            except Exception as error:
                results = error
            loop = jobs[0].answer.get_loop()
            loop.call_soon_threadsafe(_answer, jobs, results)

    def _take(self) -> list[_Job]:
        """Return the requests that are scored next; none when there will be no more."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            if self._jobs and self._max_latency:
                until = self._jobs[0].arrived + self._max_latency
                while not self._closed and sum(job.size for job in self._jobs) < self._budget:
                    if not self._changed.wait(until - time.monotonic()) or time.monotonic() >= until:
                        break
            taken: list[_Job] = []
            size = 0
            while self._jobs and (not taken or size + self._jobs[0].size <= self._budget):
                taken.append(self._jobs.popleft())
                size += taken[-1].size
            self._waiting -= sum(len(job.texts) for job in taken)
        return taken

    def _score(self, jobs: Sequence[_Job]) -> list[Scored]:
        texts = [text for job in jobs for text in job.texts]
        ids = encode(self._classifier.tokenizer, texts, self._max_length)
        longer = [len(row) > self._max_length for row in ids]
        rows = [cut(row, self._max_length, self._after) for row in ids]
        logits = self._classifier.score_ids(rows, self._max_padding)
        self._metrics.scored(len(texts), sum(longer))
        results: list[Scored] = []
        start = 0
        for job in jobs:
            end = start + len(job.texts)
            results.append(Scored(logits[start:end], [len(row) for row in rows[start:end]], sum(longer[start:end])))
            start = end
        return results


def _answer(jobs: Sequence[_Job], results: list[Scored] | Exception) -> None:
    """Hand the results over, in the event loop."""
    for number, job in enumerate(jobs):
        if job.answer.done():  # its client's request was cancelled
            continue
        if isinstance(results, Exception):
            job.answer.set_exception(results)
        else:
            job.answer.set_result(results[number])
