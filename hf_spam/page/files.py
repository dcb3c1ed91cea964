"""A file of messages that somebody gives to the page, scored as `hf-spam predict` scores it."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import anyio.to_thread

from ..data.labels import REGRESSION
from ..errors import UserError
from ..inference.answers import Answer, Wish, answer_fields, answers, flat_fields, flatten, rounded
from ..inference.batch_prediction import open_texts, predict_file
from ..inference.outputs import format_of
from ..serving.settings import Limits
from .scoring import Messages

_KEPT = {".csv", ".tsv", ".jsonl", ".parquet"}  # what is written as it was read; anything else becomes a CSV
_LONGEST_NAME = 100  # characters


class Stopped(UserError):
    """Nobody waits for the result any more, or the server ends."""


async def score_file(
    messages: Messages,
    source: Path,
    name: str,
    folder: Path,
    progress: Callable[[int, int], None],
    is_stopping: Callable[[], bool],
) -> tuple[Path, int]:
    """Score each message of a file, and return the file to download and how many there were.

    Args:
        messages: What scores.
        source: The file.
        name: What its owner calls it, for messages.
        folder: A new folder for the result.
        progress: Takes how many rows are done, and how many there are.
        is_stopping: Tells whether the server ends.

    Raises:
        UserError: If it cannot be read, or is too large.
    """
    loop = asyncio.get_running_loop()
    gone = threading.Event()

    def check() -> None:
        if gone.is_set() or is_stopping():
            raise Stopped("the server stops. Score the file again when it runs.")

    def work() -> int:
        total = count_rows(source, messages.limits, check)
        progress(0, total)
        done = 0

        def classify(chunks: Iterable[list[str]]) -> Iterator[list[Answer]]:
            nonlocal done
            for chunk in chunks:
                check()
                logits, _ = asyncio.run_coroutine_threadsafe(messages.score(chunk), loop).result()
                scores = messages.classifier.to_scores(logits)
                found = map(rounded, answers(scores, messages.task, wish, messages.point))
                done += len(chunk)
                progress(done, total)
                yield [flatten(answer, wish) for answer in found] if by_columns else list(found)

        return predict_file(
            classify,
            source,
            target,
            model="the page's",
            fields=flat_fields(messages.task, wish) if by_columns else answer_fields(messages.task, wish),
            chunk_size=messages.limits.max_texts,
        )

    wish = Wish(decision=messages.point is not None and messages.task.problem_type != REGRESSION)
    target = folder / result_name(name)
    by_columns = format_of(target) != "jsonl"
    try:
        return target, await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    except UserError as error:
        raise UserError(str(error).replace(str(source), name).replace(str(target), target.name)) from None
    finally:
        gone.set()


def count_rows(source: Path, limits: Limits, check: Callable[[], None] = lambda: None) -> int:
    """Return how many rows a file has, and so whether all of it can be read.

    Raises:
        UserError: If it cannot be read, or has too many rows or characters.
    """
    if (size := source.stat().st_size) > limits.max_upload:
        raise UserError(f"{source}: expected at most {limits.max_upload:,} bytes, found {size:,}. Divide it.")
    table = open_texts(source)
    rows = characters = 0
    for place, row in table.rows():
        table.text(place, row)
        rows += 1
        characters += sum(len(value) if isinstance(value, str) else 1 for value in row.values())
        if rows > limits.max_rows:
            raise UserError(f"{source}: expected at most {limits.max_rows:,} rows, found more. Divide the file.")
        if characters > limits.max_upload:
            raise UserError(
                f"{source}: expected at most {limits.max_upload:,} characters, found more. Divide the file."
            )
        if rows % 1000 == 0:
            check()
    return rows


def result_name(name: str) -> str:
    """Return what the result of a file is called."""
    path = Path(name)
    stem = "".join(character if character.isalnum() or character in " ._-" else "_" for character in path.stem)
    stem = stem[:_LONGEST_NAME].strip(" .") or "messages"
    return f"{stem}-scored{path.suffix.lower() if path.suffix.lower() in _KEPT else '.csv'}"
