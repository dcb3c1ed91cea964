"""`hf-spam native`: the chapter's own program, from the messages to the saved classifier, in plain PyTorch.

It is the reference of `hf-spam check-equivalence`. From the same weights and seed, `hf-spam train --preset book` does
the same with the Trainer and prints the same log, line for line.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import tiktoken
import torch
from torch.utils.data import DataLoader

from ..conversion.from_gpt2 import GPT2Checkpoint, fill, load_checkpoint
from ..conversion.to_book import as_book
from ..data.arguments import DataArguments
from ..data.labels import HAM_SPAM, LabelRules
from ..data.loading import read_messages
from ..dataclass_options import DataclassParser
from ..equivalence import native_loop, walk
from ..errors import UserError, one_line
from ..evaluation.history import UNTRAINED_BATCHES, History, describe_trained, describe_untrained
from ..evaluation.plots import plot_history, prove_drawable
from ..inference.classifier import EXAMPLES
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.gpt import GPTModel
from ..options import build, merge, option
from ..system.run_folder import STATE_FILE, check_writable, staged
from ..tokens.tokenization import gpt2_encoding
from ..trainable.adapters import LORA_OPTIONS
from ..trainable.freezing import freeze
from ..training.arguments import ModelArguments
from ..training.checkpoints import require_finite_weights
from ..training.initial_model import build_config, initialize_model
from ..values.ranges import BATCH, COUNT, COUNT_OR_NONE, EPOCHS, FACTOR, FOLDER, SEED, check_values

# Options that the chapter leaves no choice about.
_FIXED = ("data_dir", "balance", "pooling", "pad_to", "causal", "ignore_index", "attn_implementation", "normalize")
FIXED = (*_FIXED, *LORA_OPTIONS)
# What a pretrained model continues, by how many tokens.
PROMPTS = {"Every effort moves you": 15, native_loop.ZERO_SHOT.format(text=EXAMPLES[0]): 23}


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
    explain: bool = option(False, "Walk through the chapter: each listing and figure, on these messages.")

    def __post_init__(self) -> None:
        """Check the values."""
        check_values(self)


def make_parser() -> DataclassParser:
    """Return the parser of the data and model options of `hf-spam train`, and of the loop's."""
    return DataclassParser(DataArguments, ModelArguments, NativeArguments, prog="hf-spam native", description=__doc__)


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given.

    Raises:
        UserError: If the chapter leaves no choice about one of them.
    """
    given = merge(make_parser().given(argv))
    if given.get("trainable") == "lora":
        raise UserError("--trainable lora: the chapter's program has no adapters. Use hf-spam train, which has.")
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
    frame = read_messages(data_arguments, LabelRules(HAM_SPAM)).frame
    splits = split(frame, data_arguments)
    loaders = load_batches(splits, data_arguments, arguments, encoding)
    if arguments.explain:
        walk.show_messages(frame)
        walk.show_splits(frame, splits, data_arguments.split_seed)
        walk.show_batches(splits, loaders, encoding)
    else:
        print_batches(loaders)
    row_length = loaders["train"].dataset[0][0].shape[0]
    config = build_config(model_arguments, checkpoint, encoding.n_vocab, row_length, row_length)
    model = build_language_model(config, checkpoint, arguments.seed)
    if arguments.explain:
        walk.say("Figure 6.8", "Listing 6.6")
    print_generated(model, encoding, checkpoint)
    if arguments.explain:
        walk.show_model(model, checkpoint is not None)

    native_loop.replace_head(model, seed=arguments.seed)
    freeze(model, model_arguments.trainable)
    model.to(torch.accelerator.current_accelerator(check_available=True) or "cpu")
    if arguments.explain:
        walk.show_head(model)
        walk.show_positions(model, encoding)
    print_untrained(model, loaders, arguments)
    history = train(model, loaders, arguments)

    require_finite_weights(model, "the end of the training")
    with staged(output_dir) as folder:
        steps = history.examples_seen // arguments.per_device_train_batch_size
        files = plot_history(history, steps, steps / len(loaders["train"]), folder)
        if arguments.explain:
            walk.show_plots(files)
        print_trained(model, loaders)
        if arguments.explain:
            walk.say("Listing 6.12")
        for text in EXAMPLES:
            print(f"{native_loop.classify(text, model, encoding, row_length):9} {text}")
        native_loop.save_state(model, folder / STATE_FILE)
        if arguments.explain:
            walk.show_saved(model, folder / STATE_FILE, encoding, EXAMPLES, row_length)
            walk.show_exercises()
    print(one_line(f"saved to {output_dir}"))


def print_untrained(model: GPTModel, loaders: dict[str, native_loop.Batches], arguments: NativeArguments) -> None:
    """Print the accuracies and losses before training, on as many batches as in the chapter."""
    if arguments.explain:
        walk.say("Listing 6.8")
    torch.manual_seed(arguments.seed)
    print(describe_untrained("accuracy", accuracies(model, loaders, UNTRAINED_BATCHES["accuracy"])))
    if arguments.explain:
        walk.say("Listing 6.9")
    model.eval()
    limit = UNTRAINED_BATCHES["loss"]
    losses = {name: native_loop.loader_loss(model, loader, limit) for name, loader in loaders.items()}
    print(describe_untrained("loss", losses))


def print_trained(model: GPTModel, loaders: dict[str, native_loop.Batches]) -> None:
    """Print the accuracies after training, on the messages that the training loader drops, too."""
    whole = {name: DataLoader(loader.dataset, loader.batch_size) for name, loader in loaders.items()}
    print(describe_trained(accuracies(model, whole)))


def train(model: GPTModel, loaders: dict[str, native_loop.Batches], arguments: NativeArguments) -> History:
    """Train the model in place and return its interim estimates."""
    if arguments.explain:
        walk.say("Figure 6.15", "Listing 6.10")
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


def split(frame: pd.DataFrame, arguments: DataArguments) -> dict[str, pd.DataFrame]:
    """Return the three splits of the messages."""
    return native_loop.split_messages(
        frame, arguments.train_fraction, arguments.validation_fraction, arguments.split_seed
    )


def load_batches(
    splits: Mapping[str, pd.DataFrame],
    data_arguments: DataArguments,
    arguments: NativeArguments,
    encoding: tiktoken.Encoding,
) -> dict[str, native_loop.Batches]:
    """Return the loaders of the three splits.

    Raises:
        UserError: If the training split does not fill one batch.
    """
    loaders = native_loop.build_loaders(
        splits, encoding, data_arguments.max_length, arguments.per_device_train_batch_size
    )
    if not len(loaders["train"]):
        raise UserError(
            f"expected at least one training batch of {arguments.per_device_train_batch_size} messages, "
            f"found {len(splits['train'])}."
        )
    return loaders


def print_batches(loaders: Mapping[str, native_loop.Batches]) -> None:
    """Print how many batches each split has, and their shape."""
    ids, _ = next(iter(loaders["validation"]))
    batches = ", ".join(f"{len(loader)} {name}" for name, loader in loaders.items())
    print(f"batches: {batches}; each {list(ids.shape)}")


def build_language_model(config: SpamGPTConfig, checkpoint: GPT2Checkpoint | None, seed: int) -> GPTModel:
    """Return the language model from a checkpoint, or from the random weights that `hf-spam train` starts from.

    As in GPT-2, its head starts as a copy of the token embedding.
    """
    model = GPTModel(config)
    if checkpoint is None:
        start = as_book(initialize_model(config, None, seed)).state_dict()
        del start["out_head.bias"]
        model.load_state_dict(start | {"out_head.weight": start["tok_emb.weight"]})
    else:
        fill(model, checkpoint)
    return model


def print_generated(model: GPTModel, encoding: tiktoken.Encoding, checkpoint: GPT2Checkpoint | None) -> None:
    """Print what a pretrained model generates from a prompt, and when asked whether a message is spam."""
    if checkpoint is None:
        return
    for prompt, new_tokens in PROMPTS.items():
        ids = native_loop.generate(model, encoding.encode(prompt), new_tokens)
        print(f"generated: {encoding.decode(ids)!r}")


def accuracies(
    model: GPTModel, loaders: Mapping[str, native_loop.Batches], num_batches: int | None = None
) -> dict[str, float]:
    """Return each split's accuracy over so many batches; by default over all."""
    return {name: native_loop.loader_accuracy(model, loader, num_batches) for name, loader in loaders.items()}
