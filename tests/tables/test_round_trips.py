"""What programs write comes back equal, or is refused in one line; never something else.

pytest tests/tables/test_round_trips.py
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl.utils.exceptions import IllegalCharacterError

from hf_spam import UserError
from hf_spam.tables.table import Table, open_table

Pairs = list[tuple[str, str]]

# All characters, and often those that trip readers.
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")
texts = st.text(characters, min_size=1, max_size=12) | st.lists(
    st.sampled_from(['"', '""', "'", ",", ";", "|", "\t", "\n", "\r", "\r\n", "\\", '\\"', " ", "a", "é", "’", "NA", "{", "[", "1"]),
    min_size=1, max_size=8,
).map("".join)  # fmt: skip
labels = st.sampled_from(["ham", "spam", "not spam", "Smishing", "0", "1"])
# A carriage return at the end of a line belongs to the line end, for every reader.
pairs = st.lists(st.tuples(labels, texts.filter(lambda text: not text.endswith("\r"))), min_size=1, max_size=6)


def rows(table: Table) -> list[tuple[object, str]]:
    return [(table.label(row), table.text(place, row)) for place, row in table.rows()]


def check(folder: pytest.TempPathFactory, name: str, content: bytes, expected: Any, **options: Any) -> None:
    """Equal, or refused in a line."""
    path = folder.getbasetemp() / name
    path.write_bytes(content)
    try:
        found = rows(open_table(path, **options))
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert found == expected


def must(folder: pytest.TempPathFactory, name: str, content: bytes, expected: Any, **options: Any) -> None:
    """Equal."""
    path = folder.getbasetemp() / name
    path.write_bytes(content)
    assert rows(open_table(path, **options)) == expected


def write(rows: Any, **options: Any) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, **options).writerows(rows)
    return buffer.getvalue()


@settings(max_examples=60)
@given(
    pairs=pairs,
    delimiter=st.sampled_from([",", ";", "|", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
    suffix=st.sampled_from([".csv", ".tsv", ".txt", ""]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    index=st.booleans(),
)
def test_any_csv(
    tmp_path_factory: pytest.TempPathFactory, pairs: Pairs, delimiter: str, quoting: int, end: str, suffix: str,
    encoding: str, index: bool,
) -> None:  # fmt: skip
    table = [["label", "text"], *pairs]
    if index:
        table = [[str(n - 1) if n else "", *row] for n, row in enumerate(table)]
    content = write(table, delimiter=delimiter, quoting=quoting, lineterminator=end).encode(encoding)
    check(tmp_path_factory, f"a{suffix}", content, pairs)


@settings(max_examples=40)
@given(pairs=pairs, delimiter=st.sampled_from([",", ";", "|", "\t"]), columns=st.permutations(["text", "label", "n"]))
def test_all_quoted(
    tmp_path_factory: pytest.TempPathFactory, pairs: Pairs, delimiter: str, columns: list[str]
) -> None:
    """Quoted as a whole, nothing is refused."""
    table = [columns, *([{"text": text, "label": label, "n": str(n)}[name] for name in columns] for n, (label, text) in enumerate(pairs))]  # fmt: skip
    must(tmp_path_factory, "a.csv", write(table, delimiter=delimiter, quoting=csv.QUOTE_ALL).encode(), pairs)


@settings(max_examples=40)
@given(pairs=pairs, quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]), sep=st.sampled_from([",", ";", "\t", "|"]))  # fmt: skip
def test_any_frame(tmp_path_factory: pytest.TempPathFactory, pairs: Pairs, quoting: Any, sep: str) -> None:
    """As pandas writes it, which leaves a bare carriage return without quotes."""
    content = pd.DataFrame(pairs, columns=["label", "text"]).to_csv(quoting=quoting, sep=sep)
    check(tmp_path_factory, "a.csv", content.encode(), pairs)


literal = st.text(characters, min_size=1, max_size=8) | st.lists(
    st.sampled_from(['"', "a", '"a', 'a"', " ", ",", "é"]), min_size=1, max_size=5
).map("".join)  # fmt: skip


@settings(max_examples=80)
@given(
    pairs=st.lists(st.tuples(st.sampled_from(["ham", "spam"]), literal), min_size=2, max_size=8),
    header=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
)
@example([("ham", '"Hello'), ("spam", "win"), ("ham", 'bye"')], False, "\n")
@example([("ham", '"Hello" she said'), ("spam", '"win"')], True, "\n")
def test_literal_quotes_lose_no_row(
    tmp_path_factory: pytest.TempPathFactory, pairs: Pairs, header: bool, end: str
) -> None:
    """A TSV whose quotes are text. What looks exactly as if a program had quoted it is excepted."""
    pairs = [(label, text.replace("\t", " ").replace("\n", " ").replace("\r", " ").replace('""', '"')) for label, text in pairs]  # fmt: skip
    table = [("label", "text"), *pairs] if header else pairs
    content = "".join(f"{label}\t{text}{end}" for label, text in table)
    check(tmp_path_factory, "a", content.encode(), pairs)


def test_literal_quotes_far_into_a_file(tmp_path: Path) -> None:
    """The first quote stands where no sample reaches."""
    plain = [("ham", "x" * 100), ("spam", "y" * 100)] * 3_000
    for late in ([("ham", '"Hello'), ("spam", "win"), ("ham", 'bye"')], [("ham", 'say "hi"'), ("ham", "two\nlines")]):
        quotes = csv.QUOTE_MINIMAL if late[0][1].startswith("say") else csv.QUOTE_NONE
        content = write([*plain, *late], delimiter="\t", quoting=quotes, quotechar=None if quotes == csv.QUOTE_NONE else '"')  # fmt: skip
        (tmp_path / "a.tsv").write_text(content)
        assert rows(open_table(tmp_path / "a.tsv")) == [*plain, *late]


@settings(max_examples=24)
@given(pairs=pairs, indent=st.sampled_from([None, 0, 2]), ascii_=st.booleans(), suffix=st.sampled_from([".json", ".jsonl", ".txt", ".csv"]))  # fmt: skip
def test_any_json(
    tmp_path_factory: pytest.TempPathFactory, pairs: Pairs, indent: int | None, ascii_: bool, suffix: str
) -> None:
    objects = [{"label": label, "text": text} for label, text in pairs]

    def dump(value: object, indent: int | None = indent) -> bytes:
        return json.dumps(value, indent=indent, ensure_ascii=ascii_).encode()

    frame = pd.DataFrame(objects)
    contents = [
        b"\n".join(dump(each, None) for each in objects), b"\n".join(map(dump, objects)), dump(objects),
        dump({"data": objects}), dump({"version": "1", "rows": objects, "errors": []}),
        *(frame.to_json(orient=orient).encode() for orient in ("records", "columns", "index", "split", "table")),
        dump({"label": [label for label, _ in pairs], "text": [text for _, text in pairs]}),
    ]  # fmt: skip
    for content in contents:
        must(tmp_path_factory, f"a{suffix}", content, pairs)


@settings(max_examples=16)
@given(
    pairs=pairs, suffix=st.sampled_from([".parquet", ".csv"]), compression=st.sampled_from(["zstd", "snappy", None])
)
def test_any_columns(
    tmp_path_factory: pytest.TempPathFactory, pairs: Pairs, suffix: str, compression: str | None
) -> None:
    table = pa.table({"n": list(range(len(pairs))), "label": [row[0] for row in pairs], "text": [row[1] for row in pairs]})  # fmt: skip
    for new in (pa.ipc.new_file, pa.ipc.new_stream):
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression=None if compression == "snappy" else compression)
        with new(sink, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=2)
        must(tmp_path_factory, f"a{suffix}", sink.getvalue().to_pybytes(), pairs)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression=compression, row_group_size=2)
    must(tmp_path_factory, f"a{suffix}", sink.getvalue(), pairs)


@settings(max_examples=10)
@given(pairs=pairs)
def test_any_sheet(tmp_path_factory: pytest.TempPathFactory, pairs: Pairs) -> None:
    book = openpyxl.Workbook()
    try:
        for row in [("text", "label"), *((text, label) for label, text in pairs)]:
            book.active.append(row)
    except IllegalCharacterError:
        return
    for row in book.active.iter_rows():
        for cell in row:
            cell.data_type = "s"  # no formula
    buffer = io.BytesIO()
    book.save(buffer)
    # XML has one kind of line end.
    expected = [(label, text.replace("\r\n", "\n").replace("\r", "\n")) for label, text in pairs]
    check(tmp_path_factory, "a.xlsx", buffer.getvalue(), expected)


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/messages.csv", content)
        archive.writestr("README.md", b"# About")
        archive.writestr("__MACOSX/data/._messages.csv", b"\0\1")
    return buffer.getvalue()


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd, ".zip": zipped}  # fmt: skip


@pytest.mark.parametrize("suffix", PACKINGS)
def test_packed(tmp_path: Path, suffix: str) -> None:
    """Compressed under any name; two streams, one after the other; truncated or damaged, refused."""
    pack = PACKINGS[suffix]
    plain = b"label,text\n" + b"".join(b"ham,message number %d\nspam,win %d\n" % (n, n) for n in range(500))
    packed = pack(plain)
    for name in (f"a.csv{suffix}", "a.csv", "b"):
        (tmp_path / name).write_bytes(packed)
        assert len(rows(open_table(tmp_path / name))) == 1000
    if suffix != ".zip":
        (tmp_path / "a").write_bytes(pack(plain[:100]) + pack(plain[100:]))
        assert len(rows(open_table(tmp_path / "a"))) == 1000
    for damaged in (packed[:-9], packed[: len(packed) // 2], packed + b"more" if suffix != ".zip" else packed[:-1]):
        (tmp_path / "a").write_bytes(damaged)
        with pytest.raises(UserError, match="damaged or truncated"):
            rows(open_table(tmp_path / "a"))


SENTENCES = {
    "cp1252": "It’s £50 a week, “fine” – café Zoë naïve",
    "cp1250": "Zażółć gęślą jaźń, dziękuję bardzo za wiadomość",
    "cp1251": "Привет, как дела? Вы выиграли приз",
    "koi8-r": "Привет, как дела? Вы выиграли приз",
    "cp1253": "Καλημέρα τι κάνεις σήμερα",
    "shift_jis": "おめでとうございます、当選しました",
    "gb18030": "恭喜您中奖了请点击链接，谢谢您的支持",
    "euc-kr": "안녕하세요 당첨되셨습니다 감사합니다",
}


@pytest.mark.parametrize("encoding", SENTENCES)
def test_recognised_encodings(tmp_path: Path, encoding: str) -> None:
    """Said in a note; and the same with the encoding named."""
    pairs = [("ham", SENTENCES[encoding]), ("spam", SENTENCES[encoding][::-1].replace("”", ""))] * 5
    (tmp_path / "a.csv").write_bytes(write([("label", "text"), *pairs]).encode(encoding))
    table = open_table(tmp_path / "a.csv")
    assert rows(table) == pairs
    assert any(note.startswith("read as ") for note in table.notes)
    assert rows(open_table(tmp_path / "a.csv", encoding=encoding)) == pairs


@pytest.mark.parametrize(
    "text", ["It\x92s fine", "Win \xa3100 now", "caf\xe9", "a \x96 b", "\x93Hi\x94 he said", "100\x80"]
)
def test_one_byte_of_windows(tmp_path: Path, text: str) -> None:
    """A quote is a quote and never a control character, also where somebody calls it Latin-1."""
    content = f"label,text\nham,{text}\nspam,Call now to claim your prize\n".encode("latin-1")
    (tmp_path / "a.csv").write_bytes(content)
    expected = [("ham", text.encode("latin-1").decode("cp1252")), ("spam", "Call now to claim your prize")]
    for encoding in (None, "latin-1", "iso-8859-1", "windows-1252"):
        assert rows(open_table(tmp_path / "a.csv", encoding=encoding)) == expected


def test_few_bytes_are_windows(tmp_path: Path) -> None:
    """Kaggle's spam.csv was damaged before it was published; its few odd bytes are no Polish."""
    damaged = (
        b"ham,I\xe5\xd5m home soon and don\x89\xdb\xf7t want to\nspam,Win \xe5\xa3100 now\nham,\xcc_ hi \xcc\xf6\n"
    )
    (tmp_path / "a.csv").write_bytes(b"label,text\n" + damaged + b"ham,See you at eight then\n" * 20)
    assert rows(open_table(tmp_path / "a.csv"))[0] == ("ham", "IåÕm home soon and don‰Û÷t want to")


