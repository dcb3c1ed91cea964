"""Options for the data: the source of the messages, balancing, splitting and the maximum length."""

from dataclasses import dataclass
from typing import Literal

from ..errors import UserError
from ..options import option, refuse_contradictions


@dataclass
class DataArguments:
    """Options for the source of the messages, balancing, splitting and the maximum length."""

    data_source: Literal["uci", "sample"] | None = option(
        None, "uci: download the SMS Spam Collection (default); sample: the real messages of the extra [sample]."
    )
    data_file: str | None = option(None, "Your own messages: the UCI zip or TSV, a CSV or a JSONL.")
    data_dir: str | None = option(None, "A folder of splits prepared by `hf-spam data`.")
    text_column: str | None = option(None, "Column of the texts in --data_file (default: text, in any case).")
    label_column: str | None = option(None, "Column of the labels in --data_file (default: label, in any case).")
    balance: bool = option(True, "Undersample the larger class to the size of the smaller.")
    train_fraction: float = option(0.7, "Share of the messages used for training.")
    validation_fraction: float = option(0.1, "Share of the messages used for validation; the rest is the test split.")
    split_seed: int = option(123, "Seed of the undersampling and of the split.")
    max_length: int | None = option(
        None,
        "Truncate texts to this many tokens (default: the context; under last_position the longest training text).",
    )
    cache_dir: str | None = option(None, "Folder for downloads (default: $HF_SPAM_CACHE or the user's cache).")
    bpe_dir: str | None = option(None, "Folder with GPT-2's encoder.json and vocab.bpe (default: $HF_SPAM_BPE_DIR).")

    def __post_init__(self) -> None:
        """Refuse contradictory options and values out of range."""
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
