"""The one way in for a folder with a model: everything is checked, or the folder is refused in one line.

What is read later (scores, cards, a push) starts from here. No code of the folder runs, whatever its files say.
Neither torch nor transformers is imported, which takes seconds: `loading` does that.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from ..errors import UserError
from ..model.fields_spam_gpt import SpamGPTFields
from ..system.manifest import MANIFEST_FILE, check_manifest, read_manifest
from ..system.reading import is_folder
from ..tokens.encoding import Encoder
from .configuration import is_adapter, read_configuration
from .files import SINGLE, find_file, find_weights
from .tokenizer import has_tokenizer, read_encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from .adapter import Adapter

logger = logging.getLogger(__name__)

Kind = Literal["checkpoint", "language model", "gpt2", "onnx", "adapter"]
CLASSIFIERS: tuple[Kind, ...] = ("checkpoint", "gpt2", "onnx", "adapter")
_BASES: tuple[Kind, ...] = ("checkpoint",)  # of adapters
ONNX = "model.onnx"
ONNX_INPUTS = ("input_ids", "attention_mask")

KIND_NAMES: dict[Kind, str] = {
    "checkpoint": "a classifier",
    "language model": "a language model, which has no labels",
    "gpt2": "an export to GPT-2",
    "onnx": "an export to ONNX",
    "adapter": "an adapter",
}


@dataclass(frozen=True)
class Checkpoint:
    """A folder whose files have been checked against each other, weights excepted; see `loading.read_weights`.

    Attributes:
        folder: The folder.
        kind: What it holds.
        config: The sizes and the labels, in our terms for a GPT-2 as well.
        encoder: Its tokenizer; missing only beside a language model.
        adapter: What an adapter is.
        base: The classifier that an adapter belongs to.
    """

    folder: Path
    kind: Kind
    config: SpamGPTFields
    encoder: Encoder | None
    adapter: "Adapter | None" = None
    base: "Checkpoint | None" = None

    @property
    def tokenizer(self) -> "PreTrainedTokenizerFast | None":
        """The same as a tokenizer of transformers, which is built when it is first asked for."""
        return None if self.encoder is None else cast("PreTrainedTokenizerFast", self.encoder.tokenizer)


def open_checkpoint(folder: Path, kinds: Collection[Kind] = CLASSIFIERS) -> Checkpoint:
    """Check a folder's configuration, labels and tokenizer, and find its weights.

    Files that do not fit the folder's manifest are reported by a warning: they were changed since they were saved.

    Args:
        folder: Written by `hf-spam train`, `hf-spam export` or `save_pretrained`; or a download of it.
        kinds: The kinds that the caller can use.

    Raises:
        UserError: If the folder holds no such model, or a file is missing, damaged, of another model, or leads out of
            the folder.
    """
    if not is_folder(folder):
        raise UserError(f"{folder}: expected a folder with a model, found none.")
    if is_adapter(folder):
        return _open_adapter(folder, kinds)
    kind, config = _find_kind(folder)
    _require_kind(folder, kind, kinds)
    if kind == "onnx":
        find_file(folder, f"{ONNX}.data")
    else:
        find_weights(folder, "Train or export again, or download it again.")
    _report_changes(folder)
    needed = kind != "language model" or has_tokenizer(folder)
    return Checkpoint(folder, kind, config, read_encoder(folder, config) if needed else None)


def kind_of(folder: Path) -> Kind:
    """Return what a folder holds, by its configuration and the names of its files.

    Raises:
        UserError: If its configuration is none of ours.
    """
    return "adapter" if is_adapter(folder) else _find_kind(folder)[0]


def _find_kind(folder: Path) -> tuple[Kind, SpamGPTFields]:
    torch_kind, config = read_configuration(folder)
    onnx = find_file(folder, ONNX) is not None and find_file(folder, SINGLE) is None and torch_kind == "checkpoint"
    return "onnx" if onnx else torch_kind, config


def _open_adapter(folder: Path, kinds: Collection[Kind]) -> Checkpoint:
    _require_kind(folder, "adapter", kinds)
    from .adapter import read_adapter  # peft's weights need torch
    from .adapter_base import find_base

    adapter = read_adapter(folder)
    base = open_checkpoint(find_base(folder, adapter), _BASES)
    _report_changes(folder)
    return Checkpoint(folder, "adapter", base.config, read_encoder(folder, base.config), adapter, base)


def _require_kind(folder: Path, kind: Kind, kinds: Collection[Kind]) -> None:
    if kind not in kinds:
        allowed = " or ".join(KIND_NAMES[name] for name in kinds)
        raise UserError(f"{folder}: expected {allowed}, found {KIND_NAMES[kind]}. Name another folder.")


def _report_changes(folder: Path) -> None:
    if read_manifest(folder) is not None and (changed := check_manifest(folder, partly=True)):
        logger.warning("%s does not fit its %s: %s", folder, MANIFEST_FILE, "; ".join(changed))
