"""Create repositories on the Hugging Face Hub, and fill them with a single commit.

The commit is the last request. A failure before it leaves the repository unchanged, and large files that have arrived
by then are not sent again. The token goes only to the client: it is removed from the Hub's messages before they are
shown.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import huggingface_hub
from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import enable_progress_bars, parse_ratelimit_headers, validate_repo_id

from ..errors import UserError, one_line
from ..network.hub_http import ODD_ANSWERS, httpx, without_tokens

Contents = Mapping[str, Path | bytes]  # path in the repository -> local file or content

TIMEOUT = 60.0  # seconds in which the Hub neither sends nor accepts anything
_LONGEST_QUOTE = 200  # characters of a message from the Hub

_REMEDIES = {
    401: "The Hub does not know this token: create one with write access at {endpoint}/settings/tokens, and run "
    "hf auth login",
    403: "The token has no write access there: name a repository of your own, or create a token with write access at "
    "{endpoint}/settings/tokens",
    404: "There is no such repository or branch, or the token cannot see it",
    409: "Somebody else is changing it right now: try again",
    412: "Somebody else has changed it in the meantime: try again",
    429: "Too many requests: try again {when}",
}
_SERVER_REMEDY = "The Hub has an internal error: try again later"


@dataclass(frozen=True)
class Repository:
    """The repository to publish to.

    Attributes:
        name: `owner/name`, or just a name for a repository of the token's user.
        kind: Whether it holds a model or a data set.
        private: Only its owner may read it. An existing public repository is neither made private nor filled.
        revision: The branch; created from `main` if it does not exist.
        token: Used instead of the token that the client finds (`$HF_TOKEN`, or saved by `hf auth login`).

    Raises:
        UserError: If the Hub would not accept the name.
    """

    name: str
    kind: Literal["model", "dataset"] = "model"
    private: bool = False
    revision: str = "main"
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check the name."""
        try:
            validate_repo_id(self.name)
        except HFValidationError as error:
            raise UserError(f"expected a repository as OWNER/NAME: {' '.join(str(error).split())}") from None

    def __str__(self) -> str:
        return f"{'private' if self.private else 'public'} {self.kind} repository {self.name}, branch {self.revision}"


def prepare_repository(repository: Repository) -> Repository:
    """Create the repository and the branch if they do not exist, and check that the token may write there.

    Returns:
        The same repository, with its owner in its name.

    Raises:
        UserError: If there is no token, or the Hub refuses, fails or does not answer.
    """
    if repository.token is None and huggingface_hub.get_token() is None:
        raise UserError(
            "pushing to the Hugging Face Hub needs a token with write access, found none. Run hf auth login, or set "
            "HF_TOKEN."
        )
    api = HfApi(token=repository.token)
    kind = repository.kind
    with _hub_requests(repository):
        made = api.create_repo(repository.name, private=repository.private or None, repo_type=kind, exist_ok=True)
        owner, _, own_name = str(made.repo_id).rpartition("/")
        if not owner or repository.name not in (made.repo_id, own_name):
            raise ValueError(f"expected the repository {repository.name}, found {made.repo_id!r}")
        repository = replace(repository, name=made.repo_id)
        # Only a clear yes counts: what is published cannot be taken back.
        if repository.private and api.repo_info(repository.name, repo_type=kind).private is not True:
            raise UserError(
                f"{repository.name}: expected a private repository, found a public one. Make it private in its "
                f"settings, or choose another name. Nothing was published."
            )
        if repository.revision != "main":
            api.create_branch(repository.name, branch=repository.revision, repo_type=kind, exist_ok=True)
    return repository


