"""Folders of tables: splits, classes, copies, and what leads out of them.   pytest tests/tables/test_folders.py"""

import os
import shutil
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hf_spam import UserError
from hf_spam.tables.folders import read_folder, read_tables
from hf_spam.tables.table import Table, open_table

CSV = "label,text\nham,hi\nspam,win\n"
PAIRS = [("ham", "hi"), ("spam", "win")]


def rows(table: Table) -> list[tuple[object, str]]:
    return [(table.label(row), table.text(place, row)) for place, row in table.rows()]


def write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train.csv", "val.csv", "test.csv"], ["train", "validation", "test"]),
        (["Training.csv", "dev.csv"], ["train", "validation"]),
        (["train-00000-of-00002.csv", "train-00001-of-00002.csv"], ["train"]),
        (["data/train-00000-of-00001-0123456789abcdef.csv", "README.md"], ["train"]),
        (["train/a.csv", "test/b.csv"], ["train", "test"]),
        (["a.csv", "b.csv", ".hidden.csv", "README.md", "__MACOSX/a.csv"], ["all"]),
        (["SMSSpamCollection.csv", "readme", "trainers.pdf"], ["all"]),
    ],
)
def test_names_of_splits(tmp_path: Path, names: list[str], splits: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(CSV if name.endswith(".csv") else "about")
    tables = read_tables(tmp_path)
    assert list(tables) == splits
    assert [row for table in tables.values() for row in rows(table)] == PAIRS * len([name for name in names if name.endswith(".csv") and name[0] not in "._"])  # fmt: skip


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """What `hf-spam data` saves: CSVs of ids, and a DatasetDict with the names."""
    features = Features({"text": Value("string"), "label": ClassLabel(names=["spam", "ham"])})
    data = Dataset.from_dict({"text": ["hi", "win"], "label": [1, 0]}, features=features)
    DatasetDict({"train": data, "test": data}).save_to_disk(tmp_path / "saved" / "dataset")
    for name in ("train", "test"):
        (tmp_path / "saved" / f"{name}.csv").write_text("Label,Text\n1,hi\n0,win\n")
    return tmp_path / "saved"


def test_an_edited_csv_wins_over_its_copy(saved: Path) -> None:
    """And its ids have the names that the copy records."""
    (saved / "test.csv").write_text('Label,Text\n1,hi\n0,"win, edited"\n')
    tables = read_folder(saved)
    assert rows(tables["train"]) == [(1, "hi"), (0, "win")]
    assert rows(tables["test"]) == [(1, "hi"), (0, "win, edited")]
    assert {tuple(table.label_names or ()) for table in tables.values()} == {("spam", "ham")}
    for name in ("train.csv", "test.csv"):
        (saved / name).unlink()
    assert rows(read_folder(saved)["test"]) == [(1, "hi"), (0, "win")]
    assert rows(read_folder(saved / "dataset" / "train")["all"]) == [(1, "hi"), (0, "win")]


def test_classes_are_folders_or_files(tmp_path: Path) -> None:
    write(tmp_path / "mail", **{"ham__1": "hi\n", "ham__sub__2.eml": "a\nb", "spam__1": "win", "ham__.DS_Store": "x"})
    table = read_folder(tmp_path / "mail")["all"]
    assert rows(table) == [("ham", "hi\n"), ("ham", "a\nb"), ("spam", "win")]
    assert [row["file"] for _, row in table.rows()] == ["ham/1", "ham/sub/2.eml", "spam/1"]
    assert "labels are the names of folders or files: ham, spam" in table.notes
    write(tmp_path / "lines", **{"ham.txt": "hi\n\nbye", "spam.txt": "win\n"})
    assert rows(read_folder(tmp_path / "lines")["all"]) == [("ham", "hi"), ("ham", "bye"), ("spam", "win")]


def test_nothing_outside_is_read(tmp_path: Path, saved: Path) -> None:
    """Through no link, be it a file's or a folder's, and through no name in a record."""
    outside = write(tmp_path / "outside", **{"secret.csv": CSV, "texts__1": "hi"})
    folders = {
        "file": lambda folder: (folder / "train.csv").symlink_to(outside / "secret.csv"),
        "class": lambda folder: [(folder / name).symlink_to(outside / "texts") for name in ("ham", "spam")],
        "text": lambda folder: [write(folder, ham__1="hi"), (folder / "spam").mkdir(), (folder / "spam" / "1").symlink_to(outside / "secret.csv")],
        "split": lambda folder: (folder / "train").symlink_to(outside),
        "copy": lambda folder: [(folder / "dataset").symlink_to(saved / "dataset")],
        "state": lambda folder: [shutil.copytree(saved / "dataset" / "train", folder, dirs_exist_ok=True), next(folder.glob("*.arrow")).unlink(), next((saved / "dataset" / "train").glob("*.arrow")).rename(outside / "x"), (folder / "data-00000-of-00001.arrow").symlink_to(outside / "x")],
    }  # fmt: skip
    for name, make in folders.items():
        folder = tmp_path / f"folder {name}"
        folder.mkdir()
        make(folder)
        with pytest.raises(UserError, match="found a link that leads out of it"):
            [rows(table) for table in read_folder(folder).values()]


def test_no_tables(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path / "pipe", "x" * 300):
        with pytest.raises(UserError, match="expected a folder, found none that can be read"):
            read_folder(path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "pictures").mkdir()
    write(tmp_path / "pictures", **{"a.png": "", "b.jpg": "", "1.bin": "", "2.bin": ""})
    for name in ("empty", "pictures"):
        with pytest.raises(
            UserError, match="expected saved splits, tables, or a folder of texts for each class, found"
        ):
            read_folder(tmp_path / name)


def test_patterns_and_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorted, also where the shell does not expand them; a file whose name looks like a pattern is a file."""
    for name in ("b", "a", "[c]"):
        (tmp_path / f"{name}.csv").write_text(CSV.replace("hi", name))
    table = open_table(f"{tmp_path}/?.csv")
    assert [text for _, text in rows(table)] == ["a", "win", "b", "win"]
    assert table.read == 4
    assert [(Path(place.file).name, place.row) for place, _ in table.rows()] == [("a.csv", 1), ("a.csv", 2), ("b.csv", 1), ("b.csv", 2)]  # fmt: skip
    assert rows(open_table([tmp_path / "b.csv", tmp_path / "[c].csv"]))[2] == ("ham", "[c]")
    monkeypatch.chdir(tmp_path)
    assert len(rows(open_table(["*.csv"]))) == 6
    for given, message in (("*.tsv", "expected files of that pattern, found none"), ("d.csv", "no such file")):
        with pytest.raises(UserError, match=message):
            open_table(given)
    (tmp_path / "d.csv").write_text("category,body\nham,hi\n")
    with pytest.raises(
        UserError, match=r"d\.csv: expected its columns as in a\.csv \(text, label\), found body, category"
    ):
        open_table(["a.csv", "d.csv"])
