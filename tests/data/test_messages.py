"""From tables to messages and splits: the chapter's rows by every door, given splits, and refusals by file and row.

pytest tests/data/test_messages.py
"""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hf_spam import UserError
from hf_spam.data import sources
from hf_spam.data.arguments import DataArguments
from hf_spam.data.loading import Prepared, prepare, read_messages
from hf_spam.data.sampling import prepare_splits
from hf_spam.data.splits import fingerprint
from hf_spam.options import merge

ROWS = [(label, f"{label} text {number}") for number in range(40) for label in ("ham", "spam")]


def write_csv(path: Path, rows: list[tuple[str, str]], header: str = "label,text\n") -> str:
    path.write_text(header + "".join(f'{label},"{text}"\n' for label, text in rows))
    return str(path)


# --- the chapter by every door ----------------------------------------------------------------------------------------


def parquet(frame: pd.DataFrame, folder: Path, named: bool) -> Path:
    ids = [int(label == "spam") for label in frame["Label"]]
    label = ClassLabel(names=["ham", "spam"]) if named else Value("int64")
    features = Features({"sms": Value("string"), "label": label})
    Dataset.from_dict({"sms": frame["Text"], "label": ids}, features=features).to_parquet(folder / "train-00000-of-00001.parquet")  # fmt: skip
    return folder / "train-00000-of-00001.parquet"


def saved(frame: pd.DataFrame, folder: Path) -> Path:
    ids = [int(label == "spam") for label in frame["Label"]]
    features = Features({"label": ClassLabel(names=["ham", "spam"]), "message": Value("string")})
    data = Dataset.from_dict({"label": ids, "message": frame["Text"]}, features=features)
    DatasetDict({"train": data}).save_to_disk(folder / "saved")
    return folder / "saved"


def jsonl(frame: pd.DataFrame, folder: Path) -> Path:
    lines = (json.dumps({"v2": text, "v1": label}) + "\n" for label, text in frame.itertuples(index=False))
    (folder / "a.json").write_text("".join(lines))
    return folder / "a.json"


def kaggle(frame: pd.DataFrame, folder: Path) -> Path:
    """Kaggle's spam.csv, whose characters that Windows-1252 lacks are lost."""
    text = frame.assign(a="", b="", c="").to_csv(index=False, header=["v1", "v2", "", "", ""], lineterminator="\r\n")
    (folder / "spam.csv").write_bytes(text.encode("cp1252", "replace"))
    return folder / "spam.csv"


DOORS: dict[str, Callable[[pd.DataFrame, Path], Path]] = {
    "parquet of names": lambda frame, folder: parquet(frame, folder, named=True),
    "parquet of 0 and 1": lambda frame, folder: parquet(frame, folder, named=False),
    "saved": saved,
    "JSON lines": jsonl,
    "Kaggle": kaggle,
}


@pytest.fixture(scope="module")
def chapter(collection: Path) -> tuple[pd.DataFrame, str]:
    frame = sources.read_file(collection)
    return frame, fingerprint(prepare_splits(frame))


def test_the_chapters_files(test_data: Path, chapter: tuple[pd.DataFrame, str], tmp_path: Path) -> None:
    for path in (test_data / "SMSSpamCollection", test_data / "sms+spam+collection.zip"):
        prepared = prepare(DataArguments(data_file=str(path)))
        assert fingerprint(prepared.splits) == chapter[1]
        assert [len(rows) for rows in prepared.splits.values()] == [1045, 149, 300]
        assert prepared.source == "uci"


@pytest.mark.parametrize("door", [pytest.param(door, id=name, marks=[pytest.mark.slow] if name in ("JSON lines", "parquet of 0 and 1") else []) for name, door in DOORS.items()])  # fmt: skip
def test_the_chapter_by_every_door(
    chapter: tuple[pd.DataFrame, str], tmp_path: Path, door: Callable[[pd.DataFrame, Path], Path]
) -> None:
    """The same rows in the same splits; the same fingerprint where the text is the same."""
    frame, expected = chapter
    found = prepare(DataArguments(data_file=str(door(frame, tmp_path))))
    if door is kaggle:
        assert any("read as windows-1252" in note for note in found.notes)
        frame = frame.assign(Text=[text.encode("cp1252", "replace").decode("cp1252") for text in frame["Text"]])
        assert fingerprint(found.splits) == fingerprint(prepare_splits(frame)) != expected
        return
    assert fingerprint(found.splits) == expected
    assert (found.source, found.given) == ("uci", False)


# --- splits that are given --------------------------------------------------------------------------------------------


def texts(prepared: Prepared, split: str) -> list[str]:
    return list(prepared.splits[split]["text"])


