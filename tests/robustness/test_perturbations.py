"""Perturbations: any text in, the same text out on every machine.

pytest tests/robustness/test_perturbations.py
"""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_spam.robustness.perturbations import PERTURBATIONS, perturb

TEXT = "Free entry: text WIN to 80086, URGENT prize! Call now"


@pytest.mark.parametrize("name", PERTURBATIONS)
@given(text=st.text(), seed=st.integers())
def test_any_text_is_perturbed_alike(name: str, text: str, seed: int) -> None:
    assert perturb(name, text, seed) == perturb(name, text, seed)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("spacing", "W i n   i t"),
        ("tight_spacing", "W i n i t"),
        ("full_width", "Ｗｉｎ ｉｔ"),
        ("mixed_case", "wIn iT"),
        ("synonyms", "Gain it"),
    ],
)
def test_what_they_are(name: str, expected: str) -> None:
    assert perturb(name, "Win it") in (expected, expected.replace("Gain", "Get"))


def test_each_changes_a_message_and_never_differently() -> None:
    """The figures of every report rest on these draws: a change of them is a change of the test."""
    changed = {name: perturb(name, TEXT, 1) for name in PERTURBATIONS}
    assert all(text != TEXT for text in changed.values())
    assert len(set(changed.values())) == len(changed)
    digest = hashlib.sha256("\n".join(changed.values()).encode()).hexdigest()
    assert digest == "58d368d9965aa5283430633b1e7511c2fd58a8ac2cbdf7f61d1eabb886cba957"
    assert perturb("typos", TEXT, 1) != perturb("typos", TEXT, 2)
