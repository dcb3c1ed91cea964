"""Time the chapter's fine-tuning: the native loop, transformers' own classifier with the Trainer, and ours.

What takes minutes is timed on some steps and some evaluation batches, and scaled; our own figure is timed in full. All
train the last block, the final norm and the head for five epochs in batches of 8, with the chapter's interim estimates
and final evaluations. The weights are random, because speed does not depend on their values. On a GPU more steps are
timed, after many more that are not: it chooses and loads its kernels at the first ones.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pandas as pd
import torch
from datasets import DatasetDict
from torch.nn.attention import sdpa_kernel
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from ..conversion.to_book import as_book
from ..data.sampling import prepare_splits
from ..data.splits import SPLITS
from ..equivalence import native_loop
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..options import build
from ..tokens.batching import token_batches
from ..tokens.encoding import longest_text
from ..tokens.tokenization import build_tokenizer, gpt2_encoding, tokenize
from ..trainable.freezing import freeze
from ..trainable.frozen_prefix import UNPLANNED
from ..training.arguments import ModelArguments, SpamTrainingArguments
from ..training.fine_tuning import build_trainer, fine_tune
from ..training.initial_model import build_config, initialize_model
from ..training.presets import PRESETS
from . import parts
from .measuring import allow_tf32, matrix_product_rate, seconds
from .peers import gpt2_classifier

BATCH_SIZE = 8
EPOCHS = 5
EVAL_FREQ, EVAL_ITER = 50, 5


@dataclass(frozen=True)
class Job:
    """The messages to train on, the model's size, and how many steps to time of a job that is scaled."""

    messages: pd.DataFrame
    model_size: str
    steps: int


