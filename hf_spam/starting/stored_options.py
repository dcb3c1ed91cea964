"""The options that are stored beside a checkpoint: its own run's, or a stranger's."""

from pathlib import Path
from typing import Any

from ..data.arguments import SOURCES
from ..errors import UserError
from ..options import OptionParser, read_config, to_argv
from ..system.run_folder import ARGUMENTS_FILE, partial_folder

# Options that say where a run goes and where it finds its checkpoint, not what it is.
PLACES = {"output_dir", "overwrite_output_dir", "resume_from_checkpoint", "hub_token"}
# Options that name a place or a service. From the file beside somebody else's checkpoint they are not taken.
_STRANGERS = {*PLACES, "cache_dir", "bpe_dir", "prefix_cache_dir", "logging_dir", "report_to", "push_to_hub"}
_STRANGERS |= {"config", "run_name", "project", "deepspeed", "fsdp_config", "accelerator_config"}
_SERVICES = ("hub_", "trackio_")


def stored_options(parser: OptionParser, checkpoint: str, place: Path, data_named: bool) -> dict[str, Any]:
    """Return the options of the run that a checkpoint belongs to, checked as those of the command line are.

    The options of another run than the one at `place` may be a stranger's. They say how it trains, but not where
    anything is read, written or sent.

    Args:
        parser: Of all options.
        checkpoint: A folder, or `last`.
        place: Where the resumed run goes.
        data_named: Whether the command line says which data.

    Raises:
        UserError: If they are no options, or the data are another run's and not named again.
    """
    own = partial_folder(place)
    folder = Path(checkpoint).parent
    if checkpoint == "last":
        folder = own if (own / ARGUMENTS_FILE).is_file() else place
    file = folder / ARGUMENTS_FILE
    try:
        if not file.is_file():
            return {}
        options = parser.given(to_argv(read_config(file)))
    except OSError:  # such as a name that is too long
        return {}
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    if checkpoint == "last" or folder.resolve() == own.resolve():
        return options
    data = [f"--{name}" for name in SOURCES if name in options]
    if data and not data_named:
        raise UserError(
            f"{file}: names {data[0]}, which is not taken from another run's folder. Give {data[0]} again."
        )
    return {
        name: value for name, value in options.items() if name not in _STRANGERS and not name.startswith(_SERVICES)
    }
