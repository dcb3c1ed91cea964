"""The Trainer route: a model and its splits → a fine-tuned and evaluated classifier."""

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from datasets import DatasetDict
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import (
    EarlyStoppingCallback,
    PreTrainedTokenizerFast,
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
)

from ..data.arguments import Balance
from ..data.labels import Task, task_of_config
from ..data.splits import SPLITS, count, fingerprint, repeated, task_of
from ..errors import Interrupted, UserError, one_line
from ..evaluation.metrics import build_compute_metrics, metric_names, report_figures
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..robustness.augmentation import COPIES, training_rows
from ..system import processes
from ..system.files import free_space, is_disk_full
from ..trainable.adapters import Lora, trained_head, wrap_classifier
from ..trainable.freezing import freeze
from ..trainable.frozen_prefix import PrefixCache, PrefixCollator, is_pooled, load_or_fill, plan, why_not_cacheable
from ..trainable.sparse_embedding import Decay, used_rows
from ..trainable.step_graphs import StepGraphs
from .arguments import SpamTrainingArguments
from .callbacks import EpochEndCheckpoints, InterimEstimates, Log, LogLines, ProgressBars
from .checkpoints import SealedCheckpoints, list_checkpoints, remove_unsealed
from .imbalance import Loss, build_loss, correct_prior, learned_shares
from .interruption import OrderlyStop, describe_stop
from .recording import describe_start, longest_first, record_training, score_split
from .resuming import FirstStep, check_contents, is_finished, load_finished, load_state, resuming_from
from .run import Run, choose_examples, classify_examples
from .trainer import SpamTrainer, replays

_ADAMW = ("adamw_torch", "adamw_torch_fused")  # to a row without a gradient they do nothing but decay


def fine_tune(
    model: SpamGPTForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    texts: DatasetDict,
    tokenized: DatasetDict,
    arguments: SpamTrainingArguments,
    trainable: str = "last_block",
    *,
    lora: Lora | None = None,
    task: Task | None = None,
    balance: Balance = "none",
    prior: Mapping[str, float] | None = None,
    judged: Sequence[str] = SPLITS,
    keep_cache: bool = False,
) -> Run:
    """Fine-tune with the Trainer, then evaluate on the whole of each split.

    Args:
        model: Changed in place.
        tokenizer: Pads the batches.
        texts: The splits, for the record.
        tokenized: The same after `tokens.tokenization.tokenize`, `test` only if it is judged; and copies to train
            on, from `robustness.augmentation.add_copies`.
        arguments: The Trainer's options and ours. `resume_from_checkpoint` is a folder; see
            `checkpoints.find_checkpoint`.
        trainable: What trains; see `freezing.freeze`, and for `lora` `adapters.wrap_classifier`.
        lora: The options of `lora`; by default `Lora()`.
        task: The labels; by default those of the splits.
        balance: `class_weights` or `focal` weigh the labels in the loss; see `imbalance.build_loss`.
        prior: The share of each label in use, to which the scores are corrected; see `imbalance.correct_prior`.
        judged: The splits that are evaluated after training.
        keep_cache: Leave the prefix cache in `output_dir`, for a run that is not saved yet and may have to go on.

    Raises:
        UserError: If the training split does not fill one batch, a loss is not finite, or the checkpoint to resume
            from is another model's.
        OSError: If the disk is full.
        Interrupted: If SIGTERM or Ctrl-C came; a checkpoint is saved then.
    """
    task = task or task_of(texts)
    adapted = None
    if trainable == "lora":
        lora = lora or Lora()
        adapted = wrap_classifier(model, lora, arguments.seed)
        trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
        print(lora.describe(model))
    else:
        trained = freeze(model, trainable)
    with _sparse_embedding(model, tokenizer, tokenized, arguments, trainable) as decay:
        trainer, interim = build_trainer(
            model if adapted is None else adapted,
            tokenizer,
            tokenized,
            arguments,
            task=task,
            loss=build_loss(balance, texts),
        )
        if COPIES in tokenized:
            print(f"copies {len(tokenized[COPIES]):,} messages for training once more, perturbed")
        print(describe_start(trainer, len(training_rows(tokenized)), arguments.resume_from_checkpoint))
        cache = use_prefix_cache(trainer, model, tokenized)
        train(trainer, interim, decay)
        if prior is not None:
            correct_prior(trained_head(model), learned_shares(texts, balance), prior)
        scored = {name: score_split(trainer, tokenized[name]) for name in judged}
    processes.wait_for_all()
    if cache is not None and arguments.prefix_cache_dir is None and not keep_cache and processes.local_rank() == 0:
        cache.remove()
    return Run(
        model=model,
        adapted=adapted,
        tokenizer=tokenizer,
        splits={name: report_figures(task, *both) for name, both in scored.items()},
        logits={name: logits for name, (logits, _) in scored.items()},
        examples=classify_examples(model, tokenizer, choose_examples(texts, task)) if "test" in judged else [],
        history=interim.history,
        training=record_training(trainer, interim, trained) | {"balance": balance, "prior": prior},
        data={
            "source": "own",
            "counts": count(texts).to_dict(orient="index"),
            "repeated": repeated(texts),
            "fingerprint": fingerprint(texts),
        },
    )


