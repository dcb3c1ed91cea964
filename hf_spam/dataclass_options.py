"""Options that are the fields of dataclasses, as transformers reads them."""

from typing import Any

from transformers import HfArgumentParser

from .options import OptionParser


class DataclassParser(OptionParser, HfArgumentParser):
    """An `OptionParser` for dataclasses.

    `--help` shows the options made by `option` and those added by hand. What a dataclass inherits from
    `TrainingArguments` is accepted too, and shown by `--help_all`.

    Args:
        dataclass_types: The dataclasses of the options.
        options: Those of `OptionParser`.
    """

    def __init__(self, *dataclass_types: Any, **options: Any) -> None:
        super().__init__(dataclass_types=list(dataclass_types), **options)
