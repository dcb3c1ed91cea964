"""The chapter's rows, in the chapter's order, saved and loaded unchanged.   pytest tests/data/test_splits.py"""

import os
import shutil
import stat
from pathlib import Path

import pandas as pd
import pytest
from datasets import ClassLabel, DatasetDict
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hf_spam import UserError
from hf_spam.data import sources
from hf_spam.data import splits as data
from hf_spam.data.arguments import DataArguments, Plan
from hf_spam.data.loading import prepare
from hf_spam.data.sampling import prepare_splits, undersample
from hf_spam.tokens.encoding import longest_text
from hf_spam.tokens.tokenization import GPT2Tokenizer


def chapter_frames(collection: Path) -> dict[str, pd.DataFrame]:
    """The chapter's balanced split with pandas alone."""
    df = pd.read_csv(collection, sep="\t", header=None, names=["Label", "Text"])
    spam = df[df["Label"] == "spam"]
    ham = df[df["Label"] == "ham"].sample(len(spam), random_state=123)
    balanced = pd.concat([ham, spam])
    balanced["Label"] = balanced["Label"].map({"ham": 0, "spam": 1})
    balanced = balanced.sample(frac=1, random_state=123).reset_index(drop=True)
    train_end = int(len(balanced) * 0.7)
    validation_end = train_end + int(len(balanced) * 0.1)
    return {
        "train": balanced[:train_end],
        "validation": balanced[train_end:validation_end],
        "test": balanced[validation_end:],
    }


def assert_equal(found: DatasetDict, expected: DatasetDict) -> None:
    """The same rows in the same order, and the same features."""
    for name in data.SPLITS:
        assert found[name].features == expected[name].features == data.features(data.SPAM)
        assert found[name].to_dict() == expected[name].to_dict()


@pytest.fixture(scope="session")
def chapter(collection: Path) -> DatasetDict:
    """Our split of the real collection."""
    return prepare_splits(sources.read_file(collection))


def test_every_row_of_the_chapter(chapter: DatasetDict, collection: Path, tokenizer: GPT2Tokenizer) -> None:
    assert {name: len(rows) for name, rows in chapter.items()} == {"train": 1045, "validation": 149, "test": 300}
    counts = data.count(chapter)
    assert (counts["ham"].sum(), counts["spam"].sum()) == (747, 747)
    assert counts["total"].tolist() == [1045, 149, 300]
    for name, frame in chapter_frames(collection).items():
        assert list(chapter[name]["text"]) == frame["Text"].tolist()
        assert list(chapter[name]["label"]) == frame["Label"].tolist()
    assert longest_text(tokenizer, list(chapter["train"]["text"])) == 120


def test_the_chapters_csvs(chapter: DatasetDict, collection: Path, tmp_path: Path) -> None:
    data.save_splits(chapter, tmp_path / "splits")
    for name, frame in chapter_frames(collection).items():
        frame.to_csv(tmp_path / "expected.csv", index=None)
        assert (tmp_path / "splits" / f"{name}.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()


def test_features(messages: pd.DataFrame) -> None:
    splits = prepare_splits(messages)
    assert splits["train"].features["label"] == ClassLabel(names=["ham", "spam"])
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 898, "validation": 128, "test": 258}


def test_the_larger_class_is_sampled_whichever_it_is() -> None:
    mostly_spam = pd.DataFrame({"Label": ["spam"] * 30 + ["ham"] * 10, "Text": [f"text {n}" for n in range(40)]})
    balanced = undersample(mostly_spam)
    assert balanced["Label"].tolist() == ["ham"] * 10 + ["spam"] * 10
    assert balanced["Text"].tolist()[:10] == [f"text {n}" for n in range(30, 40)]
    assert undersample(mostly_spam)["Text"].tolist() == balanced["Text"].tolist()
    assert undersample(mostly_spam, seed=1)["Text"].tolist() != balanced["Text"].tolist()


def test_options_change_the_split(messages: pd.DataFrame) -> None:
    everything = prepare_splits(messages, Plan("none", train_fraction=0.5, validation_fraction=0.25))
    assert {name: len(rows) for name, rows in everything.items()} == {"train": 2431, "validation": 1215, "test": 1216}
    one_seed = {data.fingerprint(prepare_splits(messages, Plan("none", seed=seed))) for seed in (1, 1, 123)}
    assert len(one_seed) == 2


