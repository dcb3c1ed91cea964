"""Ten steps whose figures stand here: drift of both routes at once, which comparing them cannot notice.

pytest tests/equivalence/test_trajectory.py

They were written down on an x86 CPU with torch 2.13 and transformers 5.24. Another attention kernel and another number
of threads moved the losses by less than 1e-6. If a change of the recipe is meant, run the test and copy its figures.
"""

import pandas as pd
import pytest

from hf_spam.equivalence.records import Record
from hf_spam.equivalence.starting_point import StartingPoint, prepare_starting_point
from hf_spam.equivalence.training import train_natively, train_with_trainer

LOSSES: dict[str, list[float]] = {
    "all": [0.688254, 0.778668, 0.626229, 0.724613, 0.814956, 0.674860, 0.576005, 0.615723, 0.675902, 0.560506],
    "last_block": [0.688254, 0.603017, 0.614647, 0.699190, 0.681966, 0.597782, 0.596021, 0.610838, 0.642317, 0.365726],
}
NORMS: dict[str, list[float]] = {
    "all": [12.85872, 25.20241, 6.62780, 9.84111, 16.14221, 7.25925, 2.31774, 2.60837, 5.85147, 6.62636],
    "last_block": [7.24098, 6.50660, 2.25199, 7.96419, 13.34412, 2.76832, 15.09448, 13.50406, 7.52871, 7.73181],
}
ESTIMATES: dict[str, list[float]] = {  # losses after the first step, of training and of validation
    "all": [0.736807, 0.781352],
    "last_block": [0.666539, 0.661189],
}


@pytest.fixture(scope="module")
def subject(messages: pd.DataFrame) -> StartingPoint:
    """130 balanced messages of the sample, and a tiny model without dropout."""
    some = [messages[(messages["Label"] == label) & (messages["Text"].str.len() < 150)] for label in ("ham", "spam")]
    return prepare_starting_point(pd.concat([frame.head(65) for frame in some]), max_steps=10)


def assert_frozen(record: Record, trainable: str) -> None:
    assert [step.loss for step in record.steps] == pytest.approx(LOSSES[trainable], rel=0, abs=1e-4)
    assert [step.gradient_norm for step in record.steps] == pytest.approx(NORMS[trainable], rel=1e-3)
    estimates = [*record.history.train_losses, *record.history.validation_losses]
    assert estimates == pytest.approx(ESTIMATES[trainable], rel=0, abs=1e-4)


@pytest.mark.parametrize("trainable", LOSSES)
def test_the_native_loop(subject: StartingPoint, trainable: str) -> None:
    assert_frozen(train_natively(subject, trainable), trainable)


@pytest.mark.parametrize("trainable", LOSSES)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_trainer(subject: StartingPoint, trainable: str, attention: str) -> None:
    assert_frozen(train_with_trainer(subject, trainable, attention), trainable)
