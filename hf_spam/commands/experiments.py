"""`hf-spam experiments`: run named recipes of `hf-spam train`, and put them in one table.

Without a --list of your own these are the 19 published variations of the book's chapter 6 and its three exercises. Any
option of `hf-spam train` can be given and overrides those of the list: --weights random --model_size mini runs all of
them without a network. An interrupted command goes on where it stopped.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.arguments import DataArguments
from ..dataclass_options import DataclassParser
from ..errors import UserError, one_line
from ..experiments.listing import CHAPTER, TAKEN, Experiment, choose, read_experiments
from ..experiments.records import RESULTS, Planned, load_results
from ..experiments.running import run_all
from ..experiments.tabulating import make_rows, write_tables
from ..option_files import to_argv
from ..options import THE_RUN
from ..system import processes
from ..training.arguments import ModelArguments, SpamTrainingArguments
from ..training.presets import PRESETS
from ..values.ranges import FOLDER, SEED
from . import train

_OWN = ("names", "list", "show", "seeds", "output_dir", "overwrite_output_dir", "keep_models")


def make_parser() -> DataclassParser:
    """Return the parser of the command's options and those of `hf-spam train`."""
    parser = DataclassParser(
        DataArguments,
        ModelArguments,
        SpamTrainingArguments,
        prog="hf-spam experiments",
        description=__doc__,
        arguments="[NAME ...]",
        without=TAKEN,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="Experiments to run (default: all of the list).")
    add = parser.add_argument
    add("--list", metavar="FILE", help="YAML or JSON list of experiments (default: chapter 6).", group=THE_RUN)
    add("--show", action="store_true", help="Print the experiments of the list, and run nothing.", group=THE_RUN)
    add("--preset", choices=list(PRESETS), help="As for hf-spam train.", group=THE_RUN)
    add("--seeds", nargs="+", type=int, metavar="N", help="Seeds of each (default: 123).", group=THE_RUN)
    add("--output_dir", metavar=FOLDER, help="Folder of the results (default: outputs/experiments).", group=THE_RUN)
    add("--overwrite_output_dir", action="store_true", help="Start anew.", group=THE_RUN)
    add("--keep_models", action="store_true", help="Keep the folders of the runs, too.", group=THE_RUN)
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given."""
    given = make_parser().given(argv)
    for seed in given.get("seeds", ()):
        SEED.check("seeds", seed, whole=True)
    return given


def main(options: dict[str, Any]) -> int:
    """Run what is not finished yet, and write the table; return 2 if a run failed, else 0."""
    listed = read_experiments(Path(options["list"]) if "list" in options else CHAPTER)
    chosen = choose(listed, options.get("names") or [])
    if options.get("show"):
        print("\n".join(one_line(f"{experiment.name:14}{experiment.title}") for experiment in chosen))
        return 0
    processes.join()
    folder = Path(options.get("output_dir", "outputs/experiments"))
    given = {name: value for name, value in options.items() if name not in _OWN}
    planned = plan(chosen, given, options.get("seeds") or [123])
    with processes.main_first():
        if processes.rank() == 0:
            prepare(folder, options.get("overwrite_output_dir", False))
    failures = run_all(planned, folder, train.main, options.get("keep_models", False))
    if processes.rank() == 0:
        print("\n" + write_tables(make_rows(listed, load_results(folder)), folder), end="")
        print(one_line(f"saved to {folder}: table.md, table.csv, {RESULTS}, accuracy-plot.png"))
    if failures:
        print(f"{len(failures)} of {len(planned)} runs failed; run the same command again to try them again")
    return 2 if failures else 0


def plan(experiments: Sequence[Experiment], given: dict[str, Any], seeds: Sequence[int]) -> list[Planned]:
    """Return the runs with all their options, each checked before the first one starts.

    Raises:
        UserError: If an option of an experiment is none of `hf-spam train`, or some contradict each other.
    """
    parser = train.make_parser()
    planned = []
    for seed in dict.fromkeys(seeds):
        for experiment in experiments:
            try:
                listed = parser.given(to_argv(experiment.options, parser))
                options = train.complete(listed, given)
                del options["output_dir"]
                train.make_job({**options, "output_dir": "outputs/experiments", "seed": seed})
            except UserError as error:
                raise UserError(f"{experiment.name}: {error}") from None
            planned.append(Planned(experiment.name, seed, options))
    return planned


def prepare(folder: Path, overwrite: bool) -> None:
    """Create the folder of the results, or take up one of ours.

    Raises:
        UserError: If something else is there, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}. Choose another --output_dir.") from None
    if not (folder / RESULTS).is_file() and any(it.name not in ("runs", "prefix-cache") for it in folder.iterdir()):
        raise UserError(f"{folder}: expected an empty folder or results, found others. Choose another --output_dir.")
    if overwrite:
        (folder / RESULTS).unlink(missing_ok=True)
