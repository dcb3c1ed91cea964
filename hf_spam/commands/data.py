"""`hf-spam data`: download, balance and split the messages, save them, print the counts."""

from collections.abc import Sequence
from typing import Any

from ..arguments import DataArguments, OptionParser, build, merge
from ..builders import build_splits
from ..data import count, save_splits
from ..encoding import longest_text
from ..tokenization import build_tokenizer


def make_parser() -> OptionParser:
    """The data options, and where to save."""
    parser = OptionParser(DataArguments, prog="hf-spam data", description=__doc__)
    parser.add_argument("--output_dir", help="Save the splits here: three CSVs, and a DatasetDict under dataset/.")
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """The options given."""
    return merge(make_parser().given(argv))


def main(options: dict[str, Any]) -> None:
    """Prepare the splits as the options say, print their counts, and save them where asked."""
    arguments = build(DataArguments, options)
    splits = build_splits(arguments)
    tokenizer = build_tokenizer(bpe_dir=arguments.bpe_dir)
    table = count(splits)
    table["longest text (tokens)"] = [longest_text(tokenizer, list(rows["text"])) for rows in splits.values()]
    print(table.to_string())
    if "output_dir" in options:
        save_splits(splits, options["output_dir"])
        print(f"saved to {options['output_dir']}; try: hf-spam train --data_dir {options['output_dir']}")