@dataclass(frozen=True)
class Counts:
    """The size of the whole job.

    Attributes:
        steps: Optimizer steps.
        estimated: Batches of the interim estimates.
        evaluated: Batches of the three splits, evaluated in full at the end.
        validated: Batches of the validation split after each epoch, where the chapter evaluates only a few.
    """

    steps: int
    estimated: int
    evaluated: int
    validated: int

    @classmethod
    def of(cls, sizes: dict[str, int]) -> "Counts":
        """Return the counts for splits of these sizes."""
        steps = EPOCHS * (sizes["train"] // BATCH_SIZE)
        estimates = -(-steps // EVAL_FREQ) + EPOCHS
        batches = {name: -(-size // BATCH_SIZE) for name, size in sizes.items()}
        return cls(steps, estimates * 2 * EVAL_ITER, sum(batches.values()), EPOCHS * batches["validation"])


def steps_to_time(steps: int, gpu: bool) -> tuple[int, int]:
    """Return how many steps to leave out, and how many to time after them."""
    return (50, max(steps, 150)) if gpu else (1, steps)


def native(job: Job, precision: str = "fp32") -> dict[str, Any]:
    """Time the chapter's loop, in fp32 or with TF32 products."""
    allow_tf32(precision)
    loaders = native_loop.build_loaders(native_loop.split_messages(job.messages), gpt2_encoding())
    counts = Counts.of({name: len(loader.dataset) for name, loader in loaders.items()})  # type: ignore[arg-type]
    model = as_book(_random_model(job, pooling="last_position", attn_implementation="eager"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.1)

    def train(steps: int) -> None:
        for ids, labels in islice(loaders["train"], steps):
            optimizer.zero_grad()
            native_loop.batch_loss(model, ids, labels).backward()
            optimizer.step()

    before, after = steps_to_time(job.steps, torch.cuda.is_available())
    steps, batches = (min(after, len(loaders[name])) for name in ("train", "validation"))
    train(before)
    native_loop.loader_loss(model, loaders["validation"], 1)
    step = seconds(lambda: train(steps)) / steps
    batch = seconds(lambda: native_loop.loader_loss(model, loaders["validation"], batches)) / batches
    whole = counts.steps * step + (counts.estimated + counts.evaluated) * batch
    return {"seconds": whole, "how": f"{steps} of {counts.steps} steps, scaled"}


class _Clock(TrainerCallback):
    """A clock that times the steps after the first ones."""

    def __init__(self, before: int) -> None:
        self.before = before
        self.times: list[float] = []

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.times.append(time.perf_counter())

    @property
    def step(self) -> float:
        return (self.times[-1] - self.times[self.before - 1]) / (len(self.times) - self.before)


def transformers_trainer(job: Job, precision: str) -> dict[str, Any]:
    """Time transformers' GPT-2 classifier with the Trainer, padded to the longest message of each batch."""
    allow_tf32(precision)
    tokenizer, tokenized = _tokenized(job)
    model = gpt2_classifier(job.model_size)
    model.requires_grad_(False)
    for part in (model.transformer.h[-1], model.transformer.ln_f, model.score):
        part.requires_grad_(True)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH_SIZE,
            per_device_eval_batch_size=BATCH_SIZE,
            max_steps=sum(steps_to_time(job.steps, torch.cuda.is_available())),
            bf16=precision == "bf16",
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            data_collator=DataCollatorWithPadding(tokenizer),
            train_dataset=tokenized["train"],
        )
        return _timed(trainer, tokenized, job)


def ours_without_cache(job: Job, precision: str) -> dict[str, Any]:
    """Time our Trainer route with every block computed at every step."""
    tokenizer, tokenized = _tokenized(job)
    model = _random_model(job)
    with tempfile.TemporaryDirectory() as folder:
        steps = sum(steps_to_time(job.steps, torch.cuda.is_available()))
        arguments = _arguments(folder, precision, max_steps=steps, eval_strategy="no", prefix_cache="off")
        trainer, _ = build_trainer(model, tokenizer, tokenized, arguments, log=_silent)
        return _timed(trainer, tokenized, job)


def ours(job: Job, precision: str, preset: str = "default", **options: Any) -> dict[str, Any]:
    """Time our Trainer route in full, as `hf-spam train` runs it but without checkpoints after each epoch.

    Also reports the seconds of its parts, and the share of the matrix product's rate that they reach.
    """
    tokenizer, tokenized = _tokenized(job)
    model = _random_model(job, **PRESETS[preset])
    texts = prepare_splits(job.messages)
    with tempfile.TemporaryDirectory() as folder:
        arguments = _arguments(folder, precision, **PRESETS[preset], **options)
        start = time.perf_counter()
        with parts.timed() as spent:
            fine_tune(model, tokenizer, texts, tokenized, arguments)
        taken = time.perf_counter() - start
    distinct = {tuple(ids) for name in SPLITS for ids in tokenized[name]["input_ids"]}
    counts = Counts.of({name: len(rows) for name, rows in tokenized.items()})
    messages = {parts.STEPS: counts.steps * BATCH_SIZE, parts.ESTIMATES: counts.estimated * BATCH_SIZE}
    messages[parts.EVALUATIONS] = sum(map(len, tokenized.values())) + EPOCHS * len(tokenized["validation"])
    work = parts.operations(model.config, model.model.frozen_blocks, list(map(len, distinct)), messages)
    rate = matrix_product_rate(_dtype(precision), model.device)
    shares = {part: number / spent[part] / rate for part, number in work.items() if spent[part]}
    spent[parts.REST] = taken - sum(spent.values())
    return {"seconds": taken, "how": "whole", "parts": spent, "shares": shares, "product": rate}


def frozen_pass(job: Job, precision: str) -> dict[str, Any]:
    """Time one pass of the frozen blocks over every real token of the splits, in batches of similar length.

    This is a lower bound for any training on their output, except that repeated texts need only one pass. Also reports
    the rate of the machine's matrix product, and the share of that rate which the pass reaches.
    """
    _, tokenized = _tokenized(job)
    allow_tf32(precision)
    dtype = _dtype(precision)
    gpt = _random_model(job).model.to(dtype).eval()
    device = gpt.tok_emb.weight.device
    rows = [torch.tensor(ids) for name in SPLITS for ids in tokenized[name]["input_ids"]]

    def run(batches: Iterator[list[int]]) -> None:
        with torch.inference_mode(), sdpa_kernel(UNPLANNED):
            for batch in batches:
                ids = pad_sequence([rows[row] for row in batch], batch_first=True).to(device)
                gpt.states(ids, gpt.frozen_blocks)

    lengths = list(map(len, rows))
    run(islice(token_batches(lengths, 2048), None if gpt.device.type == "cuda" else 1))  # a GPU: every shape
    taken = seconds(lambda: run(token_batches(lengths, 2048)))
    operations = 2 * 12 * gpt.config.emb_dim**2 * gpt.frozen_blocks * sum(lengths)  # without attention's own products
    rate = matrix_product_rate(dtype, device)
    return {"seconds": taken, "how": "whole", "share": operations / taken / rate, "rate": rate}


def _timed(trainer: Trainer, tokenized: DatasetDict, job: Job) -> dict[str, Any]:
    """Time some steps and some evaluation batches, and scale them to the whole job."""
    counts = Counts.of({name: len(rows) for name, rows in tokenized.items()})
    clock = _Clock(steps_to_time(job.steps, torch.cuda.is_available())[0])
    trainer.add_callback(clock)
    trainer.train()
    some = tokenized["validation"].select(range(min(len(tokenized["validation"]), BATCH_SIZE * job.steps)))
    trainer.predict(some if torch.cuda.is_available() else some.select(range(BATCH_SIZE)))
    batch = seconds(lambda: trainer.predict(some)) / -(-len(some) // BATCH_SIZE)
    whole = counts.steps * clock.step + (counts.estimated + counts.evaluated + counts.validated) * batch
    return {"seconds": whole, "how": f"{len(clock.times) - clock.before} of {counts.steps} steps, scaled"}


def _tokenized(job: Job) -> tuple[Any, DatasetDict]:
    tokenizer = build_tokenizer()
    return tokenizer, tokenize(prepare_splits(job.messages), tokenizer, tokenizer.model_max_length)


def _random_model(job: Job, **options: Any) -> SpamGPTForSequenceClassification:
    tokenizer = build_tokenizer()
    longest = longest_text(tokenizer, list(prepare_splits(job.messages)["train"]["text"]))
    arguments = build(ModelArguments, {"model_size": job.model_size, **options})
    config = build_config(arguments, None, len(tokenizer), None, longest)
    model = initialize_model(config, None, seed=123)
    freeze(model)
    return model.to("cuda") if torch.cuda.is_available() else model  # type: ignore[arg-type]


def _arguments(folder: str, precision: str, **options: Any) -> SpamTrainingArguments:
    given = {"output_dir": folder, "bf16": precision == "bf16", "save_strategy": "no", "disable_tqdm": True}
    given |= {"tf32": True} if precision == "tf32" else {}
    arguments: SpamTrainingArguments = build(SpamTrainingArguments, given | options)
    return arguments


def _dtype(precision: str) -> torch.dtype:
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _silent(line: str) -> None:
    pass
