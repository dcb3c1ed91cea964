"""The parts of a prediction: each proves that it holds the predictions of its texts by these weights.

A part begins with a line of hashes: of its rows, of its texts, and the model's fingerprint. A part that does not fit
is scored again; nothing is believed because a file of its name is there.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import UserError
from ..system.files import atomic_file, hash_file, sha256, sync, write_atomically
from ..system.locking import locked
from ..system.reading import check_regular, read_json

_PLAN = "plan.json"
_SEAL = 1024  # bytes of a part's first line, at most
_MODEL_FILES = ("config.json", "tokenizer*.json", "vocab.json", "merges.txt", "*.safetensors*", "*.onnx*")


def fingerprint_model(folder: Path) -> str:
    """Return a hash of what decides a score: the model's configuration, weights and tokenizer.

    Raises:
        UserError: If one of these files cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _MODEL_FILES for path in folder.glob(pattern)}):
        check_regular(path)
        try:
            digest.update(json.dumps([path.name, hash_file(path)]).encode())
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}.") from None
    return digest.hexdigest()[:32]


@contextmanager
def disk_errors(target: Path, option: str = "output") -> Iterator[None]:
    """Report in one line what the operating system refuses while the file that an option names is written."""
    try:
        yield
    except (OSError, NotImplementedError) as error:  # the latter where a file system has no locks
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"{target}: the disk is full. Make room, then run the same command again.") from None
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{target}: cannot be written: {reason}. Choose another --{option}.") from None


class Parts:
    """The folder of the parts of one prediction, beside its output.

    Args:
        target: The output.
        model: What tells the model and its weights from any other.
    """

    def __init__(self, target: Path, model: str) -> None:
        self.target = target
        self.model = model
        self.folder = target.with_name(f"{target.name}.parts")

    @contextmanager
    def one_writer(self) -> Iterator[None]:
        """Let nobody else write the output during the block.

        Raises:
            UserError: If another process writes it, or its folder cannot be written.
        """
        lock = self.folder.with_name(f"{self.folder.name}.lock")
        busy = f"{self.target}: another process writes it. Wait for that one, or choose another --output."
        with ExitStack() as stack:
            with disk_errors(self.target):
                stack.enter_context(locked(lock, busy))
            stack.callback(self._remove_without_parts)
            yield

    def _remove_without_parts(self) -> None:
        """Remove the folder if no part was finished: it would only stand in the way of the corrected input."""
        with suppress(OSError):
            if {path.name for path in self.folder.iterdir()} <= {_PLAN}:
                (self.folder / _PLAN).unlink(missing_ok=True)
                self.folder.rmdir()

    def prepare(self, plan: dict[str, object]) -> None:
        """Create the folder, or check that an existing one belongs to the same input, model and options.

        Raises:
            UserError: If it belongs to others.
        """
        self._remove_without_parts()
        plan = {"model": self.model, **plan}
        path = self.folder / _PLAN
        with disk_errors(self.target):
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            found = read_json(path) if os.path.lexists(path) else plan
        except UserError:  # half a plan says nothing; each part still proves itself
            found = plan
        if found != plan:
            raise UserError(
                f"{self.folder}: holds the parts of another input, model or option. Remove it, or choose another "
                f"--output."
            )
        with disk_errors(self.target):
            write_atomically(path, json.dumps(plan, indent=2).encode())

    def fits(self, number: int, texts: Sequence[str]) -> bool:
        """Tell whether a part is there and holds the predictions of these texts."""
        try:
            with self._path(number).open("rb") as file:
                return self._check(file, texts) is not None
        except OSError:
            return False

    def write(self, number: int, texts: Sequence[str], rows: Iterable[str]) -> None:
        """Write a part, whole and to the disk."""
        data = b"".join(row.encode("utf-8", "backslashreplace") for row in rows)  # as JSON escapes lone surrogates
        with disk_errors(self.target), atomic_file(self._path(number)) as temporary:
            temporary.write_bytes(self._seal(texts, sha256(data)) + data)
            sync(temporary)

    def join(
        self, chunks: Iterable[Sequence[str]], expected: int, convert: Callable[[Path, Path], None] | None = None
    ) -> None:
        """Write the output from the parts of all chunks, and remove the parts.

        Args:
            chunks: What each part was scored from, read again.
            expected: How many rows there were when they were scored.
            convert: Writes the rows from one file to another, in the output's format, if that is not their own.

        Raises:
            UserError: If a part does not fit its chunk, there are more or fewer texts, or the output has come to exist
                meanwhile.
        """
        whole = self.folder / "whole"  # not beside the output: an interrupted run leaves nothing but the folder
        count = 0
        with disk_errors(self.target), whole.open("wb") as file:
            for number, texts in enumerate(chunks):
                rows = self._read(number, texts)
                count += rows.count(b"\n")
                file.write(rows)
        if count != expected:
            raise UserError(
                f"{self.target}: expected {expected:,} predictions, found {count:,}: the input has changed meanwhile. "
                f"Run the same command again."
            )
        if os.path.lexists(self.target):
            raise UserError(f"{self.target}: exists already, and nothing is overwritten. Choose another --output.")
        with disk_errors(self.target):
            if convert is not None:
                lines = whole.rename(self.folder / "lines")
                convert(lines, whole)
                lines.unlink()
            sync(whole)
            os.replace(whole, self.target)
            self._remove()

    def _read(self, number: int, texts: Sequence[str]) -> bytes:
        path = self._path(number)
        try:
            with path.open("rb") as file:
                rows = self._check(file, texts)
        except FileNotFoundError:
            rows = None
        if rows is None:
            raise UserError(
                f"{path}: does not fit the input, which may have changed meanwhile. Run the same command again."
            )
        return rows

    def _check(self, file: BinaryIO, texts: Sequence[str]) -> bytes | None:
        """Return the rows of an open part, or `None` if it does not fit."""
        seal = file.readline(_SEAL)
        if b'"rows"' not in seal:
            return None
        rows = file.read()
        return rows if seal == self._seal(texts, sha256(rows)) else None

    def _seal(self, texts: Sequence[str], rows: str) -> bytes:
        hashes = {
            "rows": rows,
            "texts": sha256(json.dumps(list(texts)).encode()),
            "model": sha256(self.model.encode()),
        }
        return json.dumps(hashes).encode() + b"\n"

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:09d}.jsonl"

    def _remove(self) -> None:
        """Remove our own files, and the folder if nothing else is in it."""
        for path in [
            self.folder / "lines",
            *self.folder.glob("[0-9]*.jsonl"),
            *self.folder.glob(".*.partial"),
            self.folder / _PLAN,
        ]:
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()
