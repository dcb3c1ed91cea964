"""Exceptions that the command line reports without a traceback, and the words that their messages share."""

from pathlib import Path


class UserError(ValueError):
    """A mistake of the caller's or a missing resource.

    The message says what was expected, what was found and what to do, in a line or two. The command line prints it
    without a traceback and exits with 2.
    """


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


def install_hint(extra: str) -> str:
    """Return the command that installs an extra: in a checkout from the checkout, elsewhere by the package's name."""
    checkout = Path(__file__).resolve().parents[1]
    requirement = f'-e ".[{extra}]"' if (checkout / "pyproject.toml").is_file() else f'"hf-spam[{extra}]"'
    return f"pip install {requirement}"
