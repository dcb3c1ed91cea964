"""Options in a file: read strictly, and turned into the words that would be typed."""

import argparse
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import UserError
from .system.reading import describe, parse_json, read_regular

LARGEST_CONFIG = 2**20  # bytes of a file of options
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*")
_NO_OPTIONS = ("help", "help_all", "help-all", "config")  # of the command line alone
_DEEPEST = 5  # lists and mappings inside each other


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Options from a YAML or JSON file: one mapping of names to values, each of which says one thing.

    Raises:
        UserError: If the file cannot be read, holds something else, or uses YAML that stands for something else:
            anchors, aliases, tags, several documents, a key twice.
    """
    from .system.yaml_files import parse_yaml  # a runtime without torch does without it

    path = Path(path)
    try:
        text = read_regular(path, LARGEST_CONFIG)
        return parse_json(text, path) if path.suffix.lower() == ".json" else parse_yaml(text)
    except UserError as error:
        reason = str(error).removeprefix(f"{path}: ")
        found = (
            ""
            if reason.startswith(("expected a mapping", "expected a JSON object"))
            else "cannot be read as a configuration: "
        )
        raise UserError(f"{path}: {found}{reason}") from None


def to_argv(options: Mapping[str, Any], parser: argparse.ArgumentParser | None = None) -> list[str]:
    """Options as they would be typed, so that a file's values pass the same checks as the command line's.

    Args:
        options: A file's options.
        parser: The parser that knows the options, to tell which of them take a text.

    Raises:
        UserError: If a value could be taken for an option, or is none that can be typed.
    """
    argv = []
    for name, value in options.items():
        if not _NAME.fullmatch(name) or name in _NO_OPTIONS:
            raise UserError(f"expected the name of an option, found {name[:80]!r}.")
        if value is None:
            continue
        _check_value(name, value, parser)
        if isinstance(value, list):
            argv += [f"--{name}", *map(_to_word, value)]
        elif (word := _to_word(value)).startswith("-"):
            argv.append(f"--{name}={word}")  # as one word it cannot be another option
        else:
            argv += [f"--{name}", word]
    return argv


def _to_word(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _check_value(name: str, value: object, parser: argparse.ArgumentParser | None) -> None:
    """Refuse a value that the option does not take, or that could be taken for another option.

    Raises:
        UserError: With the option and what was found.
    """
    items = value if isinstance(value, list) else [value]
    if not _is_plain(value, depth=_DEEPEST):
        raise UserError(
            f"--{name}: expected a text, a number, true or false, or a list of these, found another value."
        )
    if isinstance(value, list):
        if any(not isinstance(item, str | int | float) for item in items):
            raise UserError(f"--{name}: expected a list of texts or numbers, found one of lists or mappings.")
        if any(str(item).startswith("-") and item != "-" for item in items):
            raise UserError(f"--{name}: expected a list of values, found one that begins with a dash.")
    action = parser._option_string_actions.get(f"--{name}") if parser else None
    if parser is None or action is None:
        return  # the parser will say that it does not know the option
    if isinstance(value, dict) and not _takes_mapping(parser, name):
        raise UserError(f"--{name}: expected a single value, found a mapping.")
    if isinstance(value, list) and action.nargs is None and len(value) != 1:
        raise UserError(f"--{name}: expected a single value, found a list of {len(value)}.")
    takes_text = action.type in (None, str) and not action.choices and action.nargs != 0
    if takes_text and (wrong := [item for item in items if isinstance(item, int | float)]):
        raise UserError(f"--{name}: expected a text, found {describe(wrong[0])}. Put it in quotes.")


def _takes_mapping(parser: argparse.ArgumentParser, name: str) -> bool:
    """Tell whether an option may be a mapping, as some of the Trainer's are."""
    kinds = [base for type_ in getattr(parser, "dataclass_types", ()) for base in type_.__mro__]
    # Not from the fields: HfArgumentParser overwrites their types.
    return any("dict" in str(vars(kind).get("__annotations__", {}).get(name)) for kind in kinds)


def _is_plain(value: object, depth: int) -> bool:
    """Tell whether a value can be typed: a text, a number, true, false, or a list or mapping of these."""
    if isinstance(value, str):
        return not re.search("[\0\ud800-\udfff]", value)
    if isinstance(value, int):
        return abs(value) < 2**63
    if isinstance(value, list | dict):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(item, depth - 1) for item in inner)
    return value is None or isinstance(value, float)
