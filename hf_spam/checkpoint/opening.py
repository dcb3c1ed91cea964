"""The one way in for a folder with a model: everything is checked, or the folder is refused in one line.

What is read later (scores, cards, a push) starts from here. No code of the folder runs, whatever its files say.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import GPT2ForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

from ..errors import UserError
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForCausalLM, SpamGPTForSequenceClassification
from ..system.manifest import MANIFEST_FILE, check_manifest, read_manifest
from ..system.reading import is_folder
from .adapter import Adapter, is_adapter, merge, read_adapter, read_adapter_weights, require_peft
from .adapter_base import find_base
from .configuration import read_configuration, to_gpt2_config
from .files import find_file
from .tensors import SINGLE, State, find_weights, read_state
from .tokenizer import has_tokenizer, read_tokenizer

logger = logging.getLogger(__name__)

Kind = Literal["checkpoint", "language model", "gpt2", "onnx", "adapter"]
CLASSIFIERS: tuple[Kind, ...] = ("checkpoint", "gpt2", "onnx", "adapter")
_BASES: tuple[Kind, ...] = ("checkpoint",)  # of adapters
ONNX = "model.onnx"

KIND_NAMES: dict[Kind, str] = {
    "checkpoint": "a classifier",
    "language model": "a language model, which has no labels",
    "gpt2": "an export to GPT-2",
    "onnx": "an export to ONNX",
    "adapter": "an adapter",
}
_CLASSES: dict[Kind, type[PreTrainedModel]] = {
    "checkpoint": SpamGPTForSequenceClassification,
    "language model": SpamGPTForCausalLM,
    "gpt2": GPT2ForSequenceClassification,
}
# The names of today's tensors by those of our first version.
OLD_NAMES: dict[Kind, dict[str, str]] = {
    "checkpoint": {"model.out_head.weight": "score.weight", "model.out_head.bias": "score.bias"},
    "language model": {"model.out_head.weight": "lm_head.weight"},
    "gpt2": {},
}


@dataclass(frozen=True)
class Checkpoint:
    """A folder whose files have been checked against each other, weights excepted; see `read_weights`.

    Attributes:
        folder: The folder.
        kind: What it holds.
        config: The sizes and the labels, in our terms for a GPT-2 as well.
        tokenizer: Missing only beside a language model.
        adapter: What an adapter is.
        base: The classifier that an adapter belongs to.
    """

    folder: Path
    kind: Kind
    config: SpamGPTConfig
    tokenizer: PreTrainedTokenizerFast | None
    adapter: Adapter | None = None
    base: "Checkpoint | None" = None


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
    return Checkpoint(folder, kind, config, read_tokenizer(folder, config) if needed else None)


def kind_of(folder: Path) -> Kind:
    """Return what a folder holds, by its configuration and the names of its files.

    Raises:
        UserError: If its configuration is none of ours.
    """
    return "adapter" if is_adapter(folder) else _find_kind(folder)[0]


def _find_kind(folder: Path) -> tuple[Kind, SpamGPTConfig]:
    torch_kind, config = read_configuration(folder)
    onnx = find_file(folder, ONNX) is not None and find_file(folder, SINGLE) is None and torch_kind == "checkpoint"
    return "onnx" if onnx else torch_kind, config


def _open_adapter(folder: Path, kinds: Collection[Kind]) -> Checkpoint:
    _require_kind(folder, "adapter", kinds)
    adapter = read_adapter(folder)
    base = open_checkpoint(find_base(folder, adapter), _BASES)
    _report_changes(folder)
    return Checkpoint(folder, "adapter", base.config, read_tokenizer(folder, base.config), adapter, base)


def _require_kind(folder: Path, kind: Kind, kinds: Collection[Kind]) -> None:
    if kind not in kinds:
        allowed = " or ".join(KIND_NAMES[name] for name in kinds)
        raise UserError(f"{folder}: expected {allowed}, found {KIND_NAMES[kind]}. Name another folder.")


def _report_changes(folder: Path) -> None:
    if read_manifest(folder) is not None and (changed := check_manifest(folder, partly=True)):
        logger.warning("%s does not fit its %s: %s", folder, MANIFEST_FILE, "; ".join(changed))


def read_weights(checkpoint: Checkpoint) -> State:
    """Return the tensors of a checkpoint: exactly those that its configuration asks for, all finite.

    Those of an adapter are its own, without its base's, which are checked as well.

    Raises:
        UserError: If they are not.
    """
    if checkpoint.adapter is not None and checkpoint.base is not None:
        read_weights(checkpoint.base)
        return read_adapter_weights(checkpoint.folder, checkpoint.adapter, checkpoint.config)
    with torch.device("meta"):
        empty: Any = _CLASSES[checkpoint.kind](_config(checkpoint))
    shapes = {name: tuple(tensor.shape) for name, tensor in empty.state_dict().items()}
    tied = empty._tied_weights_keys if checkpoint.kind == "language model" else ()
    return read_state(checkpoint.folder, shapes, tied, OLD_NAMES[checkpoint.kind])


def load_model(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Return the model of a checkpoint on the CPU; an adapter merged into its base.

    Raises:
        UserError: If its weights are not those of its configuration, or an adapter's peft is not installed.
    """
    if checkpoint.adapter is not None and checkpoint.base is not None:
        require_peft(f"{checkpoint.folder}, an adapter")
        state = read_adapter_weights(checkpoint.folder, checkpoint.adapter, checkpoint.config)
        base: Any = load_model(checkpoint.base)
        return merge(base, checkpoint.adapter, state).to(dtype)  # type: ignore[arg-type]
    class_: Any = _CLASSES[checkpoint.kind]
    state = read_weights(checkpoint)
    # From the tensors in memory, not from the folder: transformers would follow other files in it, such as adapters.
    model: PreTrainedModel = class_.from_pretrained(None, config=_config(checkpoint), state_dict=state, dtype=dtype)
    return model


def _config(checkpoint: Checkpoint) -> Any:
    return to_gpt2_config(checkpoint.config) if checkpoint.kind == "gpt2" else checkpoint.config
