"""Texts → ids by a given tokenizer, and cut to a length.

Predicting needs no more than this; `tokenization`, which makes tokenizers and fills a `DatasetDict`, imports datasets.
"""

import logging

from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def replace_lone_surrogates(text: str) -> str:
    """Lone surrogates, which no UTF-8 can hold, become U+FFFD as tiktoken does; the fast tokenizer would raise."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """The ids of each text, untruncated."""
    ids: list[list[int]] = tokenizer([replace_lone_surrogates(text) for text in texts], verbose=False)["input_ids"]
    return ids


def longest_text(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> int:
    """Length in tokens of the longest text."""
    return max(map(len, encode(tokenizer, texts)))


def truncate(ids: list[list[int]], max_length: int) -> list[list[int]]:
    """Cut texts to `max_length` tokens, with one warning that says how many were cut."""
    warn_truncated(sum(len(row) > max_length for row in ids), len(ids), max_length)
    return [row[:max_length] for row in ids]


def warn_truncated(cut: int, total: int, max_length: int) -> None:
    """Say that `cut` of `total` texts were cut, if any were."""
    if cut:
        logger.warning("%d of %d texts have more than %d tokens and were cut to that length", cut, total, max_length)
