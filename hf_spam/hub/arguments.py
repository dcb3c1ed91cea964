"""The options of a push to the Hugging Face Hub."""

from dataclasses import dataclass

from ..options import PUBLISHING, option
from ..values.names import check_branch
from ..values.ranges import check_values


@dataclass
class HubArguments:
    """How something is put on the Hugging Face Hub."""

    private: bool = option(False, "Make the repository private.", PUBLISHING)
    revision: str = option("main", "Branch to push to; created from main if it does not exist.", PUBLISHING, "BRANCH")
    commit_message: str | None = option(
        None, "Message of the commit (default: one that says what was uploaded).", PUBLISHING
    )
    dry_run: bool = option(False, "List the files with their sizes and send nothing.", PUBLISHING)

    def __post_init__(self) -> None:
        """Check the values."""
        check_values(self)
        check_branch("revision", self.revision)
