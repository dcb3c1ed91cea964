"""What a run says when it starts, and what is recorded of it."""

from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from transformers import Trainer

from ..conversion.to_book import as_book
from ..data.labels import Task
from ..errors import one_line
from ..evaluation.metrics import report_figures
from ..system import processes
from ..trainable.adapters import is_adapted
from .callbacks import InterimEstimates
from .trainer import SpamTrainer

# Options that the record keeps whether they were given or not: defaults may change.
_RECORDED = {"learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "optim", "seed"}


def describe_start(trainer: SpamTrainer, messages: int, checkpoint: str | None) -> str:
    """Return the start-up line: which processes and device, which batch, and where training resumes."""
    arguments = trainer.args
    global_batch, device = arguments.messages_per_step, arguments.device
    line = processes.describe_launch(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        precision=_precision(trainer),
        per_process=global_batch // arguments.gradient_accumulation_steps // arguments.world_size,
        accumulated=arguments.gradient_accumulation_steps,
        global_batch=global_batch,
        steps=arguments.steps_per_epoch(messages),
    )
    return one_line(line if checkpoint is None else f"{line}; resumes from {checkpoint}")


def _precision(trainer: Trainer) -> str:
    """Return the precision that an option or the launcher chose."""
    precision: str = trainer.accelerator.mixed_precision
    return "fp32" if precision == "no" else precision


def record_training(trainer: SpamTrainer, interim: InterimEstimates, trained: list[str]) -> dict[str, Any]:
    """Return what `metrics.json` keeps of the training. `trained` names the parameters that trained."""
    arguments, model = trainer.args, trainer.model
    module: Any = model if is_adapted(model) else as_book(model)  # type: ignore[arg-type]
    named = {name: parameter.numel() for name, parameter in module.named_parameters()}
    parameters = {name: number for name, number in named.items() if ".original_module." not in name}
    return {
        "seconds": round(interim.seconds, 2),
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        "parameters": sum(parameters.values()),
        "trained_parameters": sum(parameters[name] for name in trained),
        "best_checkpoint_step": trainer.state.best_global_step,
        "processes": arguments.world_size,
        "batch": arguments.messages_per_step,
        "precision": _precision(trainer),
        "options": {name: value for name, value in arguments.to_dict().items() if name in _RECORDED},
    }


def evaluate_split(trainer: Trainer, rows: Dataset, task: Task) -> dict[str, Any]:
    """Return the figures over every row of a tokenized split; see `evaluation.metrics.report_figures`."""
    output = trainer.predict(longest_first(rows), metric_key_prefix="split")
    return report_figures(task, output.predictions, np.asarray(output.label_ids))


def score_split(trainer: Trainer, rows: Dataset) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the logits `[N, num_labels]` and the labels of a tokenized split, in the order of its rows."""
    order = _by_length(rows)
    output = trainer.predict(rows.select(order), metric_key_prefix="split")
    place = np.argsort(order)
    return np.asarray(output.predictions)[place], np.asarray(output.label_ids)[place]


def longest_first(rows: Dataset) -> Dataset:
    """Order rows for evaluation: batches of similar length hold little padding."""
    return rows.select(_by_length(rows))


def _by_length(rows: Dataset) -> list[int]:
    lengths = list(map(len, rows["input_ids"][:]))
    return sorted(range(len(lengths)), key=lambda row: -lengths[row])