def test_the_fingerprint_that_runs_recorded() -> None:
    """`metrics.json` of every run holds it: a new one would refuse their data."""
    few = pd.DataFrame({"Label": ["ham", "spam"] * 10, "Text": [f"text {n} \u00e9" for n in range(20)]})
    assert data.fingerprint(prepare_splits(few)) == "569952358cbce69a"


def test_a_split_without_messages() -> None:
    few = pd.DataFrame({"Label": ["ham", "spam"] * 3, "Text": ["a"] * 6})
    with pytest.raises(UserError, match="found 6 that make 4 train, 0 validation, 2 test"):
        prepare_splits(few)


def test_save_and_load_either_way(messages: pd.DataFrame, tmp_path: Path) -> None:
    splits = prepare_splits(messages)
    data.save_splits(splits, tmp_path / "splits")
    assert_equal(data.read_splits(tmp_path / "splits"), splits)
    assert_equal(data.read_splits(tmp_path / "splits" / "dataset"), splits)
    shutil.rmtree(tmp_path / "splits" / "dataset")
    assert_equal(data.read_splits(tmp_path / "splits"), splits)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)


@settings(max_examples=30)
@given(texts=st.lists(texts, min_size=10, max_size=14))
@example(texts=["NA", "null", "nan", "None", "007", "1e3", "True", "-", "\u00a0x", "2024-01-01"])  # to pandas no texts
@example(texts=[f"{number:03d}" for number in range(10)])
def test_any_text_survives_the_csvs(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    frame = pd.DataFrame({"Label": (["ham", "spam"] * 7)[: len(texts)], "Text": texts})
    splits = prepare_splits(frame, Plan("none"))
    folder = tmp_path_factory.mktemp("csv") / "splits"
    data.save_splits(splits, folder)
    shutil.rmtree(folder / "dataset")
    assert_equal(data.read_splits(folder), splits)


def test_nothing_is_overwritten(messages: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(UserError, match="not empty, and nothing is overwritten"):
        data.save_splits(prepare_splits(messages), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_users_mode(messages: pd.DataFrame, tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        data.save_splits(prepare_splits(messages), tmp_path / "splits")
    finally:
        os.umask(mask)
    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "splits").rglob("*")}
    assert stat.S_IMODE((tmp_path / "splits").stat().st_mode) == 0o750
    assert modes == {True: 0o750, False: 0o640}


def test_a_failure_half_way_leaves_nothing(
    messages: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DatasetDict, "save_to_disk", full_disk)
    with pytest.raises(OSError, match="No space"):
        data.save_splits(prepare_splits(messages), tmp_path / "splits")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("Label,Text\n0,a\n")
    with pytest.raises(UserError, match="found no validation and no test"):
        data.read_splits(tmp_path)
    for name in data.SPLITS:
        (tmp_path / f"{name}.csv").write_text("Label,Text\n0.5,a\n1,b\n")
    with pytest.raises(UserError, match="expected"):
        data.read_splits(tmp_path)


def test_what_stands_in_the_training_split_too(collection: Path) -> None:
    frames = chapter_frames(collection)
    known = frames["train"]["Text"]
    expected = {name: int(frames[name]["Text"].isin(known).sum()) for name in ("validation", "test")}
    assert expected["test"] == 37
    assert data.repeated(prepare_splits(sources.read_file(collection))) == expected


def test_what_the_messages_are_called(test_data: Path, collection: Path, tmp_path: Path) -> None:
    """The collection is itself under any name; other messages are never called so."""
    shutil.copy(collection, tmp_path / "renamed.tsv")
    (tmp_path / "mine.tsv").write_text("ham\thello\nspam\twin\n" * 50)
    for arguments, name in (
        (DataArguments(data_source="sample"), "sample"),
        (DataArguments(data_file=[str(test_data / "sms+spam+collection.zip")]), "uci"),
        (DataArguments(data_file=str(tmp_path / "renamed.tsv")), "uci"),
        (DataArguments(data_file=str(tmp_path / "mine.tsv")), "own"),
    ):
        assert prepare(arguments).source == name
