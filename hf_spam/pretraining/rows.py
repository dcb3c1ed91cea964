"""Texts without labels as rows of token ids for a language model."""

from collections.abc import Iterator, Sequence

from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from ..errors import UserError
from ..inference.batch_prediction import open_texts
from ..tokens.encoding import encode

_HELD_OUT = 20  # one text in so many is held out, where there is no validation split
_CHUNK = 10_000  # texts that are encoded at once


def read_texts(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the texts of files to train on, and those that are held out: every twentieth.

    Args:
        paths: Any files that `hf-spam predict --input` takes.

    Raises:
        UserError: If they cannot be read, or hold fewer than two texts.
    """
    table = open_texts(paths)
    texts = [table.text(place, row) for place, row in table.rows()]
    if len(texts) < 2:
        raise UserError(f"{table.name}: expected texts to train on, found {len(texts)}. Give more.")
    step = min(_HELD_OUT, len(texts))
    return [text for number, text in enumerate(texts, 1) if number % step], texts[step - 1 :: step]


def to_rows(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, context_length: int) -> Dataset:
    """Return a row of ids for each text, and several for one that is longer than the context.

    Each row begins with the token before a text (GPT-2's `<|endoftext|>`), so that the first token is predicted, too.

    Args:
        texts: The texts; empty ones are left out.
        tokenizer: Of the model.
        context_length: The most ids of a row.

    Raises:
        UserError: If no text has a token.
    """
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    rows = list(_rows(texts, tokenizer, [] if start is None else [start], context_length))
    if not rows:
        raise UserError("expected texts to train on, found only empty ones.")
    return Dataset.from_dict({"input_ids": rows})


def _rows(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, start: list[int], length: int
) -> Iterator[list[int]]:
    room = length - len(start)
    for first in range(0, len(texts), _CHUNK):
        for ids in encode(tokenizer, list(texts[first : first + _CHUNK])):
            yield from ([*start, *ids[place : place + room]] for place in range(0, len(ids), room))
