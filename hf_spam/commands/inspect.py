"""`hf-spam inspect`: look inside a checkpoint.

It prints the parts of the model with their shapes and, where the run recorded it, how many of their parameters were
trained. With a text it prints the tokens and the logits at every position; the arrow marks what the score is read
from. With --output it draws how much that position attends to each token, in each head of one block.
"""

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ..checkpoint.loading import load_model
from ..checkpoint.opening import KIND_NAMES, open_checkpoint
from ..engines.loading import find_model
from ..errors import UserError, one_line
from ..evaluation.inspection import (
    attention_of,
    describe_parts,
    describe_reading,
    describe_sizes,
    draw_attention,
    list_parts,
    read_text,
)
from ..inference.classifier import SpamClassifier
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..options import OptionParser
from ..trainable.recorded import trained_names
from ..values.ranges import COUNT_OR_NONE, FILE


def make_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="hf-spam inspect", description=__doc__, arguments="MODEL [TEXT]")
    parser.add_argument(
        "model", metavar="MODEL", help="A folder that `hf-spam train` saved, or a repository on the Hub."
    )
    parser.add_argument("text", metavar="TEXT", nargs="?", help="A text (default: none).")
    parser.add_argument(
        "--output", type=Path, metavar=FILE, help="Picture of the attention to write: .png; needs TEXT."
    )
    parser.add_argument(
        "--block",
        type=int,
        range=COUNT_OR_NONE,
        help="Block whose attention is drawn, counted from 0; needs --output (default: the last).",
    )
    return parser


def parse(argv: Sequence[str]) -> Namespace:
    """Return all options, and check them."""
    args = make_parser().parse_intermixed_args(list(argv))  # options may stand between MODEL and TEXT
    if args.output is not None and args.text is None:
        raise UserError("--output: expected a TEXT whose attention is drawn, found none.")
    if args.block is not None and args.output is None:
        raise UserError("--block: expected --output, the picture of that block, found none.")
    if args.output is not None:
        if args.output.suffix != ".png":
            raise UserError(f"--output: expected a file whose name ends in .png, found {args.output}.")
        if os.path.lexists(args.output):
            raise UserError(f"{args.output}: exists already, and nothing is overwritten. Choose another --output.")
    return args


def main(args: Namespace) -> None:
    """Print what is inside the model, how it reads the text, and draw the attention.

    Raises:
        UserError: If it is an export, or has no such block.
    """
    folder = find_model(args.model)
    checkpoint = open_checkpoint(folder)
    if checkpoint.kind != "checkpoint":
        raise UserError(
            f"{args.model}: expected a checkpoint, found {KIND_NAMES[checkpoint.kind]}, whose layers are not ours. "
            f"Name the run that it was exported from."
        )
    layers = checkpoint.config.n_layers
    block = layers - 1 if args.block is None else args.block
    if block >= layers:
        raise UserError(f"--block: expected a block of the model, 0 to {layers - 1}, found {block}.")
    model = load_model(checkpoint)
    assert isinstance(model, SpamGPTForSequenceClassification)
    assert checkpoint.tokenizer is not None  # every classifier has one
    print(describe_sizes(model))
    trains, names = trained_names(folder, model)
    print(f"trains {trains}")
    print(f"\n{describe_parts(list_parts(model, names))}")
    if args.text is None:
        return
    classifier = SpamClassifier(model, checkpoint.tokenizer)
    reading = read_text(model, checkpoint.tokenizer, args.text)
    print(f"\n{describe_reading(model, reading)}")
    prediction = classifier(args.text)
    print(f"\n{one_line(prediction.label)}  {prediction.score:.4f}")
    if args.output is not None:
        draw_attention(attention_of(model, reading, block), reading, block, args.output)
        print(one_line(f"attention in block {block}: {args.output}"))
