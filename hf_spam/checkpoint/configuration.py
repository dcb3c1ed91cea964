"""Read a model's `config.json`: which kind of model, of which sizes, with which labels.

The values are those of a stranger until they have been checked, so no class of transformers reads the file: it would
take any type, allocate any size, and follow what a configuration may name (an attention kernel to download, a
quantization library, code of its own). Only the fields below are used, each with its type and its bounds.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError
from ..model.fields_spam_gpt import SpamGPTFields
from ..system.reading import describe, read_json
from .files import find_file, require_file
from .operating_point import read_point

Kind = Literal["checkpoint", "language model", "gpt2"]

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
MODEL_TYPE = "spam_gpt"
_KINDS: dict[str, Kind] = {
    "SpamGPTForSequenceClassification": "checkpoint",
    "SpamGPTForCausalLM": "language model",
    "GPT2ForSequenceClassification": "gpt2",
}
# The largest value of each size that we believe: several times GPT-2 XL's. The weights' own sizes are compared later.
LARGEST = {"vocab_size": 2**20, "context_length": 2**17, "emb_dim": 2**15, "n_heads": 2**10, "n_layers": 2**10}
_MOST_LABELS = 10_000
_LONGEST_LABEL = 200  # characters
_FLOATS = ("drop_rate", "initializer_range")
_FLAGS = ("qkv_bias", "tie_word_embeddings", "causal")
_IDS = ("pad_token_id", "bos_token_id", "eos_token_id")
_PROBLEM_TYPES = (None, "single_label_classification", "multi_label_classification", "regression")

# GPT-2's names for our sizes, with the values that its configuration may leave out.
_GPT2_SIZES = {
    "vocab_size": ("vocab_size", 50257),
    "context_length": ("n_positions", 1024),
    "emb_dim": ("n_embd", 768),
    "n_heads": ("n_head", 12),
    "n_layers": ("n_layer", 12),
}
# What the book's model fixes: the value, and transformers' default, which the file may leave out.
_GPT2_FIXED: dict[str, tuple[object, object]] = {
    "model_type": ("gpt2", None),
    "activation_function": ("gelu_new", "gelu_new"),  # or another name of it; see below
    "layer_norm_epsilon": (1e-5, 1e-5),
    "scale_attn_weights": (True, True),
    "scale_attn_by_inverse_layer_idx": (False, False),
    "add_cross_attention": (False, False),
}
_SAME_ACTIVATION = ("gelu_pytorch_tanh", "gelu_fast", "gelu_python_tanh")  # the same function up to rounding


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder says that it holds an adapter. One beside a whole model changes nothing there."""
    return find_file(folder, ADAPTER_CONFIG) is not None and find_file(folder, CONFIG) is None


def read_configuration(folder: Path) -> tuple[Kind, SpamGPTFields]:
    """Return the kind of the model in a folder, and its configuration; that of a GPT-2 is translated to ours.

    Raises:
        UserError: If there is no readable `config.json`, it is of another model, or a field has a wrong type or value.
    """
    path = require_file(folder, CONFIG, "Name a folder that hf-spam train or hf-spam export saved.")
    return parse_configuration(read_json(path), path)


def parse_configuration(values: Mapping[str, Any], path: Path) -> tuple[Kind, SpamGPTFields]:
    """Return what the content of a `config.json` describes; see `read_configuration`."""
    kind = _find_kind(values, path)
    if "quantization_config" in values:
        raise UserError(f"{path}: expected weights as they were trained, found a quantization_config.")
    fields: dict[str, Any]
    if kind == "gpt2":
        drop_rate = _number(values.get("resid_pdrop", 0.1), "resid_pdrop", path)
        fields = {**read_gpt2_sizes(values, path), "drop_rate": drop_rate}
    else:
        fields = {name: whole(values[name], name, path, 1, LARGEST[name]) for name in LARGEST if name in values}
        fields |= {name: _number(values[name], name, path) for name in _FLOATS if name in values}
        fields |= {name: _flag(values[name], name, path) for name in _FLAGS if name in values}
        fields |= {name: values[name] for name in ("pooling",) if name in values}
        if "ignore_index" in values:
            fields["ignore_index"] = whole(values["ignore_index"], "ignore_index", path, -(10**9), 10**9)
        if values.get("pad_to_length") is not None:
            fields["pad_to_length"] = whole(values["pad_to_length"], "pad_to_length", path, 1, 2**17)
    last_id = fields.get("vocab_size", SpamGPTFields.vocab_size) - 1
    for name in _IDS:
        if name in values:  # null where the model does without
            fields[name] = None if values[name] is None else whole(values[name], name, path, 0, last_id)
    if kind != "language model":
        fields |= _read_labels(values, path)
        point = read_point(values.get("operating_point"), fields["id2label"], path)
        fields["operating_point"] = None if point is None else point.to_dict()
    names = {name: architecture for architecture, name in _KINDS.items()}
    try:
        return kind, SpamGPTFields(**fields, architectures=[names[kind]])
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: {error}.") from None


