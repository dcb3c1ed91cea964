"""Files that nobody should have to expect, at each door: a name for a message, and the bytes. Campaigns import them too.

Every reader gives a result or one line, for each of these.
"""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable

LABELLED = b"label,text\nham,See you\nspam,Win a prize\n"
TSV = LABELLED.replace(b",", b"\t")
JSONL = b'{"label": "ham", "text": "See you"}\n{"label": "spam", "text": "Win a prize"}\n'
COLLECTION = b"ham\tSee you\nspam\tWin a prize\n"
MANY = b"label,text\n" + b"".join(b"%s,message number %d\n" % ((b"ham", b"spam")[n % 2], n) for n in range(20_000))


def zip_of(method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    """A zip archive in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _damage(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def _encrypted() -> bytes:
    data = bytearray(zip_of(SMSSpamCollection=COLLECTION))
    data[6] |= 1  # the flag in the member's header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    return bytes(data)


def _method(number: int) -> bytes:
    data = bytearray(zip_of(SMSSpamCollection=COLLECTION))
    data[8] = number
    data[data.index(b"PK\x01\x02") + 10] = number
    return bytes(data)


_GZIP, _BZ2, _XZ = gzip.compress(MANY, mtime=0), bz2.compress(MANY), lzma.compress(MANY)

# The right messages are read from each of these, in training and in prediction.
GOOD: dict[str, tuple[str, bytes]] = {
    "gzip": ("a.csv.gz", gzip.compress(LABELLED)),
    "bzip2": ("a.csv.bz2", bz2.compress(LABELLED)),
    "xz": ("a.csv.xz", lzma.compress(LABELLED)),
    "gzip under another name": ("a.csv", gzip.compress(LABELLED)),
    "several gzip members": ("a.csv.gz", gzip.compress(LABELLED[:20]) + gzip.compress(LABELLED[20:])),
    "several bzip2 streams": ("a.csv.bz2", bz2.compress(LABELLED[:20]) + bz2.compress(LABELLED[20:])),
    "padded xz streams": ("a.csv.xz", lzma.compress(LABELLED[:20]) + b"\0" * 8 + lzma.compress(LABELLED[20:])),
    "a compressed JSONL": ("a.jsonl.gz", gzip.compress(JSONL)),
    "a compressed TSV": ("a.tsv.xz", lzma.compress(TSV)),
    "a mark of UTF-8": ("a.csv", b"\xef\xbb\xbf" + LABELLED),
    "the line ends of Windows": ("a.csv", LABELLED.replace(b"\n", b"\r\n")),
    "a TSV of another name": ("messages", TSV),
    "lines of spaces": ("a.csv", LABELLED.replace(b"\n", b"\n   \n")),
    "columns of one name": ("a.csv", b"id,id,label,text\n1,2,ham,See you\n1,2,spam,Win a prize\n"),
    "very many columns": ("a.csv", b"id," * 20_000 + b"label,text\n" + b"," * 20_000 + b"ham,See you\n" + b"," * 20_000 + b"spam,Win a prize\n"),
    "UTF-16": ("a.csv", LABELLED.decode().encode("utf-16")),
    "UTF-16 without a mark": ("a.csv", LABELLED.decode().encode("utf-16-le")),
    "UTF-32": ("a.jsonl", JSONL.decode().encode("utf-32")),
    "not a number": ("a.jsonl", JSONL.replace(b'"label"', b'"n": NaN, "label"')),
}  # fmt: skip

# Files that are neither messages nor texts: refused in training and in prediction, and a piece of the line.
BAD: dict[str, tuple[str, bytes, str]] = {
    "half a gzip": ("a.csv.gz", _GZIP[: len(_GZIP) // 2], "found damaged or truncated"),
    "half a bzip2": ("a.csv.bz2", _BZ2[: len(_BZ2) // 2], "found damaged or truncated"),
    "half an xz": ("a.csv.xz", _XZ[: len(_XZ) // 2], "found damaged or truncated"),
    "a damaged gzip": ("a.csv.gz", _damage(_GZIP, len(_GZIP) // 2), "a.csv.gz"),
    "a damaged bzip2": ("a.csv.bz2", _damage(_BZ2, len(_BZ2) // 2), "a.csv.bz2"),
    "a damaged xz": ("a.csv.xz", _damage(_XZ, len(_XZ) // 2), "found damaged or truncated"),
    "a wrong checksum": ("a.csv.gz", _damage(_GZIP, len(_GZIP) - 6), "found damaged or truncated"),
    "something after gzip": ("a.csv.gz", _GZIP + b"more", "found damaged or truncated"),
    "something after bzip2": ("a.csv.bz2", _BZ2 + b"more", "found damaged or truncated"),
    "something after xz": ("a.csv.xz", _XZ + b"more", "found damaged or truncated"),
    "a damaged second stream": ("a.csv.bz2", _BZ2 + _damage(_BZ2, 2), "found damaged or truncated"),
    "compressed twice": ("a.csv.gz", gzip.compress(gzip.compress(LABELLED)), "compressed twice"),
    "a name that says gzip": ("a.csv.gz", LABELLED, "expected gzip data, found none"),
    "an empty gzip": ("a.csv.gz", b"", "expected gzip data, found none"),
    "zstd": ("a.csv", b"\x28\xb5\x2f\xfd\x04\x00abc", "expected zstd data, found damaged"),
    "a name that says zstd": ("a.csv.zst", LABELLED, "expected zstd data, found none"),
    "Parquet": ("a.csv", b"PAR1\x15\x04\x15", "expected a Parquet file, found a damaged one"),
    "a NUL byte": ("a.csv", LABELLED + b"ham,a\0b\n", "found a NUL byte at offset 45"),
    "a late NUL byte": ("a.csv", MANY + b"ham,a\0b\n", "found a NUL byte at offset"),
    "an Office file": ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "found an old Office file"),
    "a PDF": ("a.txt", b"%PDF-1.7\n", "found a binary file"),
    "too many fields": ("a.csv", LABELLED + b"ham,Hi, there\n", "row 3 has 3 fields, expected 2"),
    "a comma at the end": ("a.csv", LABELLED + b"ham,Hi,\n", "row 3 has 3 fields, expected 2"),
    "too few fields": ("a.csv", LABELLED + b"ham\n", "row 3 has 1 field, expected 2"),
    "too many tabs": ("a.tsv", TSV + b"ham\tHi\tthere\n", "row 3 has 3 fields, expected 2"),
    "an open quote": ("a.csv", LABELLED + b'ham,"Hi\nspam,b\n', "a quote is never closed"),
    "a quote over two rows": ("a.csv", LABELLED + b'ham,"Hi\nham,say "cheese" now\n', "a quote is never closed"),
    "two text columns": ("a.csv", b"label,text,text\nham,a,b\n", "expected a column of texts (which of text, text?)"),
    "very many wrong columns": ("a.csv", b"id," * 99_999 + b"id\n", "found columns: id, id, id, id, id, id, id, id, id, id and 99,990 more"),
    "a key twice": ("a.jsonl", JSONL + b'{"label": "ham", "text": "a", "text": "b"}\n', "line 3: expected a JSON object, found '{\"label\": \"ham\", \"text\": \"a\", \"text\": \"b' (expected JSON: the key 'text' stands there twice)"),
    "deep JSON": ("a.jsonl", JSONL + b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "nested too deeply"),
    "a very long number": ("a.jsonl", JSONL + b'{"label": "ham", "text": "a", "n": ' + b"9" * 5000 + b"}\n", "Exceeds the limit"),
    "a list of objects": ("a.jsonl", JSONL + b'[{"label": "ham", "text": "a"}]\n', "line 3: expected a JSON object, found '[{"),
    "a list as text": ("a.jsonl", JSONL + b'{"label": "ham", "text": ["a"]}\n', "row"),
    "null as text": ("a.jsonl", JSONL + b'{"label": "ham", "text": null}\n', "row"),
    "NaN as text": ("a.jsonl", JSONL + b'{"label": "ham", "text": NaN}\n', "row"),
    "a number as text": ("a.jsonl", JSONL + b'{"label": "ham", "text": 5}\n', "row"),
}  # fmt: skip

# Zip archives, for training.
ZIPS: dict[str, tuple[bytes, str]] = {
    "bzip2 in zip": (zip_of(zipfile.ZIP_BZIP2, SMSSpamCollection=COLLECTION), "found it compressed by method 12"),
    "lzma in zip": (zip_of(zipfile.ZIP_LZMA, SMSSpamCollection=COLLECTION), "found it compressed by method 14"),
    "an unknown method": (_method(99), "found it compressed by method 99"),
    "encrypted": (_encrypted(), "found it encrypted"),
    "damaged": (_damage(zip_of(SMSSpamCollection=MANY), 200), "damaged or truncated"),
    "truncated": (zip_of(SMSSpamCollection=MANY)[:-40], "damaged or truncated"),
    "many members": (
        zip_of(**{f"m{n}": b"" for n in range(30)}),
        "expected messages, found an empty file",
    ),
    "a spreadsheet": (zip_of(**{"[Content_Types].xml": b"<x/>"}), "expected an Excel file, found a damaged one"),
    "binary": (zip_of(SMSSpamCollection=b"ham\ta\0b\n"), "found a NUL byte at offset 5"),
}

# Files with labels, or under other names, whose texts are predicted.
LABELLED_TEXTS: dict[str, tuple[str, bytes]] = {
    "UCI's own format": ("SMSSpamCollection", COLLECTION),
    "the same as TSV": ("a.tsv", COLLECTION),
    "the same with numbers": ("a.txt", b"0\tSee you\n1\tWin a prize\n"),
    "the same, compressed": ("a.txt.gz", gzip.compress(COLLECTION)),
    "a CSV of another name": ("a.txt", LABELLED),
    "a TSV with another text column": ("a.txt", b"label\tbody\nham\tSee you\nspam\tWin a prize\n"),
    "a JSONL of another name": ("a.txt", JSONL),
    "zip": ("a.zip", zip_of(SMSSpamCollection=COLLECTION)),
}  # fmt: skip

_BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)

# Option files that are refused, and a piece of the line.
OPTIONS: dict[str, tuple[str, bytes, str]] = {
    "an option in a list": ("a.yaml", b"report_to: [none, --output_dir, /tmp/x]", "--report_to: expected a list of values, found one that begins with a dash"),
    "an option in a text": ("a.yaml", b'seed: "1 --output_dir x"', "--seed: invalid int value: '1 --output_dir x'"),
    "an option in a name": ("a.yaml", b"output_dir=/tmp/x: true", "expected the name of an option, found 'output_dir=/tmp/x'"),
    "help": ("a.yaml", b"help: true", "expected the name of an option, found 'help'"),
    "a file in a file": ("a.yaml", b"config: b.yaml", "expected the name of an option, found 'config'"),
    "an anchor": ("a.yaml", b"seed: &x 1\nsplit_seed: *x", "line 1: expected plain values, found an anchor or alias"),
    "an alias bomb": ("a.yaml", _BOMB.encode(), "found an anchor or alias"),
    "a tag": ("a.yaml", b"seed: !!python/object/apply:os.getpid []", "found the tag 'tag:yaml.org,2002:python"),
    "a harmless tag": ("a.yaml", b"seed: !!int 1", "found the tag"),
    "a key twice": ("a.yaml", b"seed: 1\nseed: 2", "line 2: the key 'seed' stands there twice"),
    "an inner key twice": ("a.yaml", b"accelerator_config: {a: 1, a: 2}", "the key 'a' stands there twice"),
    "two documents": ("a.yaml", b"seed: 1\n---\nseed: 2", "expected one document, found several"),
    "deep YAML": ("a.yaml", b"seed: " + b"[" * 50, "levels of values, found more"),
    "deeper YAML": ("a.yaml", b"seed: " + b"[" * 50_000, "cannot be read as a configuration"),
    "deep JSON": ("a.json", b'{"seed": ' + b"[" * 50_000, "nested too deeply"),
    "less deep JSON": ("a.json", b'{"accelerator_config": ' + b"[" * 20 + b"]" * 20 + b"}", "--accelerator_config: expected a text"),
    "a number as key": ("a.yaml", b"1: 2", "expected a text as a key, found '1'"),
    "a truth value as key": ("a.yaml", b"on: 2", "expected a text as a key, found 'on'"),
    "a list as key": ("a.yaml", b"? [a]\n: 2", "expected a text as a key"),
    "a merge": ("a.yaml", b"<<: {seed: 1}", "expected a text as a key, found '<<'"),
    "a very long number": ("a.yaml", b"seed: " + b"9" * 5000, "--seed: expected a value, found one that cannot be read"),
    "a very long hexadecimal number": ("a.yaml", b"seed: 0x" + b"f" * 5000, "--seed: expected a text, a number"),
    "a very long number in JSON": ("a.json", b'{"seed": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    "a day": ("a.yaml", b"data_file: 2024-09-09", "--data_file: expected a text, a number"),
    "no day": ("a.yaml", b"data_file: 2024-99-99", "--data_file: expected a value, found one that cannot be read"),
    "a number as text": ("a.yaml", b"data_file: 5", "--data_file: expected a text, found a number. Put it in quotes"),
    "yes as text": ("a.yaml", b"output_dir: yes", "--output_dir: expected a text, found true or false"),
    "a mapping as text": ("a.yaml", b"data_file: {a: b}", "--data_file: expected a single value, found a mapping"),
    "a list as number": ("a.yaml", b"seed: [1, 2]", "--seed: expected a single value, found a list of 2"),
    "lists in a list": ("a.yaml", b"report_to: [[none]]", "--report_to: expected a list of texts or numbers"),
    "a lone surrogate": ("a.json", b'{"data_file": "\\ud800"}', "--data_file: expected a text"),
    "a NUL": ("a.json", b'{"data_file": "a\\u0000b"}', "--data_file: expected a text"),
    "a NUL byte": ("a.yaml", b"seed: \0", "cannot be read as a configuration"),
    "not UTF-8": ("a.yaml", b"data_file: caf\xe9", "cannot be read as a configuration"),
    "a key twice in JSON": ("a.json", b'{"seed": 1, "seed": 2}', "the key 'seed' stands there twice"),
    "something after JSON": ("a.json", b'{"seed": 1} 2', "Extra data"),
    "an array": ("a.json", b"[1]", "expected a JSON object, found a list"),
    "nothing": ("a.yaml", b"", "expected a mapping of options to values, found nothing"),
    "a megabyte": ("a.yaml", b"# " + b"x" * 2**20, "expected at most 1,048,576 bytes"),
}  # fmt: skip


def _edit(name: str, **changes: object) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        files[name] = json.dumps({**json.loads(files[name]), **changes}).encode()

    return change


def _put(name: str, content: bytes | None) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        if content is None:
            del files[name]
        else:
            files[name] = content

    return change


_ARROW = "train/data-00000-of-00001.arrow"

# Changes of a saved DatasetDict (its files by name) that make it one to refuse, and a piece of the line.
SPLITS: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "a split twice": (_edit("dataset_dict.json", splits=["train", "train", "validation", "test"]), "expected the names of different folders, found train, train, validation, test"),
    "splits that are numbers": (_edit("dataset_dict.json", splits=[1, 2, 3]), "expected a list of names"),
    "no list of splits": (_edit("dataset_dict.json", splits={"train": 1}), "expected a list of names"),
    "an index that is no JSON": (_put("dataset_dict.json", b"x"), "dataset_dict.json: expected JSON"),
    "a folder too few": (_put("validation/state.json", None), "validation/state.json: expected a file, found none"),
    "no features": (_put("train/dataset_info.json", b"{}"), "expected an object 'features'"),
    "a file outside": (_edit("train/state.json", _data_files=[{"filename": "../test/data-00000-of-00001.arrow"}]), "expected the name of a file in this folder, found '../test"),
    "an absolute name": (_edit("train/state.json", _data_files=[{"filename": "/etc/passwd"}]), "expected the name of a file in this folder, found '/etc/passwd'"),
    "a device": (_edit("train/state.json", _data_files=[{"filename": ".."}]), "expected the name of a file"),
    "a file that is not there": (_edit("train/state.json", _data_files=[{"filename": "x.arrow"}]), "x.arrow: expected a file, found none"),
    "a file twice": (_edit("train/state.json", _data_files=[{"filename": "a"}, {"filename": "a"}]), "expected a list of different files"),
    "files of another form": (_edit("train/state.json", _data_files=["a"]), "expected a list of different files"),
    "no files": (_edit("train/state.json", _data_files=[]), "expected a list of different files"),
    "a selection": (_edit("train/state.json", _indices_data_files=[{"filename": "a"}]), "found a selection of rows"),
    "an empty file": (_put(_ARROW, b""), "expected an Arrow file, found a damaged one"),
    "a text file": (_put(_ARROW, LABELLED), "expected an Arrow file, found a damaged one"),
}  # fmt: skip
