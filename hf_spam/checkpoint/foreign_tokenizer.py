"""Read the tokenizer that lies beside somebody's GPT-2, and make it ready for messages.

transformers' `AutoTokenizer` decides what it is: its ids, its special tokens, its length. Ours differs in three
points. It pads, if need be with the end of a text; the model's own special tokens are text inside a message, so that
no message can forge padding; and tokens that somebody added for messages (`[URL]`) are tokens there. transformers has
one switch for all special tokens, `split_special_tokens`; so the added ones become ordinary added tokens, which it
leaves alone. All of this is saved in the two files of the tokenizer, and holds without our code.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from ..errors import UserError
from ..model.fields_spam_gpt import SpamGPTFields
from ..system.reading import LARGEST_JSON, describe, read_json, read_regular
from .files import find_file
from .general_tokenizer import build_general_tokenizer, check_ids
from .sentencepiece_model import read_sentencepiece
from .tokenizer import (
    END_OF_TEXT,
    GPT2_CLASSES,
    SPECIAL,
    TOKENIZER,
    TOKENIZER_CONFIG,
    build_tokenizer,
    is_plain_bpe,
    parse_effective,
    parse_token,
)

VOCABULARY, MERGES, SPECIAL_MAP, ADDED = "vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json"
SENTENCEPIECE = "spiece.model"
OTHER_FORMATS = ("sentencepiece.model", "tokenizer.model", "spm.model", "vocab.txt")
_T5_CLASSES = ("T5Tokenizer", "T5TokenizerFast")
_T5_TOKENS = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
TOKENIZER_FILES = (TOKENIZER, TOKENIZER_CONFIG, VOCABULARY, MERGES, SPECIAL_MAP, ADDED, SENTENCEPIECE, *OTHER_FORMATS)
_OWN = (*SPECIAL, "cls_token", "sep_token", "mask_token")  # the model's own; others were added for messages
_REMEDY = (
    "Save both in a new folder, and name that: in Python, "
    "transformers.AutoTokenizer.from_pretrained({source!r}).save_pretrained('gpt2-folder'); "
    "transformers.AutoModelForCausalLM.from_pretrained({source!r}).save_pretrained('gpt2-folder')."
)


@dataclass(frozen=True)
class ForeignTokenizer:
    """A tokenizer that is ready for messages.

    Attributes:
        tokenizer: It pads on the right.
        notes: What was decided that its files do not say, a few words each.
    """

    tokenizer: PreTrainedTokenizerFast
    notes: tuple[str, ...]


def read_foreign_tokenizer(
    folder: Path, vocab_size: int, context_length: int, ids: Mapping[str, Any], source: str
) -> ForeignTokenizer | None:
    """Return the tokenizer in a folder with a GPT-2, or `None` if the folder has none.

    Args:
        folder: The folder.
        vocab_size: The model's; the tokenizer may have fewer tokens.
        context_length: The model's, in tokens.
        ids: The content of the model's `config.json`, whose special ids count where the tokenizer names none.
        source: How the user named the folder, for messages.

    Raises:
        UserError: If it is damaged, of a format that is not read, or has ids that the model does not have.
    """
    settings_path = find_file(folder, TOKENIZER_CONFIG)
    values = {} if settings_path is None else read_json(settings_path)
    map_path = find_file(folder, SPECIAL_MAP)
    if map_path is not None:
        values |= {name: token for name, token in read_json(map_path).items() if token is not None}
    class_ = values.get("tokenizer_class")
    if class_ in _T5_CLASSES:
        values = {**_T5_TOKENS, **values}
    found = _read_content(folder, source, "</s>" if class_ in _T5_CLASSES else None)
    if found is None:
        return None
    content, path = found
    general = class_ not in (None, *GPT2_CLASSES) or not is_plain_bpe(content)
    vocabulary = _vocabulary(content, path)
    check_ids(vocabulary, vocab_size, path)
    if not general and END_OF_TEXT in vocabulary:  # what the class itself defaults to
        values = {**dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT), **values}
    place = settings_path or path
    named = {name: parse_token(values[name], name, place) for name in _OWN if values.get(name)}
    named, notes = _settle(named, vocabulary, ids, place, source)
    settings = parse_effective({**values, **dict.fromkeys(SPECIAL), **named}, place)
    settings |= {"padding_side": "right", "split_special_tokens": True}
    settings["model_max_length"] = min(settings.get("model_max_length", context_length), context_length)
    content = _mark_added(content, {str(token) for token in named.values()})
    config = SpamGPTFields(vocab_size=vocab_size, pad_token_id=vocabulary[str(named["pad_token"])])
    general = general or any(name not in named for name in ("bos_token", "eos_token", "unk_token"))
    if not general:
        return ForeignTokenizer(build_tokenizer(content, settings, config, path), notes)
    settings.pop("add_bos_token", None)  # its file says what it adds; see transformers' `_from_pretrained`
    return ForeignTokenizer(_build_general(content, settings, config, path, named), notes)


def _read_content(folder: Path, source: str, append: str | None) -> tuple[dict[str, Any], Path] | None:
    """Return the content of `tokenizer.json`, or the same made of GPT-2's two older files or of `spiece.model`."""
    path = find_file(folder, TOKENIZER)
    if path is not None:
        return read_json(path), path
    path, merges = find_file(folder, VOCABULARY), find_file(folder, MERGES)
    if path is not None and merges is not None:
        try:
            lines = read_regular(merges, LARGEST_JSON).decode("utf-8").split("\n")
        except UnicodeDecodeError:
            raise UserError(f"{merges}: expected merges in UTF-8, found something else. Download it again.") from None
        lines = [line.rstrip("\r") for line in lines[lines[0].startswith("#version") :]]
        model = {"type": "BPE", "vocab": read_json(path), "merges": [line for line in lines if line]}
        added = _read_added(folder)
        return {"model": model, "pre_tokenizer": {"type": "ByteLevel"}, "added_tokens": added}, path
    path = find_file(folder, SENTENCEPIECE)
    if path is not None:
        return read_sentencepiece(path, append), path
    other = next((name for name in OTHER_FORMATS if find_file(folder, name) is not None), None)
    if other is not None:
        files = f"{TOKENIZER}, or {VOCABULARY} and {MERGES}, or {SENTENCEPIECE}"
        raise UserError(f"{folder}: expected {files}, found {other}. {_REMEDY.format(source=source)}")
    return None