def _sparse_embedding(
    model: SpamGPTForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    tokenized: DatasetDict,
    arguments: SpamTrainingArguments,
    trainable: str,
) -> AbstractContextManager[Decay | None]:
    """Train only the embedding rows that occur, where that gives the same result."""
    allowed = arguments.used_rows and not arguments.shards_weights
    if allowed and trainable == "all" and arguments.optim in _ADAMW:
        return used_rows(model.model, tokenized, tokenizer.pad_token_id)
    return nullcontext()


def build_trainer(
    model: SpamGPTForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    tokenized: DatasetDict,
    arguments: SpamTrainingArguments,
    log: Log = tqdm.write,
    *,
    task: Task | None = None,
    loss: Loss | None = None,
) -> tuple[SpamTrainer, InterimEstimates]:
    """Return the Trainer of `fine_tune`, ready to train, and the callback that will hold the interim estimates.

    Raises:
        UserError: If the training split does not fill one batch, or the best checkpoint is to be chosen by a figure
            that the task does not have.
    """
    task = task or task_of_config(model.config)
    best = (arguments.metric_for_best_model or "loss").removeprefix("eval_")
    if best not in (*metric_names(task), "loss"):
        names = ", ".join(metric_names(task))
        raise UserError(f"--metric_for_best_model: expected for these labels {names} or loss, found {best}.")
    train, batch_size = training_rows(tokenized), arguments.messages_per_step
    if arguments.dataloader_drop_last and len(train) < batch_size:
        raise UserError(f"expected at least one training batch of {batch_size} messages, found {len(train)}.")
    collator = PrefixCollator(tokenizer)
    interim = InterimEstimates(
        DataLoader(train, batch_size, shuffle=True, drop_last=arguments.dataloader_drop_last, collate_fn=collator),
        DataLoader(tokenized["validation"], batch_size, collate_fn=collator),
        DataLoader(tokenized["test"], batch_size, collate_fn=collator) if "test" in tokenized else None,
        arguments.eval_freq,
        arguments.eval_iter,
        log,
    )
    callbacks: list[TrainerCallback] = [interim, LogLines(log)]
    if arguments.early_stopping_patience is not None:
        patience, threshold = arguments.early_stopping_patience, arguments.early_stopping_threshold
        callbacks.append(EarlyStoppingCallback(patience, threshold))
    trainer = SpamTrainer(  # it seeds: what the model drew before does not matter
        model=model,
        args=arguments,
        data_collator=collator,
        train_dataset=train,
        eval_dataset=longest_first(tokenized["validation"]),
        processing_class=tokenizer,
        compute_metrics=build_compute_metrics(task),
        compute_loss_func=loss,
        callbacks=callbacks,
    )
    interim.autocast = trainer.accelerator.autocast
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(ProgressBars)
    trainer.pop_callback(PrinterCallback)  # what takes its place under disable_tqdm
    return trainer, interim


