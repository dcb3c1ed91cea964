"""`hf-spam calibrate`: choose from which score on a model blocks a message, with a promise, and fold that into it.

The promise: at most --budget of the messages that are not spam are blocked, with --confidence. It rests on messages
that the model was not trained on: those of its validation split, or with --scores all that `hf-spam cross-validate`
scored out of fold with the same recipe. The copy in --output_dir decides at 0.5 there, whatever client reads it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..calibration.operating_point import choose_point, fold
from ..calibration.risk import Promise
from ..cross_validation.evidence import Evidence, load_evidence
from ..data.arguments import DataArguments
from ..data.grouping import APART
from ..data.labels import SINGLE, Task, task_of_config
from ..data.near_duplicates import near_groups
from ..dataclass_options import DataclassParser
from ..errors import UserError, one_line
from ..evaluation.metrics import figures_table
from ..evaluation.report import NOT_HERE, choose_messages, own_splits, report_splits
from ..inference.classifier import SpamClassifier
from ..options import THE_RUN, merge
from ..system.run_folder import staged
from ..values.ranges import FOLDER, FRACTION
from .export import change_record, copy_rest, load_for_copy

_DEFAULTS = {"budget": 0.005, "confidence": 0.95}


def make_parser() -> DataclassParser:
    """Return the parser of the command's options."""
    parser = DataclassParser(
        DataArguments, prog="hf-spam calibrate", description=__doc__, arguments="MODEL", without=NOT_HERE
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="A folder that `hf-spam train` saved, or a repository on the Hub.")
    add("--output_dir", required=True, metavar=FOLDER, help="Where the copy goes.", group=THE_RUN)
    add("--overwrite_output_dir", action="store_true", help="Replace what is there.", group=THE_RUN)
    add(
        "--scores",
        metavar=FOLDER,
        help="A folder of `hf-spam cross-validate` (default: the model's own scores of its validation split).",
        group=THE_RUN,
    )
    add(
        "--budget",
        type=float,
        range=FRACTION,
        help="Share of other messages that may be blocked (default: 0.005).",
        group=THE_RUN,
    )
    add("--confidence", type=float, range=FRACTION, help="Of the promise (default: 0.95).", group=THE_RUN)
    add(
        "--unsure_budget",
        type=float,
        range=FRACTION,
        help="Share of other messages that may be blocked or marked as unsure (default: none are unsure).",
        group=THE_RUN,
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given, and the promise."""
    options = {**_DEFAULTS, **merge(make_parser().given(argv))}
    unsure = options.get("unsure_budget")
    if unsure is not None and unsure <= options["budget"]:
        raise UserError(f"--unsure_budget: expected more than --budget ({options['budget']:g}), found {unsure:g}.")
    return options


def main(options: dict[str, Any]) -> None:
    """Choose the operating point, fold it in, and save the copy."""
    name = options["model"]
    classifier, model, folder, output_dir = load_for_copy(options)
    task = task_of_config(model.config, options.get("positive_label"))
    if model.config.operating_point is not None:
        raise UserError(f"{name}: is calibrated already. Name the run that it was made from.")
    if task.problem_type != SINGLE or task.positive is None:
        raise UserError(f"{name}: expected one label for each text and --positive_label, found another task.")
    evidence = find_evidence(options, folder, classifier, task)
    promise = Promise(options["budget"], options["confidence"])
    unsure = Promise(options["unsure_budget"], options["confidence"]) if "unsure_budget" in options else None
    point = choose_point(evidence.logits, evidence.labels, evidence.groups, task, promise, unsure)
    fold(model.score, point, task)
    model.config.operating_point = point.to_dict()
    print(one_line(f"chosen on {evidence.name}: {point.describe()}"))
    with staged(output_dir, trains=False) as staging:
        model.save_pretrained(staging)
        copy_rest(classifier, folder, staging)
        folded = SpamClassifier.from_pretrained(staging)
        prepared = own_splits(name, folder, model.config, options)
        figures = report_splits(
            prepared, {split: folded.logits(rows["text"][:]) for split, rows in prepared.splits.items()}
        )
        recorded = {**point.to_dict(), "on": evidence.name}
        change_record(staging, lambda _: {"splits": figures, "operating_point": recorded})
    print("", figures_table(figures), "", sep="\n")
    print(one_line(f'saved to {output_dir}; try: hf-spam predict {output_dir} "your text"'))


def find_evidence(options: dict[str, Any], folder: Path, classifier: SpamClassifier, task: Task) -> Evidence:
    """Return the scores that the operating point is chosen on.

    Raises:
        UserError: If there are none.
    """
    if "scores" in options:
        return load_evidence(Path(options["scores"]), task)
    chosen = choose_messages(options["model"], folder, classifier.config, options, "validation")
    groups = near_groups(chosen.texts, APART)
    return Evidence(classifier.logits(chosen.texts).numpy(), chosen.labels, groups, chosen.name)
