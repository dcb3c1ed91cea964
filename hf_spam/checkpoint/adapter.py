"""A LoRA adapter as peft saves it: read strictly as data, and merged into its base by peft.

`adapter_config.json` may be a stranger's. peft itself would follow what it names (other methods, a pickle, quantized
bases), so only a plain LoRA of a classifier is taken: the fields below with their bounds, and every other field empty.
"""

import importlib.util
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.fields_spam_gpt import SpamGPTFields
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..system.reading import describe, read_json
from .configuration import ADAPTER_CONFIG
from .files import find_file, require_file
from .tensors import Shapes, State, check_headers, load_tensors

ADAPTER_WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
HEAD = "score"
LARGEST_RANK = 2**15
LARGEST_ALPHA = 2**20
_MOST_TARGETS = 10_000
_TARGET = re.compile(r"[A-Za-z_]\w{0,99}(\.\w{1,100}){0,9}", re.ASCII)
_PREFIX = "base_model.model."  # of peft's names for tensors
# Fields that change nothing in a trained adapter: how it started, its dropout, what wrote it, other methods' defaults.
_IDLE = {
    *("inference_mode", "lora_dropout", "init_lora_weights", "peft_version", "revision"),
    *("loftq_config", "megatron_config", "megatron_core", "qalora_group_size", "ensure_weight_tying"),
}
_REMEDY = "Train again, or download it again."


@dataclass(frozen=True)
class Adapter:
    """What an `adapter_config.json` says.

    Attributes:
        rank: Of the two matrices of each adapted layer.
        alpha: Their product counts alpha / rank.
        targets: The adapted linear layers, by the ends of their names.
        base: `base_model_name_or_path`: a folder or a repository on the Hub.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]
    base: str


def has_peft() -> bool:
    """Tell whether peft is installed. It is not imported."""
    return importlib.util.find_spec("peft") is not None


def require_peft(what: str) -> None:
    """Refuse work that needs peft where it is not installed.

    Args:
        what: What needs it, for the message.

    Raises:
        UserError: If it is missing.
    """
    if not has_peft():
        raise UserError(f'{what}: expected the package peft, found none. Install it: pip install ".[peft]"')


def read_adapter(folder: Path) -> Adapter:
    """Return what a folder's adapter is.

    Raises:
        UserError: If it is none that we can use: not a plain LoRA of a classifier with its head, or a pickle.
    """
    path = require_file(folder, ADAPTER_CONFIG, _REMEDY)
    values = read_json(path)
    adapter = parse_adapter(values, path)
    if find_file(folder, PICKLED) is not None:
        raise UserError(
            f"{folder}: expected weights in {ADAPTER_WEIGHTS} alone, found {PICKLED}, a pickle. Delete it."
        )
    require_file(folder, ADAPTER_WEIGHTS, _REMEDY)
    return adapter


def parse_adapter(values: Mapping[str, Any], path: Path) -> Adapter:
    """Return what the content of an `adapter_config.json` says; see `read_adapter`."""
    for name, expected in (("peft_type", "LORA"), ("task_type", "SEQ_CLS"), ("bias", "none")):
        if values.get(name) != expected:
            raise UserError(f"{path}: expected {name} {expected}, found {_show(values.get(name))}.")
    rank: Any = values.get("r")
    alpha: Any = values.get("lora_alpha")
    if type(rank) is not int or not 1 <= rank <= LARGEST_RANK:
        raise UserError(f"{path}: expected r from 1 to {LARGEST_RANK:,}, found {_show(rank)}.")
    if type(alpha) not in (int, float) or not math.isfinite(alpha) or not 0 < alpha <= LARGEST_ALPHA:
        raise UserError(f"{path}: expected lora_alpha above 0, at most {LARGEST_ALPHA:,}, found {_show(alpha)}.")
    targets = values.get("target_modules")
    if (
        not isinstance(targets, list)
        or not 1 <= len(targets) <= _MOST_TARGETS
        or len(set(map(str, targets))) < len(targets)
    ):
        raise UserError(f"{path}: expected target_modules, a list of different names, found {_show(targets)}.")
    for target in targets:
        if not isinstance(target, str) or not _TARGET.fullmatch(target):
            raise UserError(f"{path}: expected names of layers in target_modules, found {_show(target)}.")
    saved = values.get("modules_to_save")
    if not isinstance(saved, list) or not all(isinstance(name, str) for name in saved):
        raise UserError(f"{path}: expected modules_to_save, a list with {HEAD}, found {_show(saved)}.")
    if HEAD not in saved or set(saved) - {HEAD, "classifier"}:  # peft adds both names that heads usually have
        raise UserError(f"{path}: expected {HEAD} alone in modules_to_save, found {_show(saved)}.")
    base = values.get("base_model_name_or_path") or ""  # in a checkpoint of a run, which names none
    if not isinstance(base, str) or len(base) > 4096 or not (base.isprintable() or base == ""):
        raise UserError(f"{path}: expected a folder or repository as base_model_name_or_path, found {_show(base)}.")
    known = {"peft_type", "task_type", "bias", "r", "lora_alpha", "target_modules", "modules_to_save"}
    for name in sorted(set(values) - known - _IDLE - {"base_model_name_or_path"}):
        if values[name]:
            raise UserError(
                f"{path}: expected a plain LoRA, found {_show(name)}: {_show(values[name])}. Merge it with what "
                f"trained it."
            )
    return Adapter(rank, float(alpha), tuple(targets), base)


def _show(value: Any) -> str:
    """Return a stranger's value for a message: short, on one line."""
    return repr(value)[:80] if isinstance(value, str | int | float | bool | None) else describe(value)


