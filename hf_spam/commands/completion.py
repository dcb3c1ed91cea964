"""`hf-spam completion`: print a script that completes commands and options.

For bash: hf-spam completion bash > ~/.local/share/bash-completion/completions/hf-spam
For fish: hf-spam completion fish > ~/.config/fish/completions/hf-spam.fish
For zsh, in a FOLDER of your fpath: hf-spam completion zsh > FOLDER/_hf-spam
"""

import argparse
import importlib
from argparse import Namespace
from collections.abc import Sequence

import shtab

from ..options import OptionParser
from . import COMMANDS, module_name


def make_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="hf-spam completion", description=__doc__, arguments="SHELL")
    parser.add_argument(
        "shell", metavar="SHELL", choices=shtab.SUPPORTED_SHELLS, help="bash, zsh, fish, tcsh or powershell."
    )
    return parser


def parse(argv: Sequence[str]) -> Namespace:
    """Return all options."""
    return make_parser().parse_args(list(argv))


def main(arguments: Namespace) -> None:
    """Print the script. It is complete in itself: pressing TAB starts no Python."""
    print(shtab.complete(whole_parser(), arguments.shell))


def whole_parser() -> argparse.ArgumentParser:
    """Return one parser that has every command as a subcommand."""
    parser = argparse.ArgumentParser(prog="hf-spam")
    parser.add_argument("--version", action="store_true", help="print the version")
    subcommands = parser.add_subparsers()
    for name, text in COMMANDS.items():
        command = importlib.import_module(module_name(name))
        subcommands.add_parser(name, help=text, parents=[command.make_parser()], add_help=False)
    return parser
