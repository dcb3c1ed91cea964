"""The one error that means: not a defect of ours."""


class UserError(ValueError):
    """A mistake of the caller's or a missing resource.

    Its message says what was expected, what was found and what to do, in a line or two. The command line prints it
    without a traceback and exits with 2.
    """


class Interrupted(Exception):
    """A signal ended the work in order: a checkpoint is saved, and the work can go on from there.

    Attributes:
        signal: Its number.
        message: What was done when it came.
    """

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal
        self.message = message