def _read_added(folder: Path) -> list[dict[str, Any]]:
    path = find_file(folder, ADDED)
    if path is None:
        return []
    tokens = read_json(path)
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return [{"id": id_, "content": token, **flags} for token, id_ in tokens.items()]


def _vocabulary(content: Mapping[str, Any], path: Path) -> dict[str, int]:
    """Return the id of each token, the added ones included, whatever kind of model it is."""
    model, added = content.get("model"), content.get("added_tokens") or []
    listed = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(listed, list):  # of pieces and their scores
        whole = all(isinstance(piece, list) and piece and isinstance(piece[0], str) for piece in listed)
        listed = {piece[0]: id_ for id_, piece in enumerate(listed)} if whole else None
    if not isinstance(listed, dict):
        raise UserError(f"{path}: expected a vocabulary of tokens to ids, found {describe(listed)}.")
    if not isinstance(added, list) or not all(isinstance(token, dict) for token in added):
        raise UserError(f"{path}: expected a list of added_tokens, found {describe(added)}.")
    tokens: dict[Any, Any] = {str(token.get("content")): token.get("id") for token in added}
    vocabulary = {**listed, **tokens}
    if not all(isinstance(token, str) and type(id_) is int and id_ >= 0 for token, id_ in vocabulary.items()):
        raise UserError(f"{path}: expected a vocabulary of tokens to ids, found other values in it.")
    return vocabulary


def _settle(
    named: dict[str, Any], vocabulary: Mapping[str, int], ids: Mapping[str, Any], place: Path, source: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the special tokens that the vocabulary has, the padding among them, and what was decided about it."""
    known = {name: token for name, token in named.items() if str(token) in vocabulary}
    if "pad_token" in known:
        return known, ()
    missing = named.get("pad_token")
    reason = "no padding token" if missing is None else f"no id for its padding token {str(missing)!r}"
    if "eos_token" not in known:  # then the model's own file may say which it is
        names = {id_: token for token, id_ in vocabulary.items()}
        given = [ids.get(name) for name in ("pad_token_id", "eos_token_id")]
        found = next((names[id_] for id_ in given if type(id_) is int and id_ in names), None)
        if found is None:
            raise UserError(
                f"{place}: expected a padding token, or an eos_token to pad with, found neither. Name one: in Python, "
                f"tokenizer = transformers.AutoTokenizer.from_pretrained({source!r}); tokenizer.pad_token = "
                f"tokenizer.convert_ids_to_tokens(0); tokenizer.save_pretrained(FOLDER)."
            )
        known["eos_token"] = found
    known["pad_token"] = known["eos_token"]
    return known, (f"it has {reason}: {str(known['eos_token'])!r} pads",)


def _mark_added(content: Mapping[str, Any], own: set[str]) -> dict[str, Any]:
    """Return the content with the special tokens that are not the model's own as ordinary added tokens."""
    added = content.get("added_tokens") or []
    return {**content, "added_tokens": [{**it, "special": it.get("content") in own} for it in added]}


def _build_general(
    content: dict[str, Any],
    settings: Mapping[str, Any],
    config: SpamGPTFields,
    path: Path,
    named: Mapping[str, str | AddedToken],
) -> PreTrainedTokenizerFast:
    """Build a general tokenizer in which the model's own special tokens stay text inside a message.

    They do unless the model of the vocabulary makes them of text by itself, as one of pieces with scores does: it does
    not know which are special. There a message is divided inside such a token before.
    """
    tokenizer = build_general_tokenizer(content, settings, config.vocab_size, config.pad_token_id, path)
    for token in dict.fromkeys(map(str, named.values())):
        id_, last = tokenizer.get_vocab()[token], token[-1]
        if len(token) < 2 or _count(tokenizer, f"a{token}a", id_) <= _count(tokenizer, "", id_):
            continue
        pattern = f"(?<={re.escape(token[:-1])}){re.escape(last)}"
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        before = content.get("pre_tokenizer")
        steps = [] if before is None else [before]
        content = {**content, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*steps, split]}}
    return build_general_tokenizer(content, settings, config.vocab_size, config.pad_token_id, path)


def _count(tokenizer: PreTrainedTokenizerFast, text: str, id_: int) -> int:
    return int(tokenizer(text)["input_ids"].count(id_))