def adapted_layers(model: nn.Module, targets: tuple[str, ...]) -> dict[str, nn.Linear]:
    """Return the linear layers of a model's blocks that the targets name, as peft matches them."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.startswith("model.")
        and any(name == target or name.endswith(f".{target}") for target in targets)
    }


def read_adapter_weights(folder: Path, adapter: Adapter, config: SpamGPTFields) -> State:
    """Return the tensors of an adapter under peft's names: exactly those that it and its base ask for, all finite.

    Args:
        folder: Where they are.
        adapter: What they are.
        config: The base's.

    Raises:
        UserError: If they are not.
    """
    file = require_file(folder, ADAPTER_WEIGHTS, _REMEDY)
    with torch.device("meta"):
        empty = SpamGPTForSequenceClassification(SpamGPTConfig.from_fields(config))
    check_headers([file], folder, adapter_shapes(empty, adapter, folder / ADAPTER_CONFIG), of=ADAPTER_CONFIG)
    return load_tensors(file)


def adapter_shapes(model: SpamGPTForSequenceClassification, adapter: Adapter, path: Path) -> Shapes:
    """Return name and shape of each tensor of an adapter of this model.

    Raises:
        UserError: If a target is no layer of the model; `path` stands in the message.
    """
    for target in adapter.targets:
        if not adapted_layers(model, (target,)):
            raise UserError(f"{path}: expected layers of the base in target_modules, found {_show(target)}.")
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in adapted_layers(model, adapter.targets).items():
        shapes[f"{_PREFIX}{name}.lora_A.weight"] = (adapter.rank, layer.in_features)
        shapes[f"{_PREFIX}{name}.lora_B.weight"] = (layer.out_features, adapter.rank)
    return shapes | {f"{_PREFIX}{HEAD}.{name}": tuple(it.shape) for name, it in model.score.named_parameters()}


def wrap(model: SpamGPTForSequenceClassification, adapter: Adapter, dropout: float = 0.0) -> Any:
    """Return peft's model around a classifier, whose layers get adapters in place. Only they and the head train."""
    require_peft("LoRA")
    import peft

    alpha: Any = int(adapter.alpha) if adapter.alpha == int(adapter.alpha) else adapter.alpha
    config = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=adapter.rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=list(adapter.targets),
        modules_to_save=[HEAD],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, at a name that peft still uses
        return peft.get_peft_model(model, config)


def merge(model: SpamGPTForSequenceClassification, adapter: Adapter, state: State) -> SpamGPTForSequenceClassification:
    """Return a base with an adapter's tensors, `read_adapter_weights`, merged into it. The base is changed."""
    wrapped = wrap(model, adapter)
    import peft

    peft.set_peft_model_state_dict(wrapped, state)
    merged: SpamGPTForSequenceClassification = wrapped.merge_and_unload()
    merged.requires_grad_(True)
    return merged.eval()
