"""`hf-spam train`: fine-tune, evaluate on the whole of each split, save a checkpoint."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import DatasetDict
from transformers import GPT2Tokenizer

from ..conversion.from_gpt2 import GPT2Checkpoint, load_checkpoint
from ..data.arguments import DataArguments
from ..data.encoding import longest_text
from ..data.loading import load_splits, name_source
from ..data.sources import LABELS
from ..data.splits import count
from ..data.tokenization import build_tokenizer, tokenize
from ..errors import Interrupted, UserError
from ..evaluation.metrics import METRICS
from ..hub.contents import push_model
from ..hub.repository import Repository, prepare_repository
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..options import THE_RUN, OptionParser, build, merge, read_config, to_argv
from ..system import processes
from ..system.files import write_atomically
from ..system.run_folder import ARGUMENTS_FILE, check_writable, partial_folder, staged
from ..training.arguments import PRESETS, ModelArguments, SpamTrainingArguments
from ..training.checkpoints import discard_staging, find_checkpoint, remove_all, set_aside_later
from ..training.fine_tuning import fine_tune
from ..training.initial_model import build_config, build_model
from ..training.run import Run, classify_examples, save_run

COLUMNS = (*METRICS, "loss", "messages")


def make_parser() -> OptionParser:
    """Return the parser of all options: ours, and every one of `TrainingArguments`."""
    parser = OptionParser(
        DataArguments, ModelArguments, SpamTrainingArguments, prog="hf-spam train", description=__doc__
    )
    parser.add_argument(
        "--preset",
        choices=list(PRESETS),
        help="Named set of options, which others override (default: default).",
        group=THE_RUN,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML or JSON file of options; they override the preset's (default: none).",
        group=THE_RUN,
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given: the command line's override a file's, and these a preset's.

    Returns:
        Options by name, always with `preset` and `output_dir`; what is left out has its default. A run that is resumed
        has the options that it started with, except for those given now.
    """
    parser = make_parser()
    given = parser.given(argv)
    path = given.pop("config", None)
    from_file: dict[str, Any] = {}
    if path is not None:
        try:
            from_file = parser.given(to_argv(read_config(path)))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
    preset = given.get("preset") or from_file.get("preset") or "default"
    options = merge({"output_dir": f"outputs/{preset}"}, PRESETS[preset], from_file, given, {"preset": preset})
    if "resume_from_checkpoint" not in options:
        return options
    stored = partial_folder(Path(options["output_dir"])) / ARGUMENTS_FILE
    if options["resume_from_checkpoint"] != "last":
        stored = Path(options["resume_from_checkpoint"]).parent / ARGUMENTS_FILE
    return merge(read_config(stored), from_file, given) if stored.is_file() else options


def main(options: dict[str, Any]) -> None:
    """Fine-tune as `parse`'s options say, and print what came of it."""
    processes.join()
    # The token is stored nowhere, and the Trainer must not push: it would fill a repository checkpoint by checkpoint.
    stored = {name: value for name, value in options.items() if name != "hub_token"}
    model_arguments: ModelArguments = build(ModelArguments, stored)
    data_arguments: DataArguments = build(DataArguments, stored)
    arguments: SpamTrainingArguments = build(SpamTrainingArguments, stored | {"push_to_hub": False})
    output_dir = Path(str(arguments.output_dir))
    with processes.main_first():
        prepare_folder(arguments, output_dir)
        repository = prepare_hub(arguments, output_dir, options) if options.get("push_to_hub") else None
        checkpoint, splits, tokenizer = load_inputs(model_arguments, data_arguments)
    longest = longest_text(tokenizer, list(splits["train"]["text"]))
    config = build_config(model_arguments, checkpoint, len(tokenizer), data_arguments.max_length, longest)
    tokenizer.model_max_length = (
        data_arguments.max_length or config.max_text_length
    )  # a checkpoint cuts as training did
    print(describe_data(splits, longest))
    tokenized = tokenize(splits, tokenizer, tokenizer.model_max_length)
    model = build_model(config, checkpoint, arguments.seed)
    del checkpoint  # as large as the model
    print(describe_model(model, model_arguments))
    with staged(output_dir, keep=arguments.resume_from_checkpoint is not None) as folder:
        store_options(stored, arguments, folder)
        arguments.output_dir = str(folder)
        try:
            run = fine_tune(model, tokenizer, splits, tokenized, arguments, model_arguments.trainable)
        except Interrupted as stop:
            stop.message += f". Resume with: hf-spam train --output_dir {output_dir} --resume_from_checkpoint last"
            raise
        examples = classify_examples(run)
        if processes.rank() == 0:
            run.data["source"] = name_source(data_arguments)
            save_run(run, examples, folder)
            if not arguments.keep_checkpoints:
                remove_all(folder)
    print(describe_run(run, examples, output_dir))
    if repository is not None:
        publish(output_dir, repository)


