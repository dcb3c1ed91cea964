"""Read a folder's tokenizer, whose ids are the model's: GPT-2's byte-level BPE, or what `tokenizer.json` describes.

GPT-2's is built from the vocabulary and the merges of `tokenizer.json`, as transformers builds a `GPT2Tokenizer`; see
`general_tokenizer` for the others. Nothing else of the two files has an effect but the settings below.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from ..errors import UserError
from ..model.fields_spam_gpt import SpamGPTFields
from ..system.reading import describe, read_json
from ..tokens.encoding import Encoder, to_encoder
from .configuration import whole
from .files import find_file, require_file
from .general_tokenizer import build_general_backend, build_general_tokenizer, building

if TYPE_CHECKING:
    from transformers import GPT2Tokenizer, PreTrainedTokenizerFast

TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
END_OF_TEXT = "<|endoftext|>"  # what `GPT2Tokenizer` adds where no other special token is named
GPT2_CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")
_GENERAL_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
_FLAGS = ("add_prefix_space", "split_special_tokens", "add_bos_token")
_LONGEST = 2**63 - 1
_REMEDY = "Save it again with the model: tokenizer.save_pretrained(folder)."


def read_encoder(folder: Path, config: SpamGPTFields) -> Encoder:
    """Return the tokenizer of the model in a folder, without transformers' around it.

    Raises:
        UserError: See `read_tokenizer`, which fails on the same folders.
    """
    content, settings, general, path = _read_files(folder, config)
    usual = _is_usual(content, settings)
    if not usual:
        return to_encoder(read_tokenizer(folder, config))
    if general:
        backend = build_general_backend(content, settings, config.vocab_size, config.pad_token_id, path)
    else:
        vocabulary, merges, added = _check_bpe(content, settings, config, path)
        backend = _build_bpe(vocabulary, merges, added, bool(settings.get("add_prefix_space")), path)
    splits = bool(settings.get("split_special_tokens"))
    backend.encode_special_tokens = splits
    length = settings["model_max_length"]
    return Encoder(backend, length, not general, splits, lambda: read_tokenizer(folder, config))


def read_tokenizer(folder: Path, config: SpamGPTFields) -> "PreTrainedTokenizerFast":
    """Return the tokenizer of the model in a folder, the same as transformers' `AutoTokenizer`.

    Raises:
        UserError: If a file is missing or damaged, its class is not one that we save, or its ids are not the model's.
    """
    content, settings, general, path = _read_files(folder, config)
    if general:
        return build_general_tokenizer(content, settings, config.vocab_size, config.pad_token_id, path)
    return build_tokenizer(content, settings, config, path)


def _read_files(folder: Path, config: SpamGPTFields) -> tuple[dict[str, Any], dict[str, Any], bool, Path]:
    """Return the content of `tokenizer.json`, the settings, whether it is of the general class, and its path."""
    path = require_file(folder, TOKENIZER, _REMEDY)
    settings_path = require_file(folder, TOKENIZER_CONFIG, _REMEDY)
    values, content = read_json(settings_path), read_json(path)
    settings = parse_settings(values, settings_path)
    settings.setdefault("model_max_length", config.max_text_length)
    general = values.get("tokenizer_class") in _GENERAL_CLASSES and not is_plain_bpe(content)
    return content, settings, general, path


def _is_usual(content: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Tell whether transformers' class adds nothing of its own to what the files say, as where we saved them.

    It would put a token before every text, or make tokens of its special ones; what it does then is its own affair.
    """
    tokens = content.get("added_tokens")
    special = {
        token.get("content")
        for token in (tokens if isinstance(tokens, list) else [])
        if isinstance(token, dict) and token.get("special") is True
    }
    named = {str(settings[name]) for name in SPECIAL if settings.get(name)}
    return "add_bos_token" not in settings and named <= special


