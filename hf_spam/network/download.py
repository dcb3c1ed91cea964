"""Download a file over HTTP: from mirrors, whole or not at all, within limits of size, time and speed."""

import http.client
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs
import requests
import urllib3

from ..errors import UserError, shorten
from ..system.files import write_atomically
from ..system.progress import ProgressBar, progress
from .watchdog import GaveUp, Meter, Patience, watch

TIMEOUT = (10.0, 60.0)  # seconds: to connect, and between two bytes
LARGEST = 8 * 2**30  # bytes; the largest GPT-2 has 6.2 GB
LONGEST = 6 * 3600.0  # seconds for a file
WINDOW = 60.0  # seconds in which so many bytes a second must come:
SLOWEST = 1_000.0
_REDIRECTS = 10
_CHUNK = 2**14
_LONGEST_REASON = 200  # characters for each address
# requests lets some errors through, about an address that a server redirects to.
_FAILURES = (
    *(requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException),
    *(GaveUp, UserError, ValueError),
)
_PAGES = (b"<!doctype html", b"<html")


def cache_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return where downloads are kept: `folder`, else `$HF_SPAM_CACHE`, else the user's cache folder."""
    return Path(folder or os.environ.get("HF_SPAM_CACHE") or platformdirs.user_cache_dir("hf_spam"))


def download(
    urls: Sequence[str],
    target: Path,
    accept: Callable[[Path], bytes],
    remedy: str,
    largest: int | None = None,
) -> None:
    """Download a file from the first of `urls` that serves an acceptable one.

    Args:
        urls: The source and its mirrors, tried in order.
        target: The file to write; its folder is created.
        accept: Takes the downloaded file and returns the bytes to keep, or raises `UserError` to refuse it.
        remedy: What the user can do if no address works; the last line of the error message.
        largest: Bytes that it may have (default: `LARGEST`).

    Raises:
        UserError: If every address fails; the message gives the reason for each.
    """
    failures = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            with tempfile.TemporaryDirectory(
                dir=target.parent, prefix=".download-", ignore_cleanup_errors=True
            ) as folder:
                received = Path(folder, "received")
                try:
                    with progress(0, f"Downloading {target.name}", "B") as bar:
                        _receive(url, received, bar, LARGEST if largest is None else largest)
                    kept = accept(received)
                except _FAILURES as error:
                    failures.append(f"{url}: {shorten(_reason(error), _LONGEST_REASON)}")
                else:
                    write_atomically(target, kept)
                    return
    except OSError as error:
        raise UserError(
            f"cannot write to the cache folder {target.parent}: {error.strerror or error}. Set HF_SPAM_CACHE."
        ) from None
    raise UserError(f"could not download {target.name} ({'; '.join(failures)}).", remedy)


def _receive(url: str, target: Path, bar: ProgressBar, largest: int) -> None:
    """Write what an address serves to a file.

    Raises:
        GaveUp: If it is too large, too slow or not a file.
        requests.RequestException: If the server refuses or breaks off.
    """
    meter = Meter()

    def work() -> None:
        with requests.Session() as session:
            session.max_redirects = _REDIRECTS  # only http and https have adapters: no file, no other scheme
            answer = session.get(url, stream=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"})
            meter.count(0)
            with answer:
                _check_answer(answer, largest)
                length = answer.headers.get("Content-Length", "")
                bar.total = int(length) if length.isdecimal() else 0
                with target.open("wb") as file:
                    for chunk in answer.iter_content(_CHUNK):
                        if meter.received == 0 and chunk.lstrip()[:20].lower().startswith(_PAGES):
                            raise GaveUp(_A_PAGE)
                        meter.count(len(chunk))
                        if meter.received > largest:
                            raise GaveUp(f"expected at most {largest:,} bytes, found more")
                        file.write(chunk)
                        bar.update(len(chunk))

    watch(work, meter, Patience(LONGEST, WINDOW, SLOWEST, largest))


_A_PAGE = "expected a file, found a web page, as a network that wants a login sends"


def _check_answer(answer: requests.Response, largest: int) -> None:
    """Refuse an answer by its head."""
    answer.raise_for_status()
    if answer.status_code != requests.codes.ok:
        raise requests.HTTPError(response=answer)
    if answer.headers.get("Content-Type", "").strip().lower().startswith("text/html"):
        raise GaveUp(_A_PAGE)
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and (len(length) > 18 or int(length) > largest):
        raise GaveUp(f"expected at most {largest:,} bytes, found {shorten(length, 20)}")


def _reason(error: Exception) -> str:
    """Describe an error in a few words. requests wraps connection errors three deep."""
    if isinstance(error, requests.HTTPError):
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.TooManyRedirects):
        return f"more than {_REDIRECTS} redirects"
    if isinstance(error, requests.exceptions.InvalidSchema):
        return "redirected to an address that is neither http nor https"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the answer was cut off"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error) or type(error).__name__
