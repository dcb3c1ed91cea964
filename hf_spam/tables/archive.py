"""The members of a zip archive that hold data. No file is written under a name from the archive."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from ..errors import UserError
from .columns import list_names
from .opening import LARGEST_FILE, Source

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound on what they make
_ENCRYPTED = 0x1
_DIRECTORY = 16 * 2**20  # bytes of the list of members
_END = 65_557  # the end record and the longest comment
_NO_DATA = {"readme", "license", "licence", "copying", "citation", "about", "manifest"}
_OTHER = {".md", ".pdf", ".html", ".htm", ".png", ".jpg", ".py", ".r", ".ipynb", ".rst", ".bib"}
_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError)


def members(archive: Source) -> list[Source]:
    """Return the members that hold data, in the order of their names; the archive itself if it is a spreadsheet.

    Hidden files, what macOS adds, and files that are about the data (README, licence) are none.

    Raises:
        UserError: If it is damaged or encrypted, points outside itself, or holds no data.
    """
    with archive.seekable() as file:
        _check_directory(archive.name, file)
        with _reading(archive.name), zipfile.ZipFile(file) as found:
            infos = [info for info in found.infolist() if info.filename and not info.filename.endswith("/")]
    names = [info.filename for info in infos]
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name.replace("\\", "/")).parts:
            raise UserError(f"{archive.name}: refused, its member {name[:80]!r} points outside the archive.")
    if "[Content_Types].xml" in names:
        return [archive]
    if "mimetype" in names and "content.xml" in names:
        raise UserError(f"{archive.name}: expected a table, found an OpenDocument file. Save it as .xlsx or CSV.")
    data = sorted((info for info in infos if is_data(info.filename)), key=lambda info: info.filename)
    if not data or len({info.filename for info in data}) < len(data):
        raise UserError(
            f"{archive.name}: expected an archive with a table or texts, found members: {list_names(names)}."
        )
    for info in data:
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
            how = "encrypted" if info.flag_bits & _ENCRYPTED else f"compressed by method {info.compress_type}"
            raise UserError(
                f"{archive.name}: expected {info.filename} stored or deflated, found it {how}. Extract it first."
            )
    return [_member(archive, info.filename) for info in data]


def is_data(name: str) -> bool:
    """Tell whether a file may hold data by its name: it is not hidden, no README and no picture."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not (hidden or path.stem.lower() in _NO_DATA or path.suffix.lower() in _OTHER)


def _member(archive: Source, name: str) -> Source:
    @contextmanager
    def open_raw() -> Iterator[BinaryIO]:
        with (
            archive.seekable() as file,
            _reading(archive.name),
            zipfile.ZipFile(file) as found,
            found.open(name) as member,
        ):
            yield cast(BinaryIO, member)

    return Source(f"{archive.name}/{name}", open_raw, is_file=False)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except _FAULTS as error:
        raise UserError(f"{name}: expected a zip archive, found a damaged or truncated one ({error}).") from None


def _check_directory(name: str, file: BinaryIO) -> None:
    """Refuse an archive whose list of members, which is read as a whole, is very long."""
    size = file.seek(0, 2)
    if size > LARGEST_FILE:
        raise UserError(f"{name}: expected an archive of at most {LARGEST_FILE:,} bytes, found more. Extract it.")
    file.seek(max(0, size - _END))
    tail = file.read(_END)
    at, wide = tail.rfind(b"PK\x05\x06"), tail.rfind(b"PK\x06\x06")
    length = struct.unpack_from("<I", tail, at + 12)[0] if 0 <= at <= len(tail) - 22 else 0
    if 0 <= wide <= len(tail) - 56:
        length = struct.unpack_from("<Q", tail, wide + 40)[0]
    if length > _DIRECTORY:
        raise UserError(f"{name}: expected an archive of a few files, found a list of {length:,} bytes. Extract it.")
    file.seek(0)
