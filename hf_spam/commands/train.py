"""`hf-spam train`: fine-tune, evaluate on the whole of each split, save a checkpoint."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import DatasetDict, disable_progress_bars

from ..conversion.from_gpt2 import load_checkpoint
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
from ..training.checkpoints import remove_all, remove_unsealed
from ..training.fine_tuning import fine_tune
from ..training.initial_model import build_config, initialize_model
from ..training.resuming import find_checkpoint, set_aside_later
from ..training.run import Run, save_run

COLUMNS = (*METRICS, "loss", "messages")


def make_parser() -> OptionParser:
    """All options: ours, and every one of `TrainingArguments`."""
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
    """The options given: a preset's, overridden by a file's, overridden by the command line's.

    Returns:
        Options by name, `preset` and `output_dir` always among them; what is left out has its default. A run that is
        resumed has the options that it started with, but for those given now.
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
    token = options.get("hub_token")
    options = {name: value for name, value in options.items() if name != "hub_token"}  # which is stored nowhere
    model_arguments = build(ModelArguments, options)
    data_arguments = build(DataArguments, options)
    # The Trainer would make the repository itself, and fill it checkpoint by checkpoint.
    arguments = build(SpamTrainingArguments, options | {"push_to_hub": False})
    output_dir = Path(arguments.output_dir)
    resume = arguments.resume_from_checkpoint
    is_main = processes.rank() == 0
    if not is_main:
        disable_progress_bars()

    checkpoint = None
    with processes.main_first():
        if resume is not None:
            arguments.resume_from_checkpoint = str(find_checkpoint(resume, partial_folder(output_dir)))
        elif is_main:
            check_writable(output_dir, arguments.overwrite_output_dir)
        repository = None
        if is_main and options.get("push_to_hub"):  # now, not when hours have gone by
            name, private = arguments.hub_model_id or output_dir.name, bool(arguments.hub_private_repo)
            repository = prepare_repository(
                Repository(name, "model", private, arguments.hub_revision or "main", token)
            )
        if model_arguments.weights != "random":
            cache_dir = data_arguments.cache_dir
            checkpoint = load_checkpoint(model_arguments.weights, model_arguments.model_size, cache_dir)
        splits = load_splits(data_arguments)
        tokenizer = build_tokenizer(bpe_dir=data_arguments.bpe_dir)
    longest = longest_text(tokenizer, list(splits["train"]["text"]))
    config = build_config(model_arguments, checkpoint, len(tokenizer), data_arguments.max_length, longest)
    max_length = data_arguments.max_length or config.max_text_length
    tokenizer.model_max_length = max_length  # a checkpoint cuts texts where its training did
    print(describe_data(splits, longest))
    tokenized = tokenize(splits, tokenizer, max_length)

    with staged(output_dir, keep=resume is not None) as folder:
        if is_main:
            remove_unsealed(folder)
            if resume is not None:
                set_aside_later(Path(arguments.resume_from_checkpoint))
            text = json.dumps({k: v for k, v in options.items() if k != "resume_from_checkpoint"}, indent=2)
            write_atomically(folder / ARGUMENTS_FILE, f"{text}\n".encode())
        arguments.output_dir = str(folder)
        model = initialize_model(config, checkpoint, arguments.seed)
        del checkpoint  # as large as the model
        print(describe_model(model, model_arguments))
        try:
            run = fine_tune(model, tokenizer, splits, tokenized, arguments, model_arguments.trainable)
        except Interrupted as stop:
            stop.message += f". Go on with: hf-spam train --output_dir {output_dir} --resume_from_checkpoint last"
            raise
        if is_main:
            run.data["source"] = name_source(data_arguments)
            save_run(run, folder)
            if not arguments.keep_checkpoints:
                remove_all(folder)
    print(describe_run(run, output_dir))
    if repository is not None:
        try:
            print(push_model(output_dir, repository))
        except UserError as error:
            again = f"hf-spam push {output_dir} {repository.name}"
            raise UserError(f"{error} The run is complete; to push it: {again}") from None


def describe_data(splits: DatasetDict, longest: int) -> str:
    """One line: how many messages of each label, in which splits, and how long."""
    counts = count(splits)
    sizes = " / ".join(f"{total:,} {name}" for name, total in counts["total"].items())
    labels = " + ".join(f"{counts[label].sum():,} {label}" for label in LABELS)
    return f"data   {labels}: {sizes}; longest train text {longest} tokens"


def describe_model(model: SpamGPTForSequenceClassification, arguments: ModelArguments) -> str:
    """One line: the model's size, where it starts, what of it trains and where it is read."""
    config = model.config
    millions = model.num_parameters() / 1e6
    return (
        f"model  {config.n_layers} layers × {config.emb_dim} wide, {millions:.1f} M parameters, "
        f"weights: {arguments.weights}; trains: {arguments.trainable}; read at: {config.pooling}"
    )


def describe_run(run: Run, output_dir: Path) -> str:
    """The table of figures, the two examples, and what to do with the checkpoint."""
    table = pd.DataFrame.from_dict(run.splits, orient="index")[list(COLUMNS)]
    percent = dict.fromkeys(METRICS, "{:.2%}".format)
    lines = [
        f"trained {run.training['steps']:,} steps in {run.training['seconds']:.1f} s",
        "",
        table.to_string(formatters={**percent, "loss": "{:.3f}".format, "messages": "{:,.0f}".format}),
        "",
        *(f"{example['label']:5}{example['score']:.3f}  {example['text']}" for example in run.examples),
        "",
        f'saved to {output_dir}; try: hf-spam predict {output_dir} "your text"',
    ]
    return "\n".join(lines)
