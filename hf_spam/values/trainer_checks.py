"""Try what the Trainer's options ask for before any work, with the name of the option in the message.

JSON is read, trackers and optimizers are created, schedules take some steps.
"""

import importlib.util
import math
import os
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import MISSING
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import nn
from transformers import IntervalStrategy, SchedulerType, Trainer, TrainingArguments, get_scheduler
from transformers.debug_utils import DebugOption
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.trainer_pt_utils import AcceleratorConfig
from transformers.trainer_utils import SaveStrategy
from transformers.training_args import OptimizerNames
from transformers.utils.import_utils import is_torch_bf16_gpu_available, is_torch_tf32_available

from ..errors import UserError, install_hint
from ..system.reading import parse_json, read_json
from .ranges import FOLDER, check_choice, check_text
from .trainer_options import refuse_fixed

_WORDS: dict[str, type[Enum]] = {
    "eval_strategy": IntervalStrategy,
    "logging_strategy": IntervalStrategy,
    "save_strategy": SaveStrategy,
    "lr_scheduler_type": SchedulerType,
    "optim": OptimizerNames,
    "debug": DebugOption,
}
_JSON_TEXTS = ("lr_scheduler_kwargs", "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs")
_JSON_FILES = ("accelerator_config", "fsdp_config", "deepspeed")
_FOR_WORKERS = ("dataloader_persistent_workers", "dataloader_prefetch_factor", "dataloader_multiprocessing_context")
_EXTRAS = ("tensorboard", "trackio")  # trackers that our extras install
_PLAIN_SCHEDULES = ("constant", "constant_with_warmup")
_METRIC_SCHEDULES = ("reduce_lr_on_plateau", "greedy")
_READS_MODULES = ("galore", "apollo", "lomo", "adalomo")  # optimizers that need the model


def check_before(arguments: TrainingArguments) -> None:
    """Check the fields before `TrainingArguments` itself reads and changes them.

    Raises:
        UserError: If an option cannot be used here.
    """
    refuse_fixed({name: value for name, value in vars(arguments).items() if value != _default(arguments, name)})
    for name, words in _WORDS.items():
        value = getattr(arguments, name)
        for word in value if isinstance(value, list) else [value]:
            if word != "":
                check_choice(name, word, [known.value for known in words])
    if (folder := getattr(arguments, "logging_dir", None)) is not None:  # only in older releases
        check_text("logging_dir", folder, FOLDER)
    _check_json(arguments)
    _check_trackers(arguments.report_to)
    _check_workers(arguments)
    _check_device(arguments)
    _check_evaluation(arguments)


def check_after(arguments: TrainingArguments) -> None:
    """Try the optimizer and the schedule on a parameter of no importance.

    Raises:
        UserError: If an option cannot be used here.
    """
    name = str(arguments.optim.value)  # type: ignore[attr-defined]  # an OptimizerNames by now
    options = _shown(arguments, "optim", "optim_args", "optim_target_modules")
    if arguments.optim_target_modules is not None and not name.startswith(_READS_MODULES):
        raise UserError(f"{options}: this optimizer does not read modules.")
    module = nn.Module()
    module.register_parameter("weight", nn.Parameter(torch.zeros(1, device=arguments.device)))
    try:
        kind, settings = Trainer.get_optimizer_cls_and_kwargs(arguments, module)  # type: ignore[arg-type]
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and "params" not in settings:
            kind(module.parameters(), **settings)
        unread = _unread_arguments(arguments, module, settings)
    except Exception as error:  # each library has its own
        if name.startswith(_READS_MODULES) and not isinstance(error, ImportError):
            return  # our module has not what the model has
        raise UserError(f"{options}: cannot be used here: {reason(error)}") from error
    if unread:
        raise UserError(f"{options}: this optimizer does not read {', '.join(unread)}.")
    _check_schedule(arguments)


def _unread_arguments(arguments: TrainingArguments, module: nn.Module, settings: Mapping[str, Any]) -> list[str]:
    """Return those of `optim_args` without which the optimizer would be the same."""
    given = [part for part in (arguments.optim_args or "").split(",") if part]
    unread = []
    for part in given:
        fewer = copy(arguments)
        fewer.optim_args = ",".join(other for other in given if other is not part)
        if Trainer.get_optimizer_cls_and_kwargs(fewer, module)[1] == settings:  # type: ignore[arg-type]
            unread.append(part.partition("=")[0].strip())
    return unread


def _check_schedule(arguments: TrainingArguments) -> None:
    """Take some steps of the schedule, warmup and what comes after the end among them."""
    name, settings = str(arguments.lr_scheduler_type.value), arguments.lr_scheduler_kwargs  # type: ignore[attr-defined]
    options = _shown(arguments, "lr_scheduler_type", "lr_scheduler_kwargs", "learning_rate")
    if settings and name in _PLAIN_SCHEDULES:
        raise UserError(f"{options}: this schedule reads no --lr_scheduler_kwargs.")
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=arguments.learning_rate)
    metric = (1.0,) if name in _METRIC_SCHEDULES else ()
    try:
        schedule: Any = get_scheduler(name, optimizer, 10, 100, settings)  # type: ignore[arg-type]
        optimizer.step()
        for _ in range(110):
            schedule.step(*metric)
            rate = optimizer.param_groups[0]["lr"]
            if not math.isfinite(rate):
                raise ValueError(f"the learning rate becomes {rate}")
    except Exception as error:
        raise UserError(f"{options}: cannot be used here: {reason(error)}") from error


