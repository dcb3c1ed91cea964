"""Grouped splits and folds: nothing alike on both sides, every label everywhere, everything used.

pytest tests/data/test_grouping.py
"""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_spam import UserError
from hf_spam.data.arguments import DataArguments, Plan
from hf_spam.data.grouping import APART, deal_groups, find_leaks, make_folds, split_groups
from hf_spam.data.labels import MULTI, REGRESSION, Task
from hf_spam.data.loading import prepare
from hf_spam.data.near_duplicates import near_groups
from hf_spam.data.sampling import prepare_splits
from hf_spam.data.splits import SPAM, count

KINDS = [SPAM, Task(("a", "b", "c")), Task(("a", "b"), MULTI), Task(("score",), REGRESSION)]


def test_the_whole_collection(messages: pd.DataFrame) -> None:
    """Every message is in one split, each split has its share of each label, and none has a twin in another."""
    splits = prepare_splits(messages, Plan("none", "grouped"))
    texts = [text for rows in splits.values() for text in rows["text"]]
    assert Counter(texts) == Counter(messages["Text"])
    counts = count(splits)
    for label in ("ham", "spam"):
        assert (counts[label] / counts[label].sum()).tolist() == pytest.approx([0.7, 0.1, 0.2], abs=0.004)
    groups = iter(near_groups(texts, APART))
    of_split = [{next(groups) for _ in rows["text"]} for rows in splits.values()]
    assert not (of_split[0] & of_split[1] | of_split[0] & of_split[2] | of_split[1] & of_split[2])
    leaks = find_leaks(splits)
    assert leaks is not None
    assert not any(leak.rows for leak in leaks.values())


def test_only_training_is_balanced(messages: pd.DataFrame) -> None:
    splits = prepare_splits(messages, Plan("undersample", "grouped"))
    counts, whole = count(splits), count(prepare_splits(messages, Plan("none", "grouped")))
    assert counts["ham"]["train"] == counts["spam"]["train"] == whole["spam"]["train"]
    assert counts.drop(index="train").equals(whole.drop(index="train"))
    labels = splits["train"]["label"][:]
    assert 0 < sum(labels[: len(labels) // 2]) < len(labels) // 2  # shuffled


def test_what_the_chapters_split_leaks(messages: pd.DataFrame) -> None:
    """Counted by hand: each test message whose group has a training message."""
    splits = prepare_splits(messages)
    leaks = find_leaks(splits)
    assert leaks is not None
    texts = [*splits["train"]["text"], *splits["validation"]["text"], *splits["test"]["text"]]
    groups = near_groups(texts, APART)
    known, start = set(groups[: len(splits["train"])]), len(texts) - len(splits["test"])
    assert leaks["test"].rows == [row for row, group in enumerate(groups[start:]) if group in known]
    twins = [splits["test"]["label"][row] for row in leaks["test"].rows]
    assert leaks["test"].labels["spam"] == (sum(twins), sum(splits["test"]["label"]))
    assert leaks["test"].to_dict()["twins"] == len(twins)


def test_the_notes(few_messages: object) -> None:
    chapter, grouped = (
        prepare(DataArguments(data_file=[str(few_messages)], split=split)) for split in ("chapter", "grouped")
    )
    assert any(
        "are near duplicates of train's; --split grouped keeps these together" in note for note in chapter.notes
    )
    assert not any("near duplicates" in note for note in grouped.notes)
    assert grouped.balance == "none"


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=1, max_size=60),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_groups_stay_whole(rows: list[tuple[int, int]], weights: list[int]) -> None:
    """Whatever the groups and shares: no group is torn apart, and no part has more than its share and a group."""
    groups, labels = [group for group, _ in rows], ["abc"[label] for _, label in rows]
    shares = [weight / sum(weights) for weight in weights]
    parts = deal_groups(groups, labels, shares, KINDS[1])
    assert len(parts) == len(rows)
    assert all(len({part for part, own in zip(parts, groups, strict=True) if own == group}) == 1 for group in groups)
    largest = max(Counter(groups).values())
    for part, share in enumerate(shares):
        for label in "abc":
            own = sum(place == part and found == label for place, found in zip(parts, labels, strict=True))
            assert own <= share * labels.count(label) + 3 * largest


@pytest.mark.parametrize("task", KINDS, ids=lambda task: f"{len(task.names)} {task.problem_type}")
def test_folds(task: Task) -> None:
    random = np.random.default_rng(1)
    groups = random.integers(0, 40, size=200).tolist()
    drawn = {MULTI: lambda: [["a"], ["a", "b"], []][random.integers(3)], REGRESSION: random.random}
    draw = drawn.get(task.problem_type, lambda: task.names[random.integers(len(task.names))])
    labels = [draw() for _ in groups]
    folds = make_folds(labels, groups, 5, 7, task)
    assert sorted(np.concatenate(folds).tolist()) == list(range(200))
    of_fold = [{groups[row] for row in fold} for fold in folds]
    assert sum(map(len, of_fold)) == len(set(groups))
    again = make_folds(labels, groups, 5, 7, task)
    assert all((one == other).all() for one, other in zip(folds, again, strict=True))
    with pytest.raises(UserError, match="--folds 5: expected as many groups"):
        make_folds(labels[:4], [0, 1, 2, 3], 5, 7, task)


def test_too_few_groups() -> None:
    frame = pd.DataFrame({"Label": ["ham", "spam"] * 3, "Text": ["the same text, again"] * 6})
    with pytest.raises(UserError, match="found 1 groups of near duplicates and none for"):
        split_groups(frame, Plan("none", "grouped"), SPAM)
