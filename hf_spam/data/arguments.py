"""Options for the data: the source of the messages, the labels, balancing, splitting and the maximum length."""

import os
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import UserError
from ..options import LABELS, MESSAGES, option, refuse_contradictions
from ..values.ranges import COUNT, FILE, FOLDER, FRACTION, LENGTH, SEED, check_text, check_values
from .labels import SINGLE, LabelRules, ProblemType, Task, parse_label_map, parse_labels

Balance = Literal["undersample", "none", "oversample", "class_weights", "focal"]
Split = Literal["chapter", "stratified", "grouped"]
# Options that name messages, except `data_source`: places on a machine, and data sets that somebody chose.
SOURCES = ("data_file", "data_dir", "train_file", "validation_file", "test_file", "dataset_name")
_SEVERAL = ("train_file", "validation_file", "test_file")
_OLDER_BALANCE: dict[Any, Balance] = {True: "undersample", "true": "undersample", False: "none", "false": "none"}


@dataclass(frozen=True)
class Plan:
    """How messages become splits.

    Attributes:
        balance: What is done about labels of different frequency. `class_weights` and `focal` change the loss, not the
            messages.
        split: `chapter`: shuffle, then cut. `stratified`: the same share of each label in every split. `grouped`: the
            same, and near duplicates in the same split; all messages are split, and only training is balanced.
        train_fraction: Share of the messages for training.
        validation_fraction: Share of the messages for validation; the rest is for testing.
        seed: Of all that is drawn.
    """

    balance: Balance = "undersample"
    split: Split = "chapter"
    train_fraction: float = 0.7
    validation_fraction: float = 0.1
    seed: int = 123


