"""Cleaned messages: what remains, what is left out by number, and files that are read back as they were.

pytest tests/audit/test_cleaning.py
"""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_spam import UserError
from hf_spam.audit.cleaning import Conflicts, clean
from hf_spam.audit.writing import TABLES, check_place, write_messages
from hf_spam.data.labels import MULTI, LabelRules
from hf_spam.data.sources import read_file


@pytest.mark.parametrize(
    ("conflicts", "remain", "duplicates", "disputed"),
    [
        ("drop", [1, 5], [6], [2, 3, 4, 7, 8]),
        ("majority", [1, 2, 5], [4, 6], [3, 7, 8]),
        ("keep", [1, 2, 3, 5, 7, 8], [4, 6], []),
    ],
)
def test_what_remains(conflicts: Conflicts, remain: list[int], duplicates: list[int], disputed: list[int]) -> None:
    rows = ["ham once", "ham two", "spam two", "ham two", "spam same", "spam same", "ham tie", "spam tie"]
    frame = pd.DataFrame([row.split() for row in rows], columns=["Label", "Text"])
    cleaned = clean(frame, conflicts)
    assert cleaned.frame.equals(frame.iloc[[row - 1 for row in remain]].reset_index(drop=True))
    assert (cleaned.duplicates, cleaned.conflicts) == (duplicates, disputed)


LABELS = st.sampled_from(["ham", "spam", "fraud"]) | st.lists(st.sampled_from("ab"), unique=True) | st.floats(0, 2)


@given(
    st.lists(st.tuples(LABELS, st.sampled_from(["x", "y", "z", "Z"]))), st.sampled_from(["drop", "majority", "keep"])
)
def test_every_row_is_accounted_for(rows: list[tuple[Any, str]], conflicts: Conflicts) -> None:
    """What remains is unambiguous, and cleaning it again changes nothing."""
    frame = pd.DataFrame({"Label": [label for label, _ in rows], "Text": [text for _, text in rows]})
    cleaned = clean(frame, conflicts)
    assert len(cleaned.frame) + len(cleaned.duplicates) + len(cleaned.conflicts) == len(frame)
    assert conflicts == "keep" or cleaned.frame["Text"].is_unique
    again = clean(cleaned.frame, conflicts)
    assert again.frame.equals(cleaned.frame)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@settings(max_examples=40)
@given(st.lists(TEXT.filter(str.strip), min_size=1, max_size=8))
def test_written_messages_are_read_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """By this package's own readers, and Parquet by pandas."""
    texts += ['a "quoted" text, with a comma', "=1+1", "NA"]
    frame = pd.DataFrame({"Label": ["ham", "spam"] * len(texts), "Text": texts * 2})
    folder = tmp_path_factory.mktemp("written")
    for suffix in TABLES:
        path = check_place("cleaned", str(folder / f"messages{suffix}"), TABLES)
        write_messages("cleaned", path, frame)
        if suffix == ".parquet":
            back = pd.read_parquet(path).rename(columns={"label": "Label", "text": "Text"})
        else:
            back = read_file(path)
        assert back["Text"].tolist() == frame["Text"].tolist()
        assert back["Label"].tolist() == frame["Label"].tolist()


def test_several_labels_are_read_back(tmp_path: Path) -> None:
    frame = pd.DataFrame({"Label": [["a", "b, c"], [], ["a"]], "Text": ["one", "two", "three"]})
    for suffix in (".csv", ".jsonl"):
        write_messages("cleaned", tmp_path / f"several{suffix}", frame)
        back = read_file(tmp_path / f"several{suffix}", rules=LabelRules(problem_type=MULTI))
        assert back["Label"].tolist() == frame["Label"].tolist()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "there.csv"
    path.write_text("mine")
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "nowhere")
    for place in (path, link):
        with pytest.raises(UserError, match=r"exists already, and nothing is overwritten. Choose another --cleaned.$"):
            check_place("cleaned", str(place), TABLES)
        with pytest.raises(UserError, match="exists already"):
            write_messages("cleaned", place, pd.DataFrame({"Label": ["ham"], "Text": ["a"]}))
    assert path.read_text() == "mine"
    with pytest.raises(UserError, match=r"expected a name that ends in \.csv or \.jsonl or \.parquet\.$"):
        check_place("cleaned", str(tmp_path / "messages.xlsx"), TABLES)
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        check_place("cleaned", str(path / "below.csv"), TABLES)
