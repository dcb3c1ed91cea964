"""Checkpoints of a running training: complete or not there, rotated, and removed at the end.

The Trainer writes a checkpoint file by file. A list of its files and their hashes follows last, as `seal.json`. So a
`checkpoint-N` that fits its seal is complete, whenever the process or the machine died. One without a seal does not
count as a checkpoint.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..checkpoint.tensors import is_finite
from ..errors import UserError
from ..system.files import hash_file, sync, sync_folder, write_durably
from ..system.manifest import is_hash, is_inner_name
from ..system.own_files import SEAL_FILE, remove_checkpoint
from ..system.processes import wait_for_all
from ..system.reading import check_regular, read_json
from .arguments import SpamTrainingArguments

HISTORY = "history.json"
STABLE = "Lower --learning_rate, or clip gradients with --max_grad_norm 1."
PREFIX = "checkpoint-"
SUPERSEDED = "superseded-"
_NAME = re.compile(rf"{PREFIX}\d{{1,18}}", re.ASCII)
_EPOCH_START = "epoch_start_{rank}.pth"
_OLD_EPOCH_START = "epoch_random_state_{rank}.pth"  # in checkpoints from before November 2026


class SealedCheckpoints(TrainerCallback):
    """Completes each checkpoint that the Trainer has written, and then drops the ones that are no longer kept.

    It adds the random state that the epoch's order of messages was drawn from. A resumed run starts its epoch there
    and skips the steps that are done, so it continues bit for bit, with the chapter's unseeded order too. This
    callback follows every other that writes into a checkpoint.

    Args:
        resumed: The checkpoint that training resumes from.
    """

    def __init__(self, resumed: Path | None = None) -> None:
        self._resumed = resumed
        self._epoch_start = torch.get_rng_state()
        self._epoch_ended = False
        self._limit: int | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take over the rotation: the Trainer would drop the last complete checkpoint before the new one is sealed.

        The best checkpoint so far is the one beside the resumed: its recorded path may be relative to another folder.
        """
        self._limit, args.save_total_limit = args.save_total_limit, None
        if self._resumed is not None and state.best_model_checkpoint is not None:
            state.best_model_checkpoint = str(best_beside(self._resumed, state.best_model_checkpoint))

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remember the random state, in the first epoch of a resumed run after putting it back."""
        if self._resumed is not None:
            _restore_epoch_start(self._resumed, args.process_index, state)
            self._resumed = None
        self._epoch_start, self._epoch_ended = torch.get_rng_state(), False

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note that the next checkpoint belongs to the start of the next epoch."""
        self._epoch_ended = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Complete and seal the checkpoint, then rotate.

        Raises:
            UserError: If the weights are not finite.
        """
        require_finite_weights(kwargs["model"], f"step {state.global_step}")
        folder = checkpoint_folder(args, state)
        start = torch.get_rng_state() if self._epoch_ended else self._epoch_start
        torch.save(start, folder / _EPOCH_START.format(rank=args.process_index))
        wait_for_all()
        if args.should_save:
            seal(folder)
            rotate(folder.parent, self._limit, state.best_global_step)
        wait_for_all()


def checkpoint_folder(args: TrainingArguments, state: TrainerState) -> Path:
    """Return the folder of the checkpoint that the Trainer has just written."""
    return Path(args.output_dir or ".") / f"{PREFIX}{state.global_step}"


def bytes_needed(
    model: nn.Module, arguments: SpamTrainingArguments, messages: int, adapters: int | None = None
) -> int:
    """Estimate what a run writes: the weights, and as many checkpoints as lie side by side at one time.

    Args:
        model: With `requires_grad` set to what trains.
        arguments: The options of the run.
        messages: How many messages train.
        adapters: Of a LoRA: how many parameters train, which are what a checkpoint holds.
    """
    weights = sum(parameter.nbytes for parameter in model.parameters())
    trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    steps = arguments.max_steps
    if steps <= 0:
        steps = math.ceil(arguments.num_train_epochs * arguments.steps_per_epoch(messages))
    saves = 0
    if arguments.save_strategy == "steps":
        saves = math.ceil(steps / arguments.save_steps if arguments.save_steps >= 1 else 1 / arguments.save_steps)
    elif arguments.save_strategy != "no":
        saves = math.ceil(steps / max(1, arguments.steps_per_epoch(messages)))
    if limit := arguments.save_total_limit:
        saves = min(saves, limit + 1 + arguments.load_best_model_at_end)  # the oldest goes when the next is sealed
    if adapters is not None:
        return weights + saves * 3 * 4 * adapters
    return weights + saves * (weights + 2 * trained)  # AdamW keeps two numbers for each


def best_beside(checkpoint: Path, best: str) -> Path:
    """Return the folder of the best checkpoint, which was saved beside the one that a run resumes from."""
    return checkpoint.parent / Path(best).name


def require_finite_weights(model: nn.Module, place: str) -> None:
    """Refuse to keep weights that are not finite.

    Raises:
        UserError: If a parameter holds NaN or infinity.
    """
    for name, parameter in model.named_parameters():
        if not is_finite(parameter):
            raise UserError(
                f"{place}: expected finite weights, found NaN or infinity in {name}. Nothing was saved. {STABLE}"
            )


def _restore_epoch_start(checkpoint: Path, rank: int, state: TrainerState) -> None:
    file = checkpoint / _EPOCH_START.format(rank=rank)
    if not file.is_file() and not float(state.epoch or 0).is_integer():
        file = checkpoint / _OLD_EPOCH_START.format(rank=rank)  # between two epochs it holds the finished one's state
    if file.is_file():
        torch.set_rng_state(torch.load(file, weights_only=True))


def seal(folder: Path) -> None:
    """List a checkpoint's files with their hashes, once everything is on the disk."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SEAL_FILE]
    for path in paths:
        sync(path)
    for inner in {path.parent for path in paths} - {folder}:
        sync_folder(inner)
    files = {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}
    write_durably(folder / SEAL_FILE, f"{json.dumps(files, indent=2)}\n".encode())


