"""The options of the model and of the training."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import TrainingArguments

from ..conversion.from_gpt2 import SIZES
from ..errors import UserError
from ..evaluation.metrics import ALL_METRICS
from ..model.fields_spam_gpt import READS_PADDING, Pooling
from ..options import CHECKPOINTS, EVALUATION, MODEL, PUBLISHING, RECIPE, SPEED, THE_RUN, TRAINERS, option
from ..tokens.normalization import Normalization
from ..trainable.adapter_arguments import AdapterArguments
from ..trainable.adapters import Lora
from ..trainable.freezing import WORDS, blocks_that_train
from ..values.names import check_branch, check_repository
from ..values.ranges import (
    BATCH,
    COUNT,
    COUNT_OR_NONE,
    EPOCHS,
    FACTOR,
    FOLDER,
    LENGTH,
    SEED,
    Range,
    check_values,
)
from ..values.set_up import suspects, until_first_step
from ..values.trainer_checks import check_after, check_before
from ..values.trainer_options import RANGES, STEPS

_MOST_LABELS = 10_000


@dataclass
class ModelArguments(AdapterArguments):
    """Which GPT, from which weights, and what of it trains."""

    weights: str = option(
        "hub",
        "hub, random, openai (needs the extra [openai]), or any GPT-2 with its own tokenizer: a folder, else a "
        "repository OWNER/NAME on the Hub, else gpt2[-medium|-large|-xl] or distilgpt2; or a run of ours.",
        MODEL,
        "WEIGHTS",
    )
    model_size: Literal["tiny", "mini", "small", "medium", "large", "xl"] | None = option(
        None, "Width and depth (default: small; for a folder or repository, its own).", MODEL
    )
    context_length: int | None = option(
        None, "Longest text in tokens, with --weights random (default: 1024).", MODEL, range=LENGTH
    )
    pooling: Pooling = option(
        "last_token",
        "Which logits count: those of the text's first or last token or the mean of all; or, padding included, of the "
        "row's last_position (the book's) or mean_positions.",
        MODEL,
    )
    pad_to: Literal["longest", "context"] | None = option(
        None,
        "How long rows are whose padding is read, without --max_length: like the longest training text (default), or "
        "the model's whole context.",
        MODEL,
    )
    causal: bool = option(True, "Whether a token sees only what is before it; else the whole text.", MODEL)
    ignore_index: int = option(
        -100, "Label id that the loss leaves out.", MODEL, range=Range(at_least=-(10**9), at_most=10**9)
    )
    normalize: Normalization = option(
        "none",
        "Undo disguises in every text: those of unicode, or all: spaced letters, too.",
        MODEL,
    )
    drop_rate: float = option(0.0, "Dropout.", MODEL, range=Range(at_least=0, below=1))
    attn_implementation: Literal["sdpa", "eager"] = option(
        "sdpa", "torch's fused attention, or the book's explicit one.", MODEL
    )
    trainable: str = option(
        "last_block",
        f"What is trained; the rest is frozen: {', '.join(WORDS)} (adapters, and the head).",
        MODEL,
        "PARTS",
    )

    def __post_init__(self) -> None:
        """Check the values."""
        check_values(self)
        if 0 <= self.ignore_index < _MOST_LABELS:
            raise UserError(
                f"--ignore_index: expected a number that is no label's id, below 0 or at least {_MOST_LABELS:,}, "
                f"found {self.ignore_index}."
            )
        if self.pad_to is not None and self.pooling not in READS_PADDING:
            raise UserError(
                f"--pad_to: expected --pooling {' or '.join(READS_PADDING)}, found {self.pooling}, which reads no "
                f"padding: a batch is padded to its longest text. Leave it out."
            )
        blocks_that_train(self.trainable, SIZES[self.model_size]["n_layers"] if self.model_size else None)
        self.build_lora(self.trainable)

    @property
    def lora(self) -> Lora | None:
        """What `--trainable lora` asks for; `None` with another."""
        return self.build_lora(self.trainable)


@dataclass
class SpamTrainingArguments(TrainingArguments):
    """`TrainingArguments` with the chapter's recipe as defaults, and our own options.

    The batch of an optimizer step is `global_batch_size`. Processes and accumulated batches share it, so the same
    options train the same model on one process and on many. If `per_device_train_batch_size` is given, the Trainer's
    usual rule applies: the batch grows with the number of processes.

    Defaults that differ from `TrainingArguments`: `output_dir` outputs/<preset>, `seed` 123, `num_train_epochs` 5,
    `weight_decay` 0.1, `lr_scheduler_type` constant, `max_grad_norm` 0 (no clipping),
    `dataloader_drop_last` true (training only), `dataloader_pin_memory` false, `use_cpu` true without a GPU,
    `per_device_eval_batch_size` 32, `eval_strategy` epoch, `save_strategy` epoch, `save_total_limit` 1,
    `logging_strategy` no, `restore_callback_states_from_checkpoint` true, `ddp_find_unused_parameters` false,
    `hub_strategy` end, `per_device_train_batch_size` unset. Weight decay applies to every parameter.
    """

    output_dir: str | None = option(None, "Folder of the run (default: outputs/PRESET).", THE_RUN, FOLDER)
    overwrite_output_dir: bool = option(False, "Replace the run that --output_dir already holds.", THE_RUN)
    seed: int = option(
        123, "Seed of the head's initialization, the order of messages and dropout.", THE_RUN, range=SEED
    )
    report_to: None | str | list[str] = option(  # noqa: RUF036  # the order that HfArgumentParser can read
        "none", "Tracker: tensorboard or trackio, which are extras.", THE_RUN, "NAME"
    )
    disable_tqdm: bool | None = option(None, "Show no progress (default: false).", THE_RUN)
    num_train_epochs: float = option(5.0, "Passes over the training messages.", RECIPE, range=EPOCHS)
    max_steps: int = option(
        -1,
        "Stop after this many steps; -1: after --num_train_epochs.",
        RECIPE,
        range=Range(at_least=1, at_most=10**9, besides=-1),
    )
    global_batch_size: int | None = option(
        None, "Messages per optimizer step, over all processes (default: 8).", RECIPE, range=BATCH
    )
    per_device_train_batch_size: int | None = option(  # type: ignore[assignment]
        None,
        "Messages per process and batch, instead of --global_batch_size (default: its share).",
        RECIPE,
        range=BATCH,
    )
    gradient_accumulation_steps: int = option(1, "Batches per optimizer step and process.", RECIPE, range=BATCH)
    augment: float = option(
        0.0,
        "Perturbed copies of each message to train on, too.",
        RECIPE,
        range=Range(at_least=0, at_most=20),
    )
    optim: str = option("adamw_torch_fused", "Optimizer.", RECIPE, "NAME")
    learning_rate: float = option(5e-5, "Highest learning rate.", RECIPE, range=FACTOR)
    lr_scheduler_type: str = option("constant", "Learning-rate schedule.", RECIPE, "NAME")
    warmup_steps: float = option(
        0,
        "Steps of warmup; below 1: their share of all steps.",
        RECIPE,
        range=Range(at_least=0, at_most=10**9, share=True),
    )
    weight_decay: float = option(0.1, "Weight decay of every parameter.", RECIPE, range=FACTOR)
    max_grad_norm: float = option(
        0.0, "Clip gradients to this norm; 0: do not clip.", RECIPE, range=Range(at_least=0, at_most=10**6)
    )
    dataloader_drop_last: bool = option(True, "Skip a last, smaller batch in training (never in evaluation).", RECIPE)
    eval_freq: int = option(
        50, "Estimate the losses every N steps, as the chapter does; 0: never.", EVALUATION, range=COUNT_OR_NONE
    )
    eval_iter: int = option(5, "Batches per estimate of a loss or accuracy.", EVALUATION, range=COUNT)
    eval_strategy: str = option(
        "epoch", "When to evaluate the whole validation split: no, steps or epoch.", EVALUATION, "WHEN"
    )
    per_device_eval_batch_size: int = option(
        32, "Messages of similar length per evaluation batch.", EVALUATION, range=BATCH
    )
    logging_strategy: str = option("no", "When to log the running loss: no, steps or epoch.", EVALUATION, "WHEN")
    metric_for_best_model: str | None = option(
        None, "Metric that picks the best checkpoint (default: loss).", EVALUATION, "NAME"
    )
    load_best_model_at_end: bool = option(False, "Keep the best checkpoint instead of the last.", EVALUATION)
    early_stopping_patience: int | None = option(
        None,
        "Stop after N evaluations without a better --metric_for_best_model (default: never).",
        EVALUATION,
        range=COUNT,
    )
    early_stopping_threshold: float = option(
        0.0, "Smallest improvement that counts as better.", EVALUATION, range=Range(at_least=0, at_most=10**6)
    )
    save_strategy: str = option(
        "epoch", "When to save a checkpoint to resume from: no, steps, epoch or best.", CHECKPOINTS, "WHEN"
    )
    save_steps: float = option(500, "Steps between checkpoints with --save_strategy steps.", CHECKPOINTS, range=STEPS)
    save_total_limit: int | None = option(
        1, "Checkpoints to keep during training, beside the best.", CHECKPOINTS, range=COUNT
    )
    resume_from_checkpoint: str | None = option(
        None, "last, or the folder of a checkpoint, to resume from (default: start anew).", CHECKPOINTS, FOLDER
    )
    restore_callback_states_from_checkpoint: bool = option(
        True, "Resume early stopping with the evaluations counted so far.", CHECKPOINTS
    )
    keep_checkpoints: bool = option(False, "Keep the checkpoints in the finished run.", CHECKPOINTS)
    bf16: bool = option(False, "Compute in bfloat16.", SPEED)
    prefix_cache: Literal["auto", "on", "off"] = option(
        "auto", "Compute the frozen blocks' output once: if possible (auto), or fail (on), or never (off).", SPEED
    )
    prefix_cache_limit: float = option(
        8.0, "Largest such cache, in GB.", SPEED, "GB", range=Range(at_least=0, at_most=10**6)
    )
    prefix_cache_dir: str | None = option(
        None, "Keep that cache here for later runs (default: in the run, until it is finished).", SPEED, FOLDER
    )
    cuda_graphs: bool = option(True, "With that cache and one GPU, replay each step as a CUDA graph.", TRAINERS)
    used_rows: bool = option(
        True, "With --trainable all, let AdamW update only the embeddings of tokens that occur.", SPEED
    )
    dataloader_pin_memory: bool = option(
        False, "Pin batches; with the prefix cache they are then made on the CPU.", TRAINERS
    )
    ddp_find_unused_parameters: bool | None = option(False, "DistributedDataParallel's option.", TRAINERS)
    push_to_hub: bool = option(False, "Push the finished run with its card, as `hf-spam push` does.", PUBLISHING)
    hub_model_id: str | None = option(
        None, "Repository to push to: OWNER/NAME (default: the name of --output_dir, yours).", PUBLISHING, "REPO"
    )
    hub_private_repo: bool | None = option(None, "Make the repository private (default: false).", PUBLISHING)
    hub_strategy: str = option("end", "When to push; only end is possible here.", TRAINERS, "WHEN")

    def __post_init__(self) -> None:
        """Check every option, ours and the Trainer's."""
        check_values(self, RANGES)
        if not torch.accelerator.is_available():
            self.dataloader_pin_memory = False  # which would only warn
            self.use_cpu = True  # lets several processes meet on the CPU, and allows bf16
        if self.early_stopping_patience is not None:
            self.load_best_model_at_end = True
        if self.save_strategy == "best" and self.metric_for_best_model is None:
            self.metric_for_best_model = "loss"  # as the Trainer does for load_best_model_at_end
        check_before(self)
        metric = (self.metric_for_best_model or "loss").removeprefix("eval_")
        if metric not in (*ALL_METRICS, "loss"):
            raise UserError(f"--metric_for_best_model: expected {', '.join(ALL_METRICS)} or loss, found {metric!r}.")
        if self.hub_model_id is not None:
            check_repository("hub_model_id", self.hub_model_id)
        if self.hub_revision is not None:
            check_branch("hub_revision", self.hub_revision)
        with until_first_step(suspects(self), Path(self.output_dir or ".")):
            super().__post_init__()
        check_after(self)
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
                f"--global_batch_size: expected a number that {self.world_size} processes can share, each in "
                f"{self.gradient_accumulation_steps} accumulated batches, found {global_batch_size}."
            )
        return share
