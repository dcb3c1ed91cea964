"""The one error that means: not a defect of ours."""


class UserError(ValueError):
    """A mistake of the caller's or a missing resource.

    Its message says what was expected, what was found and what to do, in a line or two. The command line prints it
    without a traceback and exits with 2.
    """
