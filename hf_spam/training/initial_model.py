"""Options → the things a run works on: the splits, and the model with its starting weights."""

from typing import Any

import torch
from torch import nn
from transformers import set_seed

from ..conversion.from_gpt2 import SIZES, GPT2Checkpoint, fill
from ..data import sources
from ..errors import UserError
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from .arguments import ModelArguments


def build_config(
    arguments: ModelArguments,
    checkpoint: GPT2Checkpoint | None,
    vocab_size: int,
    max_length: int | None,
    longest_train_text: int,
) -> SpamGPTConfig:
    """The model's configuration.

    Args:
        arguments: What the options say of the model.
        checkpoint: Where its sizes come from; `None` for random weights.
        vocab_size: The tokenizer's.
        max_length: The longest text in tokens that the options allow, if they do.
        longest_train_text: In tokens; what `last_position` pads to without a `max_length`, as in the chapter.

    Raises:
        UserError: If the options contradict the checkpoint, or its vocabulary is not the tokenizer's.
    """
    if checkpoint is None:
        sizes: dict[str, Any] = {
            "context_length": arguments.context_length or 1024,
            **SIZES[arguments.model_size or "small"],
        }
    else:
        sizes = checkpoint.sizes
        for name, expected in (("vocab_size", vocab_size), ("context_length", arguments.context_length)):
            if expected is not None and sizes[name] != expected:
                raise UserError(f"{checkpoint.source}: expected {name} {expected}, found {sizes[name]}.")
    context_length = sizes["context_length"]
    if max_length is not None and max_length > context_length:
        raise UserError(f"expected a max_length within the context of {context_length} tokens, found {max_length}.")
    read_last_position = arguments.pooling == "last_position"
    return SpamGPTConfig(
        **sizes,
        drop_rate=arguments.drop_rate,
        pooling=arguments.pooling,
        pad_to_length=(max_length or min(longest_train_text, context_length)) if read_last_position else None,
        id2label=dict(enumerate(sources.LABELS)),
        label2id={label: id_ for id_, label in enumerate(sources.LABELS)},
        attn_implementation=arguments.attn_implementation,  # type: ignore[call-arg]
    )


def build_model(
    config: SpamGPTConfig, checkpoint: GPT2Checkpoint | None, seed: int
) -> SpamGPTForSequenceClassification:
    """A classifier from a checkpoint or from random weights, with the chapter's fresh head.

    The head is drawn as the chapter draws it, by torch's own initialisation right after seeding: the same seed gives
    the same head whatever the rest of the model drew.
    """
    set_seed(seed)
    model = SpamGPTForSequenceClassification(config)
    if checkpoint is not None:
        fill(model.model, checkpoint)
    torch.manual_seed(seed)
    head = nn.Linear(config.emb_dim, model.model.out_head.out_features)
    model.model.out_head.load_state_dict(head.state_dict())
    return model
