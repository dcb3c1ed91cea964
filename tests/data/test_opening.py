"""Files of any content at the doors of training and prediction: the right messages, or one line.

pytest tests/data/test_opening.py
"""

import bz2
import gzip
import lzma
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import strange_files as strange

from hf_spam import UserError
from hf_spam.data import files, opening, sources
from hf_spam.inference.batch_prediction import read_texts


def train_on(path: Path) -> list[str]:
    return list(sources.read_file(path)["Text"])


def predict(path: Path) -> list[str]:
    return list(read_texts(path))


doors = pytest.mark.parametrize("door", [train_on, predict])
Door = Callable[[Path], list[str]]


@doors
@pytest.mark.parametrize(("name", "content"), strange.GOOD.values(), ids=strange.GOOD)
def test_messages_in_any_form(tmp_path: Path, door: Door, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert door(tmp_path / name) == ["See you", "Win a prize"]


@doors
@pytest.mark.parametrize(("name", "content", "message"), strange.BAD.values(), ids=strange.BAD)
def test_no_messages(tmp_path: Path, door: Door, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        door(tmp_path / name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) <= 1000


@pytest.mark.parametrize(("content", "message"), strange.ZIPS.values(), ids=strange.ZIPS)
def test_archives(tmp_path: Path, content: bytes, message: str) -> None:
    for name in ("a.zip", "b"):  # by the first bytes, whatever it is called
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError) as error:
            train_on(tmp_path / name)
        assert message in str(error.value)


@pytest.mark.parametrize(("name", "content", "message"), strange.NO_TEXTS.values(), ids=strange.NO_TEXTS)
def test_no_lines_of_texts(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        predict(tmp_path / name)
    assert message in str(error.value)


def test_a_named_column_makes_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("label\tbody\nham\tSee you\n")
    assert list(read_texts(tmp_path / "a.txt", "body")) == ["See you"]


@doors
@pytest.mark.parametrize("kind", ["device", "endless", "pipe", "folder", "nothing", "long", "loop"])
def test_no_regular_file(tmp_path: Path, door: Door, kind: str) -> None:
    """One line, at once: nothing waits for a pipe, and an endless device is not read."""
    path = tmp_path / "a.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    else:
        names = {"device": "/dev/null", "endless": "/dev/zero", "long": str(tmp_path / ("x" * 300))}
        path = Path(names.get(kind, path))
    with pytest.raises(UserError, match=r"expected a (regular )?file|no such file"):
        door(path)


@doors
@pytest.mark.parametrize(
    "head", [b"label,text\nham,", b'label,text\nham,"', b'{"label": "ham", "text": "', b"ham\t"], ids=["field", "quote", "object", "line"]
)  # fmt: skip
def test_a_row_without_an_end(tmp_path: Path, door: Door, head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused after so many characters, however many lines and megabytes follow."""
    for module in (files, opening):
        monkeypatch.setattr(module, "LARGEST_ROW", 50_000)
    path = tmp_path / {b"l": "a.csv", b"{": "a.jsonl", b"h": "a"}[head[:1]]
    lines = b"x" * 100 + (b"\n" if head.endswith(b'"') and head[:1] == b"l" else b"")
    path.write_bytes(head + lines * 20_000)
    with pytest.raises(UserError, match=r"50,000 characters|begin with a label"):
        door(path)


@pytest.mark.slow
def test_a_gigabyte_in_bounded_memory(tmp_path: Path) -> None:
    """A compressed line of 1 GiB, at the real limits."""
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"label,text\nham,")
        for _ in range(1024):
            file.write(b"x" * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for door in (train_on, predict):
        with pytest.raises(UserError, match="67,108,864 characters"):
            door(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB


def test_more_than_fits_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 1000)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(strange.MANY))
    with pytest.raises(UserError, match="expected at most 1,000 bytes, decompressed, found more"):
        train_on(tmp_path / "a.csv.gz")
    assert len(predict(tmp_path / "a.csv.gz")) == 20_000  # which is streamed


def test_lone_surrogates(tmp_path: Path) -> None:
    """Prediction keeps them; training reads them as the tokenizer does."""
    (tmp_path / "a.jsonl").write_text('{"label": 0, "text": "a \\ud800"}\n{"label": 1, "text": "\\ud83d\\ude00"}\n')
    assert predict(tmp_path / "a.jsonl") == ["a \ud800", "\U0001f600"]
    assert train_on(tmp_path / "a.jsonl") == ["a \ufffd", "\U0001f600"]


def test_the_collection_is_itself_when_compressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "COLLECTION_SHA256", sources.sha256(strange.COLLECTION))
    for name, content in {
        "a": strange.COLLECTION,
        "a.gz": gzip.compress(strange.COLLECTION),
        "a.zip": strange.zip_of(SMSSpamCollection=strange.COLLECTION),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert sources.is_collection(tmp_path / name)
        assert train_on(tmp_path / name) == ["See you", "Win a prize"]


names = st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.json", "a.zip", "a", "a.csv.gz", "a.bz2", "a.jsonl.xz"])
tokens = st.sampled_from(
    [b"label", b"text", b",", b"\t", b"\n", b"\r", b'"', b"ham", b"spam", b"{", b"}", b"[", b":", b'"text"', b'"label"',
     b"\\ud800", b"\xff", b"\0", b" ", b"0", b"NaN", b"\xef\xbb\xbf", b"PK\x03\x04"]
)  # fmt: skip
contents = st.binary(max_size=60) | st.lists(tokens, max_size=25).map(b"".join)
packings = st.sampled_from([bytes, bytes, gzip.compress, bz2.compress, lzma.compress])


@doors
@settings(max_examples=60)
@given(name=names, content=contents, pack=packings, flipped=st.none() | st.integers(0, 1000))
def test_any_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    door: Door,
    name: str,
    content: bytes,
    pack: Callable[[bytes], bytes],
    flipped: int | None,
) -> None:
    data = bytearray(pack(content))
    if flipped is not None and data:
        data[flipped % len(data)] ^= 1 + flipped % 255
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data)
    with suppress(UserError):
        assert all(isinstance(text, str) for text in door(path))


def test_lines_are_as_the_file_has_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\r\ntwo\rthree\nfour")

    def lines(newline: str) -> Iterator[str]:
        with opening.open_text(tmp_path / "a", strict=True) as file:
            assert (file.kind, file.head) == ("", "one")
            yield from file.lines(newline)

    assert list(lines("\n")) == ["one\r\n", "two\rthree\n", "four"]
    assert list(lines("")) == ["one\r\n", "two\r", "three\n", "four"]
