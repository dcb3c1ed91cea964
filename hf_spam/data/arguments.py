"""Options for the data: the source of the messages, balancing, splitting and the maximum length."""

from dataclasses import dataclass
from typing import Literal

from ..errors import UserError
from ..options import MESSAGES, option, refuse_contradictions


@dataclass
class DataArguments:
    """Options for the source of the messages, balancing, splitting and the maximum length."""

    data_source: Literal["uci", "sample"] | None = option(
        None, "The SMS Spam Collection from UCI, or the messages of the extra [sample] (default: uci).", MESSAGES
    )
    data_file: str | None = option(None, "Your own messages: the UCI zip or TSV, a CSV or a JSONL.", MESSAGES, "FILE")
    data_dir: str | None = option(None, "Splits that `hf-spam data` saved.", MESSAGES, "FOLDER")
    text_column: str | None = option(
        None, "Column of the texts in --data_file (default: text, in any case).", MESSAGES, "NAME"
    )
    label_column: str | None = option(
        None, "Column of the labels in --data_file (default: label, in any case).", MESSAGES, "NAME"
    )
    balance: bool = option(True, "Undersample the larger class to the size of the smaller.", MESSAGES)
    train_fraction: float = option(0.7, "Share of the messages for training.", MESSAGES)
    validation_fraction: float = option(
        0.1, "Share of the messages for validation; the rest is for testing.", MESSAGES
    )
    split_seed: int = option(123, "Seed of the undersampling and of the split.", MESSAGES)
    max_length: int | None = option(
        None,
        "Cut texts to this many tokens (default: the model's context; the longest training text with --pooling "
        "last_position).",
        MESSAGES,
    )
    cache_dir: str | None = option(
        None, "Where downloads are kept (default: $HF_SPAM_CACHE, else the user's cache).", MESSAGES, "FOLDER"
    )
    bpe_dir: str | None = option(
        None, "Folder with GPT-2's encoder.json and vocab.bpe (default: $HF_SPAM_BPE_DIR).", MESSAGES, "FOLDER"
    )

    def __post_init__(self) -> None:
        """Check the shares and the length."""
        refuse_contradictions({name: value for name, value in vars(self).items() if value is not None})
        if (
            min(self.train_fraction, self.validation_fraction) <= 0
            or self.train_fraction + self.validation_fraction >= 1
        ):
            raise UserError(
                f"expected train_fraction and validation_fraction above 0 and together below 1, found "
                f"{self.train_fraction} and {self.validation_fraction}."
            )
        if self.max_length is not None and self.max_length < 1:
            raise UserError(f"expected a max_length of at least 1, found {self.max_length}.")