def is_plain_bpe(content: Mapping[str, Any]) -> bool:
    """Tell whether a `tokenizer.json` describes what a `GPT2Tokenizer` makes of its vocabulary and merges."""
    model, before, after = (content.get(part) for part in ("model", "pre_tokenizer", "post_processor"))
    if not isinstance(model, dict) or not isinstance(before, dict) or content.get("normalizer") is not None:
        return False
    usual: dict[str, tuple[object, ...]] = {
        "type": ("BPE", None),
        "dropout": (None,),
        "unk_token": (None, END_OF_TEXT),
    }
    usual |= dict.fromkeys(("continuing_subword_prefix", "end_of_word_suffix"), (None, ""))
    usual |= dict.fromkeys(("fuse_unk", "byte_fallback", "ignore_merges"), (None, False))
    return (
        all(model.get(name) in values for name, values in usual.items())
        and before.get("type") == "ByteLevel"
        and before.get("use_regex", True) is True
        and (after is None or (isinstance(after, dict) and after.get("type") in ("ByteLevel", "TemplateProcessing")))
        and not (isinstance(after, dict) and after.get("special_tokens"))
    )


def has_tokenizer(folder: Path) -> bool:
    """Tell whether a folder holds a part of a tokenizer."""
    return any(find_file(folder, name) for name in (TOKENIZER, TOKENIZER_CONFIG))


def build_tokenizer(
    content: Mapping[str, Any], settings: Mapping[str, Any], config: SpamGPTFields, path: Path
) -> "GPT2Tokenizer":
    """Return the tokenizer that the content of a `tokenizer.json` describes.

    Args:
        content: The file's content.
        settings: From `parse_settings`.
        config: The model's configuration; its vocabulary is the tokenizer's.
        path: The file, for messages.

    Raises:
        UserError: See `read_tokenizer`.
    """
    from transformers import GPT2Tokenizer

    vocabulary, merges, added = _check_bpe(content, settings, config, path)
    with building(path):
        return GPT2Tokenizer(
            vocab=vocabulary,
            merges=merges,  # type: ignore[arg-type]
            added_tokens_decoder=added,
            **settings,
        )


_Bpe = tuple[dict[str, int], list[tuple[str, str]], dict[int, AddedToken]]


def _check_bpe(content: Mapping[str, Any], settings: Mapping[str, Any], config: SpamGPTFields, path: Path) -> _Bpe:
    """Return the vocabulary, the merges and the added tokens that a `tokenizer.json` describes, the model's all."""
    vocabulary, merges = _read_bpe(content, path)
    added = _read_added_tokens(content.get("added_tokens", []), path)
    tokens = {**vocabulary, **{token.content: id_ for id_, token in added.items()}}
    if len(tokens) != len(vocabulary.keys() | {token.content for token in added.values()}) or sorted(
        tokens.values()
    ) != list(range(len(tokens))):
        raise UserError(f"{path}: expected one token for each id from 0, found ids that are missing or taken twice.")
    if len(tokens) > config.vocab_size:  # fewer are usual: vocabularies are padded to a multiple of a round number
        raise UserError(
            f"{path}: expected the {config.vocab_size:,} tokens of the model's vocabulary, found {len(tokens):,}: the "
            f"tokenizer of another model."
        )
    for name in SPECIAL:
        token = settings.get(name)
        if token is not None and str(token) not in tokens:
            raise UserError(f"{path}: expected the {name} {str(token)!r} in the vocabulary, found none.")
    padding = settings.get("pad_token")
    if padding is not None and tokens[str(padding)] != config.pad_token_id:
        raise UserError(
            f"{path}: expected the padding to be id {config.pad_token_id}, as in config.json, found "
            f"{tokens[str(padding)]}: the tokenizer of another model."
        )
    unnamed = [name for name in SPECIAL if name != "pad_token" and not settings.get(name)]
    if unnamed and END_OF_TEXT not in tokens:  # transformers' class would add it
        special = dict.fromkeys([*(str(settings[name]) for name in SPECIAL if settings.get(name)), END_OF_TEXT])
        raise UserError(f"{path}: expected the special tokens {', '.join(special)} in the vocabulary.")
    return vocabulary, merges, added


def _build_bpe(
    vocabulary: dict[str, int],
    merges: list[tuple[str, str]],
    added: Mapping[int, AddedToken],
    add_prefix_space: bool,
    path: Path,
) -> Tokenizer:
    """Return what transformers' `GPT2Tokenizer` makes of them."""
    with building(path):
        model = BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False)
        backend = Tokenizer(model)
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
        backend.decoder = decoders.ByteLevel()
        backend.add_tokens([added[id_] for id_ in sorted(added)])
    return backend


