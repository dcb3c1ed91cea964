"""`hf-spam train`: fine-tune, evaluate on the whole of each split, save a checkpoint."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import disable_progress_bars

from ..checkpoint.adapter_base import BASE_HASH, hash_weights, is_repository
from ..data.arguments import SOURCES, DataArguments
from ..data.loading import Prepared, prepare
from ..data.splits import describe_splits
from ..dataclass_options import DataclassParser
from ..errors import Interrupted, UserError, one_line
from ..evaluation.leaks import judge_without_twins
from ..evaluation.plots import prove_drawable
from ..hub.contents import model_contents, push_model
from ..hub.repository import Repository, prepare_repository
from ..options import THE_RUN, build, merge, read_config, to_argv
from ..robustness.augmentation import add_copies, training_rows
from ..starting.job import (
    Job,
    changed_options,
    check_options,
    check_room,
    check_sources,
    continues,
    find_start,
    prepare_folder,
)
from ..starting.stored_options import stored_options
from ..system import processes
from ..system.place import check_new_folder, find_place, require_shared
from ..system.reading import read_json
from ..system.run_folder import METRICS_FILE, check_finished, partial_folder, recover, staged
from ..tokens.encoding import longest_text
from ..tokens.tokenization import tokenize
from ..trainable.adapters import own_base
from ..training.arguments import ModelArguments, SpamTrainingArguments
from ..training.checkpoints import list_checkpoints
from ..training.fine_tuning import fine_tune
from ..training.imbalance import describe_mix, learned_mix
from ..training.initial_model import (
    build_config,
    describe_model,
    describe_weights,
    initialize_model,
    limit_length,
    load_tokenizer,
    load_weights,
    special_ids,
)
from ..training.presets import PRESETS
from ..training.run import describe_run, save_run
from ..values.ranges import FOLDER
from ..values.set_up import until_first_step
from ..values.trainer_options import refuse_fixed
from .evaluate import report_run


def make_parser(
    prog: str = "hf-spam train", description: str | None = __doc__, without: Collection[str] = ()
) -> DataclassParser:
    """Return the parser of all options: ours, and every one of `TrainingArguments`, but those in `without`."""
    parser = DataclassParser(
        DataArguments, ModelArguments, SpamTrainingArguments, prog=prog, description=description, without=without
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
    if "report" not in without:
        parser.add_argument(
            "--report",
            type=Path,
            metavar=FOLDER,
            help="As hf-spam evaluate writes (default: none).",
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
    given, from_file = read_levels(parser, argv)
    options = complete(from_file, given)
    if "report" in options:
        check_new_folder("report", options["report"])
    if "resume_from_checkpoint" not in options:
        return options
    named = any(name in level for name in (*SOURCES, "data_source") for level in (from_file, given))
    stored = stored_options(parser, options["resume_from_checkpoint"], find_place(options["output_dir"]), named)
    return merge(stored, from_file, given) if stored else options


def read_levels(parser: DataclassParser, argv: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the command line, and those of the file that its `--config` names.

    Raises:
        UserError: If one of them is no option, or has a value that it cannot have.
    """
    given = parser.given(argv)
    refuse_fixed(given)
    path = given.pop("config", None)
    from_file: dict[str, Any] = {}
    if path is not None:
        try:
            from_file = parser.given(to_argv(read_config(path), parser))
            refuse_fixed(from_file)
        except UserError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise UserError(f"--config {path}: {reason}") from None
    return given, from_file


def complete(*levels: Mapping[str, Any]) -> dict[str, Any]:
    """Return levels of options, the later overriding the earlier, with those of their preset below them.

    Returns:
        Options by name, always with `preset` and `output_dir`.
    """
    preset = next((level["preset"] for level in reversed(levels) if level.get("preset")), "default")
    return merge({"output_dir": f"outputs/{preset}"}, PRESETS[preset], *levels, {"preset": preset})


def make_job(options: dict[str, Any]) -> Job:
    """Return the run that options ask for, as far as they can be checked before anything is read.

    Raises:
        UserError: If a value is none that its option accepts, or options contradict each other.
    """
    job = Job(
        options,
        find_place(options["output_dir"]),
        build(DataArguments, options),
        build(ModelArguments, options),
        # The Trainer would create the repository itself, and push every checkpoint.
        build(SpamTrainingArguments, options | {"push_to_hub": False}),
    )
    check_options(job)
    return job


