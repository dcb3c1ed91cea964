"""`hf-spam predict`: classify texts given as arguments, or one a line on standard input.

Prints label, score and text, separated by tabs, in the order of the texts.
"""

import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from ..arguments import OptionParser
from ..errors import UserError
from ..inference import SpamClassifier

CHUNK = 1024  # lines of standard input scored together


def make_parser() -> OptionParser:
    """The checkpoint, the texts, and how many are scored at once."""
    parser = OptionParser(prog="hf-spam predict", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="A folder that `hf-spam train` saved.")
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="Texts; none: one a line on standard input.")
    parser.add_argument("--batch_size", type=int, default=32, help="Texts scored at once.")
    return parser


def parse(argv: Sequence[str]) -> Namespace:
    """Everything on the command line."""
    args = make_parser().parse_args(list(argv))
    if args.batch_size < 1:
        raise UserError(f"expected a batch_size of at least 1, found {args.batch_size}.")
    return args


def main(args: Namespace) -> None:
    """Classify and print."""
    classifier = SpamClassifier.from_pretrained(args.model, args.batch_size)
    for texts in chunks(args.texts or lines(sys.stdin.buffer), CHUNK):
        for text, prediction in zip(texts, classifier(texts), strict=True):
            one_line = text.replace("\t", " ").replace("\n", " ").replace("\r", " ")
            print(f"{prediction.label}\t{prediction.score:.4f}\t{one_line}", flush=True)


def lines(stream: Iterable[bytes]) -> Iterator[str]:
    """The lines of a byte stream as text; bytes that are not UTF-8 become U+FFFD."""
    for line in stream:
        yield line.decode("utf-8", errors="replace").rstrip("\r\n")


def chunks(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of up to `size` texts."""
    iterator = iter(texts)
    while chunk := list(islice(iterator, size)):
        yield chunk
