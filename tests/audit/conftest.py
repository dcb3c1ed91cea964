"""Sound messages, and an environment without the extra `[audit]`, whether it is installed or not."""

import sys
from collections.abc import Iterator

import pandas as pd
import pytest

from hf_spam.data.near_duplicates import near_groups


@pytest.fixture(scope="module")
def without_extra() -> Iterator[None]:
    """What the extra brings cannot be imported."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("cleanlab", "cleanlab.filter", "ftfy", "ftfy.badness", "py3langid", "py3langid.langid"):
            patch.setitem(sys.modules, name, None)
        yield


@pytest.fixture(scope="session")
def sound(messages: pd.DataFrame) -> pd.DataFrame:
    """200 real ham and 140 spam that have nothing in common with each other."""
    spam = messages[messages["Label"] == "spam"][:400]
    ham = messages[(messages["Label"] == "ham") & (messages["Text"].str.len() > 40)][:400]
    frame = pd.concat([ham, spam])
    frame = frame[frame["Text"].str.fullmatch(r"[\x20-\x7e]+")]
    frame = frame[~pd.Series(near_groups(frame["Text"].tolist(), 0.7), index=frame.index).duplicated(keep=False)]
    parts = [frame[frame["Label"] == label][:number] for label, number in (("ham", 200), ("spam", 140))]
    return pd.concat(parts, ignore_index=True)
