"""Options that are the fields of dataclasses, as transformers reads them."""

from collections.abc import Collection
from typing import Any

from transformers import HfArgumentParser

from .options import OptionParser


class DataclassParser(OptionParser, HfArgumentParser):
    """An `OptionParser` for dataclasses.

    `--help` shows the options made by `option` and those added by hand. What a dataclass inherits from
    `TrainingArguments` is accepted too, and shown by `--help_all`.

    Args:
        dataclass_types: The dataclasses of the options.
        prog: See `OptionParser`, as for the following.
        description: What the command does.
        arguments: The positional arguments.
        without: Fields of the dataclasses that are no option here.
    """

    def __init__(
        self,
        *dataclass_types: Any,
        prog: str,
        description: str | None,
        arguments: str = "",
        without: Collection[str] = (),
    ) -> None:
        super().__init__(
            prog=prog,
            description=description,
            arguments=arguments,
            without=without,
            dataclass_types=list(dataclass_types),
        )
