"""Encode texts with a given tokenizer and truncate them.

Prediction needs only this module; `tokenization`, which builds tokenizers and tokenizes splits, imports datasets.
"""

import logging
import re

from transformers import GPT2Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ..tables.columns import replace_lone_surrogates
from .normalization import find_our_normalizer

logger = logging.getLogger(__name__)

_LONGEST_TOKEN = 128  # bytes, of GPT-2's vocabulary
# GPT-2 always ends a token here: before a space, and between letters and digits. Not every character that Python calls
# a space, a letter or a digit is one to the tokenizer, but these are.
_WORD_END = re.compile(r"(?<=[\w!-/:-@\[-`{-~])(?=[ \n])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")

# The same after our normaliser, which looks at three characters on either side of a place.
_NORMALIZED_WORD_END = re.compile(r"(?<=[A-Za-z]{3})(?= [A-Za-z]{3})")


def encode(tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int | None = None) -> list[list[int]]:
    """Return the token ids of each text, without truncation.

    Args:
        tokenizer: The tokenizer.
        texts: The texts.
        max_length: How many tokens are wanted of a text. Of a very long one, only a beginning is encoded that has more
            than these; its first `max_length` ids are those of the whole text.
    """
    if max_length is not None:
        texts = [begin(tokenizer, text, max_length) for text in texts]
    ids: list[list[int]] = tokenizer([replace_lone_surrogates(text) for text in texts], verbose=False)["input_ids"]
    return ids


def begin(tokenizer: PreTrainedTokenizerBase, text: str, max_length: int) -> str:
    """Return a beginning of a text that has more than `max_length` tokens, the same as the whole; else the text.

    Only GPT-2's way of dividing a text is known to allow this, also after our normaliser, and only without added
    tokens inside it.
    """
    if len(text) <= _LONGEST_TOKEN * max_length or not isinstance(tokenizer, PreTrainedTokenizerFast):
        return text
    normalized = find_our_normalizer(tokenizer)
    if not normalized and not isinstance(tokenizer, GPT2Tokenizer):
        return text
    specials_stay_text = tokenizer.split_special_tokens and seen_special_tokens(tokenizer) == set()
    if not specials_stay_text or special_counts(tokenizer) != (0, 0):
        return text
    longest = max(_LONGEST_TOKEN, *map(len, tokenizer.get_vocab()))  # a character of a token stands for a byte
    needed = longest * max_length + 1
    if not normalized:
        end = _WORD_END.search(text, needed)
        return text[: end.start()] if end else text
    place = needed
    while end := _NORMALIZED_WORD_END.search(text, place):
        beginning = text[: end.start()]
        if len(normalized.normalize_str(replace_lone_surrogates(beginning))) >= needed:
            return beginning
        place = 2 * end.start()  # much of it is nothing that the normaliser leaves
    return text


def seen_special_tokens(tokenizer: PreTrainedTokenizerFast) -> set[str]:
    """Return the added tokens that are tokens inside a text even if special ones are not."""
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
    return {token.content for token in added if not token.special}


def special_counts(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Return how many special tokens a tokenizer puts before and after every text. GPT-2's puts none."""
    if not tokenizer.num_special_tokens_to_add():
        return 0, 0
    for text in ("a", "一", *tokenizer.get_vocab()):  # not every vocabulary has a token for every character
        mask = tokenizer(text, return_special_tokens_mask=True)["special_tokens_mask"]
        if 0 in mask:
            return mask.index(0), mask[::-1].index(0)
    return 0, 0


def longest_text(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> int:
    """Return the length of the longest text in tokens."""
    return max(map(len, encode(tokenizer, texts)))


def cut(ids: list[int], max_length: int, after: int = 0) -> list[int]:
    """Return `max_length` tokens as transformers does: a text's first, and the `after` special ones at its end."""
    if len(ids) <= max_length:
        return ids
    return ids[: max(0, max_length - after)] + (ids[-min(after, max_length) :] if after else [])


def truncate(ids: list[list[int]], max_length: int, after: int = 0) -> list[list[int]]:
    """Truncate texts to `max_length` tokens, with one warning that gives the number of truncated texts; see `cut`."""
    warn_truncated(sum(len(row) > max_length for row in ids), len(ids), max_length)
    return [cut(row, max_length, after) for row in ids]


def warn_truncated(cut: int, total: int, max_length: int) -> None:
    """Log a warning that `cut` of `total` texts were truncated, if any were."""
    if cut:
        logger.warning("%d of %d texts have more than %d tokens and were cut to that length", cut, total, max_length)
