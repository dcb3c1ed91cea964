"""`hf-spam evaluate`: the report of a checkpoint on a split of its own data, or on other messages."""

from collections.abc import Sequence
from typing import Any, get_args

from ..data.arguments import DataArguments
from ..data.splits import SPLITS
from ..errors import one_line
from ..evaluation.report import NOT_HERE, choose_messages, describe_report, report
from ..inference.classifier import Precision, SpamClassifier, find_model
from ..options import OptionParser, merge
from ..system import processes
from ..values.ranges import TOKENS


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
        "--precision", choices=get_args(Precision), help="fp32, or bf16, which is faster (default: fp32)."
    )
    parser.add_argument(
        "--token_budget", type=int, range=TOKENS, help="Tokens per batch (default: depends on the device)."
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given."""
    return merge(make_parser().given(argv))


def main(options: dict[str, Any]) -> None:
    """Report on the messages that the options name."""
    processes.join()
    with processes.main_first():
        folder = find_model(options["model"])
        classifier = SpamClassifier.from_pretrained(
            folder, options.get("token_budget"), options.get("precision", "fp32")
        )
        chosen = choose_messages(options["model"], folder, classifier.model.config, options, options.get("split"))
    figures, _ = report(classifier, chosen)
    print(one_line(f"{options['model']} on {chosen.name}, {len(chosen.texts):,} messages"))
    print(describe_report(figures, chosen.task))
