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

from ..data.hub_dataset import locate
from ..errors import UserError
from ..system import processes
from ..system.files import hash_file, sha256
from ..system.reading import is_folder
from ..tables.folders import read_tables
from ..tables.table import Paths, Table, expand, join
from .classifier import Prediction
from .parts import Parts

CHUNK = 1024  # texts per chunk
_CHARACTERS = 2**24  # per chunk, so that long texts do not fill the memory

Classify = Callable[[Iterable[list[str]]], Iterator[list[Prediction]]]


def predict_file(
    classify: Classify,
    source: Paths,
    target: Path,
    *,
    model: str,
    text_column: str | None = None,
    encoding: str | None = None,
    chunk_size: int = CHUNK,
    note: Callable[[str], None] = lambda line: None,
) -> int:
    """Score every text of a file.

    Args:
        classify: Maps a stream of chunks to a stream of their predictions, as `SpamClassifier.stream` does.
        source: Files of texts, a folder of them, or `-`; see `tables.folders.read_tables`.
        target: The JSONL to write, with `text`, `label` and `score` on each line. It appears when it is complete.
        model: What tells the model and its weights from any other: a resumed run must use the same.
        text_column: See `tables.table.open_table`.
        encoding: See there.
        chunk_size: Texts per chunk. An interrupted process loses at most the chunks it is working on.
        note: Takes each line about what was recognised.

    Returns:
        The number of texts.

    Raises:
        UserError: If the file cannot be read, `target` exists or cannot be written, another process writes it, or the
            parts beside it belong to other texts.
    """
    parts = Parts(target, model)
    is_main = processes.rank() == 0
    if is_main and os.path.lexists(target):
        raise UserError(f"{target}: exists already, and nothing is overwritten. Choose another --output.")
    with processes.main_first():
        located = locate(source)
        table = open_texts(located, text_column, encoding)
    if is_main:
        note(f"{table.name}: {'; '.join(table.notes)}")
    with parts.one_writer() if is_main else nullcontext():
        with processes.main_first():
            if is_main:
                parts.prepare({"chunk_size": chunk_size, "input": _hash_input(located)})
        count = _fill_and_join(classify, table, parts, chunk_size)
    for remark in table.remarks if is_main else ():
        note(remark)
    return count


def _fill_and_join(classify: Classify, table: Table, parts: Parts, chunk_size: int) -> int:
    count = 0
    pending: deque[tuple[int, list[str]]] = deque()  # drawn by `classify`, which reads ahead, and not yet scored

    def chunks() -> Iterator[list[str]]:
        return chunked((table.text(place, row) for place, row in table.rows()), chunk_size)

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


def open_texts(paths: Paths, text_column: str | None = None, encoding: str | None = None) -> Table:
    """Open files of texts. Damaged UTF-8 is read as U+FFFD.

    Args:
        paths: Files, a folder, or `-`; on this machine.
        text_column: See `tables.table.open_table`.
        encoding: See there.

    Raises:
        UserError: If they cannot be read, or several processes would share standard input.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if "-" in map(str, given) and processes.world_size() > 1:
        raise UserError("--input -: expected one process, found several. Save the texts to a file first.")
    tables = read_tables(paths, text_column=text_column, encoding=encoding, needs_label=False, strict=False)
    found = list(tables.values())
    return found[0] if len(found) == 1 else join([part for table in found for part in table.parts])


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


def _hash_input(paths: Paths) -> str:
    """Return a hash of the files; standard input is another each time, and told by its texts alone."""
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    files: list[str | Path] = []
    for path in given:
        files += sorted(each for each in Path(path).rglob("*") if each.is_file()) if is_folder(path) else expand(path)
    try:
        hashes = ["-" if str(file) == "-" or not Path(file).is_file() else hash_file(Path(file)) for file in files]
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}.") from None
    return hashes[0] if len(hashes) == 1 else sha256("\n".join(hashes).encode())
