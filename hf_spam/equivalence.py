"""The Trainer route against the native loop: the same rows, batches, steps and parameters, or where they part.

Levels 4 and 5 of the comparison, the training; `data_equivalence` has 1 and 2, `model_equivalence` the others. Both
routes start from a `Subject`.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import tiktoken
import torch
from datasets import DatasetDict
from torch.utils.data import DataLoader
from transformers import GPT2Tokenizer

from . import native_loop
from .arguments import PRESETS, ModelArguments, SpamTrainingArguments
from .builders import build_config, build_model
from .callbacks import StepRecorder
from .comparison import Comparison, Value, compare, compare_records
from .configuration_spam_gpt import SpamGPTConfig
from .data import SPLITS, prepare
from .encoding import longest_text
from .freezing import Trainable, freeze
from .gpt import GPTModel
from .modeling_spam_gpt import SpamGPTForSequenceClassification
from .options import build
from .records import Record
from .tokenization import build_tokenizer, gpt2_encoding, tokenize
from .training import build_trainer, evaluate_split, use_prefix_cache
from .weights import GPT2Checkpoint

CONFIGURATIONS: tuple[Trainable, ...] = ("last_block", "all")
BATCH_SIZE = 8
EPOCHS = 5

# Level 4 asks for the last bit. What accumulates its gradients sums in another order, and AdamW divides by the
# gradients' own size: it magnifies the difference where they are close to 0.
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


@dataclass(frozen=True)
class Subject:
    """What both routes start from.

    Attributes:
        frames: The splits as the native loop draws them.
        splits: The splits as a `DatasetDict`.
        tokenized: The same after `tokenization.tokenize`.
        tokenizer: The Trainer route's.
        encoding: The native loop's.
        classifier: The starting weights, configured as by the `book` preset. Not trained itself.
        max_steps: Where training stops, and how many batches of each split are then evaluated; `None`: five epochs,
            whole splits.
        learning_rate: AdamW's.
        seed: Of everything random.
    """

    frames: dict[str, pd.DataFrame]
    splits: DatasetDict
    tokenized: DatasetDict
    tokenizer: GPT2Tokenizer
    encoding: tiktoken.Encoding
    classifier: SpamGPTForSequenceClassification
    max_steps: int | None
    learning_rate: float
    seed: int

    def configure(self, **options: Any) -> SpamGPTConfig:
        """The starting weights' configuration with other options."""
        values = self.classifier.config.to_dict() | {"attn_implementation": "eager"}  # which `to_dict` leaves out
        return SpamGPTConfig(**values | options)


def prepare_subject(
    messages: pd.DataFrame,
    *,
    model_size: str = "tiny",
    checkpoint: GPT2Checkpoint | None = None,
    max_steps: int | None = None,
    learning_rate: float = 1e-3,
    seed: int = 123,
) -> Subject:
    """Split and tokenize the messages both ways, and build the classifier that both routes start from.

    Args:
        messages: Columns `Label` and `Text`.
        model_size: One of `weights.SIZES`, with random weights.
        checkpoint: Pretrained weights instead.
        max_steps: See `Subject`.
        learning_rate: See `Subject`. The chapter's 5e-5 would hardly move random weights.
        seed: See `Subject`.
    """
    splits = prepare(messages)
    tokenizer = build_tokenizer()
    longest = longest_text(tokenizer, list(splits["train"]["text"]))
    options = {"model_size": model_size, **PRESETS["book"]}
    config = build_config(build(ModelArguments, options), checkpoint, len(tokenizer), None, longest)
    return Subject(
        frames=native_loop.split_messages(messages),
        splits=splits,
        tokenized=tokenize(splits, tokenizer, config.max_text_length),
        tokenizer=tokenizer,
        encoding=gpt2_encoding(),
        classifier=build_model(config, checkpoint, seed),
        max_steps=max_steps,
        learning_rate=learning_rate,
        seed=seed,
    )


# --- levels 4 and 5: training ----------------------------------------------------------------------------------------


