"""Describe a tokenizer for the page of a web export, whose `page-bpe.js` then gives the same ids.

JavaScript's own classes of characters are of the browser's version of Unicode, and its white space is another. So the
description holds the classes as ranges, read off the tokenizers library: it is asked about each character.
"""

import json
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Any

from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ..checkpoint.tokenizer import is_plain_bpe
from ..errors import UserError
from ..tokens.encoding import special_counts
from ..tokens.normalization import find_our_normalizer

Ranges = list[tuple[int, int]]  # the first and the last character of each

# Planes with characters: no letter, digit, space or format character is in one of the others, whatever the version.
_CHARACTERS = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000)]))
_FIRST_MARK, _LAST_MARK = "\u0334", "\u0345"  # combining classes 1 and 240: all others lie between
_REMEDY = "Export to ONNX instead: --format onnx."


def describe_for_browser(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return what `page-bpe.js` needs to know of a tokenizer, for a JSON file.

    Raises:
        UserError: If it is not GPT-2's byte-level BPE, alone or after one of our normalisers.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    model, words = content.get("model"), content.get("pre_tokenizer")
    if not is_plain_bpe({**content, "normalizer": None}) or special_counts(tokenizer) != (0, 0):
        kind, before = (part.get("type") if isinstance(part, dict) else part for part in (model, words))
        raise UserError(
            f"expected GPT-2's byte-level BPE without special tokens around a text, which is what the page can do, "
            f"found {kind} after {before}. {_REMEDY}"
        )
    if content.get("normalizer") is not None and find_our_normalizer(tokenizer.backend_tokenizer) is None:
        raise UserError(
            f"expected a tokenizer without a normalizer, or with one of --normalize, found "
            f"{content['normalizer'].get('type')}. {_REMEDY}"
        )
    vocabulary: dict[str, int] = model["vocab"]
    alphabet = _alphabet()
    if missing := [character for character in alphabet if character not in vocabulary]:
        raise UserError(f"expected a token for each of the 256 bytes, found none for {len(missing)}. {_REMEDY}")
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    if any(" " in part for pair in merges for part in pair):
        raise UserError(f"expected merges of tokens without spaces, found others. {_REMEDY}")
    return {
        "vocabulary": vocabulary,
        "merges": [" ".join(pair) for pair in merges],
        "bytes": alphabet,
        "letters": _class_of(r"\p{L}"),
        "numbers": _class_of(r"\p{N}"),
        "spaces": _class_of(r"\s"),
        "add_prefix_space": bool(words.get("add_prefix_space")),
        "normalizer": _describe_normalizer(content["normalizer"]),
        "added": _describe_added(tokenizer, content.get("added_tokens", [])),
    }


def _alphabet() -> list[str]:
    """Return the character that stands for each byte in a vocabulary."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(0x100)]


def _describe_added(tokenizer: PreTrainedTokenizerFast, tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return added tokens; the id is `None` where the token is text inside a message."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    added = []
    for token in tokens:
        text = token["special"] and tokenizer.split_special_tokens
        if not text and any(token[flag] for flag in ("single_word", "lstrip", "rstrip")):
            raise UserError(
                f"expected added tokens that are found wherever they stand, found {token['content']!r} with "
                f"single_word, lstrip or rstrip. {_REMEDY}"
            )
        content = token["content"]
        if token["normalized"] and normalizer is not None:
            content = normalizer.normalize_str(content)
        added.append({"content": content, "id": None if text else token["id"], "normalized": token["normalized"]})
    return [token for token in added if token["content"]]


def _describe_normalizer(content: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the steps of one of our normalisers."""
    steps: list[dict[str, Any]] = []
    for step in content["normalizers"] if content else []:
        if step["type"] == "NFKC":
            steps.append({"kind": "nfkc", "ranges": _normalized_characters()})
            continue
        pattern, by = step["pattern"], step["content"]
        if "String" in pattern:
            if not steps or steps[-1]["kind"] != "letters":
                steps.append({"kind": "letters", "letters": {}})
            steps[-1]["letters"][pattern["String"]] = by
        elif r"\S" in pattern["Regex"]:
            source = pattern["Regex"].replace(r"\S", f"[^{_escape(_class_of(chr(92) + 's'))}]")
            steps.append({"kind": "replace", "pattern": source, "by": by})
        else:
            steps.append({"kind": "remove", "ranges": _class_of(pattern["Regex"])})
    return steps


def _escape(ranges: Ranges) -> str:
    return "".join(f"\\u{{{first:x}}}-\\u{{{last:x}}}" for first, last in ranges)


@cache
def _class_of(pattern: str) -> Ranges:
    """Return the characters that a regular expression of the tokenizers library matches."""
    others = pre_tokenizers.Split(Regex(f"{pattern}+"), "removed").pre_tokenize_str(_CHARACTERS)
    edges = [(0, 0), *(place for _, place in others), (len(_CHARACTERS), len(_CHARACTERS))]
    matched = (range(before[1], after[0]) for before, after in pairwise(edges))
    return _to_ranges(ord(_CHARACTERS[place]) for places in matched for place in places)


@cache
def _normalized_characters() -> Ranges:
    """Return the characters that NFKC changes or moves, or that it makes others of or others into."""
    characters = [it for it in _CHARACTERS if it != "\n"]
    found: set[str] = set()
    for form in (normalizers.NFKD(), normalizers.NFKC()):
        for before, after in (("", ""), ("", _FIRST_MARK), (_LAST_MARK, "")):
            rows = [f"{before}{it}{after}" for it in characters]
            for character, row, result in zip(
                characters, rows, form.normalize_str("\n".join(rows)).split("\n"), strict=True
            ):
                if row != result:
                    found |= {character, *result}
    return _to_ranges(sorted(map(ord, found)))


def _to_ranges(characters: Iterable[int]) -> Ranges:
    ranges: Ranges = []
    for character in characters:
        if ranges and character == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], character)
        else:
            ranges.append((character, character))
    return ranges
