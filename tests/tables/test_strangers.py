"""Files that nobody should have to expect: one line, in bounded memory; and remedies that work when followed.

pytest tests/tables/test_strangers.py
"""

import gzip
import io
import json
import re
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import strange_files as strange

from hf_spam import UserError
from hf_spam.tables import json_rows, opening, table
from hf_spam.tables.table import Table, open_table

LABELLED = "label,text\nham,See you\nspam,Win a prize\n"
EXPECTED = [("ham", "See you"), ("spam", "Win a prize")]


def rows(found: Table) -> list[tuple[object, str]]:
    return [(found.label(row), found.text(place, row)) for place, row in found.rows()]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("name", "content", "message"), strange.BAD.values(), ids=strange.BAD)
def test_no_messages(tmp_path: Path, name: str, content: bytes, message: str, strict: bool) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        rows(open_table(tmp_path / name, needs_label=strict, strict=strict))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) <= 1000


@pytest.mark.parametrize("key", strange.ZIPS)
def test_archives(tmp_path: Path, key: str) -> None:
    content, message = strange.ZIPS[key]
    for name in ("a.zip", "b"):  # by the first bytes, whatever it is called
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError) as error:
            rows(open_table(tmp_path / name))
        assert message in str(error.value)


def test_members_of_archives(tmp_path: Path) -> None:
    """None that leads outside; and what macOS adds is no data."""
    csv = LABELLED.encode()
    for member in ("/a.csv", "../a.csv", "a/../../a.csv", "..\\a.csv"):
        (tmp_path / "a.zip").write_bytes(strange.zip_of(**{member: csv, "b.csv": csv}))
        with pytest.raises(UserError, match="points outside the archive"):
            open_table(tmp_path / "a.zip")
    (tmp_path / "a.zip").write_bytes(strange.zip_of(**{"a.csv": csv, "__MACOSX/a.csv": b"\0", "README.txt": b"about"}))
    assert rows(open_table(tmp_path / "a.zip")) == EXPECTED
    (tmp_path / "a.zip").write_bytes(strange.zip_of(**{"b.csv": csv, "a.csv": csv}))
    assert rows(open_table(tmp_path / "a.zip")) == EXPECTED * 2


