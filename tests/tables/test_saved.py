"""Folders of splits that somebody sent: the right labels, or one line; never a crash, a guess or a file left behind.

pytest tests/tables/test_saved.py
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from support import strange_files as strange
from support.warm_process import WarmProcess

from hf_spam import UserError
from hf_spam.data.splits import SPLITS, read_splits

TEXTS = [f"message {number}" for number in range(6)]
ROWS = ["ham", "spam", "spam", "ham", "spam", "ham"]


def save(folder: Path, labels: list[object], label: object, text: str = "string") -> Path:
    features = Features({"id": Value("int64"), "text": Value(text), "label": label})
    rows = Dataset.from_dict({"id": list(range(6)), "text": TEXTS, "label": labels}, features=features)
    DatasetDict(dict.fromkeys(SPLITS, rows)).save_to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a saved DatasetDict by their names."""
    folder = save(tmp_path_factory.mktemp("saved") / "splits", [0, 1, 1, 0, 1, 0], ClassLabel(names=["ham", "spam"]))
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("text", ["string", "large_string"])
@pytest.mark.parametrize(
    ("labels", "label"),
    [
        ([0, 1, 1, 0, 1, 0], ClassLabel(names=["ham", "spam"])),
        ([1, 0, 0, 1, 0, 1], ClassLabel(names=["spam", "ham"])),
        ([1, 0, 0, 1, 0, 1], ClassLabel(names=["SPAM", "Ham"])),
        ([1, 0, 0, 1, 0, 1], ClassLabel(names=["1", "0"])),
        ([0, 1, 1, 0, 1, 0], Value("int64")),
        ([0, 1, 1, 0, 1, 0], Value("uint8")),
        (ROWS, Value("string")),
        (["Ham", "SPAM", "1", "0", " spam", "ham"], Value("large_string")),
        ([0.0, 1.0, 1.0, 0.0, 1.0, 0.0], Value("float64")),
    ],
)
def test_labels_by_their_names(tmp_path: Path, labels: list[object], label: object, text: str) -> None:
    found = read_splits(save(tmp_path / "splits", labels, label, text))
    assert list(found) == list(SPLITS)
    for rows in found.values():
        assert rows["text"][:] == TEXTS
        assert [rows.features["label"].int2str(id_) for id_ in rows["label"]] == ROWS


@pytest.mark.parametrize(
    ("labels", "label", "message"),
    [
        ([0, None, 1, 0, 1, 0], Value("int64"), "found None in row 2"),
        ([0, -1, 1, 0, 1, 0], ClassLabel(names=["ham", "spam"]), "expected a label from 0 to 1 in every row, found -1 in row 2"),
        ([0, None, 1, 0, 1, 0], ClassLabel(names=["ham", "spam"]), "found None in row 2"),
        (["ham"] * 5 + [" "], Value("string"), "expected a label in every row, found ' ' in row 6"),
        ([0.0, 1.5, 1.0, 0.0, 1.0, 0.0], Value("float64"), "found 1.5 in row 2. For numbers to be predicted: --problem_type regression"),
    ],
)  # fmt: skip
def test_other_labels(tmp_path: Path, labels: list[object], label: object, message: str) -> None:
    with pytest.raises(UserError) as error:
        read_splits(save(tmp_path / "splits", labels, label))
    assert message in str(error.value)


