"""Options from the command line, from files and from presets: one mapping of names to values, later over earlier."""

import argparse
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from .errors import UserError

# Options that answer the same question. Where a later level answers it, an earlier level's answer is dropped;
# two answers on one level contradict each other.
_ALTERNATIVES = (
    ("data_source", "data_file", "data_dir"),
    ("global_batch_size", "per_device_train_batch_size"),
)


def option(default: Any, help: str) -> Any:
    """A field of an options dataclass, with the help that the command line shows."""
    return field(default=default, metadata={"help": help})


class OptionParser(HfArgumentParser):
    """`HfArgumentParser` for our dataclasses that keeps only what was given and reports mistakes as `UserError`."""

    def __init__(self, *dataclass_types: Any, **kwargs: Any) -> None:
        super().__init__(list(dataclass_types), allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage, which is pages long."""
        raise UserError(f"{message}. See: {self.prog} --help")

    def given(self, argv: Sequence[str]) -> dict[str, Any]:
        """The options that stand in `argv`, typed, without any default."""
        unset = object()  # argparse leaves alone what the namespace holds already
        namespace = argparse.Namespace(**{action.dest: unset for action in self._actions})
        return {
            name: value for name, value in vars(self.parse_args(list(argv), namespace)).items() if value is not unset
        }


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Options from a YAML or JSON file: one mapping of names to values.

    Raises:
        UserError: If the file cannot be read or holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        config = json.loads(text) if Path(path).suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as a configuration: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: expected a mapping of options to values, found {type(config).__name__}.")
    return config


def to_argv(options: Mapping[str, Any]) -> list[str]:
    """Options as they would be typed, so that a file's values pass the same checks as the command line's."""
    argv = []
    for name, value in options.items():
        if value is None:
            continue
        values = value if isinstance(value, list) else [value]
        argv += [f"--{name}", *(json.dumps(item) if isinstance(item, dict | bool) else str(item) for item in values)]
    return argv


def merge(*levels: Mapping[str, Any]) -> dict[str, Any]:
    """Join levels of options; a later one overrides an earlier.

    Raises:
        UserError: If one level answers a question twice (`--data_source` and `--data_file`).
    """
    merged: dict[str, Any] = {}
    for level in levels:
        refuse_contradictions(level)
        for names in _ALTERNATIVES:
            if any(name in level for name in names):
                merged = {name: value for name, value in merged.items() if name not in names}
        merged |= level
    return merged


def build(type_: type[Any], options: Mapping[str, Any]) -> Any:
    """One of the dataclasses from merged options; a value it refuses is the caller's mistake."""
    names = {f.name for f in dataclasses.fields(type_) if f.init}
    try:
        return type_(**{name: value for name, value in options.items() if name in names})
    except (ValueError, TypeError) as error:
        raise UserError(" ".join(str(error).split())) from None


def refuse_contradictions(level: Mapping[str, Any]) -> None:
    """Refuse two answers to the same question.

    Raises:
        UserError: If a level has them.
    """
    for names in _ALTERNATIVES:
        given = [name for name in names if name in level]
        if len(given) > 1:
            raise UserError(f"expected one of --{', --'.join(names)}, found --{' and --'.join(given)}.")
