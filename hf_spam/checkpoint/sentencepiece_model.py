"""Read a model of the sentencepiece library, `spiece.model`, as the content of a `tokenizer.json`.

The file is a message of Protocol Buffers, of which a few fields are needed: the pieces with their scores, and how a
text is normalized. So neither of the two libraries is.
"""

import base64
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..system.reading import LARGEST_JSON, read_regular

# Numbers of fields in sentencepiece's own `sentencepiece_model.proto`.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_PIECE, _SCORE, _TYPE = 1, 2, 3
_UNKNOWN, _USER_DEFINED = 2, 4  # types of pieces
_MODEL_TYPE, _BYTE_FALLBACK = 3, 35
_CHARACTERS, _DUMMY_PREFIX, _NO_EXTRA_SPACES = 2, 3, 4
_UNIGRAM = 1
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


def read_sentencepiece(path: Path, append: str | None) -> dict[str, Any]:
    """Return what a `tokenizer.json` of the same tokenizer holds.

    Args:
        path: The file.
        append: A piece that ends every text, as `</s>` does for a `T5Tokenizer`.

    Raises:
        UserError: If the file is damaged, or its model is another than that of pieces with scores (unigram).
    """
    data = read_regular(path, LARGEST_JSON)
    try:
        fields = list(_fields(data))
        pieces = [dict(_fields(value)) for number, value in fields if number == _PIECES]
        trainer = dict(_fields(b"".join(value for number, value in fields if number == _TRAINER)))
        normalizer = dict(_fields(b"".join(value for number, value in fields if number == _NORMALIZER)))
        texts = [piece[_PIECE].decode("utf-8") for piece in pieces]
        scores = [struct.unpack("<f", piece.get(_SCORE, bytes(4)))[0] for piece in pieces]
        types = [int(piece.get(_TYPE, 1)) for piece in pieces]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error):
        raise UserError(
            f"{path}: expected a model of sentencepiece, found a damaged file. Download it again."
        ) from None
    if trainer.get(_MODEL_TYPE, _UNIGRAM) != _UNIGRAM:
        raise UserError(f"{path}: expected a model of sentencepiece of the type unigram, found another.")
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    unknown = next((id_ for id_, type_ in enumerate(types) if type_ == _UNKNOWN), None)
    own = [{"id": id_, "content": texts[id_], **flags} for id_, type_ in enumerate(types) if type_ == _USER_DEFINED]
    steps: list[dict[str, Any]] = []
    if normalizer.get(_CHARACTERS):
        characters = base64.b64encode(normalizer[_CHARACTERS]).decode("ascii")
        steps.append({"type": "Precompiled", "precompiled_charsmap": characters})
    if normalizer.get(_NO_EXTRA_SPACES, 1):
        steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    spaces = {"type": "Metaspace", "replacement": _SPACE, "split": True}
    spaces["prepend_scheme"] = "always" if normalizer.get(_DUMMY_PREFIX, 1) else "never"
    return {
        "model": {
            "type": "Unigram",
            "unk_id": unknown,
            "vocab": [list(piece) for piece in zip(texts, scores, strict=True)],
            "byte_fallback": bool(trainer.get(_BYTE_FALLBACK, 0)),
        },
        "normalizer": {"type": "Sequence", "normalizers": steps} if steps else None,
        "pre_tokenizer": spaces,
        "decoder": spaces,
        "post_processor": _template(append, texts.index(append)) if append in texts else None,
        "added_tokens": own,
    }


def _template(token: str | None, id_: int) -> dict[str, Any]:
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    end = {"SpecialToken": {"id": token, "type_id": 0}}
    tokens = {token: {"id": token, "ids": [id_], "tokens": [token]}}
    return {
        "type": "TemplateProcessing",
        "single": [first, end],
        "pair": [first, end, second, end],
        "special_tokens": tokens,
    }


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the number and the value of each field of a message: a number, or bytes.

    Raises:
        ValueError: If the message is cut off or of another form.
    """
    place = 0
    while place < len(data):
        key, place = _number(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _number(data, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _number(data, place)
        else:
            size = {1: 8, 5: 4}[kind]
        if place + size > len(data):
            raise ValueError("it is cut off")
        yield key >> 3, data[place : place + size]
        place += size


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of variable length, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number is too long")
