"""Options for the data: the source of the messages, balancing, splitting and the maximum length."""

from dataclasses import dataclass
from typing import Literal

from ..errors import UserError
from ..options import MESSAGES, option, refuse_contradictions
from ..values.ranges import FILE, FOLDER, FRACTION, LENGTH, SEED, check_values


@dataclass
class DataArguments:
    """Options for the source of the messages, balancing, splitting and the maximum length."""

    data_source: Literal["uci", "sample"] | None = option(
        None, "The SMS Spam Collection from UCI, or the messages of the extra [sample] (default: uci).", MESSAGES
    )
    data_file: str | None = option(None, "Your own messages: the UCI zip or TSV, a CSV or a JSONL.", MESSAGES, FILE)
    data_dir: str | None = option(None, "Splits that `hf-spam data` saved.", MESSAGES, FOLDER)
    text_column: str | None = option(
        None, "Column of the texts in --data_file (default: text, in any case).", MESSAGES, "NAME"
    )
    label_column: str | None = option(
        None, "Column of the labels in --data_file (default: label, in any case).", MESSAGES, "NAME"
    )
    balance: bool = option(True, "Undersample the larger class to the size of the smaller.", MESSAGES)
    train_fraction: float = option(0.7, "Share of the messages for training.", MESSAGES, range=FRACTION)
    validation_fraction: float = option(
        0.1, "Share of the messages for validation; the rest is for testing.", MESSAGES, range=FRACTION
    )
    split_seed: int = option(123, "Seed of the undersampling and of the split.", MESSAGES, range=SEED)
    max_length: int | None = option(
        None,
        "Cut texts to this many tokens (default: the model's context; the longest training text with --pooling "
        "last_position).",
        MESSAGES,
        range=LENGTH,
    )
    cache_dir: str | None = option(
        None, "Where downloads are kept (default: $HF_SPAM_CACHE, else the user's cache).", MESSAGES, FOLDER
    )
    bpe_dir: str | None = option(
        None, "Folder with GPT-2's encoder.json and vocab.bpe (default: $HF_SPAM_BPE_DIR).", MESSAGES, FOLDER
    )

    def __post_init__(self) -> None:
        """Check the values, and that something is left for testing."""
        refuse_contradictions({name: value for name, value in vars(self).items() if value is not None})
        check_values(self)
        if self.train_fraction + self.validation_fraction >= 1:
            raise UserError(
                f"--train_fraction and --validation_fraction: expected fractions that are below 1 together, found "
                f"{self.train_fraction} and {self.validation_fraction}."
            )
