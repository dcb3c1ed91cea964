"""`hf-spam evaluate`: the report of a checkpoint on a split of its own data, or on other messages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from ..data.arguments import DataArguments
from ..data.splits import SPLITS
from ..errors import one_line
from ..evaluation.mistakes import result_rows, save_results
from ..evaluation.report import NOT_HERE, choose_messages, describe_report, report
from ..inference.classifier import Precision, SpamClassifier, find_model
from ..inference.outputs import check_new
from ..options import OptionParser, merge
from ..system import processes
from ..values.ranges import FILE, TOKENS


def make_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(
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
    return options


def main(options: dict[str, Any]) -> None:
    """Report on the messages that the options name."""
    processes.join()
    with processes.main_first():
        folder = find_model(options["model"])
        classifier = SpamClassifier.from_pretrained(
            folder, options.get("token_budget"), options.get("precision", "fp32")
        )
        chosen = choose_messages(options["model"], folder, classifier.model.config, options, options.get("split"))
    figures, logits = report(classifier, chosen)
    print(one_line(f"{options['model']} on {chosen.name}, {len(chosen.texts):,} messages"))
    print(describe_report(figures, chosen.task))
    if "output" in options and processes.rank() == 0:
        rows = result_rows(chosen.texts, chosen.labels, classifier.scores(logits), chosen.task)
        save_results(rows, options["output"])
        print(f"each message with its prediction: {one_line(options['output'])}")
