"""Texts that come again are scored once: campaigns send the same message thousands of times."""

import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

import numpy as np

from ..engines.engine import Logits, Rows, Version

CAPACITY = 131_072  # logits that are remembered: of two labels, those of 65,536 texts, in about 15 MB


class Repeats:
    """What the last texts scored, the least recently used forgotten first; for any number of threads.

    A text is known by a 128-bit hash of its token ids. What a changed model scored is forgotten: tensors count how
    often they were changed in place.

    Args:
        capacity: How many logits are remembered.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[float, ...]] = OrderedDict()
        self._version: Version = []

    def score(self, ids: Rows, version: Version | None, score: Callable[[list[int]], Logits]) -> Logits:
        """Return the logits of N rows of token ids, each computed once and remembered.

        Args:
            ids: The rows.
            version: The state of the model that computes them; `None` where no two calls are alike.
            score: Computes the logits of the rows with these numbers. *Shape:* `[len(rows), num_labels]`.

        Returns:
            *Shape:* `[N, num_labels]`.
        """
        if version is None or not ids:
            return score(list(range(len(ids))))
        keys = [blake2b(array("q", row).tobytes(), digest_size=16).digest() for row in ids]
        first: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            first.setdefault(key, row)
        with self._lock:
            if not _same(version, self._version):
                self._known.clear()
                self._version = version
            found = {key: self._known[key] for key in first if key in self._known}
            for key in found:
                self._known.move_to_end(key)
        missing = [row for key, row in first.items() if key not in found]
        fresh: dict[bytes, tuple[float, ...]] = {}
        if missing:
            computed = score(missing)
            fresh = dict(zip((keys[row] for row in missing), map(tuple, computed.tolist()), strict=True))
            logits = computed
        if len(missing) < len(ids):
            logits = np.array([found.get(key) or fresh[key] for key in keys], np.float32)
        with self._lock:
            if _same(version, self._version):
                self._known |= fresh
                while len(self._known) * logits.shape[1] > self._capacity:
                    self._known.popitem(last=False)
        return logits


def _same(one: Version, other: Version) -> bool:
    return len(one) == len(other) and all(a is b and m == n for (a, m), (b, n) in zip(one, other, strict=True))