@pytest.mark.parametrize(("name", "content"), strange.GOOD.values(), ids=strange.GOOD)
def test_messages_in_any_form(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert rows(open_table(tmp_path / name)) == EXPECTED


SHAPES: dict[str, tuple[str, str]] = {
    "no text column": ("id,label\n1,ham\n", "expected a column of texts, found columns: id, label. Name it with --text_column."),
    "neither": ("id,kind\n1,ham\n", "expected a column of texts and one of labels, found columns: id, kind. Name them with --text_column and --label_column."),
    "two of labels": ("type,category,text\na,b,c\n", "expected a column of labels (which of type, category?)"),
    "no table": ("Hello\nHow are you? Fine, thanks\n", "expected a table of texts and labels, found lines that are none"),
    "a comma too many": (LABELLED + "ham,Hi, there\n", "row 3 has 3 fields, expected 2. Put quotes around texts that contain ','."),
    "two files in one": (LABELLED + LABELLED, "row 3 repeats the header. If two files were joined, give them one by one"),
    "texts alone": ("text\nhi\n", "expected a column of labels, found columns: text"),
    "no sense": ("ham,x\nham,y\n\x01\n", "expected"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), SHAPES.values(), ids=SHAPES)
def test_no_guess(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / ("a.txt" if "expected a table" in message else "a.csv")
    path.write_text(content)
    with pytest.raises(UserError) as error:
        rows(open_table(path))
    assert message in str(error.value)


def test_plain_lines(tmp_path: Path) -> None:
    """One text on each line, whatever it looks like, unless a header or tabs make it a table."""
    lines = ["Hello, how are you?", "", "[URGENT] call, now", "{name}, your parcel", 'say "hi"', "a\rb", "x;y|z"]
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n", newline="")
    found = open_table(tmp_path / "a.txt", needs_label=False)
    assert [found.text(*each) for each in found.rows()] == lines
    assert "one text on each line" in found.notes
    for content in (LABELLED, "Label\tText\nham\tSee you\nspam\tWin a prize", "ham\tSee you\nspam\tWin a prize\n", '{"text": "See you"}\n{"text": "Win a prize"}\n'):  # fmt: skip
        (tmp_path / "a.txt").write_text(content)
        found = open_table(tmp_path / "a.txt", needs_label=False)
        assert [found.text(*each) for each in found.rows()] == ["See you", "Win a prize"]


def test_a_json_of_texts(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('["See you", "Win a prize"]')
    found = open_table(tmp_path / "a.json", needs_label=False)
    assert [found.text(*each) for each in found.rows()] == ["See you", "Win a prize"]
    with pytest.raises(UserError, match="expected a column of labels, found columns: text"):
        open_table(tmp_path / "a.json")


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('v1,v2,,\nham,"See you",,\nspam,Win a prize, and more,\n')
    found = open_table(tmp_path / "a.csv")
    assert rows(found) == EXPECTED
    [remark] = found.remarks
    assert "1 rows have something in columns without a name (the first is row 2), which are left out" in remark


def iconv(path: Path, message: str) -> None:
    command = re.search(r"iconv .*", message)
    assert command
    subprocess.run(command[0], shell=True, cwd=path.parent, capture_output=True)
    (path.parent / "utf8-copy").replace(path)


def quote(path: Path, message: str) -> None:
    path.write_text(path.read_text().replace("Hi, there", '"Hi, there"'))


def double(path: Path, message: str) -> None:
    path.write_text(path.read_text().replace('"say "hi" now"', '"say ""hi"" now"'))


def name(**options: str) -> Callable[[Path, str], dict[str, str]]:
    def follow(path: Path, message: str) -> dict[str, str]:
        assert all(f"--{option}" in message for option in options)
        return options

    return follow


def rename(suffix: str) -> Callable[[Path, str], dict[str, str]]:
    def follow(path: Path, message: str) -> dict[str, str]:
        path.rename(path.with_suffix(suffix))
        return {"name": path.with_suffix(suffix).name}

    return follow


REMEDIES: dict[str, tuple[str, bytes, str, Callable[[Path, str], object]]] = {
    "damaged UTF-8": ("a.csv", "label,text\nham,café\nspam,Win".encode() + b"\xff" + "ner é\n".encode(), "line 3: expected UTF-8, found byte 0xff at offset 29", iconv),
    "an unknown encoding": ("a.csv", "label,text\nham,café £5 müller\n".encode("cp437"), "Name it with --encoding", name(encoding="cp437")),
    "damaged under the encoding named": ("a.csv", "label,text\nham,é ok\n".encode("cp1252"), "Name the right encoding with --encoding", name(encoding="windows-1252")),
    "a comma in a text": ("a.csv", LABELLED.encode() + b"ham,Hi, there\n", "Put quotes around texts that contain", quote),
    "a quote in a text": ("a.csv", LABELLED.encode() + b'ham,"say "hi" now"\n', "Double the quotes", double),
    "no names that are known": ("a.csv", b"kind,what\nham,a\nspam,b\n", "Name them with --text_column and --label_column", name(text_column="what", label_column="kind")),
    "no text column": ("a.csv", b"label,what\nham,a\nspam,b\n", "Name it with --text_column", name(text_column="what")),
    "no header": ("a.csv", b"1,ham,Hello there\n2,spam,Win\n3,ham,Hi\n", "--text_column 3 --label_column 2", name(text_column="3", label_column="2")),
    "a name that says gzip": ("a.csv.gz", LABELLED.encode(), "rename it without .gz", rename("")),
}  # fmt: skip


@pytest.mark.parametrize("key", REMEDIES)
def test_remedies_work(tmp_path: Path, key: str) -> None:
    """Each, followed literally, makes the file readable."""
    file, content, message, follow = REMEDIES[key]
    path = tmp_path / file
    path.write_bytes(content)
    options: dict[str, str] = {"encoding": "utf-8"} if key.startswith("damaged under") else {}
    with pytest.raises(UserError) as error:
        rows(open_table(path, **options))
    assert message in str(error.value)
    followed = follow(path, str(error.value))
    options |= followed if isinstance(followed, dict) else {}
    path = tmp_path / options.pop("name", file)
    assert rows(open_table(path, **options))


def test_the_install_command_of_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
    (tmp_path / "a.csv").write_bytes(buffer.getvalue())
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(
        UserError, match=r'an Excel file needs openpyxl, which is missing: pip install -e "\.\[xlsx\]"'
    ):
        open_table(tmp_path / "a.csv")


tokens = st.sampled_from(
    [b"label", b"text", b",", b";", b"|", b"\t", b"\n", b"\r", b'"', b"ham", b"spam", b"{", b"}", b"[", b"]", b":", b'"text"', b'"label"',
     b"\\ud800", b"\xff", b"\0", b" ", b"0", b"NaN", b"\xef\xbb\xbf", b"\xff\xfe", b"PK\x03\x04", b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff", b"\x28\xb5\x2f\xfd"]
)  # fmt: skip


@settings(max_examples=80)
@given(
    name=st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.json", "a.zip", "a", "a.txt", "a.csv.gz", "a.parquet", "a.xlsx"]),
    content=st.binary(max_size=60) | st.lists(tokens, max_size=25).map(b"".join),
    pack=st.sampled_from([bytes, bytes, gzip.compress]),
    needs_label=st.booleans(),
)  # fmt: skip
def test_any_bytes(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes, pack: Callable[[bytes], bytes], needs_label: bool
) -> None:  # fmt: skip
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(pack(content))
    with suppress(UserError):
        assert all(isinstance(text, str) for _, text in rows(open_table(path, needs_label=needs_label)))


def test_a_row_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused after so many characters, whatever follows."""
    from hf_spam.tables import dialects, encodings

    for module in (dialects, encodings, json_rows, opening):
        monkeypatch.setattr(module, "LARGEST_ROW", 50_000)
    for head in (b"label,text\nham,", b'label,text\nham,"', b'{"label": "ham", "text": "', b"ham\t", b'[{"text": "', b'{"data": [{"text": "'):  # fmt: skip
        lines = b"x" * 100 + (b"\n" if head.endswith(b'"') and head[:1] == b"l" else b"")
        (tmp_path / "a").write_bytes(head + lines * 20_000)
        for needs_label in (True, False):
            with pytest.raises(UserError, match=r"50,000 characters|expected"):
                rows(open_table(tmp_path / "a", needs_label=needs_label))


def endless(kind: str) -> Iterator[bytes]:
    block = {
        "json": '{"text": "message", "label": "ham"},\n',
        "csv": 'ham,"message, long"\n',
        "tsv": "ham\tmessage\n",
    }[kind]
    yield {"json": b"[", "csv": b"label,text\n", "tsv": b"label\ttext\n"}[kind]
    for _ in range(400):
        yield block.encode() * 5_000
    yield b'{"text": "last", "label": "spam"}]' if kind == "json" else block.encode()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["json", "csv", "tsv"])
def test_large_files_are_streamed(tmp_path: Path, kind: str) -> None:
    """Two million rows, compressed a hundredfold, in the memory of a few."""
    path = tmp_path / f"a.{kind}.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.writelines(endless(kind))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = open_table(path)
    assert sum(1 for _ in found.rows()) == 2_000_001
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 2**10  # KiB


@pytest.mark.timeout(60)
@pytest.mark.parametrize("content", [b"a" * 2**22 + b"\xe9\n", b"[" * 2**20, b'"' * 2**20, b"\t" * 2**20, b'{"a":' * 2**18, b",\n" * 2**19, b'\\"' * 2**19])  # fmt: skip
def test_no_long_work(tmp_path: Path, content: bytes) -> None:
    """What could make a pattern or a parser begin again and again takes no longer than other files of its size."""
    for name in ("a.csv", "a.json", "a"):
        (tmp_path / name).write_bytes(content)
        began = time.process_time()
        with suppress(UserError):
            rows(open_table(tmp_path / name))
        assert time.process_time() - began < 5


def test_a_bomb_is_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs a temporary copy has a limit."""
    monkeypatch.setattr(opening, "LARGEST_FILE", 10_000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"PK\x03\x04" + b"\0" * 100_000))
    with pytest.raises(UserError, match="expected at most 10,000 bytes, decompressed, found more"):
        open_table(tmp_path / "a.gz")


def test_what_json_means(tmp_path: Path) -> None:
    """Values stay what they are, and a row that is none is refused by its number."""
    values = [True, 0, 1.0, "x", None, ["a", "b"]]
    (tmp_path / "a").write_text(json.dumps([{"text": "a", "label": value} for value in values]))
    found = rows(open_table(tmp_path / "a"))
    assert [(type(label), label) for label, _ in found] == [(type(value), value) for value in values]
    (tmp_path / "a").write_text('[{"text": "a", "label": 1}, 5]')
    with pytest.raises(UserError, match="row 2: expected a JSON object, found a number"):
        rows(open_table(tmp_path / "a"))
    (tmp_path / "a").write_text('[{"text": "a", "label": 1}, {"text": "b", "text": "c"}]')
    with pytest.raises(UserError, match="the key 'text' stands there twice"):
        rows(open_table(tmp_path / "a"))
    assert table.Place("a", 2) == ("a", 2)
