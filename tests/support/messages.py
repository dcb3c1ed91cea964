"""A few of the real messages."""

from pathlib import Path

import pandas as pd


def balanced(messages: pd.DataFrame, each: int) -> pd.DataFrame:
    """Return the first so many messages of each label."""
    return pd.concat([messages[messages["Label"] == label].head(each) for label in ("ham", "spam")])


def write_messages(messages: pd.DataFrame, each: int, path: Path) -> Path:
    """Write the first so many messages of each label as a CSV and return its path."""
    balanced(messages, each).to_csv(path, index=False)
    return path
