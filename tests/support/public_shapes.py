"""Small files of the shapes in which labelled texts are published, made by the programs that make them.

`SHAPES` maps a name to a function that writes the files into a folder and returns what to give for it: the file or
folder, the columns to name if they are not recognised, and the rows expected.
"""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

Rows = list[tuple[object, str]]  # label as in the file, text

# Texts with what trips readers: commas, semicolons, quotes, line breaks, an apostrophe, pounds, "NA".
MESSAGES: list[tuple[str, str]] = [
    ("ham", "Go until jurong point, crazy.. Available only in bugis; great world"),
    ("spam", "WINNER!! You have won a £900 prize. Call 09061701461, code KL341"),
    ("ham", 'He said "see you" at 8'),
    ("ham", "NA"),
    ("spam", "URGENT! Don’t miss: 50% off | today only"),
    ("ham", "null"),
    ("spam", "Free entry in 2 a wkly comp to win FA Cup final tkts"),
    ("ham", "I'm home; it's late, café is closed"),
]
OF_LINES = [*MESSAGES[:2], ("ham", "two\nlines, one text"), *MESSAGES[2:]]


@dataclass
class Shape:
    """What a shape gives.

    Attributes:
        path: The file or folder.
        rows: Label and text of every row; of a folder with splits those of the split `train`.
        columns: The columns to name, if they are not recognised: `text_column`, `label_column`.
        label_names: The names of the labels that the file records.
        splits: The splits of a folder.
    """

    path: Path
    rows: Rows
    columns: dict[str, str] = field(default_factory=dict)
    label_names: list[str] | None = None
    splits: Sequence[str] = ()


def _csv(rows: Sequence[Sequence[object]], **options: object) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, **{"lineterminator": "\n", **options}).writerows(rows)  # type: ignore[arg-type]
    return buffer.getvalue()


