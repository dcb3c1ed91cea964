"""Resuming: which checkpoint a run continues from, and what it restores.

The Trainer restores weights, optimizer, schedule, step count, random states and the callbacks' states, and skips the
messages that the epoch has seen. Ours restore the rest: the random state at the epoch's start (`SealedCheckpoints`),
the estimates and the clock (`InterimEstimates`), and the decay of the embedding rows that do not train
(`sparse_embedding.Decay`). The options come from the run's `arguments.json`.
"""

import logging
import math
import shutil
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerState

from ..errors import UserError
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from .arguments import SpamTrainingArguments
from .checkpoints import PREFIX, SEAL, SUPERSEDED, checkpoint_step, is_complete, list_checkpoints

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
    elif not named.is_dir() or not named.name.removeprefix(PREFIX).isdigit():
        raise UserError(f"{which}: expected a folder {PREFIX}N of an unfinished run, or last.")
    else:
        candidates = [
            path for path in list_checkpoints(named.parent) if checkpoint_step(path) <= checkpoint_step(named)
        ]
        if named.name not in [path.name for path in candidates]:
            logger.warning("%s was not written completely; trying the one before", named)
    for candidate in candidates:
        if is_complete(candidate):
            return candidate
        logger.warning("%s is damaged: its files do not match %s; trying the one before", candidate, SEAL)
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
    weights = SpamGPTForSequenceClassification.from_pretrained(checkpoint).state_dict()
    trainer.model.load_state_dict(weights)  # type: ignore[union-attr]
