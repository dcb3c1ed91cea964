"""`hf-spam cross-validate`: judge a recipe on every message, by models that saw neither it nor anything like it.

The options are those of `hf-spam train`. All messages of the source are divided into folds that keep near duplicates
together; each fold is scored by a model that was trained on the others. The logits are kept, for `hf-spam calibrate`.
If the command is interrupted, the same command goes on with it.
"""

import shutil
from collections.abc import Sequence
from typing import Any

import torch
from datasets import disable_progress_bars

from ..cross_validation.figures import summarize
from ..cross_validation.folds import Fold, draw_folds, prepare_fold, read_collection
from ..cross_validation.out_of_fold import OURS, load_seed, save_all
from ..cross_validation.records import REPORT, check_same, fingerprint, save_record
from ..cross_validation.running import Logits, run_folds
from ..dataclass_options import DataclassParser
from ..errors import UserError, one_line
from ..options import THE_RUN
from ..reporting.baselines import baseline_logits
from ..reporting.rendering import save_report, to_text
from ..starting.job import check_sources
from ..starting.unsaved import UnsavedRuns
from ..system import processes
from ..system.environment import environment
from ..system.locking import locked
from ..system.place import find_place, prove_writable
from ..training.imbalance import learned_mix
from ..training.initial_model import load_tokenizer, load_weights
from ..values.ranges import SEED, Range
from .search import make_job
from .train import complete, read_levels
from .train import make_parser as make_train_parser

# Options of `hf-spam train` that say what becomes of a run, and those that divide or shorten its messages.
_WITHOUT = (
    "report",
    "overwrite_output_dir",
    "resume_from_checkpoint",
    "keep_checkpoints",
    "push_to_hub",
    "hub_token",
    "seed",
)
_OF_SPLITS = ("max_train_samples", "max_validation_samples", "max_test_samples", "train_fraction", "split_seed")
_OWN = {"folds": 5, "seeds": [1], "baselines": True}
_SCRATCH = ".fold"
_SHOWN = 3  # tables on the console: figures, thresholds, promises


def make_parser() -> DataclassParser:
    """Return the parser of the options of `hf-spam train`, and of the folds."""
    parser = make_train_parser("hf-spam cross-validate", __doc__, without=(*_WITHOUT, *_OF_SPLITS))
    parser.add_argument(
        "--folds", type=int, range=Range(at_least=2, at_most=1000), help="How many folds (default: 5).", group=THE_RUN
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="N",
        help="Divide and train once for each of these seeds (default: 1).",
        group=THE_RUN,
    )
    parser.add_argument(
        "--baselines",
        choices=["true", "false"],
        help="Also judge a character SVM and TF-IDF with logistic regression on the same folds (default: true).",
        group=THE_RUN,
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given: the preset's, overridden by the file's, overridden by the command line's.

    Raises:
        UserError: If one of them cannot be used. No message has been read by then.
    """
    given, from_file = read_levels(make_parser(), argv)
    own = {name: value for name, value in {**_OWN, **from_file, **given}.items() if name in _OWN}
    own["baselines"] = own["baselines"] in (True, "true")
    for seed in own["seeds"]:
        SEED.check("seeds", seed, whole=True)
    given, from_file = ({k: v for k, v in level.items() if k not in _OWN} for level in (given, from_file))
    options = complete({"output_dir": "outputs/cross-validation"}, from_file, given)
    options = {**options, **own, "seeds": list(dict.fromkeys(own["seeds"]))}
    make_job({name: value for name, value in options.items() if name not in _OWN}, find_place(options["output_dir"]))
    return options


def main(options: dict[str, Any]) -> None:
    """Train on every fold, and print the figures of all messages."""
    processes.join()
    if processes.world_size() > 1:
        found = processes.world_size()
        raise UserError(f"expected one process, found {found}. Start hf-spam cross-validate without a launcher.")
    disable_progress_bars()
    number, seeds, baselines = options["folds"], options["seeds"], options["baselines"]
    options = {name: value for name, value in options.items() if name not in _OWN}
    place = find_place(options["output_dir"])
    job = make_job(options, place)
    prove_writable(place)
    check_sources(job.data)
    weights = load_weights(job.model, job.data.cache_dir)
    tokenizer = load_tokenizer(weights, job.data.bpe_dir, job.model.normalize)
    collection = read_collection(job.data)
    folds = list(draw_folds(collection, number, seeds, job.data.validation_fraction))
    print(one_line(collection.task.describe()), *collection.notes, sep="\n")
    asked = {name: value for name, value in options.items() if name not in ("output_dir", "config")}
    asked |= {
        "folds": number,
        "baselines": baselines,
        "messages": fingerprint(collection),
    }  # further seeds may be asked for

    def train(fold: Fold) -> Logits:
        prepared = prepare_fold(collection, fold)
        runs = UnsavedRuns(weights, tokenizer, prepared, learned_mix(job.data.prior, prepared)[1], place / _SCRATCH)
        ours = runs.train({**options, "seed": fold.seed}, judged=("test",)).logits["test"]
        return {OURS: ours, **(baseline_logits(prepared, fold.seed) if baselines else {})}

    busy = f"{place}: another cross-validation is at work there. Choose another --output_dir."
    with locked(place.with_name(f"{place.name}.lock"), busy):
        check_same(place, asked)
        place.mkdir(parents=True, exist_ok=True)
        save_record(place, asked)
        run_folds(folds, collection, place, train)
        results = [load_seed(place, [fold for fold in folds if fold.seed == seed], collection) for seed in seeds]
        save_all(place, folds)
        report = summarize(results, collection)
        if (place / REPORT).is_dir():
            shutil.rmtree(place / REPORT)  # of fewer seeds, or of a run that was stopped here
        save_report(report, place / REPORT)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        save_record(place, asked, {"seeds": seeds, "environment": environment(device)})
    print("", *report.notes, "", *map(to_text, report.tables[:_SHOWN]), report.verdict, sep="\n")
    print(one_line(f"saved to {place}; the report: {place / REPORT / 'report.html'}"))