@dataclass
class DataArguments:
    """Options for the source of the messages, the labels, balancing, splitting and the maximum length."""

    data_source: Literal["uci", "sample"] | None = option(
        None, "UCI's SMS Spam Collection, or the messages of the extra [sample] (default: uci).", MESSAGES
    )
    data_file: list[str] | None = option(
        None,
        "Your own messages: CSV, TSV, JSON, Parquet, Excel, ..., also compressed; several files, patterns, a folder "
        "with a folder or file for each class, hf://datasets/OWNER/NAME/FILE, or - for standard input.",
        MESSAGES,
        "PATH",
    )
    data_dir: str | None = option(
        None,
        "Splits: what `hf-spam data` saved, any saved DatasetDict, or files named train, test, ...",
        MESSAGES,
        FOLDER,
    )
    train_file: list[str] | None = option(
        None, "Messages for training; splits that are not given are cut from it.", MESSAGES, FILE
    )
    validation_file: list[str] | None = option(None, "Messages for validation.", MESSAGES, FILE)
    test_file: list[str] | None = option(None, "Messages for testing.", MESSAGES, FILE)
    dataset_name: str | None = option(None, "A data set on the Hub: OWNER/NAME.", MESSAGES, "NAME")
    dataset_config: str | None = option(None, "Its configuration, if it has several.", MESSAGES, "NAME")
    dataset_split: str | None = option(
        None, "One of its splits, or a part: train[:10%%] (default: all).", MESSAGES, "NAME"
    )
    dataset_revision: str | None = option(None, "Its branch, tag or commit (default: main).", MESSAGES, "NAME")
    text_column: str | None = option(
        None, "Column of the texts, or several: a,b (default: recognised by its name).", MESSAGES, "NAME"
    )
    label_column: str | None = option(
        None, "Column of the labels, or one for each label: a,b (default: recognised by its name).", MESSAGES, "NAME"
    )
    encoding: str | None = option(None, "Of text files (default: recognised).", MESSAGES, "NAME")
    labels: str | None = option(
        None, "All labels, in the order of their ids: a,b (default: as the file says, or sorted).", LABELS, "NAMES"
    )
    label_map: str | None = option(
        None, 'Rename and merge labels: "0=spam,1=ham,Smishing=spam" (default: none).', LABELS, "OLD=NEW"
    )
    positive_label: str | None = option(
        None,
        "The label that precision is about, or that blocks a message (default: spam, or the second of two).",
        LABELS,
        "NAME",
    )
    problem_type: ProblemType | None = option(
        None, "One label for each text, several, or a number (default: as the file says, one or several).", LABELS
    )
    balance: Literal["undersample", "none", "oversample", "class_weights", "focal", "true", "false"] | None = option(
        None,
        "undersample the more frequent labels, oversample the rarer ones in training, class_weights or focal in the "
        "loss, or none (default: undersample for ham and spam unless --split grouped, else none).",
        LABELS,
        "HOW",
    )
    prior: str | None = option(
        None,
        'Share of labels in real use, "spam=0.13": scores are corrected to it after training (default: not at all).',
        LABELS,
        "NAME=SHARE",
    )
    deduplicate: bool = option(False, "Keep one of the messages with the same text.", LABELS)
    split: Split | None = option(
        None,
        "chapter: shuffle and cut. stratified: the same share of each label in every split. grouped: and near "
        "duplicates together, no balance (default: chapter for ham and spam, else stratified).",
        LABELS,
    )
    max_train_samples: int | None = option(
        None, "Use only the first messages of the training split (default: all).", MESSAGES, range=COUNT
    )
    max_validation_samples: int | None = option(None, "The same of the validation split.", MESSAGES, range=COUNT)
    max_test_samples: int | None = option(None, "The same of the test split.", MESSAGES, range=COUNT)
    train_fraction: float = option(0.7, "Share of the messages for training.", MESSAGES, range=FRACTION)
    validation_fraction: float = option(
        0.1, "Share of the messages for validation; the rest is for testing.", MESSAGES, range=FRACTION
    )
    split_seed: int = option(123, "Seed of the undersampling and of the split.", MESSAGES, range=SEED)
    max_length: int | None = option(
        None,
        "Cut texts to this many tokens (default: the model's context; the rows' length where --pooling "
        "reads padding).",
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
        for name in (*_SEVERAL, "data_file"):
            if isinstance(value := getattr(self, name), str | os.PathLike):
                setattr(self, name, [os.fspath(value)])
        refuse_contradictions({name: value for name, value in vars(self).items() if value is not None})
        if (
            isinstance(self.balance, bool | str) and self.balance in _OLDER_BALANCE
        ):  # it was true or false before there were more ways
            self.balance = _OLDER_BALANCE[self.balance]
        check_values(self)
        for name in (*_SEVERAL, "data_file"):
            for path in getattr(self, name) or ():
                check_text(name, path, None if name == "data_file" else FILE)
        for name in ("dataset_config", "dataset_split", "dataset_revision"):
            if getattr(self, name) is not None and self.dataset_name is None:
                raise UserError(f"--{name}: expected it with --dataset_name. Name the data set, or leave it out.")
        self.label_rules()
        if self.train_fraction + self.validation_fraction >= 1:
            raise UserError(
                f"--train_fraction and --validation_fraction: expected fractions that are below 1 together, found "
                f"{self.train_fraction} and {self.validation_fraction}."
            )

    def label_rules(self) -> LabelRules:
        """Return what the options say of the labels.

        Raises:
            UserError: If they cannot be read.
        """
        return LabelRules(
            names=None if self.labels is None else parse_labels(self.labels),
            renamed={} if self.label_map is None else parse_label_map(self.label_map),
            positive=self.positive_label,
            problem_type=self.problem_type,
        )

    def plan(self, task: Task) -> Plan:
        """Return how messages of these labels become splits: the chapter's way where they are its own."""
        stratified = task.problem_type == SINGLE and not task.is_spam
        split: Split = self.split or ("stratified" if stratified else "chapter")
        undersampled = task.is_spam and split != "grouped"
        balance: Balance = self.balance or ("undersample" if undersampled else "none")  # type: ignore[assignment]
        return Plan(balance, split, self.train_fraction, self.validation_fraction, self.split_seed)
