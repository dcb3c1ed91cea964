"""The common starting point of both routes: the same messages, tokens and weights."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import tiktoken
from datasets import DatasetDict
from transformers import GPT2Tokenizer

from ..conversion.from_gpt2 import GPT2Checkpoint
from ..data.sampling import prepare_splits
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..options import build
from ..tokens.encoding import longest_text
from ..tokens.tokenization import build_tokenizer, gpt2_encoding, tokenize
from ..training.arguments import ModelArguments, SpamTrainingArguments
from ..training.initial_model import build_config, initialize_model
from ..training.presets import PRESETS
from . import native_loop

BATCH_SIZE = 8
EPOCHS = 5


@dataclass(frozen=True)
class StartingPoint:
    """What both routes start from.

    Attributes:
        frames: The splits as drawn by the native loop.
        splits: The splits as a `DatasetDict`.
        tokenized: `splits` after `tokens.tokenization.tokenize`.
        tokenizer: The tokenizer of the Trainer route.
        encoding: The encoding of the native loop.
        classifier: The starting weights, configured as in the `book` preset. Never trained itself.
        max_steps: Number of training steps, and of batches of each split evaluated afterwards; `None` for five epochs
            and whole splits.
        learning_rate: The learning rate of AdamW.
        seed: The seed of everything random.
    """

    frames: dict[str, pd.DataFrame]
    splits: DatasetDict
    tokenized: DatasetDict
    tokenizer: GPT2Tokenizer
    encoding: tiktoken.Encoding
    classifier: SpamGPTForSequenceClassification
    max_steps: int | None
    learning_rate: float
    seed: int

    def configure(self, **options: Any) -> SpamGPTConfig:
        """Return the configuration of the starting weights with some options changed."""
        values = self.classifier.config.to_dict() | {"attn_implementation": "eager"}  # `to_dict` omits it
        return SpamGPTConfig(**values | options)


def prepare_starting_point(
    messages: pd.DataFrame,
    *,
    model_size: str = "tiny",
    checkpoint: GPT2Checkpoint | None = None,
    max_steps: int | None = None,
    learning_rate: float = 1e-3,
    seed: int = 123,
) -> StartingPoint:
    """Split and tokenize the messages both ways, and build the classifier that both routes start from.

    Args:
        messages: Columns `Label` and `Text`.
        model_size: One of `conversion.from_gpt2.SIZES`, with random weights.
        checkpoint: Pretrained weights to use instead.
        max_steps: See `StartingPoint`.
        learning_rate: See `StartingPoint`. The chapter's 5e-5 would hardly change random weights.
        seed: See `StartingPoint`.
    """
    splits = prepare_splits(messages)
    tokenizer = build_tokenizer()
    longest = longest_text(tokenizer, list(splits["train"]["text"]))
    options = {"model_size": model_size, **PRESETS["book"]}
    config = build_config(build(ModelArguments, options), checkpoint, len(tokenizer), None, longest)
    return StartingPoint(
        frames=native_loop.split_messages(messages),
        splits=splits,
        tokenized=tokenize(splits, tokenizer, config.max_text_length),
        tokenizer=tokenizer,
        encoding=gpt2_encoding(),
        classifier=initialize_model(config, checkpoint, seed),
        max_steps=max_steps,
        learning_rate=learning_rate,
        seed=seed,
    )


def book_arguments(subject: StartingPoint, folder: str, **options: Any) -> SpamTrainingArguments:
    """Return the arguments of the `book` preset on a CPU, without output."""
    given = {
        "output_dir": folder,
        "seed": subject.seed,
        "learning_rate": subject.learning_rate,
        "max_steps": subject.max_steps or -1,
        "prefix_cache": "off",
        "eval_strategy": "epoch" if subject.max_steps is None else "no",
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    arguments: SpamTrainingArguments = build(SpamTrainingArguments, {**PRESETS["book"], **given, **options})
    return arguments


def silent(line: str) -> None:
    """Discard a log line."""
