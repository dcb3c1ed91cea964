"""`hf-spam launch-configs`: where the configuration files for `accelerate launch` are.

Without NAME it lists them; with NAME it prints the path alone, for
accelerate launch --config_file "$(hf-spam launch-configs NAME)" -m hf_spam train ...
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..options import OptionParser
from ..system.processes import launch_configs


def make_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="hf-spam launch-configs", description=__doc__, arguments="[NAME]")
    parser.add_argument("name", metavar="NAME", nargs="?", help="The file whose path is printed.")
    return parser


def parse(argv: Sequence[str]) -> Namespace:
    """Return all options."""
    return make_parser().parse_args(list(argv))


def main(arguments: Namespace) -> None:
    """Print the list, or one path.

    Raises:
        UserError: If there is no configuration of that name.
    """
    configs = launch_configs()
    if arguments.name is None:
        print("\n".join(describe(name, path) for name, path in configs.items()))
    elif arguments.name in configs:
        print(configs[arguments.name])
    else:
        raise UserError(f"expected one of {', '.join(configs)}, found {arguments.name!r}. Try: hf-spam launch-configs")


def describe(name: str, path: Path) -> str:
    """Return the name of a configuration, its path, and the first line of its comment."""
    comment = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    return f"{name}\n  {path}\n  {comment}"