def prepare_folder(arguments: SpamTrainingArguments, output_dir: Path) -> None:
    """Find the checkpoint to resume from; for a new run, check that its folder can be written.

    Raises:
        UserError: If there is no such checkpoint, or the folder holds a run or cannot be written.
    """
    if arguments.resume_from_checkpoint is not None:
        found = find_checkpoint(arguments.resume_from_checkpoint, partial_folder(output_dir))
        arguments.resume_from_checkpoint = str(found)
    elif processes.rank() == 0:
        check_writable(output_dir, arguments.overwrite_output_dir)


def prepare_hub(arguments: SpamTrainingArguments, output_dir: Path, options: dict[str, Any]) -> Repository | None:
    """Create the repository to push to, in the main process: before training, so that a refusal costs no hours."""
    if processes.rank() > 0:
        return None
    name, private = arguments.hub_model_id or output_dir.name, bool(arguments.hub_private_repo)
    branch = arguments.hub_revision or "main"
    return prepare_repository(Repository(name, "model", private, branch, options.get("hub_token")))


def load_inputs(
    model_arguments: ModelArguments, data_arguments: DataArguments
) -> tuple[GPT2Checkpoint | None, DatasetDict, GPT2Tokenizer]:
    """Load the starting weights (`None` for random ones), the splits and the tokenizer."""
    checkpoint = None
    if model_arguments.weights != "random":
        checkpoint = load_checkpoint(model_arguments.weights, model_arguments.model_size, data_arguments.cache_dir)
    return checkpoint, load_splits(data_arguments), build_tokenizer(bpe_dir=data_arguments.bpe_dir)


def store_options(options: dict[str, Any], arguments: SpamTrainingArguments, folder: Path) -> None:
    """Write the options into the run's folder, from the main process, and prepare it for resuming if asked."""
    if processes.rank() > 0:
        return
    discard_staging(folder)
    if arguments.resume_from_checkpoint is not None:
        set_aside_later(Path(arguments.resume_from_checkpoint))
    text = json.dumps({k: v for k, v in options.items() if k != "resume_from_checkpoint"}, indent=2)
    write_atomically(folder / ARGUMENTS_FILE, f"{text}\n".encode())


def publish(output_dir: Path, repository: Repository) -> None:
    """Push the finished run and print where it is.

    Raises:
        UserError: If the Hub refuses or fails. The message says how to push the run later.
    """
    try:
        print(push_model(output_dir, repository))
    except UserError as error:
        again = f"hf-spam push {output_dir} {repository.name}"
        raise UserError(f"{error} The run is complete; to push it: {again}") from None


def describe_data(splits: DatasetDict, longest: int) -> str:
    """Return a line on how many messages there are of each label and in each split, and how long they are."""
    counts = count(splits)
    sizes = " / ".join(f"{total:,} {name}" for name, total in counts["total"].items())
    labels = " + ".join(f"{counts[label].sum():,} {label}" for label in LABELS)
    return f"data   {labels}: {sizes}; longest train text {longest} tokens"


def describe_model(model: SpamGPTForSequenceClassification, arguments: ModelArguments) -> str:
    """Return a line on the model's size, its starting weights, what is trained and where it is read."""
    config = model.config
    millions = model.num_parameters() / 1e6
    return (
        f"model  {config.n_layers} layers × {config.emb_dim} wide, {millions:.1f} M parameters, "
        f"weights: {arguments.weights}; trains: {arguments.trainable}; read at: {config.pooling}"
    )


def describe_run(run: Run, examples: list[dict[str, Any]], output_dir: Path) -> str:
    """Return the table of figures, the two examples, and what to do with the checkpoint."""
    table = pd.DataFrame.from_dict(run.splits, orient="index")[list(COLUMNS)]
    percent = dict.fromkeys(METRICS, "{:.2%}".format)
    lines = [
        f"trained {run.training['steps']:,} steps in {run.training['seconds']:.1f} s",
        "",
        table.to_string(formatters={**percent, "loss": "{:.3f}".format, "messages": "{:,.0f}".format}),
        "",
        *(f"{example['label']:5}{example['score']:.3f}  {example['text']}" for example in examples),
        "",
        f'saved to {output_dir}; try: hf-spam predict {output_dir} "your text"',
    ]
    return "\n".join(lines)
