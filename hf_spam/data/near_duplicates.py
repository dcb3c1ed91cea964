"""Group texts that are nearly the same: an exact all-pairs join on character trigrams, without an extra.

Two texts are near duplicates if the Dice coefficient of their sets of character trigrams is at least the given
similarity, after case, digits, punctuation and spaces are normalised. Groups are the connected components.

The join is Bayardo's prefix filter (WWW 2007) with the positional bound of Xiao et al. (PPJoin, WWW 2008), on sparse
matrices: texts that are similar enough share a trigram among the rarest ones of both, so only such pairs are compared.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

SIMILARITY = 0.8
_GRAM = 3  # characters
_MOST_CHARACTERS = 10_000  # of a text that are compared
_BLOCK = 2**21  # pairs of texts in memory at a time
_ROUNDING = 1e-9

Pairs = NDArray[np.int64]  # [pairs, 2]


def near_groups(texts: Sequence[str], similarity: float = SIMILARITY) -> list[int]:
    """Return the group of each text, from 0 in order of appearance. Texts of one group are nearly the same.

    Similarity is not transitive: the ends of a chain may differ by more than its neighbours.

    Args:
        texts: Any texts.
        similarity: The least Dice coefficient of near duplicates, above 0 and up to 1. At 1, sets of trigrams are
            equal.
    """
    position: dict[str, int] = {}
    of_text = [position.setdefault(normalise(text), len(position)) for text in texts]
    if not position:
        return []
    pairs = _similar_pairs(list(position), similarity)
    edges = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(position), len(position)))
    component = connected_components(edges, directed=False)[1].tolist()
    number: dict[int, int] = {}
    return [number.setdefault(component[index], len(number)) for index in of_text]


def normalise(text: str) -> str:
    """Return a text's words in lower case with a 0 for each digit; a text without letters as it is, but for spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = re.findall(r"\w+", folded)
    if not any(character.isalpha() for word in words for character in word):
        return " ".join(folded.split())
    return re.sub(r"\d", "0", " ".join(words))


def _similar_pairs(texts: Sequence[str], similarity: float) -> Pairs:
    """Return the pairs of different texts that are similar enough."""
    grams = _gram_sets(texts)
    size = np.diff(grams.indptr).astype(np.int64)
    # A similar text is at least s / (2 - s) times as large, so it shares at least that part of the trigrams.
    length = size - np.ceil(size * similarity / (2 - similarity) - _ROUNDING).astype(np.int64) + 1
    inside = np.arange(grams.nnz) - np.repeat(grams.indptr[:-1], size) < np.repeat(length, size)
    starts = np.concatenate([[0], np.cumsum(length)])
    prefixes = csr_matrix((grams.data[inside], grams.indices[inside], starts), shape=grams.shape)
    last = prefixes.indices[starts[1:] - 1]
    found = [np.zeros((0, 2), dtype=np.int64)]
    for first, second, shared in _sharing(prefixes):
        needed = similarity * (size[first] + size[second]) / 2 - _ROUNDING
        # Beyond its prefix, the text whose prefix ends with the rarer trigram has the only ones left to share.
        rest = np.where(last[first] < last[second], (size - length)[first], (size - length)[second])
        possible = (shared + rest >= needed) & (np.minimum(size[first], size[second]) >= needed)
        first, second, needed = first[possible], second[possible], needed[possible]
        same = np.asarray(grams[first].multiply(grams[second]).sum(axis=1)).ravel() if len(first) else np.zeros(0)
        found.append(np.stack([first, second], axis=1)[same >= needed])
    return np.concatenate(found)


def _gram_sets(texts: Sequence[str]) -> csr_matrix:
    """Return the trigrams of each text, 1 where it has one, the rarest first: [texts, trigrams]."""
    number: dict[str, int] = {}
    columns: list[int] = []
    starts = [0]
    for text in texts:
        text = text[:_MOST_CHARACTERS]
        own = {text[start : start + _GRAM] for start in range(max(1, len(text) - _GRAM + 1))}
        columns += sorted(number.setdefault(gram, len(number)) for gram in sorted(own))
        starts.append(len(columns))
    numbers = np.array(columns, dtype=np.int32)
    frequency = np.bincount(numbers, minlength=len(number))
    rank = np.empty(len(number), dtype=np.int32)
    rank[np.argsort(frequency, kind="stable")] = np.arange(len(number), dtype=np.int32)
    grams = csr_matrix((np.ones(len(numbers), dtype=np.int32), rank[numbers], starts), shape=(len(texts), len(number)))
    grams.sort_indices()
    return grams


def _sharing(prefixes: csr_matrix) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]]:
    """Yield blocks of pairs whose prefixes share a trigram: the texts (the first before the second), and how many."""
    by_gram = prefixes.T.tocsr()
    work = np.cumsum(np.add.reduceat(np.diff(by_gram.indptr)[prefixes.indices], prefixes.indptr[:-1]))
    start = 0
    while start < len(work):
        done = work[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(work, done + _BLOCK)))
        block = (prefixes[start:end] @ by_gram).tocoo()
        first, second = block.row.astype(np.int64) + start, block.col.astype(np.int64)
        ordered = first < second
        yield first[ordered], second[ordered], block.data[ordered]
        start = end