@pytest.mark.parametrize(("change", "message"), strange.SPLITS.values(), ids=strange.SPLITS)
def test_folders_that_are_changed(
    saved: dict[str, bytes], tmp_path: Path, change: Callable[[dict[str, bytes]], None], message: str
) -> None:
    files = dict(saved)
    change(files)
    before = write(tmp_path, files)
    with pytest.raises(UserError) as error:
        read_splits(before)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def arrow(columns: dict[str, pa.Array], metadata: dict[bytes, bytes] | None = None) -> bytes:
    table = pa.table(columns).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (arrow({"text": pa.array([], pa.string()), "label": pa.array([], pa.int64())}), "train: expected messages, found no rows"),
        (arrow({"text": pa.array(["a", None]), "label": pa.array([0, 1])}), "expected a text in every row, found none in row 2"),
        (arrow({"text": pa.array(["a", " "]), "label": pa.array([0, 1])}), "expected a text in every row, found none in row 2"),
        (arrow({"text": pa.array([1, 2]), "label": pa.array([0, 1])}), "expected a text in every row, found none in 2 rows: 1, 2"),
        (arrow({"text": pa.array([b"a"]), "label": pa.array([0])}), "expected a text in every row, found none in row 1"),
        (arrow({"text": pa.array(["a"])}), "expected a column of labels, found columns: text"),
        (arrow({f"c{n}": pa.array([n]) for n in range(30)}), "c8, c9 and 20 more"),
        (arrow({"text": pa.array(["a"]), "label": pa.array([0])}, {b"huggingface": b"{"}), "expected JSON"),
        (
            arrow({"text": pa.array(["a"]), "label": pa.array([0])}, {b"huggingface": b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["spam", "ham"]}}}}'}),
            "expected the labels that dataset_info.json names, found others",
        ),
    ],
)  # fmt: skip
def test_tables_of_another_kind(saved: dict[str, bytes], tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(UserError) as error:
        read_splits(write(tmp_path, {**saved, "train/data-00000-of-00001.arrow": content}))
    assert message in str(error.value)


def test_no_folder_and_what_leads_out_of_it(saved: dict[str, bytes], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for name in ("pipe", "file", "none", "x" * 300):
        with pytest.raises(UserError, match="expected a folder, found none that can be read"):
            read_splits(tmp_path / name)
    folder = write(tmp_path / "splits", saved)
    data = folder / "train" / "data-00000-of-00001.arrow"
    data.rename(tmp_path / "elsewhere")
    data.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="found a link that leads out of it"):
        read_splits(folder)
    data.unlink()
    os.mkfifo(data)
    with pytest.raises(UserError, match="expected a regular file, found a pipe"):
        read_splits(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Label,Text\n,a\n", "found '' in row 1"),
        ("Label,Text\n1\n", "row 1 has 1 field, expected 2"),
        ("Label,Text\n1,a, b\n", "row 1 has 3 fields, expected 2"),
        ("Label,Text\n1,\n", "expected a text in every row, found none in row 1"),
        ("Label,Text\n", "expected messages, found no rows"),
        ("Label,Kind\n1,a\n", "expected a column of texts, found columns: Label, Kind"),
        ("", "expected messages, found an empty file"),
        ("Label,Text\n1,a\0b\n", "found a NUL byte"),
    ],
)
def test_csvs_that_are_damaged(tmp_path: Path, content: str, message: str) -> None:
    for name in SPLITS:
        (tmp_path / f"{name}.csv").write_text("Label,Text\n0,a\nspam,b\n")
    assert read_splits(tmp_path)["test"]["label"][:] == [0, 1]
    (tmp_path / "validation.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as error:
        read_splits(tmp_path)
    assert "validation.csv" in str(error.value)
    assert message in str(error.value)


def test_nothing_is_left_in_the_folder(saved: dict[str, bytes], tmp_path: Path) -> None:
    folder = write(tmp_path / "splits", saved)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    read_splits(folder)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(saved)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


# A process of its own: what is tested is that it does not die.
DAMAGE = """
import pathlib, random, sys
from hf_spam import UserError
from hf_spam.data.splits import SPLITS
from hf_spam.data.messages import read_messages
from hf_spam.tables.folders import read_folder
folder, count, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
path = folder / "train" / "data-00000-of-00001.arrow"
whole, dice = path.read_bytes(), random.Random(seed)
refused = 0
for _ in range(count):
    data = bytearray(whole)
    start = dice.randrange(len(data))
    kind = dice.choice(["cut", "flip", "zero", "ones"])
    if kind == "cut":
        del data[start:]
    elif kind == "flip":
        for _ in range(dice.randint(1, 8)):
            data[dice.randrange(len(data))] ^= dice.randint(1, 255)
    else:
        length = min(dice.choice([1, 8, 64, 4096]), len(data) - start)
        data[start : start + length] = (b"\\0" if kind == "zero" else b"\\xff") * length
    path.write_bytes(data)
    print(kind, start, file=sys.stderr, flush=True)
    try:
        found = read_messages(read_folder(folder))["train"]
        assert all(isinstance(text, str) for text in found.frame["Text"])
        assert found.task.names == ("ham", "spam")
    except UserError as error:
        assert "\\n" not in str(error)
        refused += 1
print(refused)
"""


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.long)])
def test_damaged_anywhere(saved: dict[str, bytes], warm: WarmProcess, tmp_path: Path, count: int) -> None:
    """Truncated, flipped and zeroed at many places: the reader never dies by a signal."""
    folder = write(tmp_path / "splits", saved)
    found = warm.call([folder, count, random.Random(count).randrange(1000)], tmp_path, DAMAGE)
    assert found.returncode == 0, found.stderr[-2000:]
    assert int(found.stdout) > count // 4
