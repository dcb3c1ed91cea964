"""Encode texts with a given tokenizer and truncate them.

Prediction needs only this module, which imports no more than the tokenizers library; `tokenization`, which builds
tokenizers and tokenizes splits, imports datasets.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from ..tables.columns import replace_lone_surrogates
from .normalization import find_our_normalizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

_LONGEST_TOKEN = 128  # bytes, of GPT-2's vocabulary
# GPT-2 always ends a token here: before a space, and between letters and digits. Not every character that Python calls
# a space, a letter or a digit is one to the tokenizer, but these are.
_WORD_END = re.compile(r"(?<=[\w!-/:-@\[-`{-~])(?=[ \n])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")

# The same after our normaliser, which looks at three characters on either side of a place.
_NORMALIZED_WORD_END = re.compile(r"(?<=[A-Za-z]{3})(?= [A-Za-z]{3})")


@dataclass(frozen=True)
class Encoder:
    """A tokenizer of the tokenizers library, which gives the same ids as transformers' around it.

    Attributes:
        backend: It neither pads nor truncates, and no thread may change it while another encodes.
        model_max_length: The most tokens that its model reads of a text.
        is_gpt2: Whether it divides texts as GPT-2 does, by transformers' `GPT2Tokenizer`.
        splits_specials: Whether special tokens inside a text are text.
        build: Returns transformers' tokenizer.
    """

    backend: Tokenizer
    model_max_length: int
    is_gpt2: bool
    splits_specials: bool
    build: "Callable[[], PreTrainedTokenizerBase]"

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The same as a tokenizer of transformers, built when it is first asked for."""
        return self.build()


def to_encoder(tokenizer: "Encoder | PreTrainedTokenizerBase") -> Encoder:
    """Return what a tokenizer of transformers encodes with.

    Raises:
        TypeError: If it is not one of the tokenizers library, as all of transformers' usual ones are.
    """
    if isinstance(tokenizer, Encoder):
        return tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise TypeError(f"expected a fast tokenizer, found {type(tokenizer).__name__}. Use AutoTokenizer.")
    if backend.truncation is not None:  # left by an earlier call; transformers, too, sets all three at each call
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    splits = bool(tokenizer.split_special_tokens)
    if backend.encode_special_tokens != splits:
        backend.encode_special_tokens = splits
    is_gpt2 = any(kind.__name__ == "GPT2Tokenizer" for kind in type(tokenizer).__mro__)
    return Encoder(backend, tokenizer.model_max_length, is_gpt2, splits, lambda: tokenizer)


def encode(
    tokenizer: "Encoder | PreTrainedTokenizerBase", texts: list[str], max_length: int | None = None
) -> list[list[int]]:
    """Return the token ids of each text, without truncation.

    Args:
        tokenizer: The tokenizer.
        texts: The texts.
        max_length: How many tokens are wanted of a text. Of a very long one, only a beginning is encoded that has more
            than these; its first `max_length` ids are those of the whole text.
    """
    encoder = to_encoder(tokenizer)
    if max_length is not None:
        texts = [begin(encoder, text, max_length) for text in texts]
    # Without offsets, which nobody asks for: a third less time.
    return [found.ids for found in encoder.backend.encode_batch_fast(list(map(replace_lone_surrogates, texts)))]


def begin(tokenizer: "Encoder | PreTrainedTokenizerBase", text: str, max_length: int) -> str:
    """Return a beginning of a text that has more than `max_length` tokens, the same as the whole; else the text.

    Only GPT-2's way of dividing a text is known to allow this, also after our normaliser, and only without added
    tokens inside it.
    """
    if len(text) <= _LONGEST_TOKEN * max_length:
        return text
    encoder = to_encoder(tokenizer)
    normalized = find_our_normalizer(encoder.backend)
    if not normalized and not encoder.is_gpt2:
        return text
    specials_stay_text = encoder.splits_specials and seen_special_tokens(encoder) == set()
    if not specials_stay_text or special_counts(encoder) != (0, 0):
        return text
    longest = max(_LONGEST_TOKEN, *map(len, encoder.backend.get_vocab()))  # a character of a token stands for a byte
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


def seen_special_tokens(tokenizer: "Encoder | PreTrainedTokenizerBase") -> set[str]:
    """Return the added tokens that are tokens inside a text even if special ones are not."""
    added = to_encoder(tokenizer).backend.get_added_tokens_decoder().values()
    return {token.content for token in added if not token.special}


def special_counts(tokenizer: "Encoder | PreTrainedTokenizerBase") -> tuple[int, int]:
    """Return how many special tokens a tokenizer puts before and after every text. GPT-2's puts none."""
    backend = to_encoder(tokenizer).backend
    if not backend.num_special_tokens_to_add(False):
        return 0, 0
    for text in ("a", "一", *backend.get_vocab()):  # not every vocabulary has a token for every character
        mask = backend.encode(text).special_tokens_mask
        if 0 in mask:
            return mask.index(0), mask[::-1].index(0)
    return 0, 0


def longest_text(tokenizer: "Encoder | PreTrainedTokenizerBase", texts: list[str]) -> int:
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