def test_given_splits_stay(tmp_path: Path) -> None:
    """And those that are missing are cut from train, with the shares that the options say."""
    train, test = write_csv(tmp_path / "a.csv", ROWS[:60]), write_csv(tmp_path / "b.csv", ROWS[60:], "v1,v2\n")
    both = prepare(DataArguments(train_file=train, test_file=test))
    assert texts(both, "test") == [text for _, text in ROWS[60:]]
    assert (len(texts(both, "train")), len(texts(both, "validation"))) == (54, 6)
    assert {*texts(both, "train"), *texts(both, "validation")} == {text for _, text in ROWS[:60]}
    assert any("messages cut from train: 6 for validation" in note for note in both.notes)
    assert (both.balance, both.given) == ("none", True)
    for name in ("train", "valid", "test"):
        write_csv(tmp_path / f"{name}.csv", {"train": ROWS[:40], "valid": ROWS[40:60], "test": ROWS[60:]}[name])
    (tmp_path / "a.csv").unlink()
    (tmp_path / "b.csv").unlink()
    for arguments in (DataArguments(data_dir=str(tmp_path)), DataArguments(data_file=str(tmp_path))):
        assert [texts(prepare(arguments), split) for split in ("train", "validation", "test")] == [[text for _, text in rows] for rows in (ROWS[:40], ROWS[40:60], ROWS[60:])]  # fmt: skip


def test_train_alone_is_split_as_any_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ROWS[:70])
    found = [prepare(DataArguments(**{name: path})) for name in ("train_file", "data_file")]  # type: ignore[arg-type]
    assert fingerprint(found[0].splits) == fingerprint(found[1].splits)
    assert not found[0].given


def test_what_training_needs(tmp_path: Path) -> None:
    ham = write_csv(tmp_path / "ham.csv", [row for row in ROWS if row[0] == "ham"])
    every = write_csv(tmp_path / "every.csv", [*ROWS, ("scam", "x")])
    cases: list[tuple[dict[str, str], str]] = [
        ({"test_file": every}, "expected messages for training, found only those for test"),
        ({"train_file": ham, "test_file": every}, "found only 'ham'"),
        (
            {"train_file": write_csv(tmp_path / "a.csv", ROWS), "test_file": every},
            "expected every label among the messages for training, found no scam",
        ),
        ({"dataset_split": "train"}, "--dataset_split: expected it with --dataset_name"),
    ]
    for options, message in cases:
        with pytest.raises(UserError, match=message):
            prepare(DataArguments(**options))  # type: ignore[arg-type]


def test_one_question_one_answer() -> None:
    """A later level's answer drops another of an earlier one, and changes parts of the same."""
    files = {"train_file": ["a"], "test_file": ["b"]}
    assert merge(files, {"data_file": ["c"]}) == {"data_file": ["c"]}
    assert merge({"data_file": ["c"]}, files) == files
    assert merge(files, {"test_file": ["d"]}) == {"train_file": ["a"], "test_file": ["d"]}
    hub = {"dataset_name": "a/b", "dataset_split": "train"}
    assert merge(hub, {"dataset_split": "test"}) == {"dataset_name": "a/b", "dataset_split": "test"}
    with pytest.raises(UserError, match="found --train_file and --dataset_name"):
        merge(files | hub)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_a_refusal_names_the_file_and_the_row(tmp_path: Path) -> None:
    good = write_csv(tmp_path / "a.csv", ROWS)
    for rows, message in (
        ([("ham", "x"), ("spam", " ")], r"b\.csv: expected a text in every row, found none in row 2"),
        ([("ham", "x"), ("", "y")], r"b\.csv: expected a label in every row, found '' in row 2"),
    ):
        bad = write_csv(tmp_path / "b.csv", rows)
        with pytest.raises(UserError, match=message):
            read_messages(DataArguments(data_file=[good, bad]))


def test_a_column_for_each_label(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("subject,body,toxic,rude\nRe,hi,0,0\n,you,1,1\nHm,no,0,1\n")
    arguments = DataArguments(data_file=str(tmp_path / "a.csv"), text_column="subject,body", label_column="toxic,rude")
    messages = read_messages(arguments)
    assert messages.task.names == ("toxic", "rude")
    assert messages.task.problem_type == "multi_label_classification"
    assert list(messages.frame.itertuples(index=False, name=None)) == [
        ([], "Re\nhi"), (["toxic", "rude"], "you"), (["rude"], "Hm\nno"),
    ]  # fmt: skip


def test_lone_surrogates_are_read_as_the_tokenizer_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"label": 0, "text": "a \\ud800"}\n{"label": 1, "text": "\\ud83d\\ude00"}\n')
    assert sources.read_file(tmp_path / "a.jsonl")["Text"].tolist() == ["a \ufffd", "\U0001f600"]
