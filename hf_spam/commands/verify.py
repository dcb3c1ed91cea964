"""`hf-spam verify`: check that a run's files are those that were saved, and that its model is whole."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from ..checkpoint.configuration import ADAPTER_CONFIG, CONFIG
from ..checkpoint.loading import read_weights
from ..checkpoint.opening import KIND_NAMES, Kind, open_checkpoint
from ..errors import UserError
from ..options import OptionParser
from ..system.manifest import MANIFEST_FILE, check_manifest, read_manifest
from ..system.reading import is_folder


def make_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="hf-spam verify", description=__doc__, arguments="FOLDER")
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="A folder that hf_spam saved, with its manifest.json."
    )
    return parser


def parse(argv: Sequence[str]) -> Namespace:
    """Return all options."""
    return make_parser().parse_args(list(argv))


def main(arguments: Namespace) -> None:
    """Check the folder, and print what it holds.

    Raises:
        UserError: If a file is missing or has changed, or the model is not whole.
    """
    folder: Path = arguments.folder
    if not is_folder(folder):
        raise UserError(
            f"{folder}: expected a folder, found none. Name one that hf-spam train or hf-spam export saved."
        )
    if problems := check_manifest(folder):
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{folder}: expected the files of {MANIFEST_FILE}, found that {problems[0]}{more}.")
    print(f"{folder}: {len(read_manifest(folder) or ()):,} files as they were saved{describe_model(folder)}")


def describe_model(folder: Path) -> str:
    """Return what kind of model a folder holds and its labels; nothing if it holds none."""
    if not any((folder / name).is_file() for name in (CONFIG, ADAPTER_CONFIG)):
        return ""
    checkpoint = open_checkpoint(folder, get_args(Kind))
    if checkpoint.kind != "onnx":
        read_weights(checkpoint)
    if checkpoint.kind == "language model":
        return f"; {KIND_NAMES[checkpoint.kind]}"
    return f"; {KIND_NAMES[checkpoint.kind]} of {', '.join((checkpoint.config.id2label or {}).values())}"
