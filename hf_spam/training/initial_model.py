"""Options → a model with its starting weights."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from datasets import DatasetDict
from torch import nn
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, set_seed

from ..conversion.from_gpt2 import SIZES, GPT2Checkpoint, fill, load_checkpoint
from ..conversion.to_book import as_book
from ..data.labels import SINGLE, Task
from ..data.splits import SPAM, task_of
from ..errors import UserError, one_line
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.fields_spam_gpt import READS_PADDING
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..tokens.encoding import longest_text
from ..tokens.normalization import Normalization, normalize_before
from ..tokens.tokenization import END_OF_TEXT_ID, build_tokenizer
from .arguments import ModelArguments


def build_model(
    arguments: ModelArguments,
    tokenizer: PreTrainedTokenizerBase,
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
        splits: The texts; the longest one of `train` sets the width of rows whose padding is read.
        max_length: The longest text in tokens that the model reads, instead of its context.
        seed: Of the random weights and of the head.
        cache_dir: Where downloads are kept; see `network.download.cache_folder`.

    Raises:
        UserError: If the weights cannot be had or do not fit the options or the tokenizer.
    """
    checkpoint = load_weights(arguments, cache_dir)
    own = None if checkpoint is None else checkpoint.tokenizer
    if checkpoint is not None and own is not None and tokenizer.get_vocab() != own.get_vocab():
        raise UserError(
            f"{checkpoint.source}: expected the tokenizer of these weights, found one with another vocabulary. Load "
            f"it with transformers.AutoTokenizer."
        )
    longest = longest_text(tokenizer, splits["train"]["text"][:])
    config = build_config(
        arguments, checkpoint, len(tokenizer), max_length, longest, special_ids(tokenizer), task=task_of(splits)
    )
    return initialize_model(config, checkpoint, seed)


def load_weights(arguments: ModelArguments, cache_dir: str | os.PathLike[str] | None = None) -> GPT2Checkpoint | None:
    """Read the checkpoint that the options name; `None` for random weights.

    Raises:
        UserError: If it cannot be had, or is not a GPT-2 of that size.
    """
    if arguments.weights == "random":
        return None
    return load_checkpoint(arguments.weights, arguments.model_size, cache_dir, with_tokenizer=True)


def load_tokenizer(
    checkpoint: GPT2Checkpoint | None,
    bpe_dir: str | os.PathLike[str] | None = None,
    normalize: Normalization = "none",
) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a checkpoint: its own, or GPT-2's where it has none and GPT-2's vocabulary.

    Args:
        checkpoint: From `load_weights`; `None` for random weights, which take GPT-2's.
        bpe_dir: Where GPT-2's is; see `tokens.tokenization.load_bpe`.
        normalize: What it undoes in a text; see `tokens.normalization.build_normalizer`.

    Raises:
        UserError: If the checkpoint has no tokenizer and another vocabulary, or a tokenizer that normalises otherwise.
    """
    if checkpoint is None:
        return normalize_before(build_tokenizer(bpe_dir=bpe_dir), normalize)
    if checkpoint.tokenizer is not None:
        return normalize_before(checkpoint.tokenizer, normalize)
    if checkpoint.sizes["vocab_size"] != END_OF_TEXT_ID + 1:
        raise UserError(
            f"{checkpoint.source}: expected a tokenizer beside weights with a vocabulary of "
            f"{checkpoint.sizes['vocab_size']:,} tokens (GPT-2's has {END_OF_TEXT_ID + 1:,}), found none. Save the "
            f"one that they were trained with there: tokenizer.save_pretrained(FOLDER)."
        )
    return normalize_before(build_tokenizer(bpe_dir=bpe_dir), normalize)


def special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Return the special ids of a tokenizer as the fields of a configuration; one that it lacks is the padding's."""
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    if ids["pad_token_id"] is None:
        raise UserError(
            "expected a tokenizer with a padding token, found one without. Name it: tokenizer.pad_token = "
            "tokenizer.eos_token."
        )
    return {name: ids["pad_token_id"] if id_ is None else id_ for name, id_ in ids.items()}


