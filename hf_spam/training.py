"""The Trainer route: a model and its splits → a fine-tuned, evaluated and saved classifier."""

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import DataCollatorWithPadding, GPT2Tokenizer, PrinterCallback, ProgressCallback, Trainer
from transformers.trainer_utils import EvalLoopOutput

from .arguments import SpamTrainingArguments
from .callbacks import InterimEstimates, Log, LogLines, ProgressBars
from .data import SPLITS, count, fingerprint
from .environment import environment
from .errors import UserError
from .freezing import Trainable, freeze
from .inference import EXAMPLES, SpamClassifier
from .metrics import METRICS as METRIC_NAMES
from .metrics import build_compute_metrics
from .modeling_spam_gpt import SpamGPTForSequenceClassification
from .plots import plot_values
from .records import History
from .run_folder import METRICS


class SpamTrainer(Trainer):
    """The Trainer, held to the chapter's loop: AdamW decays every parameter, and evaluation changes nothing."""

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """All of them; the Trainer's own groups would spare biases and some norms."""
        return [name for name, _ in model.named_parameters()]

    def get_eval_dataloader(self, eval_dataset: str | Dataset | None = None) -> DataLoader[Any]:
        """Every sample: `dataloader_drop_last` is for training."""
        return self._with_last_batch(super().get_eval_dataloader, eval_dataset)

    def get_test_dataloader(self, test_dataset: Dataset) -> DataLoader[Any]:
        """Every sample: `dataloader_drop_last` is for training."""
        return self._with_last_batch(super().get_test_dataloader, test_dataset)

    def _with_last_batch(self, get_dataloader: Any, dataset: Any) -> DataLoader[Any]:
        drop_last = self.args.dataloader_drop_last
        self.args.dataloader_drop_last = False
        try:
            loader: DataLoader[Any] = get_dataloader(dataset)
            return loader
        finally:
            self.args.dataloader_drop_last = drop_last

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluate without touching the random stream that training draws from."""
        with torch.random.fork_rng(devices=[]):
            return super().evaluation_loop(*args, **kwargs)


@dataclass(frozen=True)
class Run:
    """What a fine-tuning leaves: the model, its figures, and what it went through.

    `splits` maps each split to `METRIC_NAMES`, `loss` (mean over the messages) and `messages`.
    """

    model: SpamGPTForSequenceClassification
    tokenizer: GPT2Tokenizer
    splits: dict[str, dict[str, float]]
    history: History
    training: dict[str, Any]
    data: dict[str, Any]


def fine_tune(
    model: SpamGPTForSequenceClassification,
    tokenizer: GPT2Tokenizer,
    texts: DatasetDict,
    tokenized: DatasetDict,
    arguments: SpamTrainingArguments,
    trainable: Trainable = "last_block",
) -> Run:
    """Fine-tune with the Trainer, then evaluate on the whole of each split.

    Args:
        model: Changed in place.
        tokenizer: Pads the batches.
        texts: The splits, for the record.
        tokenized: The same after `tokenization.tokenize`.
        arguments: The Trainer's, with ours.
        trainable: What trains; see `freezing.freeze`.

    Raises:
        UserError: If the training split does not fill one batch.
    """
    trained = freeze(model.model, trainable)
    trainer, interim = build_trainer(model, tokenizer, tokenized, arguments)
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    parameters = {name: parameter.numel() for name, parameter in model.model.named_parameters()}
    return Run(
        model=model,
        tokenizer=tokenizer,
        splits={name: evaluate_split(trainer, tokenized[name]) for name in SPLITS},
        history=interim.history,
        training={
            "seconds": round(seconds, 2),
            "steps": trainer.state.global_step,
            "epochs": trainer.state.epoch,
            "parameters": sum(parameters.values()),
            "trained_parameters": sum(parameters[name] for name in trained),
            "best_checkpoint_step": trainer.state.best_global_step,
        },
        data={"counts": count(texts).to_dict(orient="index"), "fingerprint": fingerprint(texts)},
    )


def build_trainer(
    model: SpamGPTForSequenceClassification,
    tokenizer: GPT2Tokenizer,
    tokenized: DatasetDict,
    arguments: SpamTrainingArguments,
    log: Log = tqdm.write,
) -> tuple[SpamTrainer, InterimEstimates]:
    """The Trainer of `fine_tune`, ready to train, and the callback that will hold the interim estimates.

    Raises:
        UserError: If the training split does not fill one batch.
    """
    train, batch_size = tokenized["train"], arguments.train_batch_size
    if arguments.dataloader_drop_last and len(train) < batch_size:
        raise UserError(f"expected at least one training batch of {batch_size} messages, found {len(train)}.")
    collator = DataCollatorWithPadding(tokenizer)
    interim = InterimEstimates(
        DataLoader(train, batch_size, shuffle=True, drop_last=arguments.dataloader_drop_last, collate_fn=collator),
        DataLoader(tokenized["validation"], batch_size, collate_fn=collator),
        arguments.eval_freq,
        arguments.eval_iter,
        log,
    )
    trainer = SpamTrainer(  # seeds: what was drawn before, for the model, does not matter
        model=model,
        args=arguments,
        data_collator=collator,
        train_dataset=train,
        eval_dataset=tokenized["validation"],
        processing_class=tokenizer,
        compute_metrics=build_compute_metrics(model.model.out_head.out_features),
        callbacks=[interim, LogLines(log)],
    )
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(ProgressBars)
    trainer.pop_callback(PrinterCallback)  # what takes its place under disable_tqdm
    return trainer, interim


def evaluate_split(trainer: Trainer, rows: Dataset) -> dict[str, float]:
    """`METRIC_NAMES`, `loss` and `messages` over every row of a tokenized split."""
    metrics = trainer.predict(rows, metric_key_prefix="split").metrics or {}
    return {name: metrics[f"split_{name}"] for name in (*METRIC_NAMES, "loss")} | {"messages": len(rows)}


def classify_examples(run: Run) -> list[dict[str, Any]]:
    """The chapter's two example messages with their labels and scores."""
    predictions = SpamClassifier(run.model, run.tokenizer)(EXAMPLES)
    return [{"text": text, **asdict(prediction)} for text, prediction in zip(EXAMPLES, predictions, strict=True)]


def save_run(run: Run, examples: list[dict[str, Any]], folder: Path) -> None:
    """Write the checkpoint (weights, configuration, code, tokenizer), `metrics.json` and the plots into `folder`."""
    run.model.save_pretrained(folder)
    run.tokenizer.save_pretrained(folder)
    record = {
        "splits": run.splits,
        "examples": examples,
        "training": run.training,
        "data": run.data,
        "history": asdict(run.history),
        "environment": environment(run.model.device),
    }
    text = json.dumps(_finite(record), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / METRICS).write_text(text + "\n", encoding="utf-8")
    for label, train, validation in (
        ("loss", run.history.train_losses, run.history.validation_losses),
        ("accuracy", run.history.train_accuracies, run.history.validation_accuracies),
    ):
        if train:
            plot_values(
                train,
                validation,
                epochs=run.training["epochs"],
                examples_seen=run.history.examples_seen,
                label=label,
                folder=folder,
            )


def _finite(value: Any) -> Any:
    """NaN and infinity, which JSON does not have, become null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
