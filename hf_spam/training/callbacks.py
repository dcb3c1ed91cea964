"""Callbacks of the Trainer: the chapter's interim estimates, checkpoints at an epoch's end, readable log lines."""

import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..data.labels import MULTI, REGRESSION, Task, task_of_config
from ..errors import UserError
from ..evaluation.history import UNTRAINED_BATCHES, History, describe_untrained, parse_history
from ..evaluation.metrics import format_metric
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..system.progress import progress
from ..system.reading import read_json
from .arguments import SpamTrainingArguments
from .checkpoints import HISTORY, checkpoint_folder

Log = Callable[[str], None]


class InterimEstimates(TrainerCallback):
    """Estimates the losses every `eval_freq` steps and the accuracies after each epoch, on `eval_iter` batches.

    Before the first step it logs both for every split, as the chapter does. That draws nothing from the random stream
    of the training, and a resumed run does not repeat it.

    As in the chapter, the first estimate follows the first step, and the shuffled loader draws from torch's global
    generator. With `use_seedable_sampler` off this changes the order of later epochs, exactly as it does there. Beside
    the estimates the history keeps what the Trainer's own evaluations find.

    Args:
        train: Batches of the training split, shuffled.
        validation: Batches of the validation split, in order.
        test: Batches of the test split, in order; `None` where nothing may be known of it.
        eval_freq: Steps between two estimates of the losses; 0 for none.
        eval_iter: Batches that each estimate reads.
        log: Prints the chapter's log lines, on the main process.

    Attributes:
        autocast: Returns the context of an estimate. One context around all its batches casts the weights once.
    """

    def __init__(
        self,
        train: DataLoader[Any],
        validation: DataLoader[Any],
        test: DataLoader[Any] | None,
        eval_freq: int = 50,
        eval_iter: int = 5,
        log: Log = tqdm.write,
    ) -> None:
        self.train = train
        self.validation = validation
        self.test = test
        self.eval_freq = eval_freq
        self.eval_iter = eval_iter
        self.log = log
        self.history = History()
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
        self._seconds_before = 0.0
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Return the seconds of training so far, including those before an interruption."""
        return self._seconds_before + time.perf_counter() - self._start

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write history and time into the checkpoint."""
        if args.should_save:
            text = json.dumps({"seconds": self.seconds, **asdict(self.history)}, indent=2)
            (checkpoint_folder(args, state) / HISTORY).write_text(text + "\n", encoding="utf-8")

    def restore(self, checkpoint: Path) -> None:
        """Continue from the history and time in a checkpoint.

        Raises:
            UserError: If they are not what `on_save` writes.
        """
        record = read_json(checkpoint / HISTORY)
        self._seconds_before = record.pop("seconds", None)
        self.history = parse_history(record, checkpoint / HISTORY)
        if type(self._seconds_before) not in (int, float):
            raise UserError(f"{checkpoint / HISTORY}: expected the seconds so far, found something else.")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say where the training starts from, unless it resumes, and start the clock."""
        if state.global_step == 0:
            lines = self._describe_untrained(kwargs["model"], args.seed)  # on every process: the weights may be shared
            if state.is_world_process_zero:
                for line in lines:
                    self.log(line)
        self._start = time.perf_counter()

    def _describe_untrained(self, model: SpamGPTForSequenceClassification, seed: int) -> list[str]:
        """Return the lines on the accuracies, unless it is a regression, and on the losses before training."""
        splits = {"train": self.train, "validation": self.validation}
        splits |= {} if self.test is None else {"test": self.test}
        lines = []
        with torch.random.fork_rng(devices=[]), self.autocast():
            torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would seed the GPUs, too
            if task_of_config(model.config).problem_type != REGRESSION:
                limit = UNTRAINED_BATCHES["accuracy"]
                accuracies = {name: estimate(model, batches, limit)[1] for name, batches in splits.items()}
                lines.append(describe_untrained("accuracy", accuracies))
            losses = {name: estimate(model, it, UNTRAINED_BATCHES["loss"])[0] for name, it in splits.items()}
            lines.append(describe_untrained("loss", losses))
        return lines

    def on_step_end(  # type: ignore[override]
        self, args: SpamTrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count the step's messages and, when it is time, estimate both losses."""
        self.history.examples_seen += args.messages_per_step
        step = state.global_step - 1  # the chapter counts steps from 0
        if self.eval_freq and step % self.eval_freq == 0:
            with self.autocast():
                train, _ = estimate(kwargs["model"], self.train, self.eval_iter)
                validation, _ = estimate(kwargs["model"], self.validation, self.eval_iter)
            self.history.steps.append(state.global_step)
            self.history.train_losses.append(train)
            self.history.validation_losses.append(validation)
            epoch = math.ceil(state.epoch or 0)
            if state.is_world_process_zero:
                self.log(f"Ep {epoch} (Step {step:06d}): Train loss {train:.3f}, Val loss {validation:.3f}")

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Estimate both accuracies; a regression has none."""
        if task_of_config(kwargs["model"].config).problem_type == REGRESSION:
            return
        with self.autocast():
            _, train = estimate(kwargs["model"], self.train, self.eval_iter)
            _, validation = estimate(kwargs["model"], self.validation, self.eval_iter)
        self.history.train_accuracies.append(train)
        self.history.validation_accuracies.append(validation)
        if state.is_world_process_zero:
            self.log(f"Training accuracy: {train:.2%} | Validation accuracy: {validation:.2%}")

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep what an evaluation of the whole validation split found."""
        metrics = kwargs["metrics"]
        self.history.evaluation_epochs.append(float(state.epoch or 0))
        self.history.evaluation_losses.append(metrics["eval_loss"])
        if "eval_accuracy" in metrics:
            self.history.evaluation_accuracies.append(metrics["eval_accuracy"])


