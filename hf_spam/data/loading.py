"""Read the messages and splits that the options describe."""

import pandas as pd
from datasets import DatasetDict

from . import sources
from .arguments import DataArguments
from .splits import prepare_splits, read_splits


def read_messages(arguments: DataArguments) -> pd.DataFrame:
    """Return all messages of the source, with the columns `Label` and `Text`."""
    if arguments.data_file is not None:
        return sources.read_file(arguments.data_file, arguments.text_column, arguments.label_column)
    if arguments.data_source == "sample":
        return sources.read_sample()
    return sources.read_uci(arguments.cache_dir)


def name_source(arguments: DataArguments) -> str:
    """Return the name of the source for the record: `uci` (also when read from a file), `sample` or `own`."""
    if arguments.data_file is not None:
        return "uci" if sources.is_collection(arguments.data_file) else "own"
    return "own" if arguments.data_dir is not None else arguments.data_source or "uci"


def load_splits(arguments: DataArguments) -> DatasetDict:
    """Return prepared splits, or the messages of the source balanced and split."""
    if arguments.data_dir is not None:
        return read_splits(arguments.data_dir)
    return prepare_splits(
        read_messages(arguments),
        balanced=arguments.balance,
        train_fraction=arguments.train_fraction,
        validation_fraction=arguments.validation_fraction,
        seed=arguments.split_seed,
    )
