"""The text of a file: its encoding recognised, and said where it is not UTF-8.

UTF-8 is what decodes as UTF-8 throughout. A file with a few bytes that do not is a damaged one if it has other
characters that do, and a file in another encoding if it has none.
"""

import codecs
import io
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from charset_normalizer import from_bytes

from ..errors import UserError
from .opening import LARGEST_ROW, PIECE, Source, refuse_binary

HEAD = 2**20  # bytes that are looked at before a file is read; a header of 100,000 columns fits
_BOMS = (  # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN = "windows-1252"
# As in browsers, these names mean Windows-1252: the bytes 0x80 to 0x9f are quotes and dashes, no control characters.
_LATIN = {"iso8859-1", "ascii", "latin-1", "latin1"}
_CANDIDATES = (
    "cp1252 cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 koi8_r cp932 euc_jp gb18030 big5 euc_kr mac_roman"
)
_EAST_ASIAN = {"cp932", "euc_jp", "gb18030", "big5", "euc_kr"}
_NAMES = {"cp932": "shift_jis"}
_FEW = 0.05  # share of bytes above 127, below which a text is English or nearly so
_SAMPLE = 2**17

_HINT = re.compile(r"sep=.\r?\n")
_HIGH = re.compile(rb"[\x80-\xff]+")
_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


class Text:
    """The text of a source.

    Attributes:
        source: Where it comes from.
        encoding: Python's name of the encoding.
        notes: What was recognised.
        head: The beginning, of at most a mebibyte.
        whole: Whether the head is all of it.
    """

    def __init__(self, source: Source, encoding: str, errors: str, notes: list[str]) -> None:
        self.source, self.encoding, self.notes, self._errors = source, encoding, notes, errors
        start = source.start(HEAD)
        self.whole = len(start) < HEAD
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        self.head = decoder.decode(start, final=self.whole)
        # Excel's hint at the delimiter, which is found without it.
        self._skip = 1 if _HINT.match(self.head) else 0
        self.head = _HINT.sub("", self.head, count=1)

    def lines(self, newline: str) -> Iterator[str]:
        r"""Yield the lines with their ends.

        Args:
            newline: As for `open`: "" where a line may end in any way, "\n" where it ends with that alone.

        Raises:
            UserError: If a line has more than `LARGEST_ROW` characters, or bytes that the encoding does not know.
        """
        pieces = self.source.pieces()
        raw = io.BufferedReader(_Raw(pieces), PIECE)
        number = 0
        try:
            with io.TextIOWrapper(raw, encoding=self.encoding, errors=self._errors, newline=newline) as text:
                while line := text.readline(LARGEST_ROW + 1):
                    number += 1
                    if len(line) > LARGEST_ROW:
                        raise UserError(
                            f"{self.source.name}, line {number:,}: expected at most {LARGEST_ROW:,} characters, found "
                            f"more. Put each message on a line of its own."
                        )
                    if number > self._skip:
                        yield line
        except UnicodeError as error:
            raise UserError(
                f"{self.source.name}, after line {number:,}: expected {self.encoding}, found {_bad(error)}. "
                f"Name the right encoding with --encoding."
            ) from None
        finally:
            pieces.close()  # in this thread, not when the collector comes by

    def characters(self) -> Iterator[str]:
        """Yield the text in pieces.

        Raises:
            UserError: If the encoding does not know a byte.
        """
        decoder = codecs.getincrementaldecoder(self.encoding)(self._errors)
        pieces = self.source.pieces()
        try:
            for piece in chain(pieces, [b""]):
                yield decoder.decode(piece, final=not piece)
        except UnicodeError as error:
            raise UserError(
                f"{self.source.name}: expected {self.encoding}, found {_bad(error)}. Name the right encoding with "
                f"--encoding."
            ) from None
        finally:
            pieces.close()


def open_text(source: Source, encoding: str | None, strict: bool) -> Text:
    """Return the text of a source.

    Args:
        source: The source.
        encoding: Its encoding, if the user named it.
        strict: Refuse damaged UTF-8 instead of reading U+FFFD for each damaged byte.

    Raises:
        UserError: If it is binary or damaged, or its encoding is not recognised.
    """
    start = source.start(PIECE)
    refuse_binary(start, source.name)
    notes: list[str] = []
    if encoding is not None:
        found = _named(encoding, start)
        if found == _WESTERN and encoding.lower() not in (_WESTERN, "cp1252"):
            notes.append(f"{encoding} is read as {_WESTERN}")
        return Text(source, found, "strict" if strict else "replace", notes)
    for mark, name in _BOMS:
        if start.startswith(mark):
            if name == "utf-8-sig":
                break
            return Text(source, name, "strict" if strict else "replace", [f"read as {name}"])
    if wide := _without_mark(start):
        return Text(source, wide, "strict" if strict else "replace", [f"read as {wide}"])
    return _eight_bits(source, strict, notes)


def _named(encoding: str, start: bytes) -> str:
    try:
        name = codecs.lookup(encoding).name
        b"".decode(encoding)  # refuses what maps bytes to bytes
    except (LookupError, ValueError, UnicodeError):
        raise UserError(
            f"--encoding: expected the name of an encoding such as utf-8, windows-1252 or utf-16, found {encoding!r}."
        ) from None
    if name in _LATIN:
        return _WESTERN
    return "utf-8-sig" if name == "utf-8" and start.startswith(codecs.BOM_UTF8) else name


def _without_mark(start: bytes) -> str | None:
    """Return which UTF-16 or UTF-32 a text without a mark is in, by where its NUL bytes stand."""
    if b"\0" not in start:
        return None
    size = len(start) // 4 * 4
    nulls = [start[offset:size:4].count(0) for offset in range(4)]
    if size and nulls[1] == nulls[2] == nulls[3] == size // 4 and not nulls[0]:
        return "utf-32-le"
    if size and nulls[0] == nulls[1] == nulls[2] == size // 4 and not nulls[3]:
        return "utf-32-be"
    pairs = len(start) // 2
    even, odd = start[0 : 2 * pairs : 2].count(0), start[1 : 2 * pairs : 2].count(0)
    for name, more, fewer in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        # Of English nearly half of the bytes; else at least those of all line ends.
        end, step = ("\n".encode(name), start[: 2 * pairs])
        ends = sum(step[at : at + 2] == end for at in range(0, 2 * pairs, 2))
        if not fewer and (more > 0.4 * pairs > 2 or (ends and ends >= 0.9 * step.count(b"\n"))):
            return name
    return None


class _Counts:
    """What a pass over a file's bytes finds."""

    def __init__(self, source: Source) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()
        self.size = self.high = self.valid = self.valid_bytes = self.pairs = 0
        self.sample = b""
        self.bad: tuple[int, int, int] | None = None  # offset, line and value of the first byte that is not UTF-8
        line = 1
        for piece in chain(source.pieces(), [b""]):
            if b"\0" in piece:
                raise UserError(
                    f"{source.name}: expected text, found a NUL byte at offset {self.size + piece.index(0)}. "
                    f"If it is UTF-16, say so with --encoding utf-16."
                )
            if self.bad is None:
                try:
                    pending = len(decoder.getstate()[0])
                    decoder.decode(piece, final=not piece)
                except UnicodeDecodeError as error:
                    at = error.start - pending
                    self.bad = (self.size + at, line + piece[: max(at, 0)].count(b"\n"), error.object[error.start])
            if not piece.isascii():
                runs = _HIGH.findall(piece)
                self.high += sum(map(len, runs))
                self.pairs += sum(len(run) for run in runs if len(run) > 1)
                valid = _UTF8.findall(piece)
                self.valid += len(valid)
                self.valid_bytes += sum(map(len, valid))
                if len(self.sample) < _SAMPLE:
                    lines = (line for line in piece.splitlines(keepends=True) if not line.isascii())
                    self.sample += b"".join(lines)[:_SAMPLE]
            self.size += len(piece)
            line += piece.count(b"\n")


def _eight_bits(source: Source, strict: bool, notes: list[str]) -> Text:
    counts = _Counts(source)
    if counts.bad is None:
        return Text(source, "utf-8-sig", "strict", notes)
    offset, line, value = counts.bad
    if counts.valid >= counts.high - counts.valid_bytes:
        if not strict:
            return Text(source, "utf-8-sig", "replace", [*notes, "bytes that are not UTF-8 are read as U+FFFD"])
        raise UserError(
            f"{source.name}, line {line:,}: expected UTF-8, found byte 0x{value:02x} at offset {offset}. Correct it, "
            f"or drop what is damaged: iconv -c -f utf-8 -t utf-8 {source.name} > utf8-copy"
        )
    name = _recognise(counts)
    if name is None:
        raise UserError(
            f"{source.name}, line {line:,}: expected UTF-8 or an encoding that can be recognised, found byte "
            f"0x{value:02x} at offset {offset}. Name it with --encoding."
        )
    return Text(source, name, "strict" if strict else "replace", [*notes, f"read as {_shown(name)}"])


def _recognise(counts: _Counts) -> str | None:
    """Return the encoding of text that is not UTF-8.

    charset-normalizer knows a language by its letters. Where only a few bytes are not ASCII (English with curly quotes
    or pounds), it has too little to go by, and Windows-1252 is what nearly all such files are.
    """
    matches = from_bytes(counts.sample, cp_isolation=_CANDIDATES.split())
    found = {
        name: match for match in reversed(list(matches)) for name in (match.encoding, *match.could_be_from_charset)
    }
    best = matches.best()
    try:
        counts.sample.decode("cp1252")
    except UnicodeDecodeError:
        return best.encoding if best is not None else None
    if counts.high < _FEW * counts.size:
        if best is not None and best.encoding in _EAST_ASIAN and counts.pairs > 0.9 * counts.high:
            return best.encoding
        mac, western = found.get("mac_roman"), found.get("cp1252")
        if mac is not None and mac.chaos == 0 and (western is None or western.chaos > 0.1) and mac is best:
            return "mac_roman" if mac.encoding == "mac_roman" and mac.coherence > 0.4 else "cp1252"
        return "cp1252"
    western = found.get("cp1252")
    if best is None or (western and western.chaos <= best.chaos + 0.02 and western.coherence >= best.coherence - 0.1):
        return "cp1252" if western else None
    return best.encoding


def _shown(name: str) -> str:
    return _NAMES.get(name, name.replace("cp125", "windows-125").replace("_", "-"))


def _bad(error: UnicodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte 0x{error.object[error.start]:02x}"
    return "bytes that it does not know"


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
