"""`hf-spam train`: fine-tune, evaluate on the whole of each split, save a checkpoint."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import DatasetDict, disable_progress_bars

from ..data.arguments import DataArguments
from ..data.encoding import longest_text
from ..data.loading import load_splits, name_source
from ..data.sources import LABELS
from ..data.splits import count
from ..data.tokenization import build_tokenizer, tokenize
from ..errors import Interrupted, UserError, one_line
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
from ..training.initial_model import build_config, initialize_model, load_weights
from ..training.resuming import find_checkpoint, set_aside_later
from ..training.run import Run, save_run
from ..values.set_up import suspects, until_first_step
from ..values.trainer_options import refuse_fixed

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
    """Return the options given: the preset's, overridden by the file's, overridden by the command line's.

    Returns:
        Options by name, always with `preset` and `output_dir`; others that are left out have their defaults. A
        resumed run has the options that it started with, except those given now.
    """
    parser = make_parser()
    given = parser.given(argv)
    refuse_fixed(given)
    path = given.pop("config", None)
    from_file: dict[str, Any] = {}
    if path is not None:
        config = read_config(path)
        try:
            from_file = parser.given(to_argv(config, parser))
            refuse_fixed(from_file)
        except UserError as error:
            raise UserError(f"--config {path}: {error}") from None
    preset = given.get("preset") or from_file.get("preset") or "default"
    options = merge({"output_dir": f"outputs/{preset}"}, PRESETS[preset], from_file, given, {"preset": preset})
    if "resume_from_checkpoint" not in options:
        return options
    stored = partial_folder(Path(options["output_dir"])) / ARGUMENTS_FILE
    if options["resume_from_checkpoint"] != "last":
        stored = Path(options["resume_from_checkpoint"]).parent / ARGUMENTS_FILE
    return merge(read_config(stored), from_file, given) if stored.is_file() else options


def main(options: dict[str, Any]) -> None:
    """Fine-tune with the options that `parse` returned, and print the result."""
    processes.join()
    if processes.rank() > 0:
        disable_progress_bars()
    token = options.get("hub_token")
    options = {name: value for name, value in options.items() if name != "hub_token"}  # the token is stored nowhere
    job = Job(
        options,
        build(DataArguments, options),
        build(ModelArguments, options),
        # The Trainer would create the repository itself, and push every checkpoint.
        build(SpamTrainingArguments, options | {"push_to_hub": False}),
    )
    with processes.main_first():
        check_sources(job.data)
        checkpoint = find_place(job)
        repository = prepare_hub(job, token) if options.get("push_to_hub") and processes.rank() == 0 else None
        weights = load_weights(job.model, job.data.cache_dir)
        splits = load_splits(job.data)
        tokenizer = build_tokenizer(bpe_dir=job.data.bpe_dir)
    longest = longest_text(tokenizer, splits["train"]["text"][:])
    print(describe_data(splits, longest))
    config = build_config(job.model, weights, len(tokenizer), job.data.max_length, longest)
    tokenizer.model_max_length = job.data.max_length or config.max_text_length  # cut later texts as in training
    tokenized = tokenize(splits, tokenizer, tokenizer.model_max_length)

    with staged(job.output_dir, keep=checkpoint is not None) as folder:
        prepare_folder(job, folder, checkpoint)
        model = initialize_model(config, weights, job.training.seed)
        del weights  # as large as the model
        print(describe_model(model, job.model))
        try:
            with until_first_step(job.trainers_own, folder):
                run = fine_tune(model, tokenizer, splits, tokenized, job.training, job.model.trainable)
        except Interrupted as stop:
            stop.message += f". Resume with: hf-spam train --output_dir {job.output_dir} --resume_from_checkpoint last"
            raise
        if processes.rank() == 0:
            run.data["source"] = name_source(job.data)
            save_run(run, folder)
            if not job.training.keep_checkpoints:
                remove_all(folder)
    print(describe_run(run, job.output_dir))
    if repository is not None:
        print(publish(job.output_dir, repository))


@dataclass(frozen=True)
class Job:
    """The options of a run: as they were given, and by what they are for."""

    options: dict[str, Any]
    data: DataArguments
    model: ModelArguments
    training: SpamTrainingArguments

    @property
    def output_dir(self) -> Path:
        """Where the finished run goes."""
        return Path(self.options["output_dir"])

    @property
    def trainers_own(self) -> dict[str, Any]:
        """The Trainer's own options that were given, not by the preset."""
        preset = PRESETS[self.options["preset"]]
        return {
            name: self.options[name]
            for name in suspects(self.training)
            if name in self.options and self.options[name] != preset.get(name)
        }