def is_complete(folder: Path) -> bool:
    """Tell whether a checkpoint's files are those of its seal, and lie in its folder; it may be a stranger's."""
    try:
        files = read_json(folder / SEAL_FILE)
        real = folder.resolve()
        for name, expected in files.items():
            if not (is_inner_name(name) and is_hash(expected)) or not (folder / name).resolve().is_relative_to(real):
                return False
            check_regular(folder / name)
            if hash_file(folder / name) != expected:
                return False
        return bool(files)
    except (OSError, ValueError):
        return False


def is_checkpoint_name(name: str) -> bool:
    """Tell whether a folder's name is that of a checkpoint."""
    return _NAME.fullmatch(name) is not None


def _list_folders(run_folder: Path) -> list[Path]:
    found = [path for path in run_folder.glob(f"{PREFIX}*") if is_checkpoint_name(path.name)]
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def list_checkpoints(run_folder: Path) -> list[Path]:
    """Return the sealed checkpoints of a run, the latest first."""
    sealed = [path for path in _list_folders(run_folder) if (path / SEAL_FILE).is_file()]
    return sorted(sealed, key=checkpoint_step, reverse=True)


def rotate(run_folder: Path, limit: int | None, best_step: int | None) -> None:
    """Remove the oldest checkpoints beyond `limit`, but neither the latest nor the best."""
    checkpoints = list_checkpoints(run_folder)
    removable = [path for path in checkpoints[1:] if checkpoint_step(path) != best_step]
    excess = len(checkpoints) - limit if limit is not None and limit > 0 else 0
    for path in removable[::-1][: max(0, excess)]:
        remove_checkpoint(path)


def remove_unsealed(run_folder: Path) -> None:
    """Remove what was being written when a run died."""
    for path in _list_folders(run_folder):
        if not (path / SEAL_FILE).is_file():
            remove_checkpoint(path)


def checkpoint_step(folder: Path) -> int:
    """Return the optimizer step that a checkpoint's name gives."""
    return int(folder.name.removeprefix(PREFIX))
