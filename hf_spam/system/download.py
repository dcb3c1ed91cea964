"""Download files (from mirrors, with timeouts, never half-written) and repositories of the Hugging Face Hub."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import huggingface_hub
import platformdirs
import pooch
import requests
from huggingface_hub.errors import HFValidationError

from ..errors import UserError
from .files import write_atomically
from .hub_http import httpx
from .progress import DownloadBar, progress

TIMEOUT = (10.0, 60.0)  # seconds: to connect, and between two chunks


def cache_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return where downloads are kept: `folder`, else `$HF_SPAM_CACHE`, else the user's cache folder."""
    return Path(folder or os.environ.get("HF_SPAM_CACHE") or platformdirs.user_cache_dir("hf_spam"))


def download(urls: Sequence[str], target: Path, accept: Callable[[Path], bytes], remedy: str) -> None:
    """Download a file from the first of `urls` that serves an acceptable one.

    Args:
        urls: The source and its mirrors, tried in order.
        target: The file to write; its folder is created.
        accept: Takes the downloaded file and returns the bytes to keep, or raises `UserError` to refuse it.
        remedy: What the user can do if no address works; the last line of the error message.

    Raises:
        UserError: If every address fails; the message gives the reason for each.
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
    raise UserError(f"could not download {target.name} ({'; '.join(failures)}).", remedy)


def download_repository(name: str, patterns: list[str]) -> Path:
    """Download files of a model repository on the Hugging Face Hub and return their folder in the Hugging Face cache.

    Args:
        name: `owner/name`.
        patterns: Shell patterns of the files to download.

    Raises:
        UserError: If the Hub has no such repository or cannot be reached. There are no retries.
    """
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=patterns, tqdm_class=DownloadBar))
    except (OSError, HFValidationError, httpx.HTTPError) as error:
        reason = without_tokens(str(error).splitlines()[0])
        raise UserError(f"could not download {name} from the Hugging Face Hub: {reason}") from None


def without_tokens(text: str, *tokens: str | None) -> str:
    """Return a message of the Hub or its client without the client's own token and without `tokens`."""
    for token in {huggingface_hub.get_token(), *tokens} - {None, ""}:
        text = text.replace(str(token), "[token]")
    return text


def _reason(error: Exception) -> str:
    """Describe an error in a few words. requests wraps connection errors three deep."""
    if isinstance(error, requests.HTTPError):
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)