def test_a_field_is_enclosed_for_its_carriage_return(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Between bars and tabs, where quotes may be text, and where rows end with CR and LF."""
    for delimiter in "|\t":
        table = [("message", "category"), ("hi", "ham"), ("one\rline", "spam"), ("ho", "ham")]
        content = write(table, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL).encode()
        must(tmp_path_factory, "a.csv", content, [(label, text) for text, label in table[1:]])


@pytest.mark.long
@settings(max_examples=3000, deadline=None)
@given(data=st.data())
def test_more_of_them(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Tables of many columns in all dialects, and texts as lines."""
    found = data.draw(pairs)
    extra = data.draw(st.lists(st.tuples(texts, texts), min_size=len(found), max_size=len(found)))
    delimiter = data.draw(st.sampled_from([",", ";", "|", "\t"]))
    quoting = data.draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-16", "cp1252", "utf-16-le", "utf-32-be"]))
    table = [("a", "message", "b", "category")] + [(a, text, b, label) for (label, text), (a, b) in zip(found, extra, strict=True)]  # fmt: skip
    content = write(table, delimiter=delimiter, quoting=quoting).encode(encoding, "ignore")
    if encoding == "cp1252":
        found = [(label, text.encode("cp1252", "ignore").decode("cp1252")) for label, text in found]
        check(tmp_path_factory, "a.csv", content, found, encoding="windows-1252")
    else:
        check(tmp_path_factory, "a.csv", content, found)


def test_the_shells_pipes(tmp_path: Path) -> None:
    """Standard input and <(command), each read once."""
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"label,text\nham,hi\nspam,win\n"))
    program = "import sys; from hf_spam.tables.table import open_table\nt = open_table(sys.argv[1]); print([t.text(*row) for row in t.rows()], t.name)"  # fmt: skip
    for command, name in (('cat a.csv.gz | python -c "$0" -', "standard input"), ('python -c "$0" <(cat a.csv.gz)', "/dev/fd/")):  # fmt: skip
        found = subprocess.run(
            ["bash", "-c", command, program], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert found.stdout.startswith(f"['hi', 'win'] {name}")
