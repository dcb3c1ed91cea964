"""The last net: what the Trainer's options still break while it is set up is the caller's mistake, not our defect."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers import TrainingArguments

from ..errors import Interrupted, UserError
from ..system.files import is_disk_full, nearest_existing
from .trainer_checks import reason, show_options

# Of the options that our own help shows, those that lead to other people's code.
_ELSEWHERE = {"optim", "lr_scheduler_type", "report_to", "bf16"}
_SET_BY_US = {"use_cpu", "dataloader_pin_memory"}


def suspects(arguments: TrainingArguments) -> dict[str, Any]:
    """Return the Trainer's own options that do not have their default: those that can break its set-up."""
    found = {}
    for field in fields(arguments):
        value = getattr(arguments, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if (
            field.init
            and field.name not in _SET_BY_US
            and ("group" not in field.metadata or field.name in _ELSEWHERE)
            and value != default
        ):
            found[field.name] = value
    return found


@contextmanager
def until_first_step(given: Mapping[str, Any], folder: Path) -> Iterator[None]:
    """Name the Trainer's given options where something fails before the first optimizer step.

    After that step, or if no such option is given, errors pass as they are.

    Args:
        given: Options of the Trainer that may be at fault.
        folder: Where the run is written: a full disk is no option's fault.

    Raises:
        UserError: Instead of another error.
    """
    stepped = False

    def on_step(*_: Any) -> None:
        nonlocal stepped
        stepped = True

    hook = register_optimizer_step_post_hook(on_step)
    try:
        yield
    except (UserError, Interrupted):
        raise
    except Exception as error:
        if stepped or not given or is_disk_full(error, nearest_existing(folder)):
            raise
        raise UserError(f"{show_options(given)}: cannot be used here: {reason(error)}") from error
    finally:
        hook.remove()