def publish(repository: Repository, contents: Contents, message: str) -> str:
    """Put files into a repository returned by `prepare_repository`, in one commit. Other files in it stay.

    Args:
        repository: Where the files go.
        contents: The files.
        message: The commit message.

    Returns:
        The URL of the commit, or of the previous one if nothing has changed.

    Raises:
        UserError: If the Hub refuses, fails or does not answer. The message says what the repository holds then.
    """
    if not constants.HF_HUB_DISABLE_PROGRESS_BARS:
        enable_progress_bars()  # the command turned them off together with those of transformers
    operations = [CommitOperationAdd(path, source) for path, source in contents.items()]
    with _hub_requests(repository):
        commit = HfApi(token=repository.token).create_commit(
            repository.name,
            operations,
            commit_message=message,
            repo_type=repository.kind,
            revision=repository.revision,
        )
        if not isinstance(commit.commit_url, str) or not commit.commit_url.startswith(("http://", "https://")):
            raise ValueError(f"expected the address of the commit, found {commit.commit_url!r}")
    return commit.commit_url


def listing(contents: Contents) -> str:
    """Return a table of the files with their sizes in bytes, and the total."""
    sizes = {
        one_line(path): len(source) if isinstance(source, bytes) else source.stat().st_size
        for path, source in contents.items()
    }
    width = max(map(len, sizes))
    lines = [f"{path:{width}} {size:>15,}" for path, size in sizes.items()]
    return "\n".join([*lines, f"{f'{len(sizes)} files':{width}} {sum(sizes.values()):>15,} bytes"])


@contextmanager
def _hub_requests(repository: Repository) -> Iterator[None]:
    """Set a timeout for requests to the Hub, and turn its errors into a `UserError`.

    The timeout of the process-wide client is set and restored. The public `set_client_factory` could not be undone: it
    closes the client of an application that calls us, and there is no public way to ask for the previous factory.
    """
    client = huggingface_hub.get_session()
    previous, client.timeout = client.timeout, httpx.Timeout(TIMEOUT)
    hooks, commits = client.event_hooks, dict[str, int]()

    def notice(request: Any, status: int = 0) -> None:
        if "/commit/" in request.url.path:
            commits["status"] = status  # 0 until there is an answer

    client.event_hooks = {
        "request": [*hooks["request"], notice],
        "response": [*hooks["response"], lambda response: notice(response.request, response.status_code)],
    }
    try:
        yield
    except UserError:
        raise
    except (OSError, httpx.HTTPError, *ODD_ANSWERS) as wrapped:
        error: Exception = wrapped
        while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
            error = error.__cause__  # the client wraps errors of large files
        text = f"could not push to {repository.name}: {_reason(error)}. {_outcome(commits.get('status'))}"
        raise UserError(without_tokens(text, repository.token)) from None
    finally:
        client.timeout, client.event_hooks = previous, hooks


def _reason(error: Exception) -> str:
    """Say what went wrong and what to do."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        limit = parse_ratelimit_headers(error.response.headers)
        seconds = limit.reset_in_seconds if limit else error.response.headers.get("Retry-After", "")
        when = f"in {seconds} seconds" if seconds else "in a few minutes"
        remedy = _SERVER_REMEDY if status >= 500 else _REMEDIES.get(status, "The Hub refuses")
        quote = " ".join((error.server_message or "").split())[:_LONGEST_QUOTE].rstrip(".")
        response = f"HTTP status {status}" + (f" ({quote})" if quote else "")
        return f"{response}. {remedy.format(endpoint=constants.ENDPOINT, when=when)}"
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {TIMEOUT:g} seconds. Try again"
    if isinstance(error, httpx.TransportError):
        return f"no connection to {constants.ENDPOINT}. Try again"
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST_QUOTE]}"
    return text if isinstance(error, OSError) else f"expected the Hub's answer, found another ({text})"


def _outcome(commit: int | None) -> str:
    """Say what the repository holds now.

    Args:
        commit: The status of the answer to the commit request: 0 without an answer, `None` without a request.
    """
    if commit is None or 400 <= commit < 500:
        return "Nothing was published."
    return "It is unknown whether the commit was made; run the same command again to find out."
