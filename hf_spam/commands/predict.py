"""`hf-spam predict`: classify texts given as arguments, on standard input (one per line), or in a file.

It prints label, score and text, separated by tabs, in the order of the texts. With --input and --output it writes a
JSONL of text, label and score for a file of any size. If it is interrupted, run the same command again to continue.
"""

import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from ..errors import UserError
from ..inference.batch_prediction import CHUNK, chunked, predict_file
from ..inference.classifier import Precision, SpamClassifier
from ..options import OptionParser
from ..system import processes
from ..values.ranges import FILE, TOKENS


def make_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="hf-spam predict", description=__doc__, arguments="MODEL [TEXT ...]")
    parser.add_argument(
        "model", metavar="MODEL", help="A folder that `hf-spam train` saved, or a repository on the Hub."
    )
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="Texts (default: the lines of standard input).")
    parser.add_argument(
        "--input", type=Path, metavar=FILE, help="File of texts: a CSV, a JSONL, or one per line; needs --output."
    )
    parser.add_argument("--output", type=Path, metavar=FILE, help="JSONL to write; needs --input.")
    parser.add_argument("--text_column", help="Column of the texts in --input (default: text, in any case).")
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="fp32", help="fp32, or bf16, which is faster."
    )
    parser.add_argument(
        "--token_budget", type=int, range=TOKENS, help="Tokens per batch (default: depends on the device)."
    )
    return parser


def parse(argv: Sequence[str]) -> Namespace:
    """Return all options, and check them."""
    args = make_parser().parse_args(list(argv))
    if (args.input is None) != (args.output is None) or (args.input and args.texts):
        raise UserError("expected --input and --output together and no TEXT, or neither.")
    return args


def main(args: Namespace) -> None:
    """Classify the texts and print or write the results."""
    processes.join()
    with processes.main_first():
        classifier = SpamClassifier.from_pretrained(args.model, args.token_budget, args.precision)
    if args.input is not None:
        model = f"{args.model} in {args.precision}"
        count = predict_file(classifier.stream, args.input, args.output, model=model, text_column=args.text_column)
        print(f"{count:,} texts classified: {args.output}")
        return
    for texts in chunked(args.texts or lines(sys.stdin.buffer), CHUNK):
        for text, prediction in zip(texts, classifier(texts), strict=True):
            one_line = text.replace("\t", " ").replace("\n", " ").replace("\r", " ")
            print(f"{prediction.label}\t{prediction.score:.4f}\t{one_line}", flush=True)


def lines(stream: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a byte stream as text; bytes that are not UTF-8 become U+FFFD."""
    for line in stream:
        yield line.decode("utf-8", errors="replace").rstrip("\r\n")