def check_sources(data: DataArguments) -> None:
    """Check that the named files and folders are there, before weights are downloaded.

    Raises:
        UserError: If they are not.
    """
    for name, path in (("data_file", data.data_file), ("data_dir", data.data_dir), ("bpe_dir", data.bpe_dir)):
        if path is not None and not Path(path).exists():
            raise UserError(f"--{name} {path}: no such {'file' if name == 'data_file' else 'folder'}.")


def find_place(job: Job) -> Path | None:
    """Return the checkpoint to resume from, or else check that a new run may be written.

    Raises:
        UserError: If there is no such checkpoint, or the folder is taken.
    """
    if job.training.resume_from_checkpoint is not None:
        checkpoint = find_checkpoint(job.training.resume_from_checkpoint, partial_folder(job.output_dir))
        job.training.resume_from_checkpoint = str(checkpoint)
        return checkpoint
    if processes.rank() == 0:
        check_writable(job.output_dir, job.training.overwrite_output_dir)
    return None


def prepare_hub(job: Job, token: str | None) -> Repository:
    """Create the repository before the hours of training, not after them.

    Raises:
        UserError: If the token may not write there.
    """
    name, private = job.training.hub_model_id or job.output_dir.name, bool(job.training.hub_private_repo)
    return prepare_repository(Repository(name, "model", private, job.training.hub_revision or "main", token))


def prepare_folder(job: Job, folder: Path, checkpoint: Path | None) -> None:
    """Point the Trainer to the staged folder, clear it of what a killed run left, and write the options there."""
    job.training.output_dir = str(folder)
    if processes.rank() > 0:
        return
    remove_unsealed(folder)
    if checkpoint is not None and checkpoint.parent.resolve() == folder.resolve():
        set_aside_later(checkpoint)
    given = {name: value for name, value in job.options.items() if name != "resume_from_checkpoint"}
    write_atomically(folder / ARGUMENTS_FILE, f"{json.dumps(given, indent=2)}\n".encode())


def publish(output_dir: Path, repository: Repository) -> str:
    """Push the finished run, and say where it is.

    Raises:
        UserError: If the Hub refuses; the message has the command that tries again.
    """
    try:
        return push_model(output_dir, repository)
    except UserError as error:
        again = f"hf-spam push {output_dir} {repository.name}"
        raise UserError(f"{error} The run is complete; to push it: {again}") from None


# --- what it prints --------------------------------------------------------------------------------------------------


def describe_data(splits: DatasetDict, longest: int) -> str:
    """Return one line: how many messages of each label, in which splits, and how long."""
    counts = count(splits)
    sizes = " / ".join(f"{total:,} {name}" for name, total in counts["total"].items())
    labels = " + ".join(f"{counts[label].sum():,} {label}" for label in LABELS)
    return f"data   {labels}: {sizes}; longest train text {longest} tokens"


def describe_model(model: SpamGPTForSequenceClassification, arguments: ModelArguments) -> str:
    """Return one line: the model's size, its starting weights, what trains and which position is read."""
    config = model.config
    millions = model.num_parameters() / 1e6
    return one_line(
        f"model  {config.n_layers} layers × {config.emb_dim} wide, {millions:.1f} M parameters, "
        f"weights: {arguments.weights}; trains: {arguments.trainable}; read at: {config.pooling}"
    )


def describe_run(run: Run, output_dir: Path) -> str:
    """Return the table of figures, the two examples, and what to do next."""
    table = pd.DataFrame.from_dict(run.splits, orient="index")[list(COLUMNS)]
    percent = dict.fromkeys(METRICS, "{:.2%}".format)
    lines = [
        f"trained {run.training['steps']:,} steps in {run.training['seconds']:.1f} s",
        "",
        table.to_string(formatters={**percent, "loss": "{:.3f}".format, "messages": "{:,.0f}".format}),
        "",
        *(one_line(f"{example['label']:5}{example['score']:.3f}  {example['text']}") for example in run.examples),
        "",
        one_line(f'saved to {output_dir}; try: hf-spam predict {output_dir} "your text"'),
    ]
    return "\n".join(lines)