def _save(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def kaggle_spam(folder: Path) -> Shape:
    """Kaggle's spam.csv: Windows-1252, five columns, of which three are empty but for a few leftovers."""
    rows = [[label, text, "", "", ""] for label, text in MESSAGES]
    rows[3][2] = " leftover"
    return Shape(_save(folder / "spam.csv", _csv([["v1", "v2", "", "", ""], *rows], lineterminator="\r\n"), "cp1252"), list(MESSAGES))  # fmt: skip


def uci(folder: Path) -> Shape:
    """UCI's own format, whose quotes are literal: one that never closes, and one that closes two lines below."""
    rows = [*MESSAGES, ("ham", '"Hello'), ("spam", "Win a prize"), ("ham", 'Bye" he said'), ("ham", '"quoted"')]
    text = "".join(f"{label}\t{message}\n" for label, message in rows)
    return Shape(_save(folder / "SMSSpamCollection", text), list(rows))


def uci_zip(folder: Path) -> Shape:
    shape = uci(folder)
    path = folder / "sms+spam+collection.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(shape.path, "SMSSpamCollection")
        archive.writestr("readme", "About the collection")
    return Shape(path, shape.rows)


def enron(folder: Path) -> Shape:
    """The Enron mails as one CSV, zipped on a Mac."""
    head = ["Message ID", "Subject", "Message", "Spam/Ham", "Date"]
    rows = [[n, f"subject {n}", text, label, "1999-12-10"] for n, (label, text) in enumerate(OF_LINES)]
    path = folder / "enron_spam_data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("enron_spam_data.csv", _csv([head, *rows], lineterminator="\r\n"))
        archive.writestr("__MACOSX/._enron_spam_data.csv", b"\0\5\x16\7\0")
        archive.writestr(".DS_Store", b"\0")
    return Shape(path, list(OF_LINES))


def enron_joined(folder: Path) -> Shape:
    """Subject and message as one text."""
    shape = enron(folder)
    rows: Rows = [(label, f"subject {n}\n{text}") for n, (label, text) in enumerate(shape.rows)]
    return Shape(shape.path, rows, {"text_column": "Subject,Message"})


def acl_imdb(folder: Path) -> Shape:
    """Maas' film reviews: a file for each text, in a folder for each class, in a folder for each split."""
    root = folder / "aclImdb"
    for split in ("train", "test"):
        for label, texts in (("neg", ["Bad, very bad.<br />So bad"]), ("pos", ["Good", "“Great” film"])):
            for number, text in enumerate(texts * 4):
                _save(root / split / label / f"{number}_7.txt", text)
        _save(root / split / "labeledBow.feat", "9 0:9 1:1\n")
    _save(root / "train" / "unsup" / "0_0.txt", "Neither")
    _save(root / "imdb.vocab", "the\nand\n")
    return Shape(root, [("neg", "Bad, very bad.<br />So bad")] * 4 + [("pos", "Good"), ("pos", "“Great” film")] * 4, splits=("train", "test"))  # fmt: skip


def tg_spam(folder: Path) -> Shape:
    """tg-spam's samples: a file for each class, a text on each line."""
    for label in ("ham", "spam"):
        lines = "".join(f"{text}\n" for each, text in MESSAGES if each == label)
        _save(folder / "tg" / f"{label}-samples.txt", lines)
    return Shape(folder / "tg", sorted(MESSAGES, key=lambda row: row[0]))


def tweets(folder: Path) -> Shape:
    """Tweets as Excel saves "CSV UTF-8": with a mark, numbers as labels."""
    rows = [(str(int(label == "spam")), text + " 🎉") for label, text in OF_LINES]
    text = _csv([["id", "Tweet", "class"], *([n, text, label] for n, (label, text) in enumerate(rows))], lineterminator="\r\n")  # fmt: skip
    return Shape(_save(folder / "tweets.csv", text, "utf-8-sig"), list(rows))


def excel_semicolon(folder: Path) -> Shape:
    """Excel's CSV on a German or French machine."""
    rows = [("service", "Ihr Paket, Nr. 5, kommt heute"), ("betrug", "Bitte zahlen Sie 1,99 €; jetzt"), ("ham", "Schöne Grüße\nDeine Käthe"), ("ham", "Bis später für ein „Bier“")] * 4  # fmt: skip
    text = _csv([["Nachricht", "Kategorie"], *([text, label] for label, text in rows)], delimiter=";", lineterminator="\r\n")  # fmt: skip
    return Shape(_save(folder / "export.csv", "sep=;\r\n" + text, "cp1252"), list(rows), {"text_column": "Nachricht", "label_column": "Kategorie"})  # fmt: skip


def excel_unicode_text(folder: Path) -> Shape:
    """Excel's "Unicode text": UTF-16 with a mark, tabs, quotes as in CSV."""
    text = _csv([["Category", "Message"], *OF_LINES], delimiter="\t", lineterminator="\r\n")
    return Shape(_save(folder / "sms.txt", text, "utf-16"), list(OF_LINES))


def excel(folder: Path) -> Shape:
    """A workbook with an empty first sheet and a message of digits alone."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "notes"
    sheet = book.create_sheet("data")
    for row in [["label", "text", "date"], *([label, text, None] for label, text in OF_LINES), ["ham", 12345, None]]:
        sheet.append(row)
    book.save(folder / "sms.xlsx")
    return Shape(folder / "sms.xlsx", [*OF_LINES, ("ham", "12345")])


def _r(value: object) -> str:
    return '"' + str(value).replace('"', '\\"') + '"'


def r_write_table(folder: Path) -> Shape:
    """R's write.table: spaces, names of rows without a header, quotes escaped by a backslash."""
    lines = ['"label" "text"', *(f"{_r(n)} {_r(label)} {_r(text)}" for n, (label, text) in enumerate(OF_LINES, 1))]
    return Shape(_save(folder / "table.txt", "\n".join(lines) + "\n"), list(OF_LINES))


def r_write_csv(folder: Path) -> Shape:
    """R's write.csv: names of rows under an empty name, all texts quoted."""
    text = _csv([["", "type", "text"], *([str(n), *row] for n, row in enumerate(OF_LINES, 1))], quoting=csv.QUOTE_ALL)
    return Shape(_save(folder / "sms_raw.csv", text), list(OF_LINES))


def pandas_csv(folder: Path) -> Shape:
    """Pandas' to_csv with its index, bzip2."""
    pd.DataFrame(OF_LINES, columns=["label", "text"]).to_csv(folder / "frame.csv.bz2")
    return Shape(folder / "frame.csv.bz2", list(OF_LINES))


def pandas_json(folder: Path) -> Shape:
    """Pandas' to_json, by columns."""
    pd.DataFrame(OF_LINES, columns=["label", "text"]).to_json(folder / "frame.json")
    return Shape(folder / "frame.json", list(OF_LINES))


def hub_parquet(folder: Path) -> Shape:
    """A data set of the Hub: Parquet with a ClassLabel, in shards."""
    features = Features({"sms": Value("string"), "label": ClassLabel(names=["ham", "spam"])})
    ids: Rows = [(int(label == "spam"), text + "\n") for label, text in MESSAGES]
    (folder / "plain_text").mkdir(parents=True)
    for shard, part in enumerate((ids[:5], ids[5:])):
        rows = Dataset.from_dict({"sms": [text for _, text in part], "label": [label for label, _ in part]}, features=features)  # fmt: skip
        rows.to_parquet(folder / "plain_text" / f"train-{shard:05}-of-00002.parquet")
    return Shape(folder / "plain_text", ids, label_names=["ham", "spam"], splits=("train",))


def saved_dataset(folder: Path) -> Shape:
    """A saved DatasetDict of other names, whose ids stand the other way round."""
    features = Features({"idx": Value("int32"), "sentence": Value("string"), "label": ClassLabel(names=["spam", "ham"])})  # fmt: skip
    ids: Rows = [(int(label == "ham"), text) for label, text in OF_LINES]
    rows = Dataset.from_dict({"idx": list(range(len(ids))), "sentence": [text for _, text in ids], "label": [label for label, _ in ids]}, features=features)  # fmt: skip
    DatasetDict({"train": rows, "test": rows}).save_to_disk(folder / "saved")
    return Shape(folder / "saved", ids, label_names=["spam", "ham"], splits=("train", "test"))


def ag_news(folder: Path) -> Shape:
    """JSONL with numbers as labels, gzip."""
    rows: Rows = [(number % 4, text) for number, (_, text) in enumerate(OF_LINES)]
    lines = "".join(json.dumps({"text": text, "label": label}) + "\n" for label, text in rows)
    return Shape(_save(folder / "ag_news.jsonl.gz", gzip.compress(lines.encode())), rows)


def youtube(folder: Path) -> Shape:
    """UCI's YouTube spam collection: a file for each video."""
    head = ["COMMENT_ID", "AUTHOR", "DATE", "CONTENT", "CLASS"]
    rows = [(str(int(label == "spam")), text + "\ufeff") for label, text in MESSAGES]
    for name, part in (("Youtube01-Psy.csv", rows[:4]), ("Youtube02-KatyPerry.csv", rows[4:])):
        _save(
            folder / "yt" / name, _csv([head, *(["z13", "A. B", "2015-05-28", text, label] for label, text in part)])
        )
    return Shape(folder / "yt" / "Youtube*.csv", list(rows))


def web_json(folder: Path) -> Shape:
    """One object of an interface of the web."""
    data = [{"comment": text, "target": label == "spam"} for label, text in OF_LINES]
    rows: Rows = [(label == "spam", text) for label, text in OF_LINES]
    return Shape(_save(folder / "answer.json", json.dumps({"status": "ok", "data": data}, indent=1)), rows)


def json_array(folder: Path) -> Shape:
    """An array of objects."""
    data = [{"body": text, "category": label} for label, text in OF_LINES]
    return Shape(_save(folder / "messages.json", json.dumps(data, indent=2, ensure_ascii=False)), list(OF_LINES))


def feather(folder: Path) -> Shape:
    """A Feather file of three classes."""
    rows = [*OF_LINES, ("smishing", "Your parcel waits: http://x.y")]
    table = pa.table({"LABEL": [label for label, _ in rows], "TEXT": [text for _, text in rows]})
    pyarrow.feather.write_feather(table, str(folder / "smishing.feather"))
    return Shape(folder / "smishing.feather", list(rows))


def jigsaw(folder: Path) -> Shape:
    """Several labels a row, a column each."""
    rows: Rows = [([str(n % 2), str(n // 2 % 2)], text) for n, (_, text) in enumerate(OF_LINES)]
    text = _csv([["id", "comment_text", "toxic", "insult"], *([f"id{n}", text, *label] for n, (label, text) in enumerate(rows))])  # type: ignore[misc]  # fmt: skip
    return Shape(_save(folder / "train.csv", text), rows, {"label_column": "toxic,insult"})


def pipes(folder: Path) -> Shape:
    """A file of a database: vertical bars, no header, UTF-16 without a mark."""
    rows = [(label, text.replace("|", "/")) for label, text in MESSAGES]
    return Shape(_save(folder / "dump.txt", "".join(f"{label}|{text}\r\n" for label, text in rows), "utf-16-le"), list(rows))  # fmt: skip


SHAPES: dict[str, Callable[[Path], Shape]] = {
    shape.__name__: shape
    for shape in (
        kaggle_spam, uci, uci_zip, enron, enron_joined, acl_imdb, tg_spam, tweets, excel_semicolon, excel_unicode_text,
        excel, r_write_table, r_write_csv, pandas_csv, pandas_json, hub_parquet, saved_dataset, ag_news, youtube,
        web_json, json_array, feather, jigsaw, pipes,
    )
}  # fmt: skip
