"""The weights of a folder that `open_checkpoint` has checked, as a model.

It is one of transformers. `engines.torch_engine.load_plain` gives the same in plain torch.
"""

from typing import Any

import torch
from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedModel

from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.fields_spam_gpt import SpamGPTFields
from ..model.modeling_spam_gpt import SpamGPTForCausalLM, SpamGPTForSequenceClassification
from .adapter import merge, read_adapter_weights, require_peft
from .opening import Checkpoint, Kind
from .tensors import OLD_NAMES, State, read_state

_CLASSES: dict[Kind, type[PreTrainedModel]] = {
    "checkpoint": SpamGPTForSequenceClassification,
    "language model": SpamGPTForCausalLM,
    "gpt2": GPT2ForSequenceClassification,
}


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


def load_model(
    checkpoint: Checkpoint, dtype: torch.dtype = torch.float32, state: State | None = None
) -> PreTrainedModel:
    """Return the model of a checkpoint on the CPU; an adapter merged into its base.

    Args:
        checkpoint: The folder, checked.
        dtype: Of the weights.
        state: Its tensors, where they were read before: the folder may hold others by now.

    Raises:
        UserError: If its weights are not those of its configuration, or an adapter's peft is not installed.
    """
    if checkpoint.adapter is not None and checkpoint.base is not None:
        require_peft(f"{checkpoint.folder}, an adapter")
        own = read_adapter_weights(checkpoint.folder, checkpoint.adapter, checkpoint.config)
        base: Any = load_model(checkpoint.base)
        return merge(base, checkpoint.adapter, own).to(dtype)  # type: ignore[arg-type]
    class_: Any = _CLASSES[checkpoint.kind]
    state = read_weights(checkpoint) if state is None else state
    # From the tensors in memory, not from the folder: transformers would follow other files in it, such as adapters.
    model: PreTrainedModel = class_.from_pretrained(None, config=_config(checkpoint), state_dict=state, dtype=dtype)
    return model


def _config(checkpoint: Checkpoint) -> Any:
    fields = checkpoint.config
    return to_gpt2_config(fields) if checkpoint.kind == "gpt2" else SpamGPTConfig.from_fields(fields)


def to_gpt2_config(config: SpamGPTFields | SpamGPTConfig) -> GPT2Config:
    """Return the configuration of transformers' GPT-2 classifier of the same sizes and labels."""
    more: dict[str, Any] = {"operating_point": config.operating_point} if config.operating_point else {}
    return GPT2Config(
        vocab_size=config.vocab_size,
        n_positions=config.context_length,
        n_embd=config.emb_dim,
        n_layer=config.n_layers,
        n_head=config.n_heads,
        resid_pdrop=config.drop_rate,
        embd_pdrop=config.drop_rate,
        attn_pdrop=config.drop_rate,
        initializer_range=config.initializer_range,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        id2label=config.id2label,
        label2id=config.label2id,
        problem_type=config.problem_type,
        **more,
    )
