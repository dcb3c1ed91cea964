"""Download files (mirrors, timeouts, progress, no half-written file) and repositories of the Hub."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx2
import huggingface_hub
import platformdirs
import pooch
import requests
from huggingface_hub.errors import HFValidationError

from ..errors import UserError
from .files import write_atomically
from .progress import DownloadBar, progress

TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two chunks


def cache_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Where downloads are kept: `folder`, else `$HF_SPAM_CACHE`, else the user's cache folder."""
    return Path(folder or os.environ.get("HF_SPAM_CACHE") or platformdirs.user_cache_dir("hf_spam"))


def download(urls: Sequence[str], target: Path, accept: Callable[[Path], bytes], remedy: str) -> None:
    """Fetch a file from the first of `urls` that serves an acceptable one.

    Args:
        urls: The source and its mirrors, tried in order.
        target: The file to write; its folder is made.
        accept: Given the downloaded file, returns the bytes to keep, or raises `UserError` to refuse it.
        remedy: What to do where no address works; ends the error's message.

    Raises:
        UserError: If every address fails; the message holds each one's reason.
    """
    failures = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to the cache folder {target.parent}: {error.strerror}. Set HF_SPAM_CACHE."
        ) from None
    for url in urls:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as folder:
            received = Path(folder, "received")
            try:
                with progress(0, f"Downloading {target.name}", "B") as bar:
                    pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)(url, str(received), None)
                write_atomically(target, accept(received))
                return
            except (requests.RequestException, UserError) as error:
                failures.append(f"{url}: {_reason(error)}")
    raise UserError(f"could not download {target.name} ({'; '.join(failures)}).\n{remedy}")


def download_repository(name: str, patterns: list[str]) -> Path:
    """The files of a model repository on the Hugging Face Hub, in the Hugging Face cache.

    Args:
        name: `owner/name`.
        patterns: Which files, as shell patterns.

    Raises:
        UserError: If the Hub has no such repository or cannot be reached; at once, without the client's retries.
    """
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=patterns, tqdm_class=DownloadBar))
    except (OSError, HFValidationError, httpx2.HTTPError) as error:
        reason = without_tokens(str(error).splitlines()[0])
        raise UserError(f"could not download {name} from the Hugging Face Hub: {reason}") from None


def without_tokens(text: str, *tokens: str | None) -> str:
    """What the Hub or its client say, for others to read: without the client's own token, and `tokens`."""
    for token in {huggingface_hub.get_token(), *tokens} - {None, ""}:
        text = text.replace(str(token), "[token]")
    return text


def _reason(error: Exception) -> str:
    """The innermost cause in a few words: requests wraps connection errors three deep."""
    if isinstance(error, requests.HTTPError):
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)
