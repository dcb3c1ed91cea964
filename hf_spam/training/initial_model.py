"""Options → a model with its starting weights."""

import os
from typing import Any

import torch
from datasets import DatasetDict
from torch import nn
from transformers import GPT2Tokenizer, set_seed

from ..conversion.from_gpt2 import SIZES, GPT2Checkpoint, fill, load_checkpoint
from ..conversion.to_book import as_book
from ..data.encoding import longest_text
from ..data.sources import LABELS
from ..errors import UserError, one_line
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from .arguments import ModelArguments


def build_model(
    arguments: ModelArguments,
    tokenizer: GPT2Tokenizer,
    splits: DatasetDict,
    *,
    max_length: int | None = None,
    seed: int = 123,
    cache_dir: str | os.PathLike[str] | None = None,
) -> SpamGPTForSequenceClassification:
    """Build the classifier that a fine-tuning starts from.

    Args:
        arguments: Which GPT, from which weights.
        tokenizer: The one that the texts are encoded with.
        splits: The texts; the longest one of `train` sets the width that `last_position` pads to.
        max_length: The longest text in tokens that the model reads, instead of its context.
        seed: Of the random weights and of the head.
        cache_dir: Where downloads are kept; see `network.download.cache_folder`.

    Raises:
        UserError: If the weights cannot be had or do not fit the options.
    """
    checkpoint = load_weights(arguments, cache_dir)
    longest = longest_text(tokenizer, splits["train"]["text"][:])
    config = build_config(arguments, checkpoint, len(tokenizer), max_length, longest)
    return initialize_model(config, checkpoint, seed)


def load_weights(arguments: ModelArguments, cache_dir: str | os.PathLike[str] | None = None) -> GPT2Checkpoint | None:
    """Read the checkpoint that the options name; `None` for random weights.

    Raises:
        UserError: If it cannot be had, or is not a GPT-2 of that size.
    """
    if arguments.weights == "random":
        return None
    return load_checkpoint(arguments.weights, arguments.model_size, cache_dir)


def build_config(
    arguments: ModelArguments,
    checkpoint: GPT2Checkpoint | None,
    vocab_size: int,
    max_length: int | None,
    longest_train_text: int,
) -> SpamGPTConfig:
    """Return the model's configuration.

    Args:
        arguments: The options of the model.
        checkpoint: Where its sizes come from; `None` for random weights.
        vocab_size: The tokenizer's.
        max_length: The longest text in tokens that the options allow, if they limit it.
        longest_train_text: In tokens. Without a `max_length`, `last_position` pads to it, as the chapter does.

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
        id2label=dict(enumerate(LABELS)),
        label2id={label: id_ for id_, label in enumerate(LABELS)},
        attn_implementation=arguments.attn_implementation,  # type: ignore[call-arg]
    )


def initialize_model(
    config: SpamGPTConfig, checkpoint: GPT2Checkpoint | None, seed: int
) -> SpamGPTForSequenceClassification:
    """Return a classifier from a checkpoint or from random weights, with the chapter's fresh head.

    As in the chapter, torch's own initialisation draws the head right after seeding. So the same seed gives the same
    head, whatever the rest of the model drew.
    """
    set_seed(seed)
    model = SpamGPTForSequenceClassification(config)
    if checkpoint is not None:
        fill(as_book(model), checkpoint)
    torch.manual_seed(seed)
    head = nn.Linear(config.emb_dim, model.num_labels)
    model.score.load_state_dict(head.state_dict())
    return model


def describe_model(model: SpamGPTForSequenceClassification, arguments: ModelArguments) -> str:
    """Return one line: the model's size, its starting weights, what trains and which position is read."""
    config = model.config
    millions = model.num_parameters() / 1e6
    return one_line(
        f"model  {config.n_layers} layers × {config.emb_dim} wide, {millions:.1f} M parameters, "
        f"weights: {arguments.weights}; trains: {arguments.trainable}; read at: {config.pooling}"
    )
