"""Level 8: LoRA of our model beside LoRA of GPT-2; a wrong adapter is found where it is.

pytest -m peft tests/equivalence/test_adapters.py
"""

from typing import Any

import pandas as pd
import pytest

from hf_spam.equivalence import adapters
from hf_spam.equivalence.adapters import check_adapters
from hf_spam.equivalence.starting_point import StartingPoint, prepare_starting_point

pytestmark = pytest.mark.peft


@pytest.fixture(scope="module")
def subject(messages: pd.DataFrame) -> StartingPoint:
    return prepare_starting_point(messages.groupby("Label").head(40))


def test_logits_and_gradients(subject: StartingPoint) -> None:
    found = check_adapters(subject, ["tiny"])
    assert [one.passed for one in found] == [True, True]
    assert found[0].values == 4 * 2
    # A block: A and the three blocks' B of the fused layer, with the zeros between them; three more layers; the head.
    fused, others = 12 * 16 + 48 * 12, 4 * (16 + 16) + 2 * 4 * (16 + 64)
    assert found[1].values == 2 * (fused + others) + 2 * 16


def test_a_swapped_adapter_is_found(subject: StartingPoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries' and keys' adapters the other way round in GPT-2."""
    copy = adapters.copy_adapters

    def swapped(ours: Any, theirs: Any, blocks: int) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(adapters, "_FUSED", (adapters._FUSED[1], adapters._FUSED[0], adapters._FUSED[2]))
            copy(ours, theirs, blocks)

    monkeypatch.setattr(adapters, "copy_adapters", swapped)
    found = check_adapters(subject, ["tiny"])
    assert [one.passed for one in found] == [False, False]
