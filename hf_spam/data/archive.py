"""Read a file out of a zip archive, in memory."""

import io
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..system.reading import read_regular
from .files import list_names

_MAX_BYTES = 64 * 2**20  # 130 times UCI's collection
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound on what they make
_ENCRYPTED = 0x1


def is_archive(path: Path, start: bytes) -> bool:
    """Tell whether a file is a zip archive, by its first bytes, or says so by its name."""
    return start.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")) or path.suffix.lower() == ".zip"


def read_archive(path: Path, name: str) -> bytes:
    """Return the member of that name. No file is written under a name from the archive.

    Raises:
        UserError: If it is damaged, encrypted or something else, or points outside itself.
    """
    data = read_regular(path, _MAX_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_member(archive, path, name)
    except UserError:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: expected a zip archive, found a damaged or truncated one ({error}).") from None


def _read_member(archive: zipfile.ZipFile, path: Path, wanted: str) -> bytes:
    members = archive.infolist()
    names = [member.filename for member in members]
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name.replace("\\", "/")).parts:
            raise UserError(f"{path}: refused, its member {name[:80]!r} points outside the archive.")
    found = [member for member in members if member.filename == wanted]
    if len(found) != 1:
        remedy = " Save the sheet as CSV." if "[Content_Types].xml" in names else ""
        raise UserError(
            f"{path}: expected the UCI archive with a member {wanted}, found members: {list_names(names)}.{remedy}"
        )
    (member,) = found
    if member.file_size > _MAX_BYTES:
        raise UserError(f"{path}: refused, {wanted} would take {member.file_size:,} bytes.")
    if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
        how = "encrypted" if member.flag_bits & _ENCRYPTED else f"compressed by method {member.compress_type}"
        raise UserError(f"{path}: expected {wanted} stored or deflated, found it {how}. Extract it first.")
    return archive.read(member)
