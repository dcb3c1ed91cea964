"""`hf-spam data`: download, balance and split the messages; print the counts, save the splits or push them."""

from collections.abc import Sequence
from typing import Any, get_args

from transformers import GPT2Tokenizer

from ..audit.auditing import audit
from ..audit.cleaning import Conflicts, clean
from ..audit.reporting import describe, to_json, to_markdown
from ..audit.writing import REPORTS, TABLES, check_place, write_messages, write_text
from ..data.arguments import DataArguments
from ..data.loading import prepare, read_messages
from ..data.splits import check_new, count, save_splits
from ..dataclass_options import DataclassParser
from ..errors import UserError, one_line
from ..hub.arguments import HubArguments
from ..hub.contents import data_contents
from ..hub.repository import Repository, listing, prepare_repository, publish
from ..options import build, merge
from ..tokens.encoding import longest_text
from ..tokens.tokenization import build_tokenizer
from ..values.names import check_repository
from ..values.ranges import FILE, FOLDER

_GIVEN_SPLITS = ("data_dir", "train_file", "validation_file", "test_file")


def make_parser() -> DataclassParser:
    """Return the parser of the command's options."""
    parser = DataclassParser(DataArguments, HubArguments, prog="hf-spam data", description=__doc__)
    parser.add_argument(
        "--output_dir", metavar=FOLDER, help="Save the splits here: three CSVs, and a DatasetDict in dataset/."
    )
    parser.add_argument(
        "--push", metavar="REPO", help="Push the splits to this dataset on the Hub, OWNER/NAME, with a card."
    )
    parser.add_argument(
        "--audit", action="store_true", help="Say instead what is wrong with the messages before they are split."
    )
    parser.add_argument(
        "--audit_report", metavar=FILE, help="With --audit: write everything that was found here, as .md or .json."
    )
    parser.add_argument(
        "--cleaned",
        metavar=FILE,
        help="With --audit: write the messages without exact duplicates here, as .csv, .jsonl or .parquet.",
    )
    parser.add_argument(
        "--conflicts",
        choices=get_args(Conflicts),
        help="With --cleaned, of a text with several labels: drop it, keep the majority's label, or keep one message "
        "of each label (default: drop).",
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given, and check the name of the repository."""
    options = merge(make_parser().given(argv))
    if "push" in options:
        check_repository("push", options["push"])
    _check_audit(options)
    return options


def _check_audit(options: dict[str, Any]) -> None:
    """Refuse options that mean nothing together."""
    if "audit" not in options:
        if alone := [name for name in ("audit_report", "cleaned", "conflicts") if name in options]:
            raise UserError(f"--{alone[0]}: expected --audit beside it. Add --audit.")
    elif given := [name for name in _GIVEN_SPLITS if name in options]:
        raise UserError(
            f"--audit: expected messages that are not split, found --{given[0]}. Name its files as --data_file."
        )
    elif splits := [name for name in ("output_dir", "push") if name in options]:
        raise UserError(
            f"--audit: expected nothing to be split, found --{splits[0]}. Run it without --audit afterwards."
        )
    elif "conflicts" in options and "cleaned" not in options:
        raise UserError("--conflicts: expected --cleaned beside it. Add --cleaned FILE.")


def main(options: dict[str, Any]) -> None:
    """Prepare the splits as the options say, print their counts, and save and push them where asked."""
    hub = build(HubArguments, options)
    repository = Repository(options["push"], "dataset", hub.private, hub.revision) if "push" in options else None
    arguments = build(DataArguments, options)
    if "audit" in options:
        _audit(arguments, options)
        return
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


def _audit(arguments: DataArguments, options: dict[str, Any]) -> None:
    """Say what is wrong with the messages, and write the report and the cleaned messages where asked."""
    places = {
        name: check_place(name, options[name], suffixes)
        for name, suffixes in (("audit_report", REPORTS), ("cleaned", TABLES))
        if name in options
    }
    messages = read_messages(arguments)
    found = audit(messages, _tokenizer(arguments))
    print("\n".join(describe(found)))
    cleaned = clean(messages.frame, options.get("conflicts", "drop")) if "cleaned" in places else None
    if cleaned is not None:
        write_messages("cleaned", places["cleaned"], cleaned.frame)
        print(f"{one_line(places['cleaned'])}: {cleaned.describe()}")
    if "audit_report" in places:
        render = to_json if places["audit_report"].suffix.lower() == ".json" else to_markdown
        write_text("audit_report", places["audit_report"], render(found, cleaned))
        print(f"everything that was found: {one_line(places['audit_report'])}")


def _tokenizer(arguments: DataArguments) -> GPT2Tokenizer | None:
    """Return GPT-2's tokenizer, or `None` if its files are neither named nor at hand."""
    try:
        return build_tokenizer(bpe_dir=arguments.bpe_dir)
    except UserError:
        if arguments.bpe_dir is not None:
            raise
        return None
