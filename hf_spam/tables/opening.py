"""The bytes of a file, decompressed: told by its first bytes, whatever it is called, and bounded in memory.

A `Source` can be read as often as needed. A pipe is copied to a temporary file first, so it is read once.
"""

import bz2
import codecs
import gzip
import lzma
import re
import sys
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import UserError
from ..system.reading import check_regular

LARGEST_FILE = 2 * 2**30  # bytes, decompressed, of a file that is kept in memory or copied
LARGEST_ROW = 64 * 2**20  # characters
PIECE = 2**18
_XZ_MEMORY = 2**28  # xz -9 needs 65 MiB
_PIPES = re.compile(r"-|/dev/stdin|/dev/fd/\d+|/proc/self/fd/\d+")  # standard input, and the shell's <(command)

COMPRESSED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_SAVE = "Save it as CSV or JSONL"
_BINARY = (  # first bytes, what they belong to, and what to do
    ((b"\x04\x22\x4d\x18", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"), "an archive", "Extract it"),
    ((b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"), "data that are compressed twice", "Decompress them first"),
    ((b"FEA1",), "a Feather file of version 1", "Save it as Parquet"),
    ((b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",), "an old Office file", "Save it as .xlsx or CSV"),
    ((b"%PDF-", b"SQLite format 3\0", b"\x89HDF", b"\x80\x04\x95", b"\x80\x05\x95"), "a binary file", _SAVE),
)


class Source:
    """The content of a file, of a member of an archive, or of a pipe.

    Attributes:
        name: What messages call it.
        suffix: The end of its name in lower case, without that of a compression: `.csv` of `a.csv.gz`.
    """

    def __init__(self, name: str, open_raw: Callable[[], AbstractContextManager[BinaryIO]], is_file: bool) -> None:
        self.name = name
        self.suffix = text_suffix(name)
        self._open_raw = open_raw
        self._is_file = is_file

    @property
    def stem(self) -> str:
        """The name of the file alone, without folders and suffixes."""
        name = Path(self.name).name
        return name.split(".", 1)[0] if not name.startswith(".") else name

    def pieces(self, limit: int | None = None) -> Generator[bytes, None, None]:
        """Yield the content, decompressed.

        Args:
            limit: The most bytes; the default is as many as there are.

        Raises:
            UserError: If it cannot be read, is damaged, truncated or larger.
        """
        with self._open_raw() as file:
            yield from read_pieces(self.name, file, limit)

    def start(self, size: int = 4096) -> bytes:
        """Return the first bytes, decompressed."""
        found, pieces = b"", self.pieces()
        for piece in pieces:
            found += piece
            if len(found) >= size:
                break
        pieces.close()
        return found[:size]

    @contextmanager
    def seekable(self) -> Iterator[BinaryIO]:
        """Open the decompressed content as a file in which a reader can jump; if needed, a temporary copy.

        Raises:
            UserError: If it is larger than `LARGEST_FILE` and needs a copy.
        """
        with self._open_raw() as file:
            if self._is_file and not _compression(file.read(16)):
                file.seek(0)
                yield file
                return
        with tempfile.TemporaryFile() as copy:
            for piece in self.pieces(LARGEST_FILE):
                copy.write(piece)
            copy.seek(0)
            yield cast(BinaryIO, copy)


def open_source(path: str | Path) -> Source:
    """Return the content of a regular file, or of standard input (`-`, `/dev/stdin`) or a pipe of the shell.

    Raises:
        UserError: If there is none or it cannot be read.
    """
    if _PIPES.fullmatch(str(path)):
        return _spool(str(path))
    path = Path(path)
    check_regular(path)
    with _opened(path):
        return Source(str(path), lambda: _opened(path), is_file=True)


def text_suffix(name: str) -> str:
    """Return the suffix of a name in lower case, without that of a compression."""
    path = Path(name)
    return Path(path.stem).suffix.lower() if path.suffix.lower() in COMPRESSED else path.suffix.lower()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from None
    with file:
        yield file


def _spool(name: str) -> Source:
    """Copy a pipe to a temporary file without a name, which goes with the process."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    shown = "standard input" if name in ("-", "/dev/stdin") else name
    try:
        if name in ("-", "/dev/stdin"):
            if sys.stdin is None:
                raise UserError("standard input: expected a file, found it closed. Give the name of a file.")
            _copy(cast(BinaryIO, sys.stdin.buffer), copy)
        else:
            with Path(name).open("rb") as file:
                _copy(file, copy)
    except OSError as error:
        raise UserError(f"{shown}: cannot be read: {error.strerror}.") from None

    @contextmanager
    def again() -> Iterator[BinaryIO]:
        copy.seek(0)
        yield cast(BinaryIO, copy)

    return Source(shown, again, is_file=True)


def _copy(file: BinaryIO, copy: Any) -> None:
    for piece in iter(lambda: file.read(PIECE), b""):
        copy.write(piece)


def read_pieces(name: object, file: BinaryIO, limit: int | None) -> Iterator[bytes]:
    """Yield the content of an open file, decompressed.

    Raises:
        UserError: If it is damaged, truncated or has more than `limit` bytes.
    """
    kind, size = "", 0
    try:
        start = file.read(16)
        file.seek(0)
        kind = _named_compression(start, Path(str(name)))
        for piece in _decompress(file, kind):
            size += len(piece)
            if limit is not None and size > limit:
                raise UserError(f"{name}: expected at most {limit:,} bytes, decompressed, found more. Split it.")
            yield piece
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if not (isinstance(error, OSError) and error.errno):
            raise UserError(
                f"{name}: expected {kind or 'sound'} data, found damaged or truncated ones ({error})."
            ) from None
        raise UserError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _compression(start: bytes) -> str:
    """Return how data are compressed, by their first bytes: gzip, bzip2, xz, zstd or ""."""
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start.startswith(b"BZh") and start[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2"
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    return "xz" if start.startswith(b"\xfd7zXZ\0") else ""


def _named_compression(start: bytes, path: Path) -> str:
    """Return how a file is compressed.

    Raises:
        UserError: If its name says that it is, and its first bytes do not.
    """
    if kind := _compression(start):
        return kind
    named = COMPRESSED.get(path.suffix.lower())
    if named:
        raise UserError(
            f"{path}: expected {named} data, found none. If it is not compressed, rename it without {path.suffix}."
        )
    return ""


def _decompress(file: BinaryIO, kind: str) -> Iterator[bytes]:
    if kind == "gzip":
        with gzip.open(file) as stream:
            yield from iter(lambda: stream.read(PIECE), b"")
    elif kind == "bzip2":
        yield from _streams(file, bz2.BZ2Decompressor, padding=b"")
    elif kind == "xz":
        yield from _streams(file, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), padding=b"\0")
    elif kind == "zstd":
        # libzstd refuses windows of more than 128 MiB, so memory is bounded.
        import pyarrow as pa  # a tenth of a second, for this format alone

        with pa.CompressedInputStream(pa.PythonFile(_Unclosed(file), mode="r"), "zstd") as stream:
            yield from iter(lambda: stream.read(PIECE), b"")
    else:
        yield from iter(lambda: file.read(PIECE), b"")


class _Unclosed:
    """A file that whoever reads it cannot close."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read

    def close(self) -> None:
        """Leave it open."""


def _streams(file: BinaryIO, new: Callable[[], Any], padding: bytes) -> Iterator[bytes]:
    """Decompress one stream or several. The standard library's readers would ignore a damaged second one."""
    rest = file.read(PIECE)
    while rest:
        decompressor = new()
        while not decompressor.eof:
            if decompressor.needs_input and not rest:
                rest = file.read(PIECE)
                if not rest:
                    raise EOFError("it ends too early")
            yield decompressor.decompress(rest, PIECE)
            rest = b""
        rest = decompressor.unused_data
        while not (rest := rest.lstrip(padding) if padding else rest):
            rest = file.read(PIECE)
            if not rest:
                return


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
            if kind := _compression(piece) or ("zip" if piece.startswith(ZIP) else ""):
                raise UserError(f"{name}: expected lines of text, found {kind} data. Give it by --input -")
            refuse_binary(piece, name)
            wide = piece.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            if wide or (len(piece) > 3 and 3 * piece.count(b"\0") > len(piece)):  # a single one ends no filter
                raise UserError(f"{name}: expected UTF-8, found UTF-16 or NUL bytes. Give it by --input -")
            piece = piece.removeprefix(codecs.BOM_UTF8)
        yield piece


def refuse_binary(start: bytes, name: object) -> None:
    """Refuse data that are neither text nor a table, by their first bytes.

    Raises:
        UserError: If they begin as such data do.
    """
    for marks, kind, remedy in _BINARY:
        if start.startswith(marks):
            raise UserError(f"{name}: expected text or a table, found {kind}. {remedy}.")
