"""Download a repository of the Hugging Face Hub, within limits and only under plain names.

The Hub's client takes the names of files, commits and blobs as it gets them. So the listing is checked before anything
is downloaded, and every answer's head while it is.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import validate_repo_id

from ..errors import UserError
from ..system.progress import DownloadBar
from .hub_http import ODD_ANSWERS, httpx, without_tokens
from .watchdog import GaveUp, Meter, Patience, watch

LARGEST = 20 * 10**9  # bytes of all files together
LARGEST_LISTING = 16 * 2**20  # bytes of an answer about a repository
LARGEST_PACKED = 2**20  # bytes of one that is compressed: a thousand times as much could come out of it
MOST_FILES = 10_000
LONGEST = 6 * 3600.0  # seconds
WINDOW = 60.0  # seconds in which so many bytes a second must come:
SLOWEST = 1_000.0
_LONGEST_NAME = 200  # characters; a file system takes 255 bytes
_COMMIT = re.compile("[0-9a-f]{40}")
_BLOB = re.compile(r"[\w.-]{1,200}", re.ASCII)  # git's name or a SHA-256; the cache has a file of that name

_File = tuple[Any, Any, list[Any] | None]  # its name, its size and the names of its content, as the Hub says


def download_repository(name: str, patterns: list[str]) -> Path:
    """Download files of a model repository on the Hugging Face Hub and return their folder in the Hugging Face cache.

    Args:
        name: `owner/name`.
        patterns: Shell patterns of the files to download.

    Raises:
        UserError: If the Hub has no such repository, cannot be reached, or answers with something else; if the files
            are too large, come too slowly, or have names that lead elsewhere. There are no retries.
    """
    try:
        validate_repo_id(name)
        cache = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=name, repo_type="model"), "blobs")
        before = set(cache.glob("*.incomplete"))
        meter, size = Meter(), _size(cache)
        patience = Patience(LONGEST, WINDOW, SLOWEST, LARGEST + LARGEST_LISTING)

        def work() -> str:
            check_repository(name, patterns)
            return huggingface_hub.snapshot_download(name, allow_patterns=patterns, tqdm_class=_bar(meter))

        try:
            with _watched_answers(meter):
                return Path(watch(work, meter, patience, lambda: max(0, _size(cache) - size)))
        finally:
            if meter.given_up:
                for half in set(cache.glob("*.incomplete")) - before:
                    half.unlink(missing_ok=True)
    except UserError:
        raise
    except (OSError, GaveUp, httpx.HTTPError, *ODD_ANSWERS) as error:
        reason = without_tokens(_reason(error))
        raise UserError(f"could not download {name} from the Hugging Face Hub: {reason}") from None


def check_repository(name: str, patterns: Iterable[str]) -> None:
    """Check what would be downloaded: how much it is, and what it is called.

    Raises:
        UserError: If it is too large, or a name could lead out of the cache.
    """
    api = HfApi()
    try:
        info = api.model_info(name, revision=constants.DEFAULT_REVISION, files_metadata=True)
        commit = info.sha
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise ValueError(f"expected the name of a commit, found {commit!r}")
        files: list[_File] = [(file.rfilename, file.size, None) for file in info.siblings or []]
        _check_files(name, patterns, files)
        for file in api.list_repo_tree(name, recursive=True, revision=commit):
            if len(files) > MOST_FILES:
                raise UserError(f"{name}: expected a repository of at most {MOST_FILES:,} files, found more.")
            names = [getattr(file, "blob_id", None), getattr(getattr(file, "lfs", None), "sha256", None)]
            files.append((file.path, getattr(file, "size", None), names))
        _check_files(name, patterns, files)
    except (httpx.TransportError, OfflineModeIsEnabled, HfHubHTTPError):
        return  # the client decides whether what it has suffices, and says what is wrong otherwise


def _check_files(repository: str, patterns: Iterable[str], files: list[_File]) -> None:
    """Check the files that a pattern wants."""
    sizes: dict[str, int] = {}
    for path, size, names in files:
        if not any(fnmatch(str(path), pattern) for pattern in patterns) and isinstance(path, str) and path:
            continue
        parts = path.split("/") if isinstance(path, str) else [""]
        plain = all(
            part not in ("", ".", "..") and part.isprintable() and len(part) <= _LONGEST_NAME for part in parts
        )
        if not plain or "\\" in path or ":" in path or len(path) > 2 * _LONGEST_NAME:
            raise UserError(f"{repository}: refused, it has a file whose name could lead elsewhere: {path!r}.")
        if any(name is not None and not _BLOB.fullmatch(str(name)) for name in names or []):
            raise UserError(f"{repository}: refused, the Hub's names for the content of {path} could lead elsewhere.")
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
            raise ValueError(f"expected the size of {path} in bytes, found {size!r}")
        sizes[path] = max(sizes.get(path, 0), size or 0)
    if sum(sizes.values()) > LARGEST:
        total = sum(sizes.values())
        raise UserError(f"{repository}: refused, its files have {total:,} bytes; expected at most {LARGEST:,}.")


@contextmanager
def _watched_answers(meter: Meter) -> Iterator[None]:
    """Count what the client receives, and check the head of each answer, as long as the block runs.

    The hooks of the process-wide client are set and restored; see `hub.repository` for why.
    """
    client = huggingface_hub.get_session()
    hooks = client.event_hooks

    def check(response: Any) -> None:
        headers = response.headers
        for header in ("ETag", "X-Linked-ETag"):
            if header in headers and not _BLOB.fullmatch(headers[header].removeprefix("W/").strip('"')):
                raise GaveUp(f"refused, the Hub's name for a file's content could lead elsewhere: {headers[header]!r}")
        if "X-Repo-Commit" in headers and not _COMMIT.fullmatch(headers["X-Repo-Commit"]):
            raise GaveUp(f"expected the name of a commit, found {headers['X-Repo-Commit']!r}")
        limit = LARGEST
        if response.request.url.path.startswith("/api/"):
            limit = LARGEST_PACKED if "Content-Encoding" in headers else LARGEST_LISTING
        response.stream = _Counted(response.stream, meter, limit)

    client.event_hooks = {**hooks, "response": [*hooks["response"], check]}
    try:
        yield
    finally:
        client.event_hooks = hooks


class _Counted(httpx.SyncByteStream):
    """The body of an answer, counted as it comes."""

    def __init__(self, stream: Any, meter: Meter, limit: int) -> None:
        self._stream, self._meter, self._limit = stream, meter, limit

    def __iter__(self) -> Iterator[bytes]:
        received = 0
        for piece in self._stream:
            received += len(piece)
            if received > self._limit:
                raise GaveUp(f"expected an answer of at most {self._limit:,} bytes, found more")
            self._meter.count(len(piece))
            yield piece

    def close(self) -> None:
        self._stream.close()


def _bar(meter: Meter) -> type[DownloadBar]:
    """Return a bar that ends the download when it is given up: not all of it comes over the client's HTTP."""

    class Bar(DownloadBar):
        def update(self, n: float | None = 1) -> bool | None:
            meter.count(0)
            return super().update(n)

    return Bar


def _size(folder: Path) -> int:
    """Return the bytes in the files of a folder, of which some may vanish meanwhile."""
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total


def _reason(error: Exception) -> str:
    """Return the first line of an error's message; of an odd answer also what kind of error it is."""
    text = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    expected = isinstance(error, OSError | GaveUp | httpx.HTTPError | HFValidationError)
    return text if expected else f"expected the Hub's answer, found another ({type(error).__name__}: {text})"