def read_gpt2_sizes(values: Mapping[str, Any], path: Path) -> dict[str, int]:
    """Return the sizes of a GPT-2, under our names, from the content of its `config.json`.

    Raises:
        UserError: If a size is none, or the file describes another architecture than the book's.
    """
    for name, (expected, default) in _GPT2_FIXED.items():
        found = values.get(name, default)
        if name == "activation_function" and found in _SAME_ACTIVATION:
            continue
        if found != expected or isinstance(found, bool) != isinstance(expected, bool):
            raise UserError(f"{path}: expected {name} {expected!r}, found {found!r}.")
    if "quantization_config" in values:
        raise UserError(f"{path}: expected weights as they were trained, found a quantization_config.")
    sizes = {
        ours: whole(values.get(theirs, default), theirs, path, 1, LARGEST[ours])
        for ours, (theirs, default) in _GPT2_SIZES.items()
    }
    inner = values.get("n_inner")
    if inner is not None and inner != 4 * sizes["emb_dim"]:
        raise UserError(f"{path}: expected n_inner {4 * sizes['emb_dim']} or null, found {inner!r}.")
    if sizes["emb_dim"] % sizes["n_heads"]:
        raise UserError(f"{path}: expected n_embd to be a multiple of n_head, found {sizes}.")
    return sizes


def _find_kind(values: Mapping[str, Any], path: Path) -> Kind:
    architectures = values.get("architectures")
    name = architectures[0] if isinstance(architectures, list) and len(architectures) == 1 else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise UserError(
            f"{path}: expected a model saved by hf-spam train or hf-spam export (architectures: one of "
            f"{', '.join(_KINDS)}), found architectures {architectures!r}."
        )
    model_type = "gpt2" if kind == "gpt2" else MODEL_TYPE
    if values.get("model_type") != model_type:
        raise UserError(f"{path}: expected model_type {model_type}, found {values.get('model_type')!r}.")
    return kind


def _read_labels(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return `id2label` and `label2id`: a name for each id from 0, and the same the other way round."""
    names = values.get("id2label")
    if not isinstance(names, dict) or not 1 <= len(names) <= _MOST_LABELS:
        raise UserError(f"{path}: expected id2label, the name of each label by its id, found {describe(names)}.")
    if set(names) != {str(id_) for id_ in range(len(names))}:
        raise UserError(f"{path}: expected in id2label the ids 0 to {len(names) - 1}, found {', '.join(names)}.")
    labels = {id_: names[str(id_)] for id_ in range(len(names))}
    for id_, label in labels.items():
        if not isinstance(label, str) or not label.strip() or len(label) > _LONGEST_LABEL:
            raise UserError(
                f"{path}: expected as label {id_} a name of up to {_LONGEST_LABEL} characters, found {label!r}."
            )
    ids = {label: id_ for id_, label in labels.items()}
    if len(ids) < len(labels):
        raise UserError(f"{path}: expected a different name for each label, found {', '.join(labels.values())}.")
    given = values.get("label2id")
    given = ids if given is None else given
    if given != ids or (isinstance(given, dict) and any(isinstance(id_, bool) for id_ in given.values())):
        raise UserError(f"{path}: expected label2id to be id2label the other way round, {ids}, found {given!r}.")
    if values.get("num_labels", len(labels)) != len(labels):
        raise UserError(f"{path}: expected num_labels {len(labels)}, as id2label has, found {values['num_labels']!r}.")
    if values.get("problem_type") not in _PROBLEM_TYPES:
        raise UserError(
            f"{path}: expected problem_type single_label_classification, found {values['problem_type']!r}."
        )
    return {"id2label": labels, "label2id": ids, "problem_type": values.get("problem_type")}


def whole(value: object, name: str, place: object, low: int, high: int) -> int:
    """Return a whole number that a stranger's file gives.

    Raises:
        UserError: If it is none, or not from `low` to `high`.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(f"{place}: expected {name} from {low} to {high:,}, found {value!r}.")
    return value


def _number(value: object, name: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{path}: expected a number as {name}, found {value!r}.")
    return float(value)


def _flag(value: object, name: str, path: Path) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{path}: expected true or false as {name}, found {value!r}.")
    return value