def limit_length(
    tokenizer: PreTrainedTokenizerBase,
    config: SpamGPTConfig,
    checkpoint: GPT2Checkpoint | None,
    max_length: int | None,
) -> None:
    """Make a tokenizer cut later texts as in training: to `max_length`, or what the model and its own files allow."""
    own = None if checkpoint is None or checkpoint.tokenizer is None else checkpoint.tokenizer.model_max_length
    tokenizer.model_max_length = max_length or min(config.max_text_length, own or config.max_text_length)


def build_config(
    arguments: ModelArguments,
    checkpoint: GPT2Checkpoint | None,
    vocab_size: int,
    max_length: int | None,
    longest_train_text: int,
    ids: Mapping[str, int] | None = None,
    *,
    task: Task = SPAM,
) -> SpamGPTConfig:
    """Return the model's configuration.

    Args:
        arguments: The options of the model.
        checkpoint: Where its sizes come from; `None` for random weights.
        vocab_size: The tokenizer's.
        max_length: The longest text in tokens that the options allow, if they limit it.
        longest_train_text: In tokens. Without a `max_length`, rows whose padding is read have this length, as in the
            chapter.
        ids: The tokenizer's `special_ids`, unless it is GPT-2's.
        task: The labels.

    Raises:
        UserError: If the options contradict the checkpoint, or its vocabulary is not the tokenizer's.
    """
    if checkpoint is None:
        sizes: dict[str, Any] = {
            "vocab_size": vocab_size,
            "context_length": arguments.context_length or 1024,
            **SIZES[arguments.model_size or "small"],
        }
    else:
        sizes = checkpoint.sizes
        own = checkpoint.tokenizer  # read with these sizes: it may have fewer tokens
        if own is not None:
            longest_train_text = min(longest_train_text, own.model_max_length)
        for name, expected in (
            ("vocab_size", vocab_size if own is None else None),
            ("context_length", arguments.context_length),
        ):
            if expected is not None and sizes[name] != expected:
                raise UserError(f"{checkpoint.source}: expected {name} {expected}, found {sizes[name]}.")
    context_length = sizes["context_length"]
    if max_length is not None and max_length > context_length:
        raise UserError(f"expected a max_length within the context of {context_length} tokens, found {max_length}.")
    special: dict[str, Any] = dict(ids or {})
    longest = context_length if arguments.pad_to == "context" else min(longest_train_text, context_length)
    return SpamGPTConfig(
        **sizes,
        **special,
        drop_rate=arguments.drop_rate,
        pooling=arguments.pooling,
        pad_to_length=(max_length or longest) if arguments.pooling in READS_PADDING else None,
        causal=arguments.causal,
        ignore_index=arguments.ignore_index,
        id2label=dict(enumerate(task.names)),
        label2id={label: id_ for id_, label in enumerate(task.names)},
        problem_type=None if task.problem_type == SINGLE else task.problem_type,
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
    normalizes = "" if arguments.normalize == "none" else f"; normalizes: {arguments.normalize}"
    return one_line(
        f"model  {config.n_layers} layers × {config.emb_dim} wide, {millions:.1f} M parameters, "
        f"weights: {arguments.weights}; trains: {arguments.trainable}; read at: {config.pooling}{normalizes}"
    )


def describe_weights(checkpoint: GPT2Checkpoint | None, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return a line on what a checkpoint brings with it, if it is not one of the chapter's."""
    if checkpoint is None or (checkpoint.tokenizer is None and not checkpoint.notes):
        return None
    place = f"{checkpoint.repository} on the Hub" if checkpoint.repository else f"the folder {checkpoint.source}"
    facts = [place, *checkpoint.notes]
    if checkpoint.tokenizer is not None:
        vocab_size = checkpoint.sizes["vocab_size"]
        rest = "" if len(tokenizer) == vocab_size else f" of {vocab_size:,} that the model has"
        facts.insert(1, f"with its own tokenizer: {len(tokenizer):,} tokens{rest}")
    return one_line(f"start  {'; '.join(facts)}")
