"""Progress on standard error: one bar on a terminal, a plain line every ten seconds anywhere else.

The command line turns off the libraries' own bars, so that there is never a second one.
"""

import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm.auto import tqdm

from ..errors import one_line

SECONDS = 10.0  # between two lines


class ProgressLines:
    """Report progress in lines without control characters. It can stand in for a `tqdm` bar.

    Args:
        total: How many there are to do; 0 if that is not known.
        description: What is being done.
        unit: What is counted.
    """

    def __init__(self, total: int, description: str, unit: str) -> None:
        self.total = total
        self.description = description
        self.unit = unit
        self.n = 0
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        """Count `n` more, and print a line if the last one is ten seconds old."""
        self.n += n
        if time.monotonic() - self._last >= SECONDS:
            self._last = time.monotonic()
            of = f" of {self.total:,}" if self.total else ""
            print(f"{self.description}: {self.n:,}{of} {self.unit}", file=sys.stderr, flush=True)

    def reset(self) -> None:
        """Count from 0 again."""
        self.n = 0

    def close(self) -> None:
        """End without a line of its own: what comes next says that the work is done."""


ProgressBar = tqdm | ProgressLines  # type: ignore[type-arg]


def progress(total: int, description: str, unit: str, shown: bool = True) -> ProgressBar:
    """Return a bar on a terminal, and `ProgressLines` elsewhere.

    Args:
        total: How many there are to do; 0 if that is not known.
        description: What is being done.
        unit: What is counted; "B" for bytes.
        shown: Whether this process reports at all.
    """
    description = one_line(description)
    if not shown or sys.stderr.isatty():
        return tqdm(
            total=total or None,
            desc=description,
            unit=unit if unit == "B" else f" {unit}",
            unit_scale=unit == "B",
            disable=not shown,
            dynamic_ncols=True,
            file=sys.stderr,
        )
    return ProgressLines(total, description, unit)


class DownloadBar(tqdm):  # type: ignore[type-arg]
    """The one of `huggingface_hub`'s three bars that counts the bytes written, and only on a terminal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        wanted = kwargs.get("desc") != "Downloading bytes" and kwargs.get("unit") == "B"
        shown = {"desc": one_line(kwargs.get("desc") or ""), "disable": not (wanted and sys.stderr.isatty())}
        super().__init__(*args, **kwargs | shown)