def train_both_ways(subject: Subject) -> dict[str, tuple[Record, Record]]:
    """The native loop's record and the Trainer's with the `book` preset, in fp32 on a CPU, for each configuration.

    The configurations: the last block and everything trained, each with dropout 0 and 0.1.
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
    """Every step, estimate and final parameter of `train_both_ways`, to the last bit."""
    return compare_records(4, pairs, LAST_BIT)


def check_variants(subject: Subject) -> list[Comparison]:
    """Accumulated batches against whole ones for an epoch, the frozen blocks cached or not, and bf16 against fp32."""
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
    uncached, cached = (train_with_trainer(subject, "last_block", "sdpa", prefix_cache=it) for it in ("off", "on"))
    pair = {"frozen blocks cached": (uncached, cached)}
    comparisons += compare_records(5, pair, CACHED, prefix="frozen blocks cached: ")
    fp32, bf16 = (train_with_trainer(subject, "last_block", bf16=bf16) for bf16 in (False, True))
    comparisons += compare_records(5, {"bf16": (fp32, bf16)}, BF16, prefix="bf16: ")
    expected: dict[str, Value] = {"test": fp32.accuracies["test"]}
    noise = accuracy_noise(fp32.accuracies["test"], len(subject.tokenized["test"]))
    found: dict[str, Value] = {"test": bf16.accuracies["test"]}
    return [*comparisons, compare(5, "bf16: test accuracy", expected, found, noise)]


def train_natively(subject: Subject, trainable: Trainable, drop_rate: float = 0.0) -> Record:
    """The chapter's loop on the subject."""
    model = GPTModel(subject.configure(drop_rate=drop_rate), num_labels=2)
    model.load_state_dict(subject.classifier.model.state_dict())
    freeze(model, trainable)
    loaders = native_loop.build_loaders(subject.frames, subject.encoding, batch_size=BATCH_SIZE)
    torch.manual_seed(subject.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=subject.learning_rate, weight_decay=0.1)
    steps, history = native_loop.train(
        model, loaders["train"], loaders["validation"], optimizer, max_steps=subject.max_steps, log=silent
    )
    accuracies = {  # the training loader would leave out the messages of its last, smaller batch
        name: native_loop.loader_accuracy(model, DataLoader(loader.dataset, BATCH_SIZE), subject.max_steps)
        for name, loader in loaders.items()
    }
    return Record(steps, history, accuracies, dict(model.named_parameters()))


def train_with_trainer(
    subject: Subject, trainable: Trainable, attention: str = "eager", drop_rate: float = 0.0, **options: Any
) -> Record:
    """The Trainer with the `book` preset on the subject; options of `SpamTrainingArguments` bend it."""
    model = SpamGPTForSequenceClassification(subject.configure(drop_rate=drop_rate, attn_implementation=attention))
    model.load_state_dict(subject.classifier.state_dict())
    freeze(model.model, trainable)
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
            accuracies[name] = evaluate_split(trainer, rows)["accuracy"]
    return Record(recorder.steps, interim.history, accuracies, dict(model.model.named_parameters()))


def book_arguments(subject: Subject, folder: str, **options: Any) -> SpamTrainingArguments:
    """The `book` preset on a CPU, silent."""
    given = {
        "output_dir": folder,
        "seed": subject.seed,
        "learning_rate": subject.learning_rate,
        "max_steps": subject.max_steps or -1,
        "prefix_cache": "off",
        "eval_strategy": "epoch" if subject.max_steps is None else "no",
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    arguments: SpamTrainingArguments = build(SpamTrainingArguments, {**PRESETS["book"], **given, **options})
    return arguments


def accuracy_noise(accuracy: float, messages: int) -> float:
    """Half the width of the accuracy's 95 % interval (Agresti and Coull 1998): what another draw would change."""
    share = (accuracy * messages + 2) / (messages + 4)
    return 1.96 * (share * (1 - share) / (messages + 4)) ** 0.5


def silent(line: str) -> None:
    """A log that nobody reads."""
