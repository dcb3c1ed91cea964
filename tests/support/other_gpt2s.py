"""Small GPT-2s of other languages, with tokenizers of other kinds, as transformers writes them."""

import functools
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    GPT2Model,
    GPT2Tokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    T5Tokenizer,
)

END = "<|endoftext|>"
_TEXTS = ["Gewinnen Sie jetzt!", "schöne Grüße aus München", "win a free prize 0800", "</s> a<b>c/s", "今日は東京"] * 8


def _byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=["<s>", END], initial_alphabet=sorted(alphabet))
    backend.train_from_iterator(_TEXTS, trainer)
    model = json.loads(backend.to_str())["model"]
    return model["vocab"], [(first, second) for first, second in model["merges"]]


def german() -> GPT2Tokenizer:
    """Byte-level BPE with a vocabulary of its own, and no padding token."""
    vocabulary, merges = _byte_pairs()
    return GPT2Tokenizer(vocab=vocabulary, merges=merges)  # type: ignore[arg-type]


@functools.cache  # the trainer breaks ties at random
def _pieces() -> list[tuple[str, float]]:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<pad>", "</s>", "<unk>", "<s>"]
    backend.train_from_iterator(
        _TEXTS, trainers.UnigramTrainer(vocab_size=150, special_tokens=specials, unk_token="<unk>")
    )
    return [(piece, score) for piece, score in json.loads(backend.to_str())["model"]["vocab"]]


def japanese() -> T5Tokenizer:
    """Pieces with scores, as sentencepiece makes them; every text ends with `</s>`."""
    return T5Tokenizer(vocab=_pieces(), extra_ids=0)


def write_sentencepiece(folder: Path) -> Path:
    """The Japanese one as published: the tokenizer is a `spiece.model`, which is a message of Protocol Buffers."""
    pieces = _pieces()
    make_model(len(pieces) + 5).save_pretrained(folder)
    types = {"<pad>": 3, "</s>": 3, "<unk>": 2, "<s>": 3}
    message = b"".join(
        b"\x0a"
        + _sized(
            b"\x0a" + _sized(piece.encode()) + b"\x15" + struct.pack("<f", score) + bytes([0x18, types.get(piece, 1)])
        )
        for piece, score in pieces
    )
    message += b"\x12" + _sized(b"\x18\x01") + b"\x1a" + _sized(b"\x0a" + _sized(b"identity") + b"\x18\x01")
    (folder / "spiece.model").write_bytes(message)
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "bos_token": "<s>"}'
    )
    return folder


def _sized(data: bytes) -> bytes:
    """Data after its size, in a byte or two."""
    size = len(data)
    return (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + data


def unigram() -> PreTrainedTokenizerFast:
    """Pieces with scores under a normalizer, as a general class, without a padding token."""
    backend = Tokenizer(models.Unigram(_pieces(), unk_id=2))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    names: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def chinese() -> PreTrainedTokenizerFast:
    """Words and their parts between `[CLS]` and `[SEP]`, as Bert's."""
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"今日は東京abcdegimnrst!",
        "win",
        "free",
        "##s",
        "##e",
        "gr",
    ]
    backend = Tokenizer(models.WordPiece({word: id_ for id_, word in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {name: f"[{name.split('_')[0].upper()}]" for name in ("pad_token", "cls_token", "sep_token", "mask_token")}
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", **names)


KINDS: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "german": german,
    "japanese": japanese,
    "unigram": unigram,
    "chinese": chinese,
}


def make_model(vocab_size: int, class_: Any = GPT2LMHeadModel, **options: Any) -> Any:
    """A GPT-2 of 16 × 2 with random weights."""
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 48, "initializer_range": 0.2}
    ids = dict.fromkeys(("bos_token_id", "eos_token_id"), 1)
    return class_(GPT2Config(**{"vocab_size": vocab_size, **sizes, **ids, **options})).eval()


def write(folder: Path, kind: str, padded: int = 0, model: Any = None) -> Path:
    """Write a GPT-2 with a tokenizer of a kind; the model's vocabulary may have more tokens."""
    tokenizer = KINDS[kind]()
    (model or make_model(len(tokenizer) + padded)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_two_files(folder: Path) -> Path:
    """The German one with the tokenizer in GPT-2's two older files."""
    vocabulary, merges = _byte_pairs()
    make_model(len(vocabulary)).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *map(" ".join, merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 40}')
    return folder


def _save(folder: Path, model: Any, **options: Any) -> Path:
    return write(folder, "german") and (model.save_pretrained(folder, **options), folder)[1]


def write_shards(folder: Path) -> Path:
    """Half precision in several files."""
    folder = _save(folder, make_model(len(german())).half(), max_shard_size="12KB")
    (folder / "model.safetensors").unlink()
    return folder


def write_pickle(folder: Path) -> Path:
    """bf16 as transformers 4 wrote it, in a pickle."""
    folder = write(folder, "german")
    torch.save(make_model(len(german())).to(torch.bfloat16).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def write_classifier(folder: Path) -> Path:
    """A classifier of three labels, whose head is of no use."""
    return _save(folder, make_model(len(german()), GPT2ForSequenceClassification, num_labels=3))


def write_body(folder: Path) -> Path:
    """The body alone, with an activation of another name and a width that is given."""
    options = {"activation_function": "gelu_pytorch_tanh", "n_inner": 64}
    return _save(folder, make_model(len(german()), GPT2Model, **options))
