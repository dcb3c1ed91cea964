"""Classify a large file of texts into a JSONL of labels and scores, in constant memory.

The file is streamed in chunks. Each process scores every `world_size()`-th chunk and writes the result to a file of
its own beside the output. At the end the main process concatenates these files in order. An interrupted run resumes:
chunks that have a file are not scored again.
"""

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from ..data.files import JSONL_SUFFIXES, read_csv, read_jsonl
from ..errors import UserError
from ..system import processes
from ..system.files import hash_file, write_atomically
from .classifier import Prediction

CHUNK = 1024  # texts per chunk
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
        classify: Maps a stream of chunks to a stream of their predictions, as `SpamClassifier.stream` does.
        source: A CSV or JSONL with a column of texts, or any other file with one text on each line.
        target: The JSONL to write, with `text`, `label` and `score` on each line. It appears when it is complete.
        model: The checkpoint's name. A resumed run must use the same one.
        text_column: The column of texts; by default `text`, in any case.
        chunk_size: Texts per chunk. An interrupted process loses at most the chunks it is working on.

    Returns:
        The number of texts.

    Raises:
        UserError: If the file cannot be read, `target` exists, or the parts beside it belong to other texts.
    """
    parts = target.with_name(f"{target.name}.parts")
    with processes.main_first():
        if processes.rank() == 0:
            plan = {"model": model, "chunk_size": chunk_size, "text_column": text_column}
            _prepare_parts(source, target, parts, plan)
    texts = chunks = 0
    pending: deque[tuple[Path, list[str]]] = deque()  # drawn by `classify`, which reads ahead, and not yet scored

    def own_chunks() -> Iterator[list[str]]:
        nonlocal texts, chunks
        for number, chunk in enumerate(chunked(read_texts(source, text_column), chunk_size)):
            texts, chunks = texts + len(chunk), chunks + 1
            part = parts / f"{number:09d}.jsonl"
            if number % processes.world_size() == processes.rank() and not part.is_file():
                pending.append((part, chunk))
                yield chunk

    for predictions in classify(own_chunks()):
        part, chunk = pending.popleft()
        write_atomically(part, "".join(_format_lines(chunk, predictions)).encode())
    processes.wait_for_all()
    if processes.rank() == 0:
        _concatenate(parts, chunks, target)
    processes.wait_for_all()
    return texts


def read_texts(path: Path, text_column: str | None = None) -> Iterator[str]:
    """Yield the texts of a file. Bytes that are not UTF-8 become U+FFFD.

    Raises:
        UserError: If a row has no text. Rows count from 1, without the header.
    """
    kind, wanted = path.suffix.lower(), {"text": text_column}
    # A CSV's quoted fields may hold line breaks of any kind; elsewhere a line ends with \n alone.
    with path.open(encoding="utf-8-sig", errors="replace", newline="" if kind == ".csv" else "\n") as file:
        if kind == ".csv":
            rows = read_csv(file, path, wanted)
        elif kind in JSONL_SUFFIXES:
            rows = read_jsonl(file, path, wanted)
        else:
            yield from (line.rstrip("\r\n") for line in file)
            return
        for number, (text,) in rows:
            if not isinstance(text, str):
                raise UserError(f"{path}, row {number}: expected a text, found {text!r}.")
            yield text


def chunked(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield lists of up to `size` texts."""
    iterator = iter(texts)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _format_lines(texts: list[str], predictions: list[Prediction]) -> Iterator[str]:
    for text, prediction in zip(texts, predictions, strict=True):
        row = {"text": text, "label": prediction.label, "score": round(prediction.score, 6)}
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _prepare_parts(source: Path, target: Path, parts: Path, plan: dict[str, object]) -> None:
    """Create the folder of the parts, or check that an existing one belongs to the same input, model and options."""
    if not source.is_file():
        raise UserError(f"{source}: no such file. --input takes a CSV, a JSONL, or a file with one text on each line.")
    if target.exists():
        raise UserError(f"{target}: exists already, and nothing is overwritten. Choose another --output.")
    plan = {**plan, "input": hash_file(source)}
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


def _concatenate(parts: Path, chunks: int, target: Path) -> None:
    whole = parts / "whole"  # not beside `target`, so that an interrupted run leaves nothing but `parts`
    with whole.open("wb") as file:
        for number in range(chunks):
            with (parts / f"{number:09d}.jsonl").open("rb") as part:
                shutil.copyfileobj(part, file)
    os.replace(whole, target)
    shutil.rmtree(parts)
