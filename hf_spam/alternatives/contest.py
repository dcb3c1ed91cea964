"""What is asked of each system that users might pick: labels for the same messages, one, all of them, and a million.

Imports nothing large, so that a fresh process holds only what its system needs.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Protocol

from ..benchmarks.processes import cold_start, in_fresh_process

FIRST = "Call me when you land"
CHUNK = 10_000  # messages of the many that are held at once
_PROBE = 100  # messages whose time says whether all are timed
_CALLS = 20  # the same of a call each
_PART = 4  # what is timed of the rest takes a fourth of the limit

Label = Callable[[list[str]], Sequence[str]]  # N texts to N labels


@dataclass(frozen=True)
class Contest:
    """The messages, and how long a system may take for them.

    Attributes:
        texts: All messages.
        labels: What each is, by name.
        train: Texts and labels of the chapter's training split.
        test: The same of its test split.
        many: How many distinct messages are made of all.
        limit: Seconds. What would take longer is timed on a part.
        train_ours: Whether our model trains; else its weights are random.
        starts: How often each starts cold; the shortest counts.
        place: Folder for what the systems save.
    """

    texts: list[str]
    labels: list[str]
    train: tuple[list[str], list[str]]
    test: tuple[list[str], list[str]]
    many: int
    limit: float
    train_ours: bool
    starts: int
    place: Path


class Contender(Protocol):
    """A system that gives labels. What it needs beyond `hf_spam` is imported where it is used."""

    @property
    def name(self) -> str:
        """Of its row."""

    @property
    def needs(self) -> dict[str, str]:
        """The extra that installs each module it needs."""

    @property
    def folder(self) -> str:
        """Where it saves itself, below the contest's place."""

    def prepare(self, contest: Contest) -> dict[str, Any]:
        """Fit or build the system and save it; `fit`, in seconds, is returned where its labels mean something."""

    def load(self, folder: Path) -> Label:
        """Return what was saved as a function."""

    def start(self, folder: Path) -> list[str]:
        """Return the command that loads what was saved and prints a label for the text that follows."""


def measure(contender: Contender, contest: Contest) -> dict[str, Any]:
    """Measure a system: fitting, labelling and starting, each in a process of its own that has nothing else.

    Returns:
        What `classify` returns, `memory_mb` of its process, and `fit` in seconds where the labels mean something;
        `start`, the seconds of a new process to its first label, `start_mb`, its memory; and `disk_mb` of what is
        saved. MB are 10^6 bytes. `messages` and `asked` are how many all and many are.
    """
    folder = contest.place / contender.folder
    fitted = in_fresh_process(prepare, contender, contest)
    fitted.pop("memory_mb")
    found = in_fresh_process(classify, contender, contest, "fit" in fitted)
    started = cold_start([*contender.start(folder), FIRST], contest.starts)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    starts = {"start": started["seconds"], "start_mb": started["memory_mb"]}
    asked = {"messages": len(contest.texts), "asked": contest.many}
    return {**asked, **fitted, **found, **starts, "disk_mb": size / 1e6}


def prepare(contender: Contender, contest: Contest) -> dict[str, Any]:
    """Fit or build a system and save it."""
    (contest.place / contender.folder).mkdir(parents=True, exist_ok=True)
    return contender.prepare(contest)


def classify(contender: Contender, contest: Contest, judged: bool) -> dict[str, Any]:
    """Count a saved system's messages per second.

    It is loaded anew for each count: what it has labelled before, it may remember.

    Args:
        contender: The system.
        contest: The messages.
        judged: Whether its labels mean something.

    Returns:
        Messages per second: `single`, a call each; `all`; and `many`. `all_of` and `many_of`: how many were timed.
        `accuracy` on the test split, if judged.
    """
    place, texts = contest.place / contender.folder, list(dict.fromkeys(contest.texts))
    probe = _spread(texts, _PROBE)
    label = _loaded(contender, place)
    once = _time(lambda: [label([text]) for text in probe[:: _PROBE // _CALLS]]) / len(probe[:: _PROBE // _CALLS])
    each = _time(lambda: label(probe)) / len(probe)
    label = _loaded(contender, place)
    part = _spread(texts, _within(contest.limit / _PART, once, len(texts)))
    found: dict[str, Any] = {"single": len(part) / _time(lambda: [label([text]) for text in part])}
    label = _loaded(contender, place)
    chosen = _spread(contest.texts, _within(contest.limit, each, len(contest.texts)))
    found |= {"all": len(chosen) / _time(lambda: label(chosen)), "all_of": len(chosen)}
    number = _within(contest.limit, 1 / found["all"], contest.many)
    found |= {"many": number / _time(lambda: _chunked(label, islice(distinct(texts), number))), "many_of": number}
    if judged:
        answers = label(contest.test[0])
        found["accuracy"] = sum(map(str.__eq__, answers, contest.test[1])) / len(answers)
    return found


def distinct(texts: Sequence[str]) -> Iterator[str]:
    """Yield messages without end, no two alike: all of them again and again, each round with its number."""
    return (f"{text} {number}" for number in count(1) for text in texts)


def _loaded(contender: Contender, place: Path) -> Label:
    label = contender.load(place)
    label([FIRST] * 2)
    return label


def _within(limit: float, each: float, number: int) -> int:
    """Return how many texts to time: all of them within the limit, else those of a fourth of it."""
    return number if each * number <= limit else min(number, max(_PROBE, int(limit / _PART / each)))


def _spread(texts: Sequence[str], number: int) -> list[str]:
    """Return so many texts, evenly from all."""
    return [texts[index * len(texts) // number] for index in range(min(number, len(texts)))]


def _chunked(label: Label, texts: Iterable[str]) -> None:
    texts = iter(texts)
    while chunk := list(islice(texts, CHUNK)):
        label(chunk)


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
