"""`hf-spam evaluate`: the report of a checkpoint on a split of its own data, or on other messages."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from ..audit.writing import check_place, write_text
from ..checkpoint.files import hash_model
from ..data.arguments import DataArguments
from ..data.splits import SPLITS
from ..dataclass_options import DataclassParser
from ..engines.loading import Precision, find_model
from ..errors import UserError, one_line
from ..evaluation.mistakes import result_rows, save_results
from ..evaluation.report import NOT_HERE, Chosen, choose_messages, describe_report, report, training_rows
from ..inference.classifier import SpamClassifier
from ..inference.outputs import check_new
from ..options import merge
from ..robustness.measuring import describe_robustness, measure
from ..system import processes
from ..system.place import check_new_folder
from ..values.ranges import FILE, FOLDER, TOKENS


def make_parser() -> DataclassParser:
    """Return the parser of the command's options."""
    parser = DataclassParser(
        DataArguments, prog="hf-spam evaluate", description=__doc__, arguments="MODEL", without=NOT_HERE
    )
    parser.add_argument(
        "model", metavar="MODEL", help="A folder that `hf-spam train` saved, or a repository on the Hub."
    )
    parser.add_argument(
        "--split",
        choices=[*SPLITS, "all"],
        help="A split, or all messages as they are (default: test; all if other messages are named).",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar=FILE,
        help="Write each message with its prediction, the mistakes first: .csv, .tsv, .jsonl or .parquet "
        "(default: none).",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="Also say what is caught and blocked when messages are disguised, and under attack.",
    )
    parser.add_argument(
        "--robustness_output", metavar=FILE, help="With --robustness: write that here, as .json (default: none)."
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar=FOLDER,
        help="Write a report with intervals, curves, slices, mistakes and baselines: Markdown, HTML and JSON "
        "(default: none).",
    )
    parser.add_argument(
        "--precision", choices=get_args(Precision), help="fp32, or bf16, which is faster (default: fp32)."
    )
    parser.add_argument(
        "--token_budget", type=int, range=TOKENS, help="Tokens per batch (default: depends on the device)."
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given."""
    options = merge(make_parser().given(argv))
    if "output" in options:
        check_new(options["output"])
    if "robustness_output" in options:
        if "robustness" not in options:
            raise UserError("--robustness_output: expected --robustness beside it. Add it.")
        check_place("robustness_output", options["robustness_output"], (".json",))
    if "report" in options:
        check_new_folder("report", options["report"])
    return options


def main(options: dict[str, Any]) -> None:
    """Report on the messages that the options name."""
    processes.join()
    with processes.main_first():
        folder = find_model(options["model"])
        classifier = SpamClassifier.from_pretrained(
            folder, options.get("token_budget"), options.get("precision", "fp32")
        )
        chosen = choose_messages(options["model"], folder, classifier.config, options, options.get("split"))
    figures, logits = report(classifier, chosen)
    print(one_line(f"{options['model']} on {chosen.name}, {len(chosen.texts):,} messages"))
    print(describe_report(figures, chosen.task))
    if "output" in options and processes.rank() == 0:
        rows = result_rows(chosen.texts, chosen.labels, classifier.scores(logits), chosen.task)
        save_results(rows, options["output"])
        print(f"each message with its prediction: {one_line(options['output'])}")
    if "robustness" in options and processes.rank() == 0:
        found = measure(classifier, chosen.texts, chosen.labels, chosen.task)
        print(describe_robustness(found))
        if "robustness_output" in options:
            path = Path(options["robustness_output"])
            write_text("robustness_output", path, f"{json.dumps(found, indent=2, ensure_ascii=False)}\n")
            print(f"robustness: {one_line(path)}")
    if "report" in options:
        write_report(options["model"], folder, classifier, chosen, logits, options)


def write_report(
    model: str,
    folder: Path,
    classifier: SpamClassifier,
    chosen: Chosen,
    logits: torch.Tensor,
    options: Mapping[str, Any],
) -> None:
    """Write the report that `--report` names, and print whether the model is better than its baselines.

    Args:
        model: The checkpoint as the user named it.
        folder: Its folder.
        classifier: The model.
        chosen: The messages.
        logits: Of the messages. *Shape:* `[N, num_labels]`.
        options: Of the data, and `report`.
    """
    if processes.rank() > 0:
        return
    # scikit-learn, Matplotlib and Jinja take a second to import, which nobody else need wait for.
    from ..reporting.building import Judged, build_report
    from ..reporting.rendering import save_report

    judged = Judged(
        title=one_line(f"{model} on {chosen.name}"),
        task=chosen.task,
        texts=chosen.texts,
        labels=chosen.labels,
        logits=logits.double().numpy(),
        scores=classifier.scores(logits.double()).numpy(),
        training=training_rows(model, folder, classifier.config, options),
        source=chosen.source,
        held_out=chosen.held_out,
        model_sha256=hash_model(folder),
    )
    made = build_report(judged)
    save_report(made, options["report"])
    print(made.verdict)
    print(f"the report: {one_line(options['report'] / 'report.html')}")


def report_run(place: Path, report_folder: Path) -> None:
    """Write the report of a finished run on its test split."""
    with processes.main_first():
        classifier = SpamClassifier.from_pretrained(place)
        chosen = choose_messages(str(place), place, classifier.config, {}, "test")
    logits = report(classifier, chosen)[1]
    write_report(str(place), place, classifier, chosen, logits, {"report": report_folder})
