"""Resuming: which checkpoint a run continues from, and what it restores.

The Trainer restores weights, optimizer, schedule, step count, random states and the callbacks' states, and skips the
messages that the epoch has seen. Ours restore the rest: the random state at the epoch's start (`SealedCheckpoints`),
the estimates and the clock (`InterimEstimates`), and the decay of the embedding rows that do not train
(`sparse_embedding.Decay`). The options come from the run's `arguments.json`.
"""

import errno
import logging
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..checkpoint.tensors import OLD_NAMES
from ..errors import Interrupted, UserError
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..system.own_files import SEAL_FILE
from ..system.reading import describe, read_json
from ..trainable.adapters import is_adapted, read_own_adapter, restore_adapter
from .arguments import SpamTrainingArguments
from .checkpoints import (
    PREFIX,
    SUPERSEDED,
    best_beside,
    checkpoint_step,
    is_checkpoint_name,
    is_complete,
    list_checkpoints,
)

logger = logging.getLogger(__name__)


def find_checkpoint(which: str, run_folder: Path) -> Path:
    """Return the newest complete checkpoint; warn about damaged ones and skip them.

    Args:
        which: A checkpoint's folder, or `last`: the run's latest.
        run_folder: Where the unfinished run keeps its checkpoints.

    Raises:
        UserError: If there is no complete checkpoint.
    """
    named = Path(which)
    if which == "last":
        candidates = list_checkpoints(run_folder)
        if not candidates:
            raise UserError(
                f"{run_folder}: found no checkpoint to resume from. Start without --resume_from_checkpoint; "
                f"--save_strategy and --save_steps say when checkpoints are saved."
            )
    else:
        if not is_checkpoint_name(named.name) or not named.is_dir():
            raise UserError(
                f"--resume_from_checkpoint {which}: expected a folder {PREFIX}N of an unfinished run, or last."
            )
        named = named.resolve() if named.is_symlink() else named
        candidates = [
            path for path in list_checkpoints(named.parent) if checkpoint_step(path) <= checkpoint_step(named)
        ]
        if named.name not in [path.name for path in candidates]:
            logger.warning("%s was not written completely; trying the one before", named)
    for candidate in candidates:
        if is_complete(candidate):
            return candidate
        logger.warning("%s is damaged: its files do not match %s; trying the one before", candidate, SEAL_FILE)
    raise UserError(f"{which}: damaged, and there is no complete checkpoint before it. Start again.")


