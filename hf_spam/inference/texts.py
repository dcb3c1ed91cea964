"""Texts as a list, whatever holds them, or in chunks, and work that goes on while the next ones are read."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

T = TypeVar("T")

CHUNK = 1024  # texts per chunk
_CHARACTERS = 2**24  # per chunk, so that long texts do not fill the memory


def as_list(texts: object) -> list[str]:
    """Return texts as a list: one string, or strings in order.

    Raises:
        TypeError: If they are anything else, with what to pass.
    """
    expected = "expected a string, or a list, Series, array or generator of strings"
    if isinstance(texts, str):
        return [str(texts)]
    unordered = isinstance(texts, bytes | bytearray | memoryview | Mapping | Set) or getattr(texts, "ndim", 1) != 1
    if unordered or not isinstance(texts, Iterable):
        remedy = " Pass its column of texts." if getattr(texts, "ndim", 1) == 2 else ""
        raise TypeError(f"{expected}, found {type(texts).__name__}.{remedy}")
    if isinstance(getattr(texts, "column_names", None), list | dict):  # a data set, of which a row is a dict
        raise TypeError(f"{expected}, found {type(texts).__name__}. Pass its column of texts: data['text'].")
    found = list(texts)
    for number, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"{expected}, found {type(text).__name__} at position {number}.")
    return [str(text) for text in found]  # numpy has strings of its own


def chunked(items: Iterable[T], size: int, length: Callable[[T], int] = len) -> Iterator[list[T]]:  # type: ignore[assignment]
    """Yield lists of up to `size` texts, and of fewer where they are long."""
    chunk: list[T] = []
    characters = 0
    for item in items:
        chunk.append(item)
        characters += length(item)
        if len(chunk) == size or characters >= _CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """Yield the items of an iterable. A thread draws the next item while the caller works on the current one."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        upcoming = thread.submit(next, iterator, end)
        while (item := upcoming.result()) is not end:
            upcoming = thread.submit(next, iterator, end)
            yield cast(T, item)
