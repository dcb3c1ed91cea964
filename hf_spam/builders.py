"""Options → the things a run works on: the splits, and the model with its starting weights."""

from typing import Any

import pandas as pd
import torch
from datasets import DatasetDict
from torch import nn
from transformers import set_seed

from . import data, sources
from .arguments import DataArguments, ModelArguments
from .configuration_spam_gpt import SpamGPTConfig
from .errors import UserError
from .modeling_spam_gpt import SpamGPTForSequenceClassification
from .weights import SIZES, GPT2Checkpoint, fill


def read_messages(arguments: DataArguments) -> pd.DataFrame:
    """All messages of the source that the options name, as `Label` and `Text`."""
    if arguments.data_file is not None:
        return sources.read_file(arguments.data_file, arguments.text_column, arguments.label_column)
    if arguments.data_source == "sample":
        return sources.read_sample()
    return sources.read_uci(arguments.cache_dir)


def name_source(arguments: DataArguments) -> str:
    """What the messages are, for the record: `uci` (also from a file), `sample`, or the user's `own`."""
    if arguments.data_file is not None:
        return "uci" if sources.is_collection(arguments.data_file) else "own"
    return "own" if arguments.data_dir is not None else arguments.data_source or "uci"


def build_splits(arguments: DataArguments) -> DatasetDict:
    """The splits that the options name: prepared ones, or a source's messages balanced and split."""
    if arguments.data_dir is not None:
        return data.load_splits(arguments.data_dir)
    return data.prepare(
        read_messages(arguments),
        balanced=arguments.balance,
        train_fraction=arguments.train_fraction,
        validation_fraction=arguments.validation_fraction,
        seed=arguments.split_seed,
    )


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
