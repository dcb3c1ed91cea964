"""The baselines on the real collection, and where there is little to fit.   pytest tests/reporting/test_baselines.py"""

from pathlib import Path

import numpy as np
import pytest

from hf_spam.data.arguments import DataArguments
from hf_spam.data.labels import Task
from hf_spam.data.loading import prepare
from hf_spam.data.near_duplicates import near_groups
from hf_spam.reporting.baselines import CHARACTERS, MAJORITY, WORDS, fit_baselines


@pytest.mark.slow
def test_on_the_chapters_split(collection: Path) -> None:
    splits = prepare(DataArguments(data_file=[str(collection)])).splits
    train, test = splits["train"], splits["test"]
    texts, labels = train["text"][:], train["label"][:]
    fitted = fit_baselines(texts, labels, near_groups(texts), Task())
    targets = np.array(test["label"][:])
    right = {
        name: float((one.scores(test["text"][:]).argmax(axis=1) == targets).mean()) for name, one in fitted.items()
    }
    assert right[CHARACTERS] == pytest.approx(0.97, abs=0.012)
    assert right[WORDS] == pytest.approx(0.970, abs=0.004)
    assert right[MAJORITY] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("texts", "labels"),
    [(["a b", "c d"], [0, 1]), (["?", "!"], [0, 1]), (["one text", "two texts"], [0, 0]), (["x"] * 6, [0, 1] * 3)],
)
def test_little_to_fit(texts: list[str], labels: list[int]) -> None:
    for one in fit_baselines(texts, labels, near_groups(texts), Task()).values():
        found = one.scores(["another text", ""])
        assert found.shape == (2, 2)
        assert np.allclose(found.sum(axis=1), 1)
