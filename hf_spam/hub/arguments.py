"""The options of a push to the Hugging Face Hub."""

from dataclasses import dataclass

from ..options import option


@dataclass
class HubArguments:
    """How something is put on the Hugging Face Hub."""

    private: bool = option(False, "Only you may read the repository.")
    revision: str = option("main", "The branch; made from main where there is none.")
    commit_message: str | None = option(None, "Of the one commit that holds everything.")
    dry_run: bool = option(False, "List what would be sent, with sizes, and send nothing.")
