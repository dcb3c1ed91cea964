"""Compare training by the Trainer route with training by the native loop: levels 4 and 5.

Levels 1 and 2 are in `data`, levels 3, 6 and 7 in `model`. Both routes start from a `StartingPoint`.
"""

import tempfile
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..conversion.to_book import as_book
from ..data.splits import SPAM, SPLITS
from ..evaluation.intervals import wilson
from ..model.gpt import GPTModel
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..trainable.freezing import freeze
from ..training.fine_tuning import build_trainer, use_prefix_cache
from ..training.recording import evaluate_split
from . import native_loop
from .comparison import Comparison, Value, compare, compare_records
from .recorder import StepRecorder
from .records import Record
from .starting_point import BATCH_SIZE, StartingPoint, book_arguments, silent

CONFIGURATIONS = ("last_block", "all")

# Level 4 demands equality to the last bit. Accumulated gradients are summed in another order, and AdamW divides them
# by their own size, which magnifies the difference where they are close to 0.
LAST_BIT = {
    "token ids of each batch": 0.0,
    "labels of each batch": 0.0,
    "loss of each step": 0.0,
    "gradient norm of each step": 0.0,
    "learning rate of each step": 0.0,
    "interim estimates": 0.0,
    "accuracy of each split": 0.0,
    "final parameters": 0.0,
}
ACCUMULATED = {
    "token ids of each batch": 0.0,
    "labels of each batch": 0.0,
    "loss of each step": 1e-5,
    "gradient norm of each step": 1e-3,
    "learning rate of each step": 0.0,
}
CACHED = {
    "token ids of each batch": 0.0,
    "labels of each batch": 0.0,
    "loss of each step": 1e-5,
    "interim estimates": 1e-5,
    "accuracy of each split": 0.0,
    "final parameters": 1e-5,
}
BF16 = {"token ids of each batch": 0.0, "loss of each step": 0.1}


# --- levels 4 and 5: training ----------------------------------------------------------------------------------------


def train_both_ways(subject: StartingPoint) -> dict[str, tuple[Record, Record]]:
    """Train each configuration with the native loop and with the Trainer's `book` preset, in fp32 on a CPU.

    The configurations train the last block or everything, each with dropout 0 and 0.1.

    Returns:
        The native record and the Trainer's record, by configuration.
    """
    return {
        f"{trainable}, dropout {drop_rate:g}": (
            train_natively(subject, trainable, drop_rate),
            train_with_trainer(subject, trainable, drop_rate=drop_rate),
        )
        for trainable in CONFIGURATIONS
        for drop_rate in (0.0, 0.1)
    }


def check_training(pairs: Mapping[str, tuple[Record, Record]]) -> list[Comparison]:
    """Compare every step, estimate and final parameter of `train_both_ways`, to the last bit."""
    return compare_records(4, pairs, LAST_BIT)


def check_variants(subject: StartingPoint) -> list[Comparison]:
    """Compare variants of the Trainer route that differ by rounding alone; all of level 5."""
    return [*check_accumulation(subject), *check_cache(subject), *check_bf16(subject)]


def check_accumulation(subject: StartingPoint) -> list[Comparison]:
    """Compare an epoch of accumulated batches with one of whole batches."""
    steps = len(subject.tokenized["train"]) // BATCH_SIZE
    options: dict[str, Any] = {"max_steps": min(steps, subject.max_steps or steps), "eval_freq": 0}
    whole = train_with_trainer(subject, "all", **options)
    comparisons = []
    for size, times in ((4, 2), (1, 8)):
        accumulated = train_with_trainer(
            subject, "all", per_device_train_batch_size=size, gradient_accumulation_steps=times, **options
        )
        pair = {f"{times} batches of {size}": (whole, accumulated)}
        comparisons += compare_records(5, pair, ACCUMULATED, prefix=f"accumulated {times}×{size}: ")
    return comparisons


def check_cache(subject: StartingPoint) -> list[Comparison]:
    """Compare training on the cached output of the frozen blocks with training that computes it."""
    uncached, cached = (train_with_trainer(subject, "last_block", "sdpa", prefix_cache=it) for it in ("off", "on"))
    pair = {"frozen blocks cached": (uncached, cached)}
    return compare_records(5, pair, CACHED, prefix="frozen blocks cached: ")


def check_bf16(subject: StartingPoint) -> list[Comparison]:
    """Compare bf16 with fp32: the losses, and the test accuracy up to its sampling noise."""
    fp32, bf16 = (train_with_trainer(subject, "last_block", bf16=bf16) for bf16 in (False, True))
    expected: dict[str, Value] = {"test": fp32.accuracies["test"]}
    found: dict[str, Value] = {"test": bf16.accuracies["test"]}
    noise = accuracy_noise(fp32.accuracies["test"], len(subject.tokenized["test"]))
    return [
        *compare_records(5, {"bf16": (fp32, bf16)}, BF16, prefix="bf16: "),
        compare(5, "bf16: test accuracy", expected, found, noise),
    ]


def train_natively(subject: StartingPoint, trainable: str, drop_rate: float = 0.0) -> Record:
    """Train with the chapter's loop, and return its record."""
    model = GPTModel(subject.configure(drop_rate=drop_rate), num_labels=2)
    model.load_state_dict(as_book(subject.classifier).state_dict())
    freeze(model, trainable)
    loaders = native_loop.build_loaders(subject.frames, subject.encoding, batch_size=BATCH_SIZE)
    torch.manual_seed(subject.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=subject.learning_rate, weight_decay=0.1)
    steps, history = native_loop.train(
        model, loaders["train"], loaders["validation"], optimizer, max_steps=subject.max_steps, log=silent
    )
    accuracies = {  # the training loader would drop the messages of its last, smaller batch
        name: native_loop.loader_accuracy(model, DataLoader(loader.dataset, BATCH_SIZE), subject.max_steps)
        for name, loader in loaders.items()
    }
    return Record(steps, history, accuracies, dict(model.named_parameters()))


def train_with_trainer(
    subject: StartingPoint, trainable: str, attention: str = "eager", drop_rate: float = 0.0, **options: Any
) -> Record:
    """Train with the Trainer's `book` preset, changed by `options` of `SpamTrainingArguments`; return its record."""
    model = SpamGPTForSequenceClassification(subject.configure(drop_rate=drop_rate, attn_implementation=attention))
    model.load_state_dict(subject.classifier.state_dict())
    freeze(model, trainable)
    with tempfile.TemporaryDirectory() as folder:
        arguments = book_arguments(subject, folder, **options)
        trainer, interim = build_trainer(model, subject.tokenizer, subject.tokenized, arguments, log=silent)
        recorder = StepRecorder()
        trainer.add_callback(recorder)
        use_prefix_cache(trainer, model, subject.tokenized, log=silent)
        trainer.train()
        accuracies = {}
        for name in SPLITS:
            rows = subject.tokenized[name]
            if subject.max_steps is not None:
                rows = rows.select(range(min(len(rows), subject.max_steps * BATCH_SIZE)))
            accuracies[name] = evaluate_split(trainer, rows, SPAM)["accuracy"]
    return Record(recorder.steps, interim.history, accuracies, dict(as_book(model).named_parameters()))


def accuracy_noise(accuracy: float, messages: int) -> float:
    """Return half the width of the accuracy's 95 % interval: what another random draw of messages would change."""
    interval = wilson(round(accuracy * messages), messages)
    return 0.0 if interval is None else (interval[1] - interval[0]) / 2
