"""What a run went through: the chapter's interim estimates, as a Trainer callback and a record for the plots."""

import math
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .modeling_spam_gpt import SpamGPTForSequenceClassification


@dataclass
class History:
    """Estimates on a few batches, in order of time.

    `train_losses` and `validation_losses` belong to `steps` (optimizer steps done when they were taken), the
    accuracies to the ends of the epochs. `examples_seen` counts training messages.
    """

    steps: list[int] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    train_accuracies: list[float] = field(default_factory=list)
    validation_accuracies: list[float] = field(default_factory=list)
    examples_seen: int = 0


class InterimEstimates(TrainerCallback):
    """Estimates loss every `eval_freq` steps, and accuracy after each epoch, on `eval_iter` batches of two loaders.

    As in the chapter, the first estimate follows the first step, and a loader that shuffles draws from torch's global
    generator: with `use_seedable_sampler` off this changes the order of later epochs, exactly as it does there.

    Args:
        train: Batches of the training split, shuffled.
        validation: Batches of the validation split, in order.
        eval_freq: Steps between two estimates of the losses; 0 for none.
        eval_iter: Batches that each estimate reads.
    """

    def __init__(
        self, train: DataLoader[Any], validation: DataLoader[Any], eval_freq: int = 50, eval_iter: int = 5
    ) -> None:
        self.train = train
        self.validation = validation
        self.eval_freq = eval_freq
        self.eval_iter = eval_iter
        self.history = History()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count the step's messages and, when it is time, estimate both losses."""
        self.history.examples_seen += args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        step = state.global_step - 1  # the chapter counts steps from 0
        if self.eval_freq and step % self.eval_freq == 0:
            train, _ = estimate(kwargs["model"], self.train, self.eval_iter)
            validation, _ = estimate(kwargs["model"], self.validation, self.eval_iter)
            self.history.steps.append(state.global_step)
            self.history.train_losses.append(train)
            self.history.validation_losses.append(validation)
            epoch = math.ceil(state.epoch or 0)
            say(state, f"Ep {epoch} (Step {step:06d}): Train loss {train:.3f}, Val loss {validation:.3f}")

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Estimate both accuracies."""
        _, train = estimate(kwargs["model"], self.train, self.eval_iter)
        _, validation = estimate(kwargs["model"], self.validation, self.eval_iter)
        self.history.train_accuracies.append(train)
        self.history.validation_accuracies.append(validation)
        say(state, f"Training accuracy: {train:.2%} | Validation accuracy: {validation:.2%}")


class ProgressBars(ProgressCallback):
    """The Trainer's progress bars without the dictionaries that it prints above them."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Leave the words to `LogLines`."""


class LogLines(TrainerCallback):
    """Readable lines for what the Trainer logs."""

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Print the running loss, which `logging_strategy` asks for, and the whole validation split's figures."""
        logs = kwargs.get("logs") or {}
        if "loss" in logs:
            say(
                state,
                f"Step {state.global_step}: running loss {logs['loss']:.4g}, "
                f"learning rate {logs['learning_rate']:.3g}",
            )
        if "eval_loss" in logs:
            say(
                state,
                f"Epoch {state.epoch:g}, whole validation split: loss {logs['eval_loss']:.3f}, "
                f"accuracy {logs['eval_accuracy']:.2%}, F1 {logs['eval_f1']:.2%}",
            )


def say(state: TrainerState, line: str) -> None:
    """Print a line above the progress bars, from one process."""
    if state.is_world_process_zero:
        tqdm.write(line)


@torch.no_grad()
def estimate(model: SpamGPTForSequenceClassification, batches: DataLoader[Any], limit: int) -> tuple[float, float]:
    """Mean of the first `limit` batches' mean losses, and the share of their messages classified rightly."""
    was_training = model.training
    model.eval()
    losses, right, seen = [], 0, 0
    for batch in islice(batches, limit):
        output = model(**{name: tensor.to(model.device) for name, tensor in batch.items()})
        losses.append(output.loss.item())
        right += int((output.logits.argmax(dim=-1) == batch["labels"].to(model.device)).sum())
        seen += len(batch["labels"])
    model.train(was_training)
    return sum(losses) / len(losses), right / seen
