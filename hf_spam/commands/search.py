"""`hf-spam search`: try hyper-parameters on the validation split, and write the best as a configuration.

The options are those of `hf-spam train`, for what is fixed. The test split is not evaluated. If the search is
interrupted, the same command goes on with it.
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from datasets import disable_progress_bars

from ..data.arguments import DataArguments
from ..data.labels import REGRESSION
from ..data.loading import prepare
from ..data.splits import fingerprint
from ..dataclass_options import DataclassParser
from ..errors import Interrupted, UserError, one_line
from ..evaluation.plots import prove_drawable
from ..options import THE_RUN, build, merge
from ..searching.results import BEST_FILE, describe_figures, describe_trial, write_results
from ..searching.space import (
    check_values,
    default_space,
    describe_space,
    read_space,
    refuse_fixed_and_searched,
    starting_setting,
    to_json,
)
from ..searching.study import STUDY_FILE, Trial, TrialDriver, finished_trials, open_study, require_optuna, run_trials
from ..searching.trial import SCRATCH, Trials
from ..starting.job import Job, check_options, check_sources
from ..starting.unsaved import UnsavedRuns, build_arguments
from ..system import processes
from ..system.locking import locked
from ..system.place import find_place, prove_writable
from ..system.progress import progress
from ..tokens.encoding import longest_text
from ..training.arguments import ModelArguments, SpamTrainingArguments
from ..training.imbalance import learned_mix
from ..training.initial_model import load_tokenizer, load_weights
from ..values.ranges import FILE, Range
from .train import complete, describe_data, read_levels
from .train import make_parser as make_train_parser

# Options of `hf-spam train` that say what becomes of a run. A trial leaves none.
_OF_RUNS = ("report", "overwrite_output_dir", "resume_from_checkpoint", "keep_checkpoints", "push_to_hub", "hub_token")
_OF_DEVICES = ("bf16", "fp16", "tf32", "use_cpu", "accelerator_config")  # all Trainers of a process share these
_OWN = ("space", "trials", "objective")


def make_parser() -> DataclassParser:
    """Return the parser of the options of `hf-spam train`, and of the search's own."""
    parser = make_train_parser("hf-spam search", __doc__, without=_OF_RUNS)
    parser.add_argument(
        "--space",
        metavar=FILE,
        help="YAML file of what is searched: for each option a list of values, or {low, high, log} (default: printed "
        "before the start).",
        group=THE_RUN,
    )
    parser.add_argument(
        "--trials",
        type=int,
        default=20,
        range=Range(at_least=1, at_most=10_000),
        help="Settings to try, counting those of an earlier command.",
        group=THE_RUN,
    )
    parser.add_argument(
        "--objective",
        choices=["loss", "accuracy"],
        default="loss",
        help="Figure of the validation split that judges.",
        group=THE_RUN,
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given: the preset's, overridden by the file's, overridden by the command line's.

    Returns:
        Options by name, with `trials`, `objective`, and the `space` as its parameters.

    Raises:
        UserError: If an option or the space cannot be used. No message has been read by then.
    """
    parser = make_parser()
    given, from_file = read_levels(parser, argv)
    own = {"trials": 20, "objective": "loss", "space": None, **from_file, **given}
    given, from_file = ({k: v for k, v in level.items() if k not in _OWN} for level in (given, from_file))
    options = complete({"output_dir": "outputs/search"}, from_file, given)
    if own["space"] is not None:
        space = read_space(own["space"], parser)
        refuse_fixed_and_searched(space, {*given, *from_file})
    else:
        fixed = {*given, *from_file}
        fixed |= {"global_batch_size"} if "per_device_train_batch_size" in fixed else set()
        space = tuple(parameter for parameter in default_space(defaults() | options) if parameter.name not in fixed)
        if not space:
            raise UserError("expected an option that is not fixed, found none to search. Name some with --space.")
    if options.get("weights") != "random" and any(parameter.name == "model_size" for parameter in space):
        raise UserError("--space: model_size: expected --weights random, found weights that have their own.")
    check_values(space, lambda setting: check_setting(merge(options, setting)))
    return {**options, **{name: own[name] for name in ("trials", "objective")}, "space": space}


def check_setting(options: dict[str, Any]) -> None:
    """Build what a run builds of its options.

    Raises:
        UserError: If they cannot be used.
    """
    make_job(options, Path(options["output_dir"]))


def make_job(options: dict[str, Any], place: Path) -> Job:
    """Return a run with the options.

    Raises:
        UserError: If they cannot be used, or contradict each other.
    """
    job = Job(
        options, place, build(DataArguments, options), build(ModelArguments, options), build_arguments(options, place)
    )
    check_options(job)
    return job


def main(options: dict[str, Any]) -> None:
    """Search with the options that `parse` returned, and print each trial and the best."""
    require_optuna()
    processes.join()
    if processes.world_size() > 1:
        raise UserError(
            f"expected one process, found {processes.world_size()}. Start hf-spam search without a launcher."
        )
    disable_progress_bars()
    space, trials, objective = options["space"], options["trials"], options["objective"]
    options = {name: value for name, value in options.items() if name not in _OWN}
    place = find_place(options["output_dir"])
    prove_writable(place)
    strange = place.is_dir() and any(place.iterdir()) and not (place / STUDY_FILE).exists()
    if strange:
        raise UserError(f"{place}: expected an empty folder or one of hf-spam search. Choose another --output_dir.")
    prove_drawable()
    job = make_job(options, place)
    check_sources(job.data)
    fixed = {name: value for name, value in options.items() if name not in ("output_dir", "config")}
    asked = {"space": to_json(space), "options": fixed, "objective": objective}
    busy = f"{place}: another search is at work there. Choose another --output_dir."
    with locked(place.with_name(f"{place.name}.lock"), busy):
        place.mkdir(parents=True, exist_ok=True)
        with open_study(place, asked, objective) as (study, storage):
            weights = load_weights(job.model, job.data.cache_dir)
            tokenizer = load_tokenizer(weights, job.data.bpe_dir, job.model.normalize)
            prepared = prepare(job.data)
            if objective == "accuracy" and prepared.task.problem_type == REGRESSION:
                raise UserError("--objective accuracy: expected labels, found numbers. Use loss.")
            require_same_messages(study, fingerprint(prepared.splits), place / STUDY_FILE)
            longest = longest_text(tokenizer, prepared.splits["train"]["text"][:])
            learned, prior = learned_mix(job.data.prior, prepared)
            print(*describe_data(prepared, longest, learned, prior), describe_space(space), sep="\n")
            start = starting_setting(space, defaults() | options)
            done = finished_trials(study)
            print(describe_start(len(done), trials, objective, start is not None))
            bar = progress(trials, "Searching", "trials")
            bar.update(len(done))

            def report(trial: Trial) -> None:
                print(one_line(describe_trial(trial, trials)), flush=True)
                bar.update()

            scratch = place / SCRATCH
            alike = {name: options[name] for name in _OF_DEVICES if name in options}
            driver = TrialDriver(
                build_arguments({**alike, "eval_strategy": "no"}, scratch),
                space,
                job.training.seed,
                Trials(options, UnsavedRuns(weights, tokenizer, prepared, prior, scratch)),
                report,
            )
            try:
                run_trials(study, storage, driver, objective, trials, start)
            except Interrupted as stop:
                stop.message = f"stopped; {len(finished_trials(study))} trials are finished. The same command goes on."
                raise
            finally:
                bar.close()
            done = finished_trials(study)
            best = write_results(
                place, space, done, objective, {k: v for k, v in options.items() if k != "output_dir"}
            )
    print(one_line(f"best   trial {best['number']}: {describe_figures(best)}, of the validation split"))
    file = place / BEST_FILE
    print(one_line(f"saved to {place}; try: hf-spam train --config {file} --output_dir {place.with_name('best')}"))


def require_same_messages(study: Any, found: str, file: Path) -> None:
    """Refuse to go on with a study of other messages; a new study notes these.

    Raises:
        UserError: If the study is of others.
    """
    known = study.user_attrs.get("data")
    if known is None:
        study.set_user_attr("data", found)
    elif known != found:
        raise UserError(f"{file}: holds a search on other messages. Choose another --output_dir, or delete that one.")


def defaults() -> dict[str, Any]:
    """Return the default of every option of a run that a search may vary; `None` where it depends on another."""
    both = [*fields(ModelArguments), *fields(SpamTrainingArguments)]
    return {field.name: field.default for field in both} | {"global_batch_size": 8}


def describe_start(done: int, trials: int, objective: str, with_start: bool) -> str:
    """Return the line that is printed before the trials."""
    if done:
        return f"search {trials} trials, {done} of them finished before; judged by validation {objective}"
    first = "; the first is the setting without a search" if with_start else ""
    return f"search {trials} trials, judged by validation {objective}{first}"
