"""Texts that come again are scored once: campaigns send the same message thousands of times."""

import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

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
        self._version: list[tuple[Any, int]] = []

    def score(self, ids: Sequence[Sequence[int]], model: Any, score: Callable[[list[int]], Tensor]) -> Tensor:
        """Return the logits of N rows of token ids, each computed once and remembered.

        Args:
            ids: The rows.
            model: What computes them, for whether it has changed.
            score: Computes the logits of the rows with these numbers. *Shape:* `[len(rows), num_labels]`.

        Returns:
            *Shape:* `[N, num_labels]`.
        """
        if getattr(model, "training", False) or not ids:
            return score(list(range(len(ids))))  # dropout: no two are alike
        keys = [blake2b(array("q", row).tobytes(), digest_size=16).digest() for row in ids]
        first: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            first.setdefault(key, row)
        version = _version_of(model)
        with self._lock:
            if not _same(version, self._version):
                self._known.clear()
                self._version = version
            found = {key: self._known[key] for key in first if key in self._known}
            for key in found:
                self._known.move_to_end(key)
        missing = [row for key, row in first.items() if key not in found]
        if len(missing) == len(ids):
            logits = fresh = score(missing)
        else:
            fresh = score(missing) if missing else torch.empty(0, 0)
            rows = dict(zip((keys[row] for row in missing), fresh.tolist(), strict=True))
            logits = torch.tensor([found.get(key) or rows[key] for key in keys])
        with self._lock:
            if _same(version, self._version):
                for row, values in zip(missing, fresh.tolist(), strict=True):
                    self._known[keys[row]] = tuple(values)
                while len(self._known) * logits.shape[1] > self._capacity:
                    self._known.popitem(last=False)
        return logits


def _version_of(model: Any) -> list[tuple[Any, int]]:
    """Return a model's tensors and how often each was changed; nothing for an export, which cannot change."""
    if not isinstance(model, nn.Module):
        return []
    return [(tensor, -1 if tensor.is_inference() else tensor._version) for tensor in model.parameters()]


def _same(one: list[tuple[Any, int]], other: list[tuple[Any, int]]) -> bool:
    return len(one) == len(other) and all(a is b and m == n for (a, m), (b, n) in zip(one, other, strict=True))
