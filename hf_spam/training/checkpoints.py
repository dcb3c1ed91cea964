"""Checkpoints of a running training: complete or not there, rotated, and removed at the end.

The Trainer writes a checkpoint file by file. A list of its files and their hashes follows last, as `seal.json`. So a
`checkpoint-N` that fits its seal is complete, whenever the process or the machine died. One without a seal does not
count as a checkpoint.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..system.files import hash_file, sync, write_atomically
from ..system.processes import wait_for_all

SEAL = "seal.json"
HISTORY = "history.json"
PREFIX = "checkpoint-"
SUPERSEDED = "superseded-"
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
        """Take over the rotation: the Trainer would drop the last complete checkpoint before the new one is sealed."""
        self._limit, args.save_total_limit = args.save_total_limit, None

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
        """Complete and seal the checkpoint, then rotate."""
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


def _restore_epoch_start(checkpoint: Path, rank: int, state: TrainerState) -> None:
    file = checkpoint / _EPOCH_START.format(rank=rank)
    if not file.is_file() and not float(state.epoch or 0).is_integer():
        file = checkpoint / _OLD_EPOCH_START.format(rank=rank)  # between two epochs it holds the finished one's state
    if file.is_file():
        torch.set_rng_state(torch.load(file, weights_only=True))


def seal(folder: Path) -> None:
    """List a checkpoint's files with their hashes, once everything is on the disk."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SEAL]
    for path in paths:
        sync(path)
    files = {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}
    write_atomically(folder / SEAL, f"{json.dumps(files, indent=2)}\n".encode())
    sync(folder / SEAL)


def is_complete(folder: Path) -> bool:
    """Tell whether a checkpoint's files are those of its seal."""
    try:
        files = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return bool(files) and all(hash_file(folder / name) == expected for name, expected in files.items())
    except (OSError, ValueError):
        return False


def list_checkpoints(run_folder: Path) -> list[Path]:
    """Return the sealed checkpoints of a run, the latest first."""
    found = [path for path in run_folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted((path for path in found if (path / SEAL).is_file()), key=checkpoint_step, reverse=True)


def rotate(run_folder: Path, limit: int | None, best_step: int | None) -> None:
    """Remove the oldest checkpoints beyond `limit`, but neither the latest nor the best."""
    checkpoints = list_checkpoints(run_folder)
    removable = [path for path in checkpoints[1:] if checkpoint_step(path) != best_step]
    excess = len(checkpoints) - limit if limit is not None and limit > 0 else 0
    for path in removable[::-1][: max(0, excess)]:
        shutil.rmtree(path)


def remove_all(run_folder: Path) -> None:
    """Remove a finished run's checkpoints, and those that were set aside."""
    for path in (*run_folder.glob(f"{PREFIX}*"), *run_folder.glob(f"{SUPERSEDED}*")):
        shutil.rmtree(path)


def remove_unsealed(run_folder: Path) -> None:
    """Remove what was being written when a run died."""
    for path in run_folder.glob(f"{PREFIX}*"):
        if not (path / SEAL).is_file():
            shutil.rmtree(path)


def checkpoint_step(folder: Path) -> int:
    """Return the optimizer step that a checkpoint's name gives."""
    return int(folder.name.removeprefix(PREFIX))
