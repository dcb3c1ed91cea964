"""Copies of training messages in disguise, beside the messages as they are."""

from collections import defaultdict
from typing import Any

from datasets import Dataset, DatasetDict, concatenate_datasets
from transformers import PreTrainedTokenizerFast

from ..data.labels import SINGLE
from ..data.splits import task_of
from ..tokens.tokenization import tokenize
from .perturbations import PERTURBATIONS, choose, generator, perturb

COPIES = "copies"  # of training messages, as a split of its own: the figures of `train` are of the messages themselves


def disguised_copies(train: Dataset, share: float, seed: int, single: bool = True) -> tuple[list[str], list[Any]]:
    """Return texts and labels of perturbed training messages, drawn from each label by its share of the messages.

    Args:
        train: Columns `text` and `label`.
        share: The number of copies for each message. From 1 on a message has several.
        seed: Which messages, and which perturbation of each.
        single: Whether a text has one label.
    """
    texts, labels = train["text"][:], train["label"][:]
    of_label: dict[Any, list[int]] = defaultdict(list)
    for row in sorted(range(len(texts)), key=lambda row: generator("copy", seed, row, texts[row]).random()):
        of_label[labels[row] if single else None].append(row)
    drawn = sorted(
        (number // len(rows), rows[number % len(rows)])
        for rows in of_label.values()
        for number in range(round(share * len(rows)))
    )
    names = sorted(PERTURBATIONS)
    copies = [
        perturb(choose(names, generator("which", seed, again, row, texts[row])), texts[row], seed + again)
        for again, row in drawn
    ]
    return copies, [labels[row] for _, row in drawn]


def add_copies(
    tokenized: DatasetDict, splits: DatasetDict, tokenizer: PreTrainedTokenizerFast, share: float, seed: int
) -> DatasetDict:
    """Return tokenized splits with the copies, tokenized, as the split `COPIES`; the same splits for a share of 0.

    Args:
        tokenized: From `tokens.tokenization.tokenize`.
        splits: The same as texts.
        tokenizer: The one that tokenized them, which cuts the copies to its `model_max_length`.
        share: See `disguised_copies`.
        seed: See `disguised_copies`.
    """
    single = task_of(splits).problem_type == SINGLE
    texts, labels = disguised_copies(splits["train"], share, seed, single) if share else ([], [])
    if not texts:
        return tokenized
    copies = Dataset.from_dict({"text": texts, "label": labels}, features=splits["train"].features)
    added = tokenize(DatasetDict({"train": copies}), tokenizer, tokenizer.model_max_length)
    return DatasetDict({**tokenized, COPIES: added["train"]})


def training_rows(tokenized: DatasetDict) -> Dataset:
    """Return the rows to train on: the split `train` and, where there are any, the copies."""
    if COPIES not in tokenized:
        return tokenized["train"]
    return concatenate_datasets([tokenized["train"], tokenized[COPIES]])
