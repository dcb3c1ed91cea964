"""What both routes start from."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import tiktoken
from datasets import DatasetDict
from transformers import GPT2Tokenizer

from ..conversion.from_gpt2 import GPT2Checkpoint
from ..data.encoding import longest_text
from ..data.splits import prepare_splits
from ..data.tokenization import build_tokenizer, gpt2_encoding, tokenize
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..options import build
from ..training.arguments import PRESETS, ModelArguments, SpamTrainingArguments
from ..training.initial_model import build_config, initialize_model
from . import native_loop

BATCH_SIZE = 8


EPOCHS = 5


@dataclass(frozen=True)
class StartingPoint:
    """What both routes start from.

    Attributes:
        frames: The splits as the native loop draws them.
        splits: The splits as a `DatasetDict`.
        tokenized: The same after `tokenization.tokenize`.
        tokenizer: The Trainer route's.
        encoding: The native loop's.
        classifier: The starting weights, configured as by the `book` preset. Not trained itself.
        max_steps: Where training stops, and how many batches of each split are then evaluated; `None`: five epochs,
            whole splits.
        learning_rate: AdamW's.
        seed: Of everything random.
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
        """The starting weights' configuration with other options."""
        values = self.classifier.config.to_dict() | {"attn_implementation": "eager"}  # which `to_dict` leaves out
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
        model_size: One of `weights.SIZES`, with random weights.
        checkpoint: Pretrained weights instead.
        max_steps: See `StartingPoint`.
        learning_rate: See `StartingPoint`. The chapter's 5e-5 would hardly move random weights.
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
    """The `book` preset on a CPU, silent."""
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
    """A log that nobody reads."""
