"""Read the body of one of our own runs, to start another from it: the head is new, as its labels may be others."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ..checkpoint.configuration import CONFIG, is_adapter
from ..checkpoint.files import find_file
from ..checkpoint.loading import load_model, read_weights
from ..checkpoint.opening import Kind, open_checkpoint
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.fields_spam_gpt import SpamGPTFields
from ..system.reading import read_json

_KINDS: tuple[Kind, ...] = ("checkpoint", "language model", "adapter")
_SIZES = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers", "qkv_bias")
_HEADS = ("out_head.", "score.", "lm_head.")


def is_own(folder: Path) -> bool:
    """Tell whether a folder says that it holds a model of ours."""
    path = find_file(folder, CONFIG)
    if path is None:
        return is_adapter(folder)
    return read_json(path).get("model_type") == SpamGPTConfig.model_type


def read(folder: Path) -> dict[str, Any]:
    """Return the sizes, the tensors under the book's names without the head, the tokenizer, and notes.

    Raises:
        UserError: If the folder is not what it says; see `checkpoint.opening`.
    """
    opened = open_checkpoint(folder, _KINDS)
    state = load_model(opened).state_dict() if opened.kind == "adapter" else read_weights(opened)
    found = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    head = "the vocabulary" if opened.kind == "language model" else "its labels"
    return {
        "sizes": {name: getattr(opened.config, name) for name in _SIZES},
        "state": {name: tensor for name, tensor in found.items() if not name.startswith(_HEADS)},
        "source": str(folder),
        "tokenizer": opened.tokenizer and _whole_context(opened.tokenizer, opened.config),
        "notes": (f"of a run of ours: its head over {head} is left out", *_describe_reading(opened.config)),
    }


def _describe_reading(config: SpamGPTFields) -> list[str]:
    """Say what the new run may want to keep, where the run differs from the defaults."""
    reading = [] if config.pooling == "last_token" else [f"it was read at {config.pooling}"]
    return reading if config.causal else [*reading, "it was trained without a causal mask"]


def _whole_context(tokenizer: PreTrainedTokenizerFast, config: SpamGPTFields) -> PreTrainedTokenizerFast:
    """Undo the length to which the earlier run cut its texts."""
    tokenizer.model_max_length = config.context_length
    return tokenizer
