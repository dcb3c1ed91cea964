"""Which id a label of a file gets: by its name, never by its place.   pytest tests/data/test_labels.py"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_spam import UserError
from hf_spam.data.label_reading import read_labels
from hf_spam.data.labels import MULTI, REGRESSION, SINGLE, LabelRules, Task, parse_label_map, parse_labels
from hf_spam.data.sampling import Plan, deduplicate, oversample, prepare_splits, stratify
from hf_spam.data.splits import count, read_splits, save_splits, task_of

NAMES: list[tuple[Sequence[Any], str, tuple[str, ...], list[str]]] = [
    (["spam", "ham"], "label", ("ham", "spam"), ["spam", "ham"]),
    (["SPAM ", "Ham"], "label", ("ham", "spam"), ["spam", "ham"]),
    ([1, 0], "label", ("ham", "spam"), ["spam", "ham"]),
    (["1.0", "0.0"], "is_spam", ("ham", "spam"), ["spam", "ham"]),
    ([1, 0], "sentiment", ("0", "1"), ["1", "0"]),
    ([True, False], "label", ("False", "True"), ["True", "False"]),
    ([2.0, 10.0, -1.0], "stars", ("-1", "2", "10"), ["2", "10", "-1"]),
    (["service", "ham", "fraud"], "label", ("fraud", "ham", "service"), ["service", "ham", "fraud"]),
    (["not_spam", "spam"], "label", ("not_spam", "spam"), ["not_spam", "spam"]),
    (["0", "1", "2"], "label", ("0", "1", "2"), ["0", "1", "2"]),
]


@pytest.mark.parametrize(("raw", "column", "names", "labels"), NAMES, ids=[str(raw) for raw, *_ in NAMES])
def test_names_and_their_order(raw: Sequence[Any], column: str, names: tuple[str, ...], labels: list[str]) -> None:
    found, task = read_labels(raw, "a.csv", column=column)
    assert (found, task.names, task.problem_type) == (labels, names, SINGLE)


names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)


@given(known=st.lists(names, min_size=2, max_size=5, unique_by=str.casefold), data=st.data())
def test_the_order_of_rows_changes_no_id(known: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.sampled_from(known), min_size=1).map(lambda more: [*known, *more]))
    shuffled = data.draw(st.permutations(rows))
    labels, task = read_labels(rows, "a.csv", column="kind")
    again, same = read_labels(shuffled, "a.csv", column="kind")
    assert task.names == same.names
    assert [task.names[id_] for id_ in task.ids(labels)] == labels
    assert dict(zip(rows, task.ids(labels), strict=True)) == dict(zip(shuffled, same.ids(again), strict=True))


@given(
    st.lists(
        st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans(), st.lists(st.text())), max_size=8
    )
)
def test_any_values_are_labels_or_refused(raw: list[Any]) -> None:
    try:
        labels, task = read_labels(raw, "a.csv")
    except UserError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "\n" not in refusal
        assert refusal.startswith("a.csv: expected")
        return
    assert len(labels) == len(raw)
    assert all(label in task.names or (isinstance(label, list) and set(label) <= set(task.names)) for label in labels)


def test_rules() -> None:
    fixed = LabelRules(parse_labels("ham, service,fraud"), parse_label_map("0=ham,Smishing=fraud"))
    labels, task = read_labels(["0", "smishing", "SERVICE"], "a.csv", fixed)
    assert labels == ["ham", "fraud", "service"]
    assert task.names == ("ham", "service", "fraud")
    labels, task = read_labels([0, 1, 0], "a.csv", LabelRules(("negative", "positive")))
    assert (labels, task.positive) == (["negative", "positive", "negative"], "positive")
    assert read_labels(["Spam", "ham"], "a.csv", LabelRules(positive="ham"))[1].positive_id == 0
    assert parse_labels('"a,b",c') == ("a,b", "c")
    assert parse_label_map('"a=b=c","d,e=f"') == {"a=b": "c", "d,e": "f"}


@pytest.mark.parametrize(
    ("raw", "rules", "message"),
    [
        (["ham", "eggs", "spam"], LabelRules(("ham", "spam")), "expected labels ham, spam, found 'eggs' in row 2. Name the labels with --labels"),
        ([0, -1, 1], LabelRules(("ham", "spam")), "found '-1' in row 2"),
        ([0, 2], LabelRules(("ham", "spam")), "found '2' in row 2"),
        (["a", None, " "], None, "expected a label in every row, found None, ' ' in 2 rows: 2, 3"),
        (["a", "A"], None, 'found a and A. Merge them with --label_map "A=a"'),
        ([0.5, 1.0], None, "--problem_type regression"),
        (["0.5", "1"], None, "found the number 0.5 in row 1"),
        ([f"text {n}" for n in range(200)], None, "found 200 different ones in 200 rows. Name the column of the labels"),
        (["a", "b"], LabelRules(positive="c"), "--positive_label: expected a or b, found c"),
        (["a", "b", "c"], LabelRules(positive="d"), "--positive_label: expected a or b or c, found d"),
        ([0.5, 1.0], LabelRules(positive="d", problem_type=REGRESSION), "--positive_label: expected labels, found numbers"),
        (["a", "b"], LabelRules(renamed={"x": "y"}), "found no x but a, b"),
        (["a", ["b"]], LabelRules(problem_type=SINGLE), "Use --problem_type multi_label_classification"),
        (["1", "x"], LabelRules(problem_type=REGRESSION), "expected a number in every row, found 'x' in row 2"),
    ],
)  # fmt: skip
def test_what_is_refused(raw: list[Any], rules: LabelRules | None, message: str) -> None:
    with pytest.raises(UserError) as error:
        read_labels(raw, "a.csv", rules)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "a,,b", "a,a", '"a'])
def test_labels_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UserError, match="--labels"):
        parse_labels(text)


@pytest.mark.parametrize("text", ["", "a", "=b", "a=", "a=b,a=c", '"a'])
def test_maps_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UserError, match="--label_map"):
        parse_label_map(text)


def test_several_labels() -> None:
    raw = [["b", "a"], [], "a|b", '["b"]', "['a', 'b']", {"a": 1, "b": "0"}]
    labels, task = read_labels(raw, "a.jsonl")
    assert labels == [["b", "a"], [], ["a", "b"], ["b"], ["a", "b"], ["a"]]
    assert task == Task(("a", "b"), MULTI)
    assert task.targets(task.ids(labels))[:3] == [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]


def frame_of(**counts: int) -> pd.DataFrame:
    labels = [label for label, number in counts.items() for _ in range(number)]
    return pd.DataFrame({"Label": labels, "Text": [f"text {n}" for n in range(len(labels))]})


@given(st.lists(st.integers(3, 60), min_size=2, max_size=4), st.floats(0.05, 0.9), st.floats(0.05, 0.5))
def test_stratified_splits_hold_every_label(counts: list[int], train: float, validation: float) -> None:
    if train + validation >= 0.98:
        return
    task = Task(tuple("abcd"[: len(counts)]))
    frame = frame_of(**dict(zip(task.names, counts, strict=True)))
    found = stratify(frame, Plan("none", "stratified", train, validation), task)
    assert sorted(text for part in found.values() for text in part["Text"]) == sorted(frame["Text"])
    for part in found.values():
        assert set(part["Label"]) == set(task.names)
    for label, number in zip(task.names, counts, strict=True):
        assert abs((found["validation"]["Label"] == label).sum() - number * validation) <= 1.5 or number < 10


def test_balance() -> None:
    task = Task(("a", "b", "c"))
    frame = frame_of(a=60, b=30, c=12)
    under = prepare_splits(frame, Plan("undersample", "stratified"), task)
    assert count(under)[["a", "b", "c"]].sum().tolist() == [12, 12, 12]
    over = prepare_splits(frame, Plan("oversample", "stratified"), task)
    assert count(over).loc["train", ["a", "b", "c"]].nunique() == 1
    assert count(over).loc["test", ["a", "b", "c"]].tolist() == [12, 6, 2]
    assert set(oversample(frame, 1, task)["Text"]) == set(frame["Text"])
    first, conflicts = deduplicate(pd.DataFrame({"Label": ["a", "b", "a"], "Text": ["x", "x", "y"]}))
    assert (first["Label"].tolist(), conflicts) == (["a", "a"], 1)


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        (Task(("z", "b", "total")), ["z", "b", "total"] * 10),
        (Task(("1", "2", "0")), ["1", "2", "0"] * 10),
        (Task(("a", "b"), MULTI), [["a"], [], ["a", "b"]] * 10),
        (Task(("score",), REGRESSION), [0.25, -1.0, 1e-3] * 10),
    ],
    ids=["names", "numbers", "several", "regression"],
)
def test_saved_and_edited(task: Task, labels: list[Any], tmp_path: Any) -> None:
    """The names and their order stay; what is edited in a CSV counts."""
    frame = pd.DataFrame({"Label": labels, "Text": [f"text {n}" for n in range(30)]})
    splits = prepare_splits(frame, Plan("none"), task)
    save_splits(splits, tmp_path / "splits")
    rules = LabelRules(problem_type=task.problem_type)
    found = read_splits(tmp_path / "splits", rules)
    assert task_of(found) == task
    assert {name: rows.to_dict() for name, rows in found.items()} == {n: r.to_dict() for n, r in splits.items()}
    file = tmp_path / "splits" / "train.csv"
    file.write_text(file.read_text().replace("text ", "edited ", 1))
    edited = read_splits(tmp_path / "splits", rules)
    assert task_of(edited) == task
    assert edited["train"]["label"][:] == splits["train"]["label"][:]
    assert [text.startswith("edited") for text in edited["train"]["text"]].count(True) == 1
