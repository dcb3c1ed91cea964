"""What a server is told: the model's name, who may ask, and how much of anything is accepted."""

from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import UserError
from ..values.ranges import Range

# The ranges of the numbers below, by name, for the command line and for `Limits`.
RANGES = {
    "max_body": Range(at_least=100, at_most=10**9),
    "max_texts": Range(at_least=1, at_most=10**6),
    "max_chars": Range(at_least=1, at_most=10**9),
    "max_queue": Range(at_least=1, at_most=10**7),
    "read_timeout": Range(above=0, at_most=3600),
    "max_upload": Range(at_least=1, at_most=10**10),
    "max_rows": Range(at_least=1, at_most=10**8),
}
LATENCY = Range(at_least=0, at_most=10_000)
PORT = Range(at_least=0, at_most=65535)
WORKERS = Range(at_least=1, at_most=256)


@dataclass(frozen=True)
class Limits:
    """How much a client may ask for.

    Attributes:
        max_body: Bytes of a request's body.
        max_texts: Texts in a request.
        max_chars: Characters of a text.
        max_queue: Texts that wait to be scored, of all requests together.
        read_timeout: Seconds in which the head of a request must be there, and again its body.
        max_upload: Bytes of a file that is given to the page, and characters of what it holds.
        max_rows: Rows of such a file.
    """

    max_body: int = 1_000_000
    max_texts: int = 256
    max_chars: int = 20_000
    max_queue: int = 4096
    read_timeout: float = 10.0
    max_upload: int = 50_000_000
    max_rows: int = 100_000

    def __post_init__(self) -> None:
        """Check that each number is in its range, and that the queue has room for the largest request.

        Raises:
            UserError: If not.
        """
        for name, value in asdict(self).items():
            RANGES[name].check(name, value, whole=name != "read_timeout")
        if self.max_queue < self.max_texts:
            raise UserError(
                f"--max_queue: expected at least --max_texts, {self.max_texts:,}, found {self.max_queue:,}. "
                f"A request must fit into an empty queue."
            )


@dataclass(frozen=True)
class Settings:
    """What a server is told.

    Attributes:
        name: What clients call the model.
        kind: What its folder holds: see `checkpoint.opening.Kind`.
        limits: How much a client may ask for.
        api_key: What a client must send as `Authorization: Bearer`; `None` for no such check.
        max_latency_ms: How many milliseconds the first of waiting texts may wait for company, at most.
        many: Whether other processes serve the same port, so that figures are added up.
    """

    name: str
    kind: str = "checkpoint"
    limits: Limits = field(default_factory=Limits)
    api_key: str | None = field(default=None, repr=False)
    max_latency_ms: float = 0.0
    many: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: If the key can be sent in no header, or the latency is in no range.
        """
        LATENCY.check("max_latency_ms", self.max_latency_ms, whole=False)
        key = self.api_key
        if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
            raise UserError("--api_key: expected printable ASCII characters without spaces, found something else.")

    def describe(self) -> dict[str, Any]:
        """Return the limits as `/info` gives them."""
        return asdict(self.limits)
