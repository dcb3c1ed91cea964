"""Classify a large file of texts into a JSONL of labels and scores, in constant memory.

The file is streamed in chunks. Each process scores every `world_size()`-th chunk and writes the result to a file of
its own beside the output. At the end the main process joins these files in order, each checked against its texts. An
interrupted run resumes: chunks that have a file that fits are not scored again.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

from ..data.files import header, read_csv, read_table, show
from ..data.labels import SHORT_HAM_SPAM
from ..data.opening import TextFile, open_text
from ..errors import UserError
from ..system import processes
from ..system.files import hash_file
from ..system.reading import check_regular, parse_json
from .classifier import Prediction
from .parts import Parts

CHUNK = 1024  # texts per chunk
_CHARACTERS = 2**24  # per chunk, so that long texts do not fill the memory

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
        source: A CSV, TSV or JSONL with a column of texts, or any other file with one text on each line. It may be
            compressed by gzip, bzip2 or xz.
        target: The JSONL to write, with `text`, `label` and `score` on each line. It appears when it is complete.
        model: What tells the model and its weights from any other: a resumed run must use the same.
        text_column: The column of texts; by default `text`, in any case.
        chunk_size: Texts per chunk. An interrupted process loses at most the chunks it is working on.

    Returns:
        The number of texts.

    Raises:
        UserError: If the file cannot be read, `target` exists or cannot be written, another process writes it, or the
            parts beside it belong to other texts.
    """
    parts = Parts(target, model)
    is_main = processes.rank() == 0
    if is_main:
        _check_places(source, target)
    with parts.one_writer() if is_main else nullcontext():
        with processes.main_first():
            if is_main:
                parts.prepare({"chunk_size": chunk_size, "input": _hash_input(source)})
        return _fill_and_join(classify, source, parts, text_column, chunk_size)


def _fill_and_join(classify: Classify, source: Path, parts: Parts, text_column: str | None, chunk_size: int) -> int:
    count = 0
    pending: deque[tuple[int, list[str]]] = deque()  # drawn by `classify`, which reads ahead, and not yet scored

    def chunks() -> Iterator[list[str]]:
        return chunked(read_texts(source, text_column), chunk_size)

    def own_chunks() -> Iterator[list[str]]:
        nonlocal count
        for number, chunk in enumerate(chunks()):
            count += len(chunk)
            if number % processes.world_size() == processes.rank() and not parts.fits(number, chunk):
                pending.append((number, chunk))
                yield chunk

    for predictions in classify(own_chunks()):
        number, chunk = pending.popleft()
        parts.write(number, chunk, format_rows(chunk, predictions))
    processes.wait_for_all()
    if processes.rank() == 0:
        parts.join(chunks(), count)
    processes.wait_for_all()
    return count


def read_texts(path: Path, text_column: str | None = None) -> Iterator[str]:
    """Yield the texts of a file. Bytes that are not UTF-8 become U+FFFD.

    Raises:
        UserError: If a row has no text, or the file is something else. Rows count from 1, without the header.
    """
    with open_text(path, strict=False) as file:
        wanted = {"text": text_column}
        if file.kind == "tsv" or not (file.kind or text_column):
            _refuse_labelled(file)
        rows = read_table(file, wanted)
        if rows is None and file.kind == "tsv":
            rows = read_csv(file.lines(""), path, wanted, delimiter="\t")
        if rows is None:
            _refuse_misnamed(file)
            # A line ends with \n alone: what else Python calls a line end may stand in a text.
            yield from (line.rstrip("\r\n") for line in file.lines("\n"))
            return
        for number, (text,) in rows:
            if not isinstance(text, str):
                raise UserError(f"{path}, row {number}: expected a text, found {show(text)}.")
            yield text


def chunked(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield lists of up to `size` texts, and of fewer where they are long."""
    chunk: list[str] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if len(chunk) == size or characters >= _CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def format_rows(texts: Iterable[str], predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield a line of JSON with `text`, `label` and `score` for each text."""
    for text, prediction in zip(texts, predictions, strict=True):
        row = {"text": text, "label": prediction.label, "score": round(prediction.score, 6)}
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _check_places(source: Path, target: Path) -> None:
    takes = "--input takes a CSV, a TSV, a JSONL, or a file with one text on each line."
    if not os.path.lexists(source):
        raise UserError(f"{source}: no such file. {takes}")
    try:
        check_regular(source)
    except UserError as error:
        raise UserError(f"{error} {takes}") from None
    if os.path.lexists(target):
        raise UserError(f"{target}: exists already, and nothing is overwritten. Choose another --output.")


def _hash_input(source: Path) -> str:
    try:
        return hash_file(source)
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror}.") from None


def _refuse_labelled(file: TextFile) -> None:
    """Refuse UCI's own format, whose lines are no texts: each begins with a label."""
    first, *rest = header(file) or [""]
    if rest and first in SHORT_HAM_SPAM:
        raise UserError(
            f"{file.path}: expected texts, found lines that begin with a label and a tab. "
            f"Take the texts alone: cut -f 2- {file.path} > texts.txt"
        )


def _refuse_misnamed(file: TextFile) -> None:
    """Refuse a table that is named as a file of lines: its header would be scored as a text."""
    for delimiter, name in (("\t", ".tsv"), (",", ".csv"), (";", ".csv")):
        names = header(file, delimiter)
        if len(names) > 1 and {"text", "label"} & set(names):
            raise UserError(
                f"{file.path}: expected a text on each line, found what looks like the header of a table. "
                f"Rename it to end in {name}; name the column of texts with --text_column."
            )
    if file.head.startswith("{"):
        try:
            parse_json(file.head, file.path)
        except UserError:
            return
        raise UserError(f"{file.path}: expected a text on each line, found JSON. Rename it to end in .jsonl.")