class EpochEndCheckpoints(TrainerCallback):
    """Delays a checkpoint after an epoch's last step until the epoch's estimates and evaluation are done.

    Otherwise a run that resumes from it would lack them. It follows every callback that asks for a checkpoint.
    """

    def __init__(self) -> None:
        self.delayed = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Delay the checkpoint if the epoch ends here."""
        ends = float(state.epoch or 0).is_integer() or state.global_step >= state.max_steps
        if control.should_save and ends:
            control.should_save = False
            self.delayed = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for the delayed checkpoint again."""
        control.should_save = control.should_save or self.delayed
        self.delayed = False


class ProgressBars(TrainerCallback):
    """Progress of training, then of each evaluation: one bar at a time, unlike the Trainer's own."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.training = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start, or continue where the checkpoint was."""
        self.training = True
        self.bar = progress(state.max_steps, "Training", "steps", shown=state.is_world_process_zero)
        self.bar.update(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count a step."""
        self.bar.update()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End."""
        self.bar.close()
        self.training = False

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count a batch of an evaluation after training."""
        if self.training:
            return
        if self.bar is None or self.bar.n == self.bar.total:
            batches = len(kwargs["eval_dataloader"])
            self.bar = progress(batches, "Evaluating", "batches", shown=state.is_world_process_zero)
        self.bar.update()
        if self.bar.n == self.bar.total:
            self.bar.close()


class LogLines(TrainerCallback):
    """Readable lines for what the Trainer logs."""

    def __init__(self, log: Log = tqdm.write) -> None:
        self.log = log

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Print the running loss, which `logging_strategy` asks for, and the whole validation split's figures."""
        logs = kwargs.get("logs") or {}
        if not state.is_world_process_zero:
            return
        if "loss" in logs:
            self.log(
                f"Step {state.global_step}: running loss {logs['loss']:.4g}, learning rate {logs['learning_rate']:.3g}"
            )
        if "eval_loss" in logs:
            shown = [name for name in ("accuracy", "f1", "mae", "r2") if f"eval_{name}" in logs]
            names = {"f1": "F1", "mae": "MAE", "r2": "R²"}
            figures = [f"{names.get(name, name)} {format_metric(name, logs[f'eval_{name}'])}" for name in shown]
            loss = f"loss {logs['eval_loss']:.3f}"
            self.log(f"Epoch {state.epoch:g}, whole validation split: {', '.join([loss, *figures])}")


@torch.no_grad()
def estimate(model: SpamGPTForSequenceClassification, batches: DataLoader[Any], limit: int) -> tuple[float, float]:
    """Return the mean of the first `limit` batches' losses, and the share of their messages classified correctly.

    Without a batch both are NaN.
    """
    task, was_training = task_of_config(model.config), model.training
    model.eval()
    losses, right, seen = [], 0, 0
    for batch in islice(batches, limit):
        output = model(**send_to_device(batch, model.device))
        losses.append(output.loss.item())
        right += _count_right(task, output.logits, batch["labels"].to(model.device))
        seen += len(batch["labels"])
    model.train(was_training)
    return (sum(losses) / len(losses), right / seen) if seen else (math.nan, math.nan)


def _count_right(task: Task, logits: torch.Tensor, labels: torch.Tensor) -> int:
    if task.problem_type == REGRESSION:
        return 0
    if task.problem_type == MULTI:
        return int(((logits > 0) == (labels > 0)).all(dim=-1).sum())
    return int((logits.argmax(dim=-1) == labels).sum())
