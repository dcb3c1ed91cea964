"""Build a tokenizer from any `tokenizer.json`: what it describes is data, which the tokenizers library interprets.

It can hold no code and name no other file. What it could do is checked: ids that the model does not have, growth
without bounds, texts on which it fails.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from ..errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Texts that ask something of every kind: nothing, words, lines, accents, kanji, a picture, unused characters.
_PROBES = ("", "Win £1000 now!", "a\n\tb", "Zoë straße", "東京 для 한국", "🎉\u200d", "\uf8ff\U0010ffff")
_MOST_GROWTH = 10_000  # characters that normalizers may make of one


@contextmanager
def building(path: Path) -> Iterator[None]:
    """Turn every failure of the tokenizers library into a refusal; its panics derive from no other class.

    Raises:
        UserError: If the block fails.
    """
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(f"{path}: expected a tokenizer that can be built: {error}.") from None


def build_general_tokenizer(
    content: Mapping[str, Any], settings: Mapping[str, Any], vocab_size: int, pad_token_id: int | None, path: Path
) -> "PreTrainedTokenizerFast":
    """Return the tokenizer that the content of a `tokenizer.json` describes, as transformers' general class.

    Args:
        content: The file's content. What it says of padding and truncation has no effect.
        settings: From `tokenizer.parse_settings`.
        vocab_size: The model's; the tokenizer may have fewer tokens.
        pad_token_id: The model's.
        path: The file, for messages.

    Raises:
        UserError: If it cannot be built, has an id that the model does not have, or fails on a text.
    """
    from transformers import PreTrainedTokenizerFast

    backend = build_general_backend(content, settings, vocab_size, pad_token_id, path)
    with building(path):
        # The models have no token types, and refuse what they do not know.
        inputs = ["input_ids", "attention_mask"]
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=inputs, **settings)
        for text in _PROBES:
            check_output(tokenizer(text)["input_ids"], vocab_size, path)
    return tokenizer


def build_general_backend(
    content: Mapping[str, Any], settings: Mapping[str, Any], vocab_size: int, pad_token_id: int | None, path: Path
) -> Tokenizer:
    """Return the same without transformers' class around it; see `build_general_tokenizer`."""
    check_growth(content, path)
    with building(path):
        backend = Tokenizer.from_str(json.dumps({**content, "padding": None, "truncation": None}))
        vocabulary = backend.get_vocab(with_added_tokens=True)
    check_ids(vocabulary, vocab_size, path)
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        token = settings.get(name)
        if token is not None and str(token) not in vocabulary:
            raise UserError(f"{path}: expected the {name} {str(token)!r} in the vocabulary, found none.")
    padding = settings.get("pad_token")
    if padding is not None and vocabulary[str(padding)] != pad_token_id:
        raise UserError(
            f"{path}: expected the padding to be id {pad_token_id}, as in config.json, found "
            f"{vocabulary[str(padding)]}: the tokenizer of another model."
        )
    with building(path):
        for text in _PROBES:
            check_output(backend.encode(text).ids, vocab_size, path)
    return backend


def check_ids(vocabulary: Mapping[str, int], vocab_size: int, path: Path) -> None:
    """Check that a tokenizer's ids are the model's.

    Raises:
        UserError: If there are none, one is taken twice, or one is beyond the model's.
    """
    ids = set(vocabulary.values())
    if not ids or len(ids) != len(vocabulary):
        raise UserError(f"{path}: expected one token for each id, found ids that are taken twice, or none at all.")
    if max(ids) >= vocab_size:
        raise UserError(
            f"{path}: expected ids below {vocab_size:,}, the size of the model's vocabulary, found {max(ids):,}: the "
            f"tokenizer of another model, or one whose added tokens the model has no embeddings for."
        )


def check_output(ids: list[int], vocab_size: int, path: Path) -> None:
    """Check ids that a tokenizer gave: it may append others than those of its vocabulary.

    Raises:
        UserError: If one is not the model's.
    """
    odd = next((id_ for id_ in ids if not 0 <= id_ < vocab_size), None)
    if odd is not None:
        raise UserError(f"{path}: expected ids below {vocab_size:,}, the model's, found that it appends {odd:,}.")


def check_growth(content: Mapping[str, Any], path: Path) -> None:
    """Check that normalizers, each of which may replace a character by a text, cannot fill the memory together.

    Raises:
        UserError: If they could.
    """
    texts = [part.get("content", part.get("prepend")) for part in _parts(content.get("normalizer"))]
    growth = prod(max(1, len(text)) for text in texts if isinstance(text, str))
    if growth > _MOST_GROWTH:
        raise UserError(
            f"{path}: expected normalizers that make at most {_MOST_GROWTH:,} characters of one, found {growth:,}."
        )


def _parts(value: object) -> Iterator[dict[str, Any]]:
    """Yield a component of a tokenizer and those inside it, at any depth."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