def main(options: dict[str, Any]) -> None:
    """Fine-tune with the options that `parse` returned, and print the result."""
    processes.join()
    if processes.rank() > 0:
        disable_progress_bars()
    token = options.get("hub_token")
    report = options.get("report")
    # The token is stored nowhere, and a report is not repeated when a run is.
    options = {name: value for name, value in options.items() if name not in ("hub_token", "report")}
    require_shared((job := make_job(options)).place)
    with processes.main_first():
        done = processes.rank() == 0 and is_done(job, token)
    if processes.broadcast(int(done)):
        return
    with processes.main_first():
        check_sources(job.data)
        checkpoint = find_start(job)
        repository = prepare_hub(job, token) if options.get("push_to_hub") and processes.rank() == 0 else None
        weights = load_weights(job.model, job.data.cache_dir)
        tokenizer = load_tokenizer(weights, job.data.bpe_dir, job.model.normalize)
        prepared = prepare(job.data)
        splits, task = prepared.splits, prepared.task
    longest = longest_text(tokenizer, splits["train"]["text"][:])
    learned, prior = learned_mix(job.data.prior, prepared)
    print(*describe_data(prepared, longest, learned, prior), sep="\n")
    config = build_config(
        job.model, weights, len(tokenizer), job.data.max_length, longest, special_ids(tokenizer), task=task
    )
    limit_length(tokenizer, config, weights, job.data.max_length)
    tokenized = tokenize(splits, tokenizer, tokenizer.model_max_length)
    tokenized = add_copies(tokenized, splits, tokenizer, job.training.augment, job.training.seed)

    model = initialize_model(config, weights, job.training.seed)
    base_model, start = weights.repository if weights else None, describe_weights(weights, tokenizer)
    base = own_base(weights.source, base_model, config) if weights and job.model.lora else None
    if job.model.lora and repository is not None and (base is None or not is_repository(base.name)):
        raise UserError(
            "--push_to_hub with --trainable lora: expected --weights of a classifier of ours on the Hub with these "
            "labels, which others load the adapter with, found another start. Train without it, then see hf-spam push."
        )
    del weights  # as large as the model
    print(describe_model(model, job.model))
    if start is not None:
        print(start)
    if processes.rank() == 0:
        prove_drawable()
        check_room(job, model, len(training_rows(tokenized)))

    with staged(job.place, keep=continues(job, checkpoint)) as folder:
        prepare_folder(job, folder, checkpoint)
        try:
            with until_first_step(job.trainers_own, folder):
                run = fine_tune(
                    model,
                    tokenizer,
                    splits,
                    tokenized,
                    job.training,
                    job.model.trainable,
                    lora=job.model.lora,
                    task=task,
                    balance=prepared.balance,
                    prior=prior,
                    keep_cache=True,
                )
        except Interrupted as stop:
            stop.message += f". Resume with: hf-spam train --output_dir {job.place} --resume_from_checkpoint last"
            raise
        if processes.rank() == 0:
            run.data.update(source=prepared.source, given=prepared.given)
            if prepared.leaks is not None:
                run.data["leaks"] = {name: leak.to_dict() for name, leak in prepared.leaks.items()}
                judge_without_twins(run.splits, run.logits, prepared)
            run.training["base_model"] = base_model
            if base is not None:
                run.training[BASE_HASH] = hash_weights(base.folder)
            save_run(run, folder, base=None if base is None else base.name, place=job.place)
    print(describe_run(vars(run), job.place))
    if report is not None:
        report_run(job.place, report)
    if repository is not None:
        print(publish(job.place, repository))


def describe_data(
    prepared: Prepared, longest: int, learned: dict[str, float] | None, prior: dict[str, float] | None
) -> list[str]:
    """Return the lines about labels and messages, and what of them changes the scores."""
    lines = [one_line(prepared.task.describe()), describe_splits(prepared.splits, longest), *prepared.notes]
    if prior is not None:
        shares = ", ".join(f"{share:.3g} {name}" for name, share in prior.items())
        return [*lines, one_line(f"note   scores are corrected after training to {shares}")]
    off = describe_mix(learned, prepared.mix, prepared.task) if learned else None
    return [*lines, one_line(off)] if off else lines


def is_done(job: Job, token: str | None) -> bool:
    """Finish a complete run that was killed before it was in place, and tell whether it is the one asked for.

    Raises:
        UserError: If a finished run is to be resumed with other options.
    """
    finished, last = recover(job.place), job.options.get("resume_from_checkpoint") == "last"
    in_place = last and not list_checkpoints(partial_folder(job.place)) and check_finished(job.place)
    if not finished and not in_place:
        return False
    if changed := changed_options(job):
        if last:
            raise UserError(
                f"{job.place}: holds a complete run, whose {', '.join(changed)} was another. To train a new one, "
                f"leave out --resume_from_checkpoint."
            )
        print(one_line(f"run    the earlier run was complete and is now in {job.place}"))
        return False
    print("run    complete already: nothing is left to train")
    print(describe_run(read_json(job.place / METRICS_FILE), job.place))
    if finished and job.options.get("push_to_hub"):
        print(publish(job.place, prepare_hub(job, token)))
    return True


def prepare_hub(job: Job, token: str | None) -> Repository:
    """Create the repository before the hours of training, not after them.

    Raises:
        UserError: If the token may not write there.
    """
    name = job.training.hub_model_id or Path(job.options["output_dir"]).name
    private = bool(job.training.hub_private_repo)
    return prepare_repository(Repository(name, "model", private, job.training.hub_revision or "main", token))


def publish(output_dir: Path, repository: Repository) -> str:
    """Push the finished run, and say where it is.

    Raises:
        UserError: If the Hub refuses; the message has the command that tries again.
    """
    try:
        return push_model(output_dir, model_contents(output_dir, repository.name), repository)
    except UserError as error:
        again = f"hf-spam push {output_dir} {repository.name}"
        raise UserError(f"{error} The run is complete; to push it: {again}") from None
