"""The values that an option accepts, and one check for the command line and for the Python API.

Every range ends: beyond it a number only makes the libraries run out of memory, or overflow. NaN and infinity are in
no range.
"""

import dataclasses
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import UserError

# How an option's value is shown in `--help`, and then also what it may be: see `check_path`.
FILE = "FILE"
FOLDER = "FOLDER"


@dataclass(frozen=True)
class Range:
    """The numbers that an option accepts.

    Attributes:
        at_least: The least of them.
        above: A bound just below the least, instead of `at_least`.
        at_most: The greatest of them.
        below: A bound just above the greatest, instead of `at_most`.
        besides: One more number that has a meaning of its own.
        share: From 1 on only whole numbers count; those below 1 are shares.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    besides: int | None = None
    share: bool = False

    def __post_init__(self) -> None:
        """Check that each side has one bound."""
        if (self.at_least is None) == (self.above is None) or (self.at_most is None) == (self.below is None):
            raise ValueError("expected one of at_least and above, and one of at_most and below")

    def holds(self, value: Any, whole: bool) -> bool:
        """Tell whether a value is such a number."""
        if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
            return False
        if self.besides is not None and value == self.besides:
            return True
        number: Any = value
        if not isinstance(value, Integral) and not math.isfinite(number):
            return False
        enough = number > self.above if self.at_least is None else number >= self.at_least
        small = number < self.below if self.at_most is None else number <= self.at_most
        return bool(enough and small) and not (self.share and number >= 1 and number != int(number))

    def describe(self, whole: bool) -> str:
        """Return what is expected, in words."""
        kind = "a whole number" if whole else "a number"
        if self.at_least is not None and self.at_most is not None:
            text = f"{kind} from {_number(self.at_least)} to {_number(self.at_most)}"
        else:
            least = f"of at least {_number(self.at_least)}" if self.above is None else f"above {_number(self.above)}"
            most = f"at most {_number(self.at_most)}" if self.below is None else f"below {_number(self.below)}"
            text = f"{kind} {least} and {most}"
        text = text if self.besides is None else f"{self.besides} or {text}"
        return f"{text}, whole from 1 on" if self.share else text

    def check(self, name: str, value: Any, whole: bool) -> None:
        """Check an option's value.

        Raises:
            UserError: If it is no such number.
        """
        if not self.holds(value, whole):
            raise UserError(f"--{name}: expected {self.describe(whole)}, found {value}.")


# What many options accept. A step, a message or a token is counted in numbers far below the first.
COUNT = Range(at_least=1, at_most=10**9)
COUNT_OR_NONE = Range(at_least=0, at_most=10**9)
BATCH = Range(at_least=1, at_most=10**6)
LENGTH = Range(at_least=1, at_most=2**17)
TOKENS = Range(at_least=1, at_most=10**8)
SEED = Range(at_least=0, at_most=2**32 - 1)
EPOCHS = Range(above=0, at_most=10**6)
FACTOR = Range(at_least=0, at_most=1000)  # a learning rate or a decay
FRACTION = Range(above=0, below=1)
SHARE = Range(at_least=0, at_most=1)


def check_values(instance: Any, ranges: Mapping[str, Range] | None = None) -> None:
    """Check the fields of a dataclass of options.

    Args:
        instance: Its fields made by `options.option` have their range, and what their value stands for, in their
            metadata. Fields that it inherits from elsewhere may have `choices`.
        ranges: The ranges of inherited fields.

    Raises:
        UserError: If a value is not what its option accepts.
    """
    types = get_type_hints(type(instance))  # not `field.type`, which HfArgumentParser narrows
    for field in dataclasses.fields(instance):
        value, type_ = getattr(instance, field.name), types[field.name]
        kinds = get_args(type_) if get_origin(type_) in (Union, UnionType) else (type_,)
        if value is None and (NoneType in kinds or field.default is None):
            continue
        literals = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
        choices = literals if str not in kinds and literals else field.metadata.get("choices")
        range_ = field.metadata.get("range") or (ranges or {}).get(field.name)
        ours = "group" in field.metadata
        if range_ is not None:
            range_.check(field.name, value, whole=float not in kinds)
        elif choices:
            check_choice(field.name, value, list(choices))
        elif ours and kinds[0] is bool and not isinstance(value, bool):
            raise UserError(f"--{field.name}: expected true or false, found {value!r}.")
        elif ours and str in kinds and not isinstance(value, list):
            check_text(field.name, value, field.metadata["metavar"])


def check_choice(name: str, value: Any, words: list[Any]) -> None:
    """Check that a value is one of the words.

    Raises:
        UserError: If it is not.
    """
    if value not in words:
        raise UserError(f"--{name}: expected one of {', '.join(map(str, words))}, found {value!r}.")


def check_text(name: str, value: Any, stands_for: str | None = None) -> None:
    """Check a text: something stands there, and if it is a path, it leads to what the option needs.

    Args:
        name: The option.
        value: Its value.
        stands_for: `FILE` or `FOLDER` for a path, which need not exist.

    Raises:
        UserError: If it is no text, is blank, can be no file's name, or leads to something else.
    """
    if not isinstance(value, str | os.PathLike):
        raise UserError(f"--{name}: expected a text, found {value!r}.")
    text = os.fspath(value)
    if not text.strip():
        raise UserError(f"--{name}: expected a value, found an empty text. Leave the option out for its default.")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise UserError(f"--{name}: expected a text that can be encoded, found {text!r}.") from None
    if b"\0" in encoded:
        raise UserError(f"--{name}: expected a text without NUL characters, found {text!r}.")
    if stands_for in (FILE, FOLDER):
        check_path(name, text, stands_for)


def check_path(name: str, path: str, stands_for: str) -> None:
    """Check that a path leads to a file (or pipe), or to a folder, or to nothing yet.

    Raises:
        UserError: If it leads to the other, or nowhere possible.
    """
    try:
        is_folder = stat.S_ISDIR(Path(path).stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"--{name} {path}: cannot be used: {error.strerror}.") from None
    if is_folder and stands_for == FILE:
        raise UserError(f"--{name} {path}: expected a file, found a folder.")
    if not is_folder and stands_for == FOLDER:
        raise UserError(f"--{name} {path}: expected a folder, found a file.")


def _number(value: float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
