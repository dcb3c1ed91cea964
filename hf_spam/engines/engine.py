"""What `SpamClassifier` needs of a model, whichever library runs it."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

Rows = Sequence[Sequence[int]]  # token ids of texts
Logits = NDArray[np.float32]
Version = list[tuple[Any, int]]  # a model's tensors, and how often each was changed in place


class Engine(Protocol):
    """A classifier that a library runs."""

    @property
    def config(self) -> Any:
        """Its sizes and labels: a `SpamGPTConfig`, or the same fields."""

    @property
    def model(self) -> Any:
        """What may be looked at, and changed where it can be: later scores are those of what it is then."""

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the processor."""

    @property
    def token_budget(self) -> int:
        """The largest batch by default, in positions, padding included."""

    @property
    def lanes(self) -> int:
        """How many threads may score batches at once, each with one core; 1 if all cores work on each batch."""

    def score(self, rows: Rows) -> Logits:
        """Return the logits of a batch of texts.

        Args:
            rows: B texts, none longer than the model reads. A text without tokens is read as one of padding.

        Returns:
            *Shape:* `[B, num_labels]`.
        """

    def version(self) -> Version | None:
        """Tell one state of the model from the next; `None` if the same ids can score differently each time."""


def pad(rows: Rows, pad_token_id: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows as an array, padded on the right, and its attention mask: 1 for real tokens, 0 for padding.

    Args:
        rows: B texts, the longest of T tokens.
        pad_token_id: What fills the rows.

    Returns:
        Both of *shape* `[B, T]`.
    """
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    ids = np.full(mask.shape, 0 if pad_token_id is None else pad_token_id, np.int64)
    ids[mask] = np.fromiter((id_ for row in rows for id_ in row), np.int64, int(lengths.sum()))
    return ids, mask.astype(np.int64)


def softmax(logits: Logits) -> Logits:
    """Return probabilities that sum to 1 in each row, computed as `pipeline()` does. *Shape:* `[N, num_labels]`."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return cast(Logits, powers / powers.sum(axis=1, keepdims=True))


def sigmoid(logits: Logits) -> Logits:
    """Return the probability of each label by itself, computed as `pipeline()` does. *Shape:* `[N, num_labels]`."""
    with np.errstate(over="ignore"):  # a score of 0
        return cast(Logits, 1.0 / (1.0 + np.exp(-logits)))
