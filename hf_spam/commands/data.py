"""`hf-spam data`: download, balance and split the messages; print the counts, save the splits or push them."""

from collections.abc import Sequence
from typing import Any

from ..data.arguments import DataArguments
from ..data.encoding import longest_text
from ..data.loading import prepare
from ..data.splits import check_new, count, save_splits
from ..data.tokenization import build_tokenizer
from ..errors import one_line
from ..hub.arguments import HubArguments
from ..hub.contents import data_contents
from ..hub.repository import Repository, listing, prepare_repository, publish
from ..options import OptionParser, build, merge
from ..values.names import check_repository
from ..values.ranges import FOLDER


def make_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(DataArguments, HubArguments, prog="hf-spam data", description=__doc__)
    parser.add_argument(
        "--output_dir", metavar=FOLDER, help="Save the splits here: three CSVs, and a DatasetDict in dataset/."
    )
    parser.add_argument(
        "--push", metavar="REPO", help="Push the splits to this dataset on the Hub, OWNER/NAME, with a card."
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given, and check the name of the repository."""
    options = merge(make_parser().given(argv))
    if "push" in options:
        check_repository("push", options["push"])
    return options


def main(options: dict[str, Any]) -> None:
    """Prepare the splits as the options say, print their counts, and save and push them where asked."""
    hub = build(HubArguments, options)
    repository = Repository(options["push"], "dataset", hub.private, hub.revision) if "push" in options else None
    arguments = build(DataArguments, options)
    if "output_dir" in options:
        check_new(options["output_dir"])
    prepared = prepare(arguments)
    splits = prepared.splits
    tokenizer = build_tokenizer(bpe_dir=arguments.bpe_dir)
    table = count(splits)
    table["longest text (tokens)"] = [longest_text(tokenizer, rows["text"][:]) for rows in splits.values()]
    print(one_line(prepared.task.describe()), *prepared.notes, sep="\n")
    print(table.to_string())
    if "output_dir" in options:
        save_splits(splits, options["output_dir"])
        folder = one_line(options["output_dir"])
        print(f"saved to {folder}; try: hf-spam train --data_dir {folder}")
    if repository is not None:
        if hub.dry_run:
            contents = data_contents(splits, prepared.source, arguments, repository.name, prepared.given)
            print(f"{listing(contents)}\nwould go to the {one_line(repository)}; nothing was sent")
            return
        repository = prepare_repository(repository)
        contents = data_contents(splits, prepared.source, arguments, repository.name, prepared.given)
        url = publish(repository, contents, hub.commit_message or "Upload the splits with hf_spam")
        print(f'pushed to {one_line(url)}; try: datasets.load_dataset("{repository.name}")')
