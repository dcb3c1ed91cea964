"""Options from the command line, from files and from presets: one mapping of names to values, later over earlier."""

import argparse
import dataclasses
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from .errors import UserError
from .option_files import read_config as read_config
from .option_files import to_argv as to_argv
from .values.ranges import Range, check_text

# Answers to the same question, each of one option or several. Where a later level answers it, another answer of an
# earlier level is dropped; two answers on one level contradict each other.
_ALTERNATIVES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("data_source",),
        ("data_file",),
        ("data_dir",),
        ("train_file", "validation_file", "test_file"),
        ("dataset_name", "dataset_config", "dataset_split", "dataset_revision"),
    ),
    (("global_batch_size",), ("per_device_train_batch_size",)),
)


# The sections of `--help`, in this order. An option without a group stands under argparse's "options".
THE_RUN = "the run"
MESSAGES = "which messages"
LABELS = "labels and balance"
MODEL = "which model"
RECIPE = "training recipe"
EVALUATION = "evaluation during training"
CHECKPOINTS = "checkpoints and resuming"
SPEED = "speed"
PUBLISHING = "publishing"
_GROUPS = (THE_RUN, MESSAGES, LABELS, MODEL, RECIPE, EVALUATION, CHECKPOINTS, SPEED, PUBLISHING)
TRAINERS = "the Trainer's own options"  # shown by --help_all
_METAVARS = {"int": "N", "float": "X", "string_to_bool": "true|false"}  # by the names of types


def option(
    default: Any, help: str, group: str | None = None, metavar: str | None = None, range: Range | None = None
) -> Any:
    """Return a dataclass field for an option. `values.ranges.check_values` checks what it gets.

    Args:
        default: The option's default. `--help` shows it, unless it is `None`: then the text says what happens.
        help: The text that `--help` shows.
        group: The section of `--help` that it belongs to.
        metavar: What stands for the value in `--help`. A value called `FILE` or `FOLDER` must not lead to the other.
        range: The numbers that it accepts.
    """
    return field(default=default, metadata={"help": help, "group": group, "metavar": metavar, "range": range})


