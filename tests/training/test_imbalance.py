"""Labels of different frequency: losses that weigh them, priors that correct scores.   pytest tests/training/test_imbalance.py"""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from datasets import DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from hf_spam import UserError
from hf_spam.data.labels import MULTI, Task
from hf_spam.data.sampling import Plan, prepare_splits
from hf_spam.training.imbalance import (
    build_loss,
    complete_prior,
    correct_prior,
    describe_mix,
    focal_loss,
    learned_shares,
    parse_prior,
)

THREE = Task(("a", "b", "c"))


def splits_of(**counts: int) -> DatasetDict:
    labels = [label for label, number in counts.items() for _ in range(number)]
    frame = pd.DataFrame({"Label": labels, "Text": [f"text {n}" for n in range(len(labels))]})
    return prepare_splits(frame, Plan("none", "stratified"), Task(tuple(counts)))


shares = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda parts: [part / sum(parts) for part in parts])


@given(learned=shares, prior=shares, logits=st.lists(st.floats(-20, 20), min_size=3, max_size=3))
def test_a_prior_is_corrected_exactly(learned: list[float], prior: list[float], logits: list[float]) -> None:
    """By Bayes' rule: a probability times the label's new share over its old one, normalised."""
    head = nn.Linear(1, 3).double()
    with torch.no_grad():
        head.bias.copy_(torch.tensor(logits))
        before = head(torch.zeros(1).double()).softmax(-1)
        named = [dict(zip(THREE.names, shares, strict=True)) for shares in (learned, prior)]
        correct_prior(head, *named)
        after = head(torch.zeros(1).double()).softmax(-1)
    expected = before * torch.tensor(prior).double() / torch.tensor(learned).double()
    torch.testing.assert_close(after, expected / expected.sum(), check_dtype=False)


def test_which_shares_a_loss_learns() -> None:
    splits = splits_of(a=100, b=40, c=20)
    assert learned_shares(splits, "none") == {"a": 70 / 112, "b": 28 / 112, "c": 14 / 112}
    assert learned_shares(splits, "class_weights") == dict.fromkeys("abc", 1 / 3)
    rest = complete_prior({"a": 0.1}, {"a": 0.5, "b": 0.3, "c": 0.2})
    assert rest == pytest.approx({"a": 0.1, "b": 0.54, "c": 0.36})


@pytest.mark.parametrize("parts", [1, 4])
def test_weighted_losses(parts: int) -> None:
    """Accumulated batches add up to the loss of the whole step; equal labels weigh as much as without weights."""
    torch.manual_seed(0)
    logits, labels = torch.randn(32, 3), torch.randint(3, (32,))
    loss = build_loss("class_weights", splits_of(a=100, b=40, c=20))
    assert loss is not None

    def whole(loss: Any) -> float:
        pieces = zip(logits.chunk(parts), labels.chunk(parts), strict=True)
        return float(sum(loss(SimpleNamespace(logits=some), own, num_items_in_batch=32) for some, own in pieces))

    weights = torch.tensor([112 / (3 * 70), 112 / (3 * 28), 112 / (3 * 14)])
    expected = (F.cross_entropy(logits, labels, reduction="none") * weights[labels]).mean()
    assert whole(loss) == pytest.approx(expected.item(), rel=1e-5)
    p = logits.softmax(-1)[torch.arange(32), labels]
    assert whole(focal_loss) == pytest.approx(((1 - p) ** 2 * -p.log()).mean().item(), rel=1e-5)
    equal = build_loss("class_weights", splits_of(a=30, b=30, c=30))
    assert whole(equal) == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert build_loss("oversample", splits_of(a=30, b=30)) is None


def test_by_how_much_scores_are_off() -> None:
    line = describe_mix({"ham": 0.5, "spam": 0.5}, {"ham": 4825, "spam": 747}, Task())
    assert line is not None
    assert "scores are for 50.0% spam, but 13.4% of all messages are spam" in line
    assert "its odds are 6.5 times too high; --prior spam=0.13 corrects them" in line
    assert describe_mix({"ham": 0.87, "spam": 0.13}, {"ham": 870, "spam": 130}, Task()) is None
    assert describe_mix({"a": 0.4, "b": 0.3, "c": 0.3}, {"a": 9, "b": 9, "c": 9}, THREE) is None


@pytest.mark.parametrize("text", ["", "a", "a=0", "a=1", "a=x", "d=0.5", "a=0.5,a=0.2", "a=0.6,b=0.6", "a=0.1,b=0.1,c=0.1", "a=nan"])  # fmt: skip
def test_priors_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="--prior: expected"):
        parse_prior(text, THREE)
    with pytest.raises(UserError, match="--prior: expected one label for each text"):
        parse_prior(text, Task(("a", "b"), MULTI))


def test_priors() -> None:
    assert parse_prior("a=0.1, c=0.2", THREE) == {"a": 0.1, "c": 0.2}
    assert parse_prior("a=0.1,b=0.7,c=0.2", THREE) == {"a": 0.1, "b": 0.7, "c": 0.2}