def _check_json(arguments: TrainingArguments) -> None:
    for name in (*_JSON_TEXTS, *_JSON_FILES):
        value = getattr(arguments, name, None)
        found = value
        if isinstance(value, str):
            check_text(name, value)
            is_text = name in _JSON_TEXTS or value.startswith("{")
            try:
                found = parse_json(value, "the text") if is_text else read_json(Path(value))
            except UserError as error:
                raise UserError(f"--{name}: {error}") from None
        if name == "accelerator_config" and isinstance(found, dict):
            _check_accelerator(found)
    if arguments.fsdp_config and not arguments.fsdp:
        raise UserError("--fsdp_config: expected --fsdp beside it, found none: it would have no effect.")
    if arguments.deepspeed and importlib.util.find_spec("deepspeed") is None:
        raise UserError("--deepspeed: needs the library deepspeed, which is missing: pip install deepspeed")
    if arguments.fsdp and os.environ.get("WORLD_SIZE", "1") == "1":
        raise UserError("--fsdp: expected several processes to divide the weights among, found one.")


def _check_accelerator(config: Mapping[str, Any]) -> None:
    types = get_type_hints(AcceleratorConfig)
    for name, value in config.items():
        if name not in types:
            raise UserError(f"--accelerator_config: expected some of {', '.join(types)}, found {name!r}.")
        booleans: tuple[object, ...] = ("true", "false") if types[name] is bool else ("true", "false", None)
        if name == "gradient_accumulation_kwargs":
            if not isinstance(value, dict | None) or "num_steps" in (value or {}):
                raise UserError(
                    f"--accelerator_config: expected an object without num_steps (that is "
                    f"--gradient_accumulation_steps) for {name}, found {value!r}."
                )
        elif not isinstance(value, bool) and (value.lower() if isinstance(value, str) else value) not in booleans:
            raise UserError(f"--accelerator_config: expected true or false for {name}, found {value!r}.")
    if config.get("use_configured_state") in (True, "true"):
        raise UserError("--accelerator_config: expected use_configured_state false: there is no state before a run.")


def _check_trackers(names: str | Iterable[str] | None) -> None:
    """Create each tracker once: only then it looks for its library."""
    names = [names] if isinstance(names, str) else list(names or [])
    if names in (["none"], ["all"]):
        return
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(INTEGRATION_TO_CALLBACK)
            raise UserError(f"--report_to: expected none, all, or some of {known}, found {name!r}.")
        if name in _EXTRAS and importlib.util.find_spec(name) is None:
            raise UserError(f"--report_to {name} needs the extra [{name}], which is missing: {install_hint(name)}")
        try:
            INTEGRATION_TO_CALLBACK[name]()
        except Exception as error:  # each library has its own
            raise UserError(f"--report_to {name}: cannot be used here: {reason(error)}") from error


def _check_workers(arguments: TrainingArguments) -> None:
    for name in _FOR_WORKERS:
        if getattr(arguments, name, None) and not arguments.dataloader_num_workers:
            raise UserError(f"--{name}: expected --dataloader_num_workers above 0 beside it, found 0.")


def _check_device(arguments: TrainingArguments) -> None:
    on_cpu = arguments.use_cpu or not torch.accelerator.is_available()
    if arguments.fp16 and arguments.bf16:
        raise UserError("--fp16 and --bf16: expected one of them, found both.")
    if arguments.fp16 and on_cpu:
        raise UserError("--fp16: expected a GPU, found a CPU. Use --bf16.")
    if arguments.bf16 and not on_cpu and not is_torch_bf16_gpu_available():
        raise UserError("--bf16: expected a GPU that computes in bfloat16, found another. Use --fp16.")
    if arguments.tf32 and not is_torch_tf32_available():
        raise UserError("--tf32: expected an NVIDIA GPU of the Ampere generation or later, found none.")


def _check_evaluation(arguments: TrainingArguments) -> None:
    """Check that whatever waits for an evaluation gets one."""
    waiting = {
        "load_best_model_at_end": bool(arguments.load_best_model_at_end),
        "save_strategy best": arguments.save_strategy == "best",
        f"lr_scheduler_type {arguments.lr_scheduler_type}": arguments.lr_scheduler_type in _METRIC_SCHEDULES,
    }
    for name, waits in waiting.items():
        if waits and arguments.eval_strategy == "no":
            raise UserError(f"--{name}: expected --eval_strategy steps or epoch beside it, found no.")
    if arguments.load_best_model_at_end and arguments.save_strategy not in ("best", arguments.eval_strategy):
        raise UserError(
            f"--load_best_model_at_end: expected the save and eval strategy to match, or --save_strategy best, "
            f"found --save_strategy {arguments.save_strategy} and --eval_strategy {arguments.eval_strategy}."
        )


def _default(arguments: TrainingArguments, name: str) -> Any:
    field = type(arguments).__dataclass_fields__.get(name)
    return field and (field.default if field.default_factory is MISSING else field.default_factory())


def _shown(arguments: TrainingArguments, *names: str) -> str:
    """Return options as they would be typed, without those that have their default, but the first always."""
    given = {name: getattr(arguments, name) for name in names}
    given = {name: value for name, value in given.items() if name == names[0] or value != _default(arguments, name)}
    return show_options(given)


def show_options(given: Mapping[str, Any]) -> str:
    """Return options as they would be typed."""
    return ", ".join(f"--{name} {getattr(value, 'value', value)}" for name, value in given.items())


def reason(error: BaseException) -> str:
    """Return the first line of an error, or its name where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