def parse_settings(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the settings in the content of a `tokenizer_config.json` that have an effect here.

    Raises:
        UserError: If a setting has a wrong type or value.
    """
    class_ = values.get("tokenizer_class")
    if class_ is not None and class_ not in (*GPT2_CLASSES, *_GENERAL_CLASSES):
        raise UserError(f"{path}: expected the tokenizer_class GPT2Tokenizer, found {class_!r}.")
    return parse_effective(values, path)


def parse_effective(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the same whatever the class is; see `parse_settings`.

    Raises:
        UserError: If a setting has a wrong type or value.
    """
    settings: dict[str, Any] = {name: parse_token(values[name], name, path) for name in SPECIAL if values.get(name)}
    length = values.get("model_max_length")
    if isinstance(length, float) and length.is_integer() and length > 0:
        length = int(length)  # transformers' "no limit" is 1e30
    if length is not None:
        settings["model_max_length"] = whole(
            min(length, _LONGEST) if isinstance(length, int) else length, "model_max_length", path, 1, _LONGEST
        )
    for name in _FLAGS:
        if name in values:
            if not isinstance(values[name], bool):
                raise UserError(f"{path}: expected true or false as {name}, found {values[name]!r}.")
            settings[name] = values[name]
    side = values.get("padding_side", "right")
    if side not in ("left", "right"):
        raise UserError(f"{path}: expected the padding_side left or right, found {side!r}.")
    return {**settings, "padding_side": side}


def _read_bpe(content: Mapping[str, Any], path: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    model, before = content.get("model"), content.get("pre_tokenizer")
    kind = model.get("type", "BPE") if isinstance(model, dict) else describe(model)
    words = before.get("type") if isinstance(before, dict) else describe(before)
    if not isinstance(model, dict) or kind != "BPE" or words != "ByteLevel" or content.get("normalizer") is not None:
        raise UserError(
            f"{path}: expected GPT-2's byte-level BPE, found {kind!r} on {words!r}: the tokenizer of another model."
        )
    vocabulary, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocabulary, dict) or not all(type(id_) is int for id_ in vocabulary.values()):
        raise UserError(f"{path}: expected a vocabulary of tokens to ids, found {describe(vocabulary)}.")
    if not isinstance(merges, list):
        raise UserError(f"{path}: expected a list of merges, found {describe(merges)}.")
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else merge for merge in merges]
    odd = next((n for n, pair in enumerate(pairs) if not isinstance(pair, list | tuple) or len(pair) != 2), None)
    if odd is not None:
        raise UserError(f"{path}: expected pairs of tokens as merges, found {merges[odd]!r} as number {odd + 1}.")
    # The library checks the tokens' types, and that they are in the vocabulary: in a tenth of the time.
    return vocabulary, [(first, second) for first, second in pairs]


def _read_added_tokens(tokens: object, path: Path) -> dict[int, AddedToken]:
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        raise UserError(f"{path}: expected a list of added_tokens, found {describe(tokens)}.")
    added = {}
    for token in tokens:
        id_ = whole(token.get("id"), "the id of an added token", path, 0, 2**20)
        added[id_] = parse_token({name: value for name, value in token.items() if name != "id"}, "added token", path)
    return {id_: token if isinstance(token, AddedToken) else AddedToken(token) for id_, token in added.items()}


def parse_token(value: object, name: str, path: Path) -> str | AddedToken:
    """Return a special token that a stranger's file gives, as a text or with its flags.

    Raises:
        UserError: If it is none.
    """
    if isinstance(value, dict) and isinstance(value.get("content"), str) and value["content"]:
        flags = {
            flag: value[flag] for flag in ("single_word", "lstrip", "rstrip", "normalized", "special") if flag in value
        }
        if all(isinstance(flag, bool) for flag in flags.values()):
            return AddedToken(value["content"], **flags)
    if isinstance(value, str) and value:
        return value
    raise UserError(f"{path}: expected a token as {name}, found {value!r}.")
