"""Options → messages and splits."""

import pandas as pd
from datasets import DatasetDict

from . import sources
from . import splits as data
from .arguments import DataArguments


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


def load_splits(arguments: DataArguments) -> DatasetDict:
    """The splits that the options name: prepared ones, or a source's messages balanced and split."""
    if arguments.data_dir is not None:
        return data.read_splits(arguments.data_dir)
    return data.prepare_splits(
        read_messages(arguments),
        balanced=arguments.balance,
        train_fraction=arguments.train_fraction,
        validation_fraction=arguments.validation_fraction,
        seed=arguments.split_seed,
    )