def set_aside_later(checkpoint: Path) -> None:
    """Rename the checkpoints after the one that a run resumes from, damaged or whole.

    Otherwise one with a later number would pass for the latest, and the new ones would be dropped in its favour.
    """
    for path in list_checkpoints(checkpoint.parent):
        if checkpoint_step(path) > checkpoint_step(checkpoint):
            aside = path.with_name(f"{SUPERSEDED}{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.replace(aside)


_MOMENTS = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"}  # one number for each of a parameter's


class FirstStep(TrainerCallback):
    """Notes that a step was taken: what fails after it is not the fault of the checkpoint that a run goes on from."""

    def __init__(self, checkpoint: Path | None = None) -> None:
        self.checkpoint = checkpoint
        self.taken = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the optimizer's state, which neither torch's loading nor its fused step does.

        Raises:
            UserError: If it is another model's.
        """
        if self.checkpoint is None:
            return
        for parameter, values in kwargs["optimizer"].state.items():
            for name in _MOMENTS & set(values):
                moment = values[name]
                if not isinstance(moment, torch.Tensor) or (moment.shape, moment.dtype) != (
                    parameter.shape,
                    parameter.dtype,
                ):
                    raise _unusable(self.checkpoint, "the optimizer's state is another model's")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note it."""
        self.taken = True


@contextmanager
def resuming_from(checkpoint: Path, first: FirstStep) -> Iterator[None]:
    """Turn what fails before the first step into one line that names the checkpoint, which a stranger may have made.

    Raises:
        UserError: If anything did but the machine: a full disk, no memory, a signal.
    """
    try:
        yield
    except (UserError, Interrupted, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if first.taken or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
            raise
        raise _unusable(checkpoint, f"{type(error).__name__}: {error}") from error


def _unusable(checkpoint: Path, problem: str) -> UserError:
    return UserError(
        f"{checkpoint}: the run cannot go on from it: {problem}. Name another checkpoint of the same run, or start "
        f"without --resume_from_checkpoint."
    )


_NUMBER, _NONE = (int, float), type(None)
_STATE_TYPES: dict[str, Any] = {
    "global_step": int,
    "epoch": (*_NUMBER, _NONE),
    "num_input_tokens_seen": int,
    "total_flos": _NUMBER,
    "log_history": list,
    "best_metric": (*_NUMBER, _NONE),
    "best_global_step": (int, _NONE),
    "best_model_checkpoint": (str, _NONE),
    "stateful_callbacks": dict,
}


def load_state(checkpoint: Path) -> TrainerState:
    """Return the Trainer's state in a checkpoint, after a look at what the Trainer takes for granted.

    Raises:
        UserError: If something in it is not what the Trainer writes.
    """
    file = checkpoint / "trainer_state.json"
    record = read_json(file)
    for name, types in _STATE_TYPES.items():
        value = record.get(name)
        if not isinstance(value, types) or isinstance(value, bool):
            raise _unusable(checkpoint, f"{file.name} has {describe(value)} as {name}")
    if record["global_step"] != checkpoint_step(checkpoint):
        raise _unusable(checkpoint, f"{file.name} tells of step {record['global_step']}")
    stopping = record["stateful_callbacks"].get("EarlyStoppingCallback")
    if stopping is not None:
        parts = [stopping.get(part) for part in ("args", "attributes")] if isinstance(stopping, dict) else [None]
        values = [value for part in parts if isinstance(part, dict) for value in part.values()]
        if not all(isinstance(part, dict) for part in parts) or not all(type(value) in _NUMBER for value in values):
            raise _unusable(checkpoint, f"{file.name} does not count evaluations as early stopping does")
    return TrainerState.load_from_json(str(file))


def check_contents(checkpoint: Path, model: nn.Module, state: TrainerState, keep_best: bool) -> None:
    """Check that a checkpoint has the weights of this model, and beside it the best one if that will be loaded.

    The Trainer only warns of weights that are missing, and goes on with others.

    Raises:
        UserError: If not.
    """
    folders = [checkpoint]
    if keep_best and state.best_model_checkpoint is not None:
        best = best_beside(checkpoint, state.best_model_checkpoint)
        if not is_checkpoint_name(best.name) or not is_complete(best):
            raise _unusable(checkpoint, f"the best checkpoint so far, {best.name}, is missing beside it or damaged")
        folders.append(best)
    if is_adapted(model):
        for folder in folders:
            read_own_adapter(folder, model)
        return
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    for folder in folders:
        if not (folder / "model.safetensors").is_file():
            continue  # FSDP's and DeepSpeed's own formats, which they check
        with safe_open(folder / "model.safetensors", "pt") as file:
            # Checkpoints of our first version name the head otherwise, as the model's own loading knows.
            names = {name: OLD_NAMES["checkpoint"].get(name, name) for name in file.keys()}  # noqa: SIM118
            found = {new: file.get_slice(name).get_shape() for name, new in names.items()}
        if found != expected:
            others = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
            raise _unusable(checkpoint, f"the weights in {folder.name} are another model's: {', '.join(others[:3])}")


def is_finished(state: TrainerState, arguments: SpamTrainingArguments, messages: int) -> bool:
    """Tell whether training had ended when a checkpoint's state was saved. The Trainer would add a step.

    Args:
        state: The checkpoint's.
        arguments: The options of the resumed run, which may ask for more epochs.
        messages: How many messages train.
    """
    last_step = arguments.max_steps
    if last_step <= 0:
        last_step = math.ceil(arguments.num_train_epochs * arguments.steps_per_epoch(messages))
    stopping: Any = state.stateful_callbacks.get("EarlyStoppingCallback", {})  # type: ignore[union-attr]
    waited = stopping.get("attributes", {}).get("early_stopping_patience_counter", 0)
    patience = arguments.early_stopping_patience
    return state.global_step >= last_step or (patience is not None and waited >= patience)


def load_finished(trainer: Trainer, checkpoint: Path, state: TrainerState) -> None:
    """Give the Trainer what the end of training would have left: its state, and the last or the best weights."""
    trainer.state = state
    if trainer.args.load_best_model_at_end and state.best_model_checkpoint is not None:
        checkpoint = checkpoint.parent / Path(state.best_model_checkpoint).name
    if is_adapted(trainer.model):
        restore_adapter(checkpoint, trainer.model)
        return
    weights = SpamGPTForSequenceClassification.from_pretrained(checkpoint).state_dict()
    trainer.model.load_state_dict(weights)  # type: ignore[union-attr]
