"""Exceptions that the command line reports without a traceback, and how text from elsewhere stands in a line."""

import re
from pathlib import Path

LONGEST_LINE = 1000  # characters of a message's line
_MOST_LINES = 10
# Control characters, line separators, lone surrogates, and the marks that change the direction of what follows.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class UserError(ValueError):
    """A mistake of the caller's or a missing resource.

    The message says what was expected, what was found and what to do. The command line prints it without a traceback
    and exits with 2.

    Args:
        *lines: The lines of the message. Text from elsewhere in them (names of files, labels, what a server said)
            cannot add lines, control the terminal or grow without bound: see `one_line` and `shorten`.
    """

    def __init__(self, *lines: object) -> None:
        super().__init__("\n".join(shorten(one_line(line)) for line in lines[:_MOST_LINES]))


class Interrupted(Exception):
    """The work was stopped by a signal after a checkpoint was saved, and can be resumed.

    Attributes:
        signal: The signal's number.
        message: What was done when it came.
    """

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal
        self.message = message


def one_line(text: object) -> str:
    r"""Return text as one line that is safe to print: what a terminal would act on becomes an escape like `\x1b`."""
    return UNPRINTABLE.sub(escaped, str(text))


def escaped(match: re.Match[str]) -> str:
    r"""Return what was found as an escape like `\x1b`."""
    return match[0].encode("unicode_escape").decode("ascii")


def shorten(text: str, limit: int = LONGEST_LINE) -> str:
    """Cut the middle out of a text of more than `limit` characters.

    The ends stay: a message begins with the place and ends with what to do.
    """
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end - 3]} … {text[-end:]}"


def plain(text: object) -> str:
    """Return text that Markdown shows as it is: one line, without formatting, links, HTML or cells of its own."""
    line = " ".join(one_line(text).split())
    return re.sub(r"[^\w\s.,:;()/+='%-]|_(?=\W|$)|(?<!\w)_|^[-+=#]|^\d+[.)]", _entities, line)


def _entities(found: re.Match[str]) -> str:
    return "".join(f"&#{ord(character)};" for character in found[0])


def install_hint(extra: str) -> str:
    """Return the command that installs an extra: in a checkout from the checkout, elsewhere by the package's name."""
    checkout = Path(__file__).resolve().parents[1]
    requirement = f'-e ".[{extra}]"' if (checkout / "pyproject.toml").is_file() else f'"hf-spam[{extra}]"'
    return f"pip install {requirement}"
