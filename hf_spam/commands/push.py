"""`hf-spam push`: put a model on the Hugging Face Hub, with what others need to use and to judge it."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..dataclass_options import DataclassParser
from ..errors import UserError, one_line
from ..hub.arguments import HubArguments
from ..hub.contents import model_contents, push_model
from ..hub.repository import Repository, listing, prepare_repository
from ..options import build, merge
from ..system.reading import is_folder
from ..system.run_folder import check_writable, staged
from ..values.names import check_license, check_repository
from ..values.ranges import FOLDER


def make_parser() -> DataclassParser:
    """Return the parser of the command's options."""
    parser = DataclassParser(HubArguments, prog="hf-spam push", description=__doc__, arguments="MODEL REPO")
    parser.add_argument("model", metavar="MODEL", help="A folder that `hf-spam train` or `hf-spam export` saved.")
    parser.add_argument("repository", metavar="REPO", help="OWNER/NAME, or NAME for one of yours.")
    parser.add_argument(
        "--license",
        help="License on the card, as the Hub abbreviates it (default: what the weights and our code allow).",
    )
    parser.add_argument(
        "--base_model",
        metavar="REPO",
        help="Repository of an adapter's base, if that was pushed later (default: the one that the adapter names).",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar=FOLDER,
        help="A report that `hf-spam evaluate MODEL --report` wrote, whose figures go to the model's .eval_results "
        "(default: none).",
    )
    parser.add_argument(
        "--output_dir",
        metavar=FOLDER,
        help="Write the files here instead of sending them, to read or edit the card.",
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given, and check the license and the name of the base."""
    options = merge(make_parser().given(argv))
    if "base_model" in options:
        check_repository("base_model", options["base_model"])
    if "license" in options:
        check_license("license", options["license"])
    return options


def main(options: dict[str, Any]) -> None:
    """Push the model, list what would be pushed, or write it to a folder."""
    arguments, folder, license = build(HubArguments, options), Path(options["model"]), options.get("license")
    base_model, report = options.get("base_model"), options.get("report")
    repository = Repository(options["repository"], "model", arguments.private, arguments.revision)
    if not is_folder(folder):
        raise UserError(f"{folder}: expected a folder with a model, found none. Name one that `hf-spam train` saved.")
    # Before anything is asked of the Hub.
    contents = model_contents(folder, repository.name, license, base_model, report)
    if "output_dir" in options:
        output_dir = check_writable(options["output_dir"])
        with staged(output_dir, trains=False) as staging:
            for path, source in contents.items():
                (staging / path).parent.mkdir(exist_ok=True)
                if isinstance(source, bytes):
                    (staging / path).write_bytes(source)
                else:
                    shutil.copyfile(source, staging / path, follow_symlinks=False)
        last = one_line(f"written to {output_dir}; try: hf-spam push {output_dir} {repository.name}")
        print(f"{listing(contents)}\n{last}")
    elif arguments.dry_run:
        print(f"{listing(contents)}\nwould go to the {one_line(repository)}; nothing was sent")
    else:
        prepared = prepare_repository(repository)
        if prepared.name != repository.name:  # a name alone is one of the user's, and the card gives the whole name
            contents = model_contents(folder, prepared.name, license, base_model, report)
        print(push_model(folder, contents, prepared, arguments.commit_message))
