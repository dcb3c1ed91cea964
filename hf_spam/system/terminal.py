"""Standard output and error for the time of a command: safe to read, and never a reason to fail in the middle.

Whatever a name, a label or a library's warning holds, no control character of it reaches a terminal or a log, and a
warning stays one line. A stream that is closed, on a full disk, or unable to show a character does not stop the work:
what could not be written is told at the end.
"""

import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from ..errors import UNPRINTABLE, escaped, one_line, shorten

# What passes: in both streams the ends of lines and tabs; in standard error also what a progress bar moves by, back to
# the start of its line and up to the bar above.
_PASSES = frozenset(("\n", "\t"))
_BARS_PASS = _PASSES | {"\r", "\x1b[A"}
_UNSAFE = re.compile(rf"\x1b\[A|{UNPRINTABLE.pattern}")


class ReaderGone(BrokenPipeError):
    """Nobody reads standard output any more, as when `head` has its lines."""


class SafeStream:
    """A text stream that escapes what a terminal would act on, and outlives what it writes to.

    All else is that of the stream behind it (`fileno`, `isatty`, `encoding`, ...).

    Args:
        stream: Where the text goes; `None` if it is closed.
        bars: Whether it is standard error, which shows progress bars and never fails.

    Attributes:
        failure: Why text has been lost, if any has.
    """

    def __init__(self, stream: TextIO | None, bars: bool) -> None:
        self.stream = stream if stream is not None else cast(TextIO, _Nowhere())
        self.failure: OSError | ValueError | None = None
        self._bars = bars
        self._passes = _BARS_PASS if bars else _PASSES

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        r"""Write text, escaped. What the stream cannot encode becomes an escape like `\xd7`.

        Raises:
            ReaderGone: If nobody reads it any more.
        """
        safe = _UNSAFE.sub(lambda found: found[0] if found[0] in self._passes else escaped(found), text)
        try:
            self.stream.write(safe)
        except UnicodeEncodeError:
            encoding = self.stream.encoding or "ascii"
            self._try(self.stream.write, safe.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as error:
            self._lose(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of the lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream.

        Raises:
            ReaderGone: If nobody reads it any more.
        """
        self._try(self.stream.flush)

    def _try(self, work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except (OSError, ValueError) as error:
            self._lose(error)

    def _lose(self, error: OSError | ValueError) -> None:
        """Remember that text was lost, and let what is still in the stream's buffer go nowhere."""
        self.failure = self.failure or error
        with suppress(OSError, ValueError, AttributeError):  # no descriptor behind it
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)
            self.stream.flush()
        if isinstance(error, BrokenPipeError) and not self._bars:
            raise ReaderGone(*error.args) from None


class _Nowhere(io.StringIO):
    """What stands in for a closed stream."""

    def write(self, text: str, /) -> int:
        return len(text)


@contextmanager
def safe_streams() -> Iterator[tuple[SafeStream, SafeStream]]:
    """Make standard output and error safe, and yield them; standard input is empty if it is closed.

    Also within: a line of a log, or a warning of Python's, stays one line. Handlers that took standard error when they
    were made, as those of transformers do, write to the safe one.
    """
    _open_closed_descriptors()
    before = sys.stdin, sys.stdout, sys.stderr
    output, errors = SafeStream(sys.stdout, bars=False), SafeStream(sys.stderr, bars=True)
    make_record, format_warning = logging.getLogRecordFactory(), warnings.formatwarning
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BytesIO())
    sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, errors)
    logging.setLogRecordFactory(lambda *args, **kwargs: _in_one_line(make_record(*args, **kwargs)))
    warnings.formatwarning = _format_warning
    _redirect_handlers({id(before[2]): errors, id(sys.__stderr__): errors})
    try:
        yield output, errors
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        logging.setLogRecordFactory(make_record)
        warnings.formatwarning = format_warning
        _redirect_handlers({id(errors): before[2]})


def _open_closed_descriptors() -> None:
    """Put the null device where 0, 1 and 2 are closed: the next file opened would be taken for a standard stream."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free


def _in_one_line(record: logging.LogRecord) -> logging.LogRecord:
    try:
        message = record.getMessage()
    except Exception:  # a mistake in a library's call, which its handler reports
        return record
    record.msg, record.args = shorten(one_line(re.sub(r"\s*\n\s*", " ", message.strip()))), None
    return record


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    text = " ".join(str(message).split())
    return f"{shorten(one_line(f'{filename}:{lineno}: {category.__name__}: {text}'))}\n"


def _redirect_handlers(streams: dict[int, Any]) -> None:
    """Give the handlers that write to one of these streams (by `id`) the other one."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", []):
            if isinstance(handler, logging.StreamHandler) and id(handler.stream) in streams:
                handler.stream = streams[id(handler.stream)]
