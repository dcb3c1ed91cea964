"""Give up on a server that does not come to an end: what waits for it is a thread, watched for time and progress.

A timeout between two bytes does not stop a server that sends one byte every few seconds, be it of a header, and such a
wait cannot be interrupted. So the thread is left behind; it ends with the process or at its next byte.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_POLL = 0.5  # seconds between two looks
_FAREWELL = 1.0  # seconds for the thread to end by itself


@dataclass(frozen=True)
class Patience:
    """How long to wait, for how much.

    Attributes:
        seconds: For all of it.
        window: Seconds in which at least `rate` bytes a second must come.
        rate: Bytes per second.
        largest: Bytes.
    """

    seconds: float
    window: float
    rate: float
    largest: int


class GaveUp(Exception):
    """The work was given up; the message says why, in a few words."""


class Meter:
    """What has come so far, counted by the thread that works."""

    def __init__(self) -> None:
        self.received = 0
        self.given_up = False

    def count(self, received: int) -> None:
        """Count bytes.

        Raises:
            GaveUp: If nobody waits for them any more.
        """
        self.received += received
        if self.given_up:
            raise GaveUp("nobody waits any more")


def watch(work: Callable[[], T], meter: Meter, patience: Patience, also: Callable[[], int] = lambda: 0) -> T:
    """Return what `work` returns, or raise what it raises, unless patience ends first.

    Args:
        work: Done in a thread of its own. It counts what it receives with `meter`, and so ends when it is given up.
        meter: For this work alone.
        patience: The limits.
        also: Returns the bytes that `work` receives without counting them.

    Raises:
        GaveUp: If it takes too long, comes too slowly or grows too large.
    """
    outcome: list[tuple[T | None, BaseException | None]] = []
    done = threading.Event()

    def run() -> None:
        try:
            outcome.append((work(), None))
        except BaseException as error:
            outcome.append((None, error))
        finally:
            done.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        _wait(done, lambda: meter.received + also(), patience)
    except BaseException:  # also Ctrl-C
        meter.given_up = True
        thread.join(_FAREWELL)
        raise
    [(result, error)] = outcome
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def _wait(done: threading.Event, received: Callable[[], int], patience: Patience) -> None:
    """Wait until the work is done or patience ends."""
    began = marked = time.monotonic()
    at_mark = 0
    while not done.wait(min(_POLL, patience.window / 4)):
        now, so_far = time.monotonic(), received()
        if so_far > patience.largest:
            raise GaveUp(f"more than {patience.largest:,} bytes came")
        if now - began > patience.seconds:
            raise GaveUp(f"not done after {patience.seconds:,.0f} seconds")
        if now - marked >= patience.window:
            if so_far - at_mark < patience.rate * (now - marked):
                raise GaveUp(f"fewer than {patience.rate:,.0f} bytes a second came in {patience.window:g} seconds")
            marked, at_mark = now, so_far
