"""Open a file of messages as text: regular, decompressed, and refused in one line where it is no text.

What a file holds is told by its first bytes, whatever it is called. The name says only how its text is read: `.csv`,
`.tsv` or `.jsonl`, also before `.gz`, `.bz2` or `.xz`.
"""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import UserError
from ..system.reading import check_regular

LARGEST_FILE = 2 * 2**30  # bytes, decompressed, of a file that is kept in memory
LARGEST_ROW = 64 * 2**20  # characters
_PIECE = 2**18
_HEAD = 2**20  # bytes that are looked at before a file is read; a header of 100,000 columns fits
_XZ_MEMORY = 2**28  # xz -9 needs 65 MiB

_KINDS = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
_COMPRESSED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}
_SAVE = "Save it as CSV or JSONL"
_BINARY = (  # first bytes, what they belong to, and what to do
    ((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"), "a zip archive or a spreadsheet", "Extract it, or save it as CSV"),
    ((b"\x28\xb5\x2f\xfd",), "zstd data", "Decompress it with zstd -d"),
    ((b"\x04\x22\x4d\x18", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"), "an archive", "Extract it"),
    ((b"\x1f\x8b", b"\xfd7zXZ\0"), "data that are compressed twice", "Decompress them first"),
    ((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"), "UTF-16 or UTF-32", "Convert it: iconv -f utf-16 -t utf-8"),
    ((b"PAR1\x15", b"ARROW1\0", b"FEA1"), "a Parquet or Arrow file", _SAVE),
    ((b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",), "an Office file", _SAVE),
    ((b"%PDF-", b"SQLite format 3\0", b"\x89HDF", b"\x80\x04\x95", b"\x80\x05\x95"), "a binary file", _SAVE),
)
_NO_TEXT = {".zip", ".xlsx", ".xls", ".ods", ".parquet", ".arrow", ".feather", ".zst", ".lz4", ".7z", ".rar"}


class TextFile:
    """An open file of text.

    Attributes:
        path: Its name.
        kind: `csv`, `tsv` or `jsonl` as its name says, else "".
        head: The first line that is not blank, without its end; of a very long line the beginning.
    """

    def __init__(self, path: Path, pieces: Iterator[bytes]) -> None:
        self.path = path
        self.kind = _KINDS.get(_text_suffix(path), "")
        start = b""
        for piece in pieces:
            start += piece
            if len(start) >= _HEAD:
                break
        first = start[:_HEAD].decode("utf-8-sig", errors="replace").lstrip("\r\n \t\v\f")
        self.head = first.split("\n", 1)[0].rstrip("\r")
        self._pieces = chain([start], pieces)

    def lines(self, newline: str) -> Iterator[str]:
        r"""Yield the lines with their ends. Bytes that are not UTF-8 become U+FFFD.

        Args:
            newline: As for `open`: "" where a line may end in any way, "\n" where it ends with that alone.

        Raises:
            UserError: If a line has more than `LARGEST_ROW` characters.
        """
        raw = io.BufferedReader(_Raw(self._pieces), _PIECE)
        number = 0
        with io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline=newline) as text:
            while line := text.readline(LARGEST_ROW + 1):
                number += 1
                if len(line) > LARGEST_ROW:
                    raise UserError(
                        f"{self.path}, line {number:,}: expected at most {LARGEST_ROW:,} characters, found more. "
                        f"Put each message on a line of its own."
                    )
                yield line


@contextmanager
def open_text(path: Path, *, strict: bool, limit: int | None = None) -> Iterator[TextFile]:
    """Open a file of text, decompressed if it is gzip, bzip2 or xz.

    Args:
        path: A regular file.
        strict: Refuse bytes that are not UTF-8.
        limit: The most bytes to read, decompressed; the default is as many as there are.

    Raises:
        UserError: Here or while the lines are read, if it is no regular file, damaged, binary or too large.
    """
    with _opened(path) as file:
        pieces = _check_text(read_pieces(path, file, limit), path, strict)
        try:
            yield TextFile(path, pieces)
        finally:
            pieces.close()  # in this thread, not when the collector comes by


def as_text(data: bytes, path: Path) -> TextFile:
    """Return bytes in memory as a file of text in UTF-8; see `open_text` for what is refused."""
    return TextFile(path, _check_text(iter([data]), path, strict=True))


def hash_text(path: Path, new: Callable[[], Any]) -> str:
    """Return the hash of a file's decompressed bytes in hexadecimal.

    Args:
        path: A regular file.
        new: Makes the hash: `hashlib.sha256`.
    """
    digest = new()
    with _opened(path) as file:
        for piece in read_pieces(path, file, LARGEST_FILE):
            digest.update(piece)
    return str(digest.hexdigest())


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    check_regular(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from None
    with file:
        yield file


def read_pieces(path: Path, file: BinaryIO, limit: int | None) -> Iterator[bytes]:
    """Yield the content of an open file, decompressed.

    Raises:
        UserError: If it is damaged, truncated or has more than `limit` bytes.
    """
    kind, size = "", 0
    try:
        start = file.read(16)
        file.seek(0)
        kind = _named_compression(start, path)
        for piece in _decompress(file, kind):
            size += len(piece)
            if limit is not None and size > limit:
                raise UserError(f"{path}: expected at most {limit:,} bytes, decompressed, found more. Split it.")
            yield piece
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if kind and not (isinstance(error, OSError) and error.errno):
            raise UserError(f"{path}: expected {kind} data, found damaged or truncated ones ({error}).") from None
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _compression(start: bytes) -> str:
    """Return how data are compressed, by their first bytes: gzip, bzip2, xz or ""."""
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start.startswith(b"BZh") and start[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2"
    return "xz" if start.startswith(b"\xfd7zXZ\0") else ""


def _named_compression(start: bytes, path: Path) -> str:
    """Return how a file is compressed.

    Raises:
        UserError: If its name says that it is, and its first bytes do not.
    """
    if kind := _compression(start):
        return kind
    named = _COMPRESSED.get(path.suffix.lower())
    if named:
        raise UserError(
            f"{path}: expected {named} data, found none. If it is not compressed, rename it without {path.suffix}."
        )
    return ""


def _decompress(file: BinaryIO, kind: str) -> Iterator[bytes]:
    if kind == "gzip":
        with gzip.open(file) as stream:
            yield from iter(lambda: stream.read(_PIECE), b"")
    elif kind == "bzip2":
        yield from _streams(file, bz2.BZ2Decompressor, padding=b"")
    elif kind == "xz":
        yield from _streams(file, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), padding=b"\0")
    else:
        yield from iter(lambda: file.read(_PIECE), b"")


def _streams(file: BinaryIO, new: Callable[[], Any], padding: bytes) -> Iterator[bytes]:
    """Decompress one stream or several. The standard library's readers would ignore a damaged second one."""
    rest = file.read(_PIECE)
    while rest:
        decompressor = new()
        while not decompressor.eof:
            if decompressor.needs_input and not rest:
                rest = file.read(_PIECE)
                if not rest:
                    raise EOFError("it ends too early")
            yield decompressor.decompress(rest, _PIECE)
            rest = b""
        rest = decompressor.unused_data
        while not (rest := rest.lstrip(padding) if padding else rest):
            rest = file.read(_PIECE)
            if not rest:
                return


def _check_text(pieces: Iterator[bytes], path: Path, strict: bool) -> Generator[bytes, None, None]:
    """Pass the pieces of a file on, and refuse what is no text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    read, first = 0, True
    for piece in chain(pieces, [b""]):
        if first and piece:
            first = False
            _refuse_binary(piece, path)
            if path.suffix.lower() in _NO_TEXT:
                raise UserError(
                    f"{path}: expected text, found a name in {path.suffix}. {_SAVE}, or rename it if it is text."
                )
        read += len(piece)
        if b"\0" in piece:
            raise UserError(
                f"{path}: expected text, found a NUL byte at offset {read - len(piece) + piece.index(0)}. "
                f"If it is UTF-16: iconv -f utf-16 -t utf-8 {path} > utf8-copy"
            )
        if strict:
            try:
                decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}: expected UTF-8, found byte 0x{error.object[error.start]:02x} at offset "
                    f"{read - len(error.object) + error.start}. "
                    f"If it is Latin-1: iconv -f latin1 -t utf-8 {path} > utf8-copy"
                ) from None
        if piece:
            yield piece


def _refuse_binary(start: bytes, source: Path | str) -> None:
    for marks, name, remedy in _BINARY:
        if start.startswith(marks):
            raise UserError(f"{source}: expected text, found {name}. {remedy}.")


def check_stream(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Pass the pieces of a stream of text on as they arrive, and refuse what does not begin as text.

    Args:
        pieces: The stream.
        name: What the messages call it.

    Raises:
        UserError: If it is compressed or binary.
    """
    for number, piece in enumerate(pieces):
        if number == 0:
            if kind := _compression(piece):
                raise UserError(
                    f"{name}: expected text, found {kind} data. Give the file by --input, or decompress it."
                )
            _refuse_binary(piece, name)
            if len(piece) > 3 and 3 * piece.count(b"\0") > len(piece):  # a single one in a message ends no filter
                raise UserError(f"{name}: expected text, found NUL bytes. If it is UTF-16: iconv -f utf-16le -t utf-8")
            piece = piece.removeprefix(codecs.BOM_UTF8)
        yield piece


def _text_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in _COMPRESSED else suffix


class _Raw(io.RawIOBase):
    """Pieces of bytes as a file that can be read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
