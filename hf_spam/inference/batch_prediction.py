"""A large file of texts → a file of labels and scores: in order, by any number of processes, resumable, in constant
memory.

The file is read as a stream and cut into chunks. Each process scores every so manieth chunk into a file of its own,
complete or not there; the main process puts them together at the end. What a killed run leaves is taken up again.
"""

import csv
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from ..errors import UserError
from ..system import processes
from ..system.files import write_atomically
from .classifier import Prediction

CHUNK = 1024  # texts scored and written together
_PLAN = "plan.json"

Classify = Callable[[Iterable[list[str]]], Iterator[list[Prediction]]]


def predict_file(
    classify: Classify,
    source: Path,
    target: Path,
    *,
    model: str,
    text_column: str | None = None,
    chunk_size: int = CHUNK,
) -> int:
    """Score every text of a file.

    Args:
        classify: Chunks of texts → those of predictions; `SpamClassifier.stream`.
        source: A CSV or JSONL with a column of texts, or anything else with a text on each line.
        target: The JSONL to write, one object a text: `text`, `label`, `score`. It appears when it is complete.
        model: The checkpoint's name: a run that goes on must go on with the same.
        text_column: The column of texts; by itself `text` is found, in any case.
        chunk_size: Texts scored and written together; also what a killed run loses at most, per process.

    Returns:
        How many texts there are.

    Raises:
        UserError: If the file cannot be read, `target` exists, or the parts beside it are those of other texts.
    """
    parts = target.with_name(f"{target.name}.parts")
    with processes.main_first():
        if processes.rank() == 0:
            _prepare(source, target, parts, {"model": model, "chunk_size": chunk_size, "text_column": text_column})
    texts = chunks = 0
    in_work: deque[tuple[Path, list[str]]] = deque()

    def own_chunks() -> Iterator[list[str]]:
        nonlocal texts, chunks
        for number, chunk in enumerate(chunked(read_texts(source, text_column), chunk_size)):
            texts, chunks = texts + len(chunk), chunks + 1
            part = parts / f"{number:09d}.jsonl"
            if number % processes.world_size() == processes.rank() and not part.is_file():
                in_work.append((part, chunk))
                yield chunk

    for predictions in classify(own_chunks()):
        part, chunk = in_work.popleft()
        write_atomically(part, "".join(_lines(chunk, predictions)).encode())
    processes.wait_for_all()
    if processes.rank() == 0:
        _join(parts, chunks, target)
    processes.wait_for_all()
    return texts


def read_texts(path: Path, text_column: str | None = None) -> Iterator[str]:
    """The texts of a file, one after the other; bytes that are not UTF-8 become U+FFFD.

    Raises:
        UserError: If a row has no text; rows count from 1, headers not.
    """
    kind = path.suffix.lower()
    # A CSV's quoted fields may hold line breaks of any kind; elsewhere a line ends with \n alone.
    with path.open(encoding="utf-8-sig", errors="replace", newline="" if kind == ".csv" else "\n") as file:
        if kind == ".csv":
            yield from _read_csv(file, text_column, path)
        elif kind in (".jsonl", ".json"):
            yield from _read_jsonl(file, text_column, path)
        else:
            for line in file:
                yield line.rstrip("\r\n")


def chunked(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of up to `size` texts."""
    iterator = iter(texts)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _read_csv(lines: Iterable[str], text_column: str | None, path: Path) -> Iterator[str]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.DictReader(lines)
    column = _find_column(list(reader.fieldnames or []), text_column, path)
    for number, row in enumerate(reader, 1):
        yield _text(row.get(column), number, path)


def _read_jsonl(lines: Iterable[str], text_column: str | None, path: Path) -> Iterator[str]:
    column = text_column
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number}: expected a JSON object, found {line.strip()[:40]!r}.")
        column = column or _find_column(list(row), None, path)
        yield _text(row.get(column), number, path)


def _find_column(columns: list[str], wanted: str | None, path: Path) -> str:
    found = [name for name in columns if name == wanted or (wanted is None and name.lower() == "text")]
    if len(found) != 1:
        raise UserError(
            f"{path}: expected one column {wanted or 'text'!r}, found {', '.join(columns) or 'none'}. "
            f"Name it with --text_column."
        )
    return found[0]


def _text(value: object, number: int, path: Path) -> str:
    if not isinstance(value, str):
        raise UserError(f"{path}, row {number}: expected a text, found {value!r}.")
    return value


def _lines(texts: list[str], predictions: list[Prediction]) -> Iterator[str]:
    for text, prediction in zip(texts, predictions, strict=True):
        row = {"text": text, "label": prediction.label, "score": round(prediction.score, 6)}
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _prepare(source: Path, target: Path, parts: Path, plan: dict[str, object]) -> None:
    """Make the folder of the parts, or see that it belongs to the same work."""
    if not source.is_file():
        raise UserError(f"{source}: no such file. --input takes a CSV, a JSONL, or a text on each line.")
    if target.exists():
        raise UserError(f"{target}: exists already, and nothing is overwritten. Choose another --output.")
    with source.open("rb") as file:
        plan = {**plan, "input": hashlib.file_digest(file, "sha256").hexdigest()}
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{parts}: cannot be written: {error.strerror}. Choose another --output.") from None
    path = parts / _PLAN
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != plan:
        raise UserError(
            f"{parts}: holds the parts of another input, model or option. Remove it, or choose another --output."
        )
    write_atomically(path, json.dumps(plan, indent=2).encode())


def _join(parts: Path, chunks: int, target: Path) -> None:
    """Put the parts together in order; they go when the whole is there."""
    whole = parts / "whole"
    with whole.open("wb") as file:
        for number in range(chunks):
            with (parts / f"{number:09d}.jsonl").open("rb") as part:
                shutil.copyfileobj(part, file)
    os.replace(whole, target)
    shutil.rmtree(parts)