def use_prefix_cache(
    trainer: SpamTrainer, model: SpamGPTForSequenceClassification, tokenized: DatasetDict, log: Log = print
) -> PrefixCache | None:
    """Compute the frozen blocks' output once, where the options and the machine allow it, and log the decision.

    Raises:
        UserError: If `prefix_cache` is `on` and something prevents it.
    """
    arguments: SpamTrainingArguments = trainer.args
    folder = Path(arguments.prefix_cache_dir or arguments.output_dir or ".")
    precision = trainer.accelerator.mixed_precision
    off = arguments.prefix_cache == "off"
    obstacle = "--prefix_cache off" if off else why_not_cacheable(model, arguments.shards_weights)
    if obstacle is None:
        planned = plan(model, tokenized, precision)
        size = f"{len(planned.texts):,} distinct texts, {planned.size / 1e9:.2g} GB"
        if planned.size > arguments.prefix_cache_limit * 1e9:
            obstacle = f"{size}, more than --prefix_cache_limit {arguments.prefix_cache_limit:g} GB"
        elif processes.any_of(free_space(folder) < planned.size):
            obstacle = one_line(f"{size}, more than is free in {folder}")
    if obstacle is not None:
        if arguments.prefix_cache == "on":
            raise UserError(f"--prefix_cache on: cannot be made: {obstacle}.")
        log(f"cache  none: {obstacle}")
        return None
    log(f"cache  output of the {model.model.frozen_blocks} frozen blocks: {size}")
    cache = load_or_fill(model, planned, folder, precision, trainer.accelerator.autocast())
    trainer.data_collator.cache = cache  # type: ignore[union-attr]
    if not (arguments.dataloader_pin_memory or arguments.dataloader_num_workers):  # which want batches on the CPU
        cache.move_to(trainer.accelerator.device)
    if replays(arguments, trainer.accelerator):
        trainer.step_graphs = StepGraphs(model, model.config, is_pooled(model))
    return cache


# --- training --------------------------------------------------------------------------------------------------------


def train(trainer: SpamTrainer, interim: InterimEstimates, decay: Decay | None = None) -> None:
    """Train from the start or from `resume_from_checkpoint`, with complete checkpoints and an orderly stop.

    Raises:
        Interrupted: If SIGTERM or Ctrl-C came; a checkpoint is saved then.
        OSError: If the disk is full, with ENOSPC, whatever torch made of it. Complete checkpoints stay.
    """
    run_folder = Path(trainer.args.output_dir or ".")
    checkpoint, first = None, FirstStep()
    if trainer.args.resume_from_checkpoint is not None:
        checkpoint = Path(trainer.args.resume_from_checkpoint)
        first = FirstStep(checkpoint)
        with resuming_from(checkpoint, first):
            if _restore(trainer, checkpoint, interim, decay):
                return
    with OrderlyStop() as stop:
        for callback in (decay, SealedCheckpoints(checkpoint), stop, EpochEndCheckpoints(), first):
            if callback is not None:
                trainer.add_callback(callback)
        try:
            with resuming_from(checkpoint, first) if checkpoint is not None else nullcontext():
                trainer.train(resume_from_checkpoint=trainer.args.resume_from_checkpoint)
        except BaseException as error:
            full = is_disk_full(error, run_folder)
            if processes.rank() == 0:
                remove_unsealed(run_folder)
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(run_folder)) from error
            raise
    if stop.signal is not None and list_checkpoints(run_folder):  # it came after the last step
        raise Interrupted(stop.signal, describe_stop(stop.signal, trainer.state.global_step, trainer.state.max_steps))


def _restore(trainer: SpamTrainer, checkpoint: Path, interim: InterimEstimates, decay: Decay | None) -> bool:
    """Restore what is ours, check the rest, and tell whether there is nothing left to train."""
    interim.restore(checkpoint)
    if decay is not None:
        decay.restore(checkpoint)
    state = load_state(checkpoint)
    check_contents(checkpoint, trainer.model, state, trainer.args.load_best_model_at_end)  # type: ignore[arg-type]
    if not is_finished(state, trainer.args, len(trainer.train_dataset)):  # type: ignore[arg-type]
        return False
    load_finished(trainer, checkpoint, state)
    return True
