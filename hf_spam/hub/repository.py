"""Repositories on the Hugging Face Hub: made, and filled by one commit.

The commit is the last request of all. What fails before it leaves the repository as it was, and large files that have
arrived by then are not sent again. The token goes to the client and nowhere else: what the Hub says is told without.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import huggingface_hub
from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import enable_progress_bars, parse_ratelimit_headers, validate_repo_id

from ..errors import UserError
from ..system.download import without_tokens
from ..system.hub_http import httpx

Contents = Mapping[str, Path | bytes]  # what goes to each path of a repository

TIMEOUT = 60.0  # seconds that the Hub may neither say nor take anything
_LONGEST_QUOTE = 200  # characters of what the Hub says

_REMEDIES = {
    401: "The Hub does not know this token: make one that may write at {endpoint}/settings/tokens, and hf auth login",
    403: "The token may not write there: name a repository of your own, or make a token that may at "
    "{endpoint}/settings/tokens",
    404: "There is no such repository or branch, or the token may not see it",
    409: "Somebody else is changing it at this moment: try again",
    412: "Somebody else has changed it meanwhile: try again",
    429: "Too many requests: try again {when}",
}
_SERVER_REMEDY = "The Hub has a failure of its own: try again later"


@dataclass(frozen=True)
class Repository:
    """Where to publish.

    Attributes:
        name: `owner/name`, or a name alone for one of the token's user.
        kind: What it holds.
        private: Only its owner may read it. A repository that exists is never made private, nor filled if it is not.
        revision: The branch; made from `main` where there is none.
        token: Instead of the one that the client finds (`$HF_TOKEN`, or what `hf auth login` saved).
    """

    name: str
    kind: Literal["model", "dataset"] = "model"
    private: bool = False
    revision: str = "main"
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse a name that the Hub would not take."""
        try:
            validate_repo_id(self.name)
        except HFValidationError as error:
            raise UserError(f"expected a repository as OWNER/NAME: {' '.join(str(error).split())}") from None

    def __str__(self) -> str:
        return f"{'private' if self.private else 'public'} {self.kind} repository {self.name}, branch {self.revision}"


def prepare_repository(repository: Repository) -> Repository:
    """Make the repository and the branch where they do not exist; find out now whether they may be written.

    Returns:
        The same with its owner in its name.

    Raises:
        UserError: If there is no token, or the Hub refuses, fails or does not answer.
    """
    if repository.token is None and huggingface_hub.get_token() is None:
        raise UserError(
            "pushing to the Hugging Face Hub needs a token that may write, found none. Log in with hf auth login, or "
            "set HF_TOKEN."
        )
    api = HfApi(token=repository.token)
    kind = repository.kind
    with _told(repository):
        made = api.create_repo(repository.name, private=repository.private or None, repo_type=kind, exist_ok=True)
        repository = replace(repository, name=made.repo_id)
        if repository.private and not api.repo_info(repository.name, repo_type=kind).private:
            raise UserError(
                f"{repository.name}: expected a private repository, found a public one. Make it private in its "
                f"settings, or choose another name. Nothing was published."
            )
        if repository.revision != "main":
            api.create_branch(repository.name, branch=repository.revision, repo_type=kind, exist_ok=True)
    return repository


def publish(repository: Repository, contents: Contents, message: str) -> str:
    """Put files into a repository that `prepare_repository` returned, all in one commit. What else it holds stays.

    Args:
        repository: Where they go.
        contents: The files.
        message: The commit's.

    Returns:
        The commit's address; that of the last one where nothing has changed.

    Raises:
        UserError: If the Hub refuses, fails or does not answer. It says what the repository holds then.
    """
    if not constants.HF_HUB_DISABLE_PROGRESS_BARS:
        enable_progress_bars()  # the command turns them off with those of transformers
    operations = [CommitOperationAdd(path, source) for path, source in contents.items()]
    with _told(repository):
        commit = HfApi(token=repository.token).create_commit(
            repository.name,
            operations,
            commit_message=message,
            repo_type=repository.kind,
            revision=repository.revision,
        )
    return str(commit.commit_url)


def listing(contents: Contents) -> str:
    """The files with their sizes in bytes, and the sum."""
    sizes = {
        path: len(source) if isinstance(source, bytes) else source.stat().st_size for path, source in contents.items()
    }
    width = max(map(len, sizes))
    lines = [f"{path:{width}} {size:>15,}" for path, size in sizes.items()]
    return "\n".join([*lines, f"{f'{len(sizes)} files':{width}} {sum(sizes.values()):>15,} bytes"])


@contextmanager
def _told(repository: Repository) -> Iterator[None]:
    """Ask the Hub with a limit to our patience, and turn what goes wrong into a `UserError`."""
    client = huggingface_hub.get_session()
    patience, client.timeout = client.timeout, httpx.Timeout(TIMEOUT)
    try:
        yield
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError, LookupError, httpx.HTTPError) as wrapped:
        error: Exception = wrapped
        while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
            error = error.__cause__  # what the client says of a large file
        text = f"could not push to {repository.name}: {_reason(error)}. {_outcome(error)}"
        raise UserError(without_tokens(text, repository.token)) from None
    finally:
        client.timeout = patience


def _reason(error: Exception) -> str:
    """What went wrong, and what to do."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        limit = parse_ratelimit_headers(error.response.headers)
        seconds = limit.reset_in_seconds if limit else error.response.headers.get("Retry-After", "")
        when = f"in {seconds} seconds" if seconds else "in a few minutes"
        remedy = _SERVER_REMEDY if status >= 500 else _REMEDIES.get(status, "The Hub refuses")
        said = " ".join((error.server_message or "").split())[:_LONGEST_QUOTE].rstrip(".")
        told = f"HTTP status {status}" + (f" ({said})" if said else "")
        return f"{told}. {remedy.format(endpoint=constants.ENDPOINT, when=when)}"
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {TIMEOUT:g} seconds. Try again"
    if isinstance(error, httpx.TransportError):
        return f"no connection to {constants.ENDPOINT}. Try again"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST_QUOTE]}"


def _outcome(error: Exception) -> str:
    """What the repository holds now. Only the commit's own request leaves a doubt, where its answer is lost."""
    if isinstance(error, HfHubHTTPError):
        doubtful, request = error.response.status_code >= 500, error.response.request
    elif isinstance(error, httpx.RequestError):
        doubtful, request = True, error.request
    else:
        return "Nothing was published."
    if doubtful and "/commit/" in request.url.path:
        return "Whether the commit was made is not known; the same command again finds out."
    return "Nothing was published."
