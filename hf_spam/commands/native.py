"""`hf-spam native`: the chapter's own program, from the messages to the saved classifier, in plain PyTorch.

It is the reference of `hf-spam check-equivalence` and prints the chapter's log lines. `hf-spam train --preset book`
does the same with the Trainer.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tiktoken
import torch

from ..conversion.from_gpt2 import GPT2Checkpoint, fill, load_checkpoint
from ..data.arguments import DataArguments
from ..data.labels import HAM_SPAM, LabelRules
from ..data.loading import read_messages
from ..data.tokenization import gpt2_encoding
from ..equivalence import native_loop
from ..errors import UserError, one_line
from ..evaluation.history import History
from ..evaluation.plots import plot_history, prove_drawable
from ..inference.classifier import EXAMPLES
from ..model.gpt import GPTModel
from ..options import OptionParser, build, merge, option
from ..system.run_folder import STATE_FILE, check_writable, staged
from ..trainable.freezing import freeze
from ..training.arguments import ModelArguments
from ..training.checkpoints import require_finite_weights
from ..training.initial_model import build_config
from ..values.ranges import BATCH, COUNT, COUNT_OR_NONE, EPOCHS, FACTOR, FOLDER, SEED, check_values

# Options that the chapter leaves no choice about.
FIXED = ("data_dir", "balance", "pooling", "attn_implementation")
PROMPT = "Every effort moves you"


@dataclass
class NativeArguments:
    """The training loop's options, named as the Trainer's are."""

    output_dir: str = option("outputs/native", "Folder for the state dict and the plots.", metavar=FOLDER)
    overwrite_output_dir: bool = option(False, "Replace the run that --output_dir already holds.")
    seed: int = option(123, "Seed of the head's initialization, the order of messages and dropout.", range=SEED)
    num_train_epochs: int = option(5, "Passes over the training messages.", range=EPOCHS)
    max_steps: int | None = option(
        None, "Stop after this many steps (default: after --num_train_epochs).", range=COUNT
    )
    per_device_train_batch_size: int = option(8, "Messages per batch.", range=BATCH)
    learning_rate: float = option(5e-5, "AdamW's learning rate.", range=FACTOR)
    weight_decay: float = option(0.1, "AdamW's weight decay.", range=FACTOR)
    eval_freq: int = option(50, "Estimate the losses every N steps; 0: never.", range=COUNT_OR_NONE)
    eval_iter: int = option(5, "Batches per estimate.", range=COUNT)

    def __post_init__(self) -> None:
        """Check the values."""
        check_values(self)


def make_parser() -> OptionParser:
    """Return the parser of the data and model options of `hf-spam train`, and of the loop's."""
    return OptionParser(DataArguments, ModelArguments, NativeArguments, prog="hf-spam native", description=__doc__)


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given.

    Raises:
        UserError: If the chapter leaves no choice about one of them.
    """
    given = merge(make_parser().given(argv))
    if refused := [f"--{name}" for name in FIXED if name in given]:
        raise UserError(f"the chapter's program has no {', '.join(refused)}. Use hf-spam train, which has.")
    return given


def main(options: dict[str, Any]) -> None:
    """Do what the chapter does, step by step."""
    arguments: NativeArguments = build(NativeArguments, options)
    data_arguments: DataArguments = build(DataArguments, options)
    model_arguments: ModelArguments = build(
        ModelArguments, {**options, "pooling": "last_position", "attn_implementation": "eager"}
    )
    output_dir = check_writable(arguments.output_dir, arguments.overwrite_output_dir)
    prove_drawable()

    checkpoint = None
    if model_arguments.weights != "random":
        checkpoint = load_checkpoint(model_arguments.weights, model_arguments.model_size, data_arguments.cache_dir)
    encoding = gpt2_encoding(data_arguments.bpe_dir)
    loaders = load_batches(data_arguments, arguments, encoding)
    row_length = loaders["train"].dataset[0][0].shape[0]
    config = build_config(model_arguments, checkpoint, encoding.n_vocab, row_length, row_length)
    model = build_language_model(GPTModel(config), checkpoint, arguments.seed)
    print_generated(model, encoding, checkpoint)

    native_loop.replace_head(model, seed=arguments.seed)
    freeze(model, model_arguments.trainable)
    model.to(torch.accelerator.current_accelerator(check_available=True) or "cpu")
    print_untrained(model, loaders, arguments.seed)
    history = train(model, loaders, arguments)
    print("all batches: " + accuracies(model, loaders))
    for text in EXAMPLES:
        print(f"{native_loop.classify(text, model, encoding, row_length):9} {text}")

    require_finite_weights(model, "the end of the training")
    with staged(output_dir) as folder:
        native_loop.save_state(model, folder / STATE_FILE)
        steps = history.examples_seen // arguments.per_device_train_batch_size
        plot_history(history, steps, steps / len(loaders["train"]), folder)
    print(one_line(f"saved to {output_dir}"))


def print_untrained(model: GPTModel, loaders: dict[str, native_loop.Batches], seed: int) -> None:
    """Print the accuracies and losses before training, on as many batches as in the chapter."""
    torch.manual_seed(seed)
    print("before training, 10 batches: " + accuracies(model, loaders, 10))
    model.eval()
    losses = {name: native_loop.loader_loss(model, loader, 5) for name, loader in loaders.items()}
    print("before training, 5 batches: " + ", ".join(f"{name} loss {loss:.3f}" for name, loss in losses.items()))


def train(model: GPTModel, loaders: dict[str, native_loop.Batches], arguments: NativeArguments) -> History:
    """Train the model in place and return its interim estimates."""
    torch.manual_seed(arguments.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.learning_rate, weight_decay=arguments.weight_decay)
    start = time.perf_counter()
    _, history = native_loop.train(
        model,
        loaders["train"],
        loaders["validation"],
        optimizer,
        num_epochs=arguments.num_train_epochs,
        eval_freq=arguments.eval_freq,
        eval_iter=arguments.eval_iter,
        max_steps=arguments.max_steps,
    )
    print(f"trained in {(time.perf_counter() - start) / 60:.2f} minutes")
    return history


def load_batches(
    data_arguments: DataArguments, arguments: NativeArguments, encoding: tiktoken.Encoding
) -> dict[str, native_loop.Batches]:
    """Return the loaders of the three splits, and print how long they are."""
    splits = native_loop.split_messages(
        read_messages(data_arguments, LabelRules(HAM_SPAM)).frame,
        data_arguments.train_fraction,
        data_arguments.validation_fraction,
        data_arguments.split_seed,
    )
    loaders = native_loop.build_loaders(
        splits, encoding, data_arguments.max_length, arguments.per_device_train_batch_size
    )
    if not len(loaders["train"]):
        raise UserError(
            f"expected at least one training batch of {arguments.per_device_train_batch_size} messages, "
            f"found {len(splits['train'])}."
        )
    ids, _ = next(iter(loaders["validation"]))
    batches = ", ".join(f"{len(loader)} {name}" for name, loader in loaders.items())
    print(f"batches: {batches}; each {list(ids.shape)}")
    return loaders


def build_language_model(model: GPTModel, checkpoint: GPT2Checkpoint | None, seed: int) -> GPTModel:
    """Return the language model from a checkpoint, or as torch initializes it right after seeding."""
    if checkpoint is None:
        torch.manual_seed(seed)
        return GPTModel(model.config)
    fill(model, checkpoint)
    return model


def print_generated(model: GPTModel, encoding: tiktoken.Encoding, checkpoint: GPT2Checkpoint | None) -> None:
    """Print what a pretrained model generates from a prompt, and when asked whether a message is spam."""
    if checkpoint is None:
        return
    for prompt in (PROMPT, native_loop.ZERO_SHOT.format(text=EXAMPLES[0])):
        ids = native_loop.generate(model, encoding.encode(prompt), 15)
        print(f"generated: {encoding.decode(ids)!r}")


def accuracies(model: GPTModel, loaders: dict[str, native_loop.Batches], num_batches: int | None = None) -> str:
    """Return a line with each split's accuracy."""
    shares = {name: native_loop.loader_accuracy(model, loader, num_batches) for name, loader in loaders.items()}
    return ", ".join(f"{name} accuracy {share:.2%}" for name, share in shares.items())