class OptionParser(argparse.ArgumentParser):
    """A parser that keeps only what was given and reports mistakes as `UserError`.

    transformers is not imported; `DataclassParser` makes options of dataclasses.

    Args:
        prog: The command as it is typed.
        description: What it does.
        arguments: The positional arguments, for the usage line.
        without: Fields of dataclasses that are no option here.
        more: For another parser that this class stands before.
    """

    dataclass_types: Any = ()  # those of a `DataclassParser`

    def __init__(
        self,
        *,
        prog: str,
        description: str | None,
        arguments: str = "",
        without: Collection[str] = (),
        **more: Any,
    ) -> None:
        self._without = {f"--{name}" for name in without}
        self._names: set[str] = set()
        self._ranges: dict[str, tuple[Range, bool]] = {}
        self._texts: dict[str, str | None] = {}
        self._sections: dict[str, Any] = {}
        self._inherited: list[tuple[argparse.Action, str]] = []
        self._reads_dataclasses = True
        super().__init__(
            prog=prog,
            usage=" ".join(["%(prog)s", "[OPTION ...]", arguments]).strip(),
            description=description,
            formatter_class=partial(argparse.HelpFormatter, max_help_position=34),
            add_help=False,  # added below, as it belongs to no dataclass
            allow_abbrev=False,
            **more,
        )
        self._reads_dataclasses = False
        super().add_argument("-h", "--help", action="help", help="Show this help and exit.")
        if self._inherited:
            super().add_argument("--help_all", action=_HelpAll, help=f"Show {TRAINERS}, too, and exit.")

    def add_argument(self, *flags: str, **kwargs: Any) -> argparse.Action:
        """Add an argument to its section of `--help`; an option gets its default into the text.

        Of several spellings of an option, `--help` shows the first. A `range` is checked when the option is read.
        """
        if self._reads_dataclasses and flags[0] in self._without:
            return argparse.Action(list(flags), flags[0])
        range_ = kwargs.pop("range", None)
        if not flags[0].startswith("-"):
            return super().add_argument(*flags, **kwargs)
        # An option without a group has `None`; a field that `option` did not make has no such key.
        group = kwargs.pop("group", TRAINERS if self._reads_dataclasses else None)
        inherited = group == TRAINERS
        if not self._sections:
            self._sections = {name: self.add_argument_group(name) for name in (*_GROUPS, TRAINERS)}
        add = self._sections[group].add_argument if group else super().add_argument
        kwargs = _describe(kwargs)
        is_negation = flags[0].startswith("--no_")  # added to an option that is true
        hidden = kwargs | {"help": argparse.SUPPRESS}
        action: argparse.Action = add(flags[0], **hidden if inherited or is_negation else kwargs)
        for spelling in flags[1:]:
            add(spelling, **hidden | {"dest": action.dest})
        if inherited and not is_negation:
            self._inherited.append((action, kwargs["help"]))
        self._names.add(action.dest)
        if range_ is not None:
            self._ranges[action.dest] = (range_, kwargs["type"] is int)
        elif kwargs.get("type", str) in (str, Path) and not kwargs.get("choices") and "action" not in kwargs:
            self._texts[action.dest] = kwargs["metavar"]
        return action

    def format_full_help(self) -> str:
        """Return the help with the inherited options."""
        for action, text in self._inherited:
            action.help = text
        return self.format_help()

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage.

        Raises:
            UserError: Always.
        """
        message = re.sub(r"(--\w+)/--[\w-]+", r"\1", message)  # name an option once, not with its hidden spellings
        raise UserError(f"{message}. See: {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the options, and what is none of them.

        Raises:
            UserError: If an option has a value that it does not accept.
        """
        try:
            found, rest = super().parse_known_args(args, namespace)
        except UserError as error:
            if "arguments are required" not in str(error) or (moved := self._without_last(args)) is None:
                raise
            found, rest = super().parse_known_args(moved, namespace)
        for name, value in vars(found).items():
            if value is None or type(value) is object:  # not given: see `given`
                continue
            if (
                value == [] and name in self._names and value != self.get_default(name)
            ):  # what argparse makes of `--name=--`
                self.error(f"argument --{name}: expected a value, found '--'")
            if name in self._ranges:
                range_, whole = self._ranges[name]
                range_.check(name, value, whole)
            elif name in self._texts and value != self.get_default(name):
                for text in value if isinstance(value, list) else [value]:
                    if text is not True:  # an option that may stand alone
                        check_text(name, text, self._texts[name])
        return found, rest

    def _without_last(self, argv: Sequence[str] | None) -> list[str] | None:
        """Return what was typed with an option's last value as an argument: `--data_file a.csv MODEL`."""
        words = list(sys.argv[1:] if argv is None else argv)
        for start, word in enumerate(words):
            action = self._option_string_actions.get(word)
            if action is not None and action.nargs == "+":
                end = next((at for at in range(start + 1, len(words)) if words[at].startswith("--")), len(words))
                if end - start > 2:
                    return [words[end - 1], *words[: end - 1], *words[end:]]
        return None

    def given(self, argv: Sequence[str]) -> dict[str, Any]:
        """Return the options that stand in `argv`, typed, without any default."""
        unset = object()  # argparse leaves alone what the namespace holds already
        namespace = argparse.Namespace(**dict.fromkeys(self._names, unset))
        return {
            name: value for name, value in vars(self.parse_args(list(argv), namespace)).items() if value is not unset
        }


class _HelpAll(argparse.Action):
    """Print the whole help and exit."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *args: Any) -> None:
        if isinstance(parser, OptionParser):
            print(parser.format_full_help(), end="")
        parser.exit()


def _describe(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return an option's arguments for argparse with the default in its text and a short name for its value."""
    default, help = kwargs.get("default"), kwargs.get("help") or ""
    if default not in (None, argparse.SUPPRESS, "", [], {}) and "(default" not in help:
        shown = str(default).lower() if isinstance(default, bool) else str(default).replace("%", "%%")
        help = f"{help.removesuffix('.')} (default: {shown})."
    described = {name: value for name, value in kwargs.items() if name != "metavar" or value is not None}
    described["help"] = help
    if "action" not in kwargs and "choices" not in kwargs:
        described.setdefault("metavar", _METAVARS.get(getattr(kwargs.get("type"), "__name__", ""), "TEXT"))
    return described


def merge(*levels: Mapping[str, Any]) -> dict[str, Any]:
    """Join levels of options; a later one overrides an earlier.

    Raises:
        UserError: If one level answers a question twice (`--data_source` and `--data_file`).
    """
    merged: dict[str, Any] = {}
    for level in levels:
        refuse_contradictions(level)
        for answers in _ALTERNATIVES:
            for answer in answers:
                if any(name in level for name in answer):
                    others = {name for names in answers for name in names if names != answer}
                    merged = {name: value for name, value in merged.items() if name not in others}
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
    for answers in _ALTERNATIVES:
        given = [[name for name in names if name in level] for names in answers]
        found = [names[0] for names in given if names]
        if len(found) > 1:
            expected = ", --".join(names[0] for names in answers)
            raise UserError(f"expected one of --{expected}, found --{' and --'.join(found)}.")
