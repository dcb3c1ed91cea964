"""Encode texts with a given tokenizer and truncate them.

Prediction needs only this module; `tokenization`, which builds tokenizers and tokenizes splits, imports datasets.
"""

import logging

from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def replace_lone_surrogates(text: str) -> str:
    """Replace lone surrogates by U+FFFD, as tiktoken does. UTF-8 has none, and the fast tokenizer would raise."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Return the token ids of each text, without truncation."""
    ids: list[list[int]] = tokenizer([replace_lone_surrogates(text) for text in texts], verbose=False)["input_ids"]
    return ids


def longest_text(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> int:
    """Return the length of the longest text in tokens."""
    return max(map(len, encode(tokenizer, texts)))


def truncate(ids: list[list[int]], max_length: int) -> list[list[int]]:
    """Truncate texts to `max_length` tokens, with one warning that gives the number of truncated texts."""
    warn_truncated(sum(len(row) > max_length for row in ids), len(ids), max_length)
    return [row[:max_length] for row in ids]


def warn_truncated(cut: int, total: int, max_length: int) -> None:
    """Log a warning that `cut` of `total` texts were truncated, if any were."""
    if cut:
        logger.warning("%d of %d texts have more than %d tokens and were cut to that length", cut, total, max_length)
