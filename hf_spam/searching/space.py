"""The search space: which options of `hf-spam train` a search varies, and which values it tries."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..option_files import read_config, to_argv
from ..options import OptionParser

# Options of the recipe and of the model. Which messages train and with which seed is no matter of tuning.
SEARCHABLE = (
    *("learning_rate", "num_train_epochs", "global_batch_size", "drop_rate", "warmup_steps", "weight_decay"),
    *("max_grad_norm", "lr_scheduler_type", "optim", "label_smoothing_factor"),
    *("adam_beta1", "adam_beta2", "adam_epsilon"),
    *("model_size", "pooling", "trainable"),
)
_KEYS = {"low", "high", "log"}
_DIGITS = 3  # of a number drawn from a range: what a person would type


@dataclass(frozen=True)
class Parameter:
    """An option that is searched.

    Attributes:
        name: The option.
        choices: The values to choose from, or
        low: the least value of a range, and
        high: its greatest.
        log: Whether the range is searched on a logarithmic scale.
        whole: Whether its values are whole numbers.
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def suggest(self, trial: Any) -> Any:
        """Return the value that an Optuna trial tries."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        value = float(f"{trial.suggest_float(self.name, self.low, self.high, log=self.log):.{_DIGITS}g}")
        return min(max(value, self.low), self.high)

    def holds(self, value: Any) -> bool:
        """Tell whether a value is in the space."""
        return value in self.choices if self.choices else self.low <= value <= self.high

    def describe(self) -> str:
        """Return the values in words."""
        if self.choices:
            return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in self.choices)
        return f"{self.low:g} to {self.high:g}{', log-uniform' if self.log else ''}"


Space = tuple[Parameter, ...]


def read_space(path: str | Path, parser: OptionParser) -> Space:
    """Read a space from a YAML or JSON file: for each option a list of values, or `{low, high, log}`.

    Args:
        path: The file.
        parser: Of the options of `hf-spam train`, which checks each value as if it were typed.

    Raises:
        UserError: If it is no such file, or names an option or a value that cannot be tried.
    """
    try:
        found = read_config(path)
        if not found:
            raise UserError("expected at least one option, found none.")
        return tuple(_parse(name, value, parser) for name, value in found.items())
    except UserError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise UserError(f"--space {path}: {reason}") from None


def _parse(name: str, value: Any, parser: OptionParser) -> Parameter:
    if name not in SEARCHABLE:
        raise UserError(f"expected options that can be searched ({', '.join(SEARCHABLE)}), found {name[:80]!r}.")
    if isinstance(value, list):
        if len(value) < 2:
            raise UserError(f"{name}: expected two values or more, found {len(value)}. Give one value as an option.")
        choices = tuple(_typed(name, item, parser) for item in value)
        if len(set(choices)) < len(choices):
            raise UserError(f"{name}: expected different values, found one twice.")
        return Parameter(name, choices)
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= _KEYS:
        raise UserError(f"{name}: expected a list of values, or a mapping of low, high and perhaps log.")
    low, high = (_typed(name, value[key], parser) for key in ("low", "high"))
    log = value.get("log", False)
    if isinstance(low, str | bool) or isinstance(high, str | bool):
        raise UserError(f"{name}: expected a list of values, found a range. It is no number.")
    if not isinstance(log, bool):
        raise UserError(f"{name}: expected true or false as log, found {str(log)[:40]!r}.")
    if not low < high:
        raise UserError(f"{name}: expected a low below the high, found {low:g} and {high:g}.")
    if log and low <= 0:
        raise UserError(f"{name}: expected a low above 0 for a logarithmic scale, found {low:g}.")
    return Parameter(name, (), low, high, log, isinstance(low, int) and isinstance(high, int))


def _typed(name: str, value: Any, parser: OptionParser) -> Any:
    """Return a value as the option's type; the parser refuses what the option would."""
    if value is None or isinstance(value, list | dict):
        raise UserError(f"{name}: expected plain values, found another.")
    return parser.given(to_argv({name: value}, parser))[name]


def default_space(options: Mapping[str, Any]) -> Space:
    """Return the space of a search that names none. It holds the values that the options have without a search.

    Args:
        options: All options of the recipe and the model. Where all of it trains from random weights the rates are
            higher, and dropout is searched; elsewhere dropout would only cost the prefix cache.
    """
    from_scratch = options.get("weights") == "random" and options.get("trainable") == "all"
    rates = (1e-4, 2e-3) if from_scratch else (1e-5, 1e-3)
    space = [
        Parameter("learning_rate", (), *rates, log=True),
        Parameter("num_train_epochs", (1.0, 2.0, 3.0, 5.0)),
        Parameter("global_batch_size", (8, 16, 32)),
        Parameter("weight_decay", (), 0.0, 0.3),
    ]
    if options.get("lr_scheduler_type", "constant") != "constant":
        space.append(Parameter("warmup_steps", (0.0, 0.1, 0.2)))
    if from_scratch:
        space.append(Parameter("drop_rate", (0.0, 0.1, 0.2, 0.3)))
    return tuple(_extend(parameter, options[parameter.name]) for parameter in space)


def _extend(parameter: Parameter, value: Any) -> Parameter:
    """Return a parameter whose values include one more."""
    if parameter.choices:
        return replace(parameter, choices=tuple(sorted({*parameter.choices, value})))
    return replace(parameter, low=min(parameter.low, value), high=max(parameter.high, value))


def refuse_fixed_and_searched(space: Space, given: Collection[str]) -> None:
    """Refuse a space that varies what the command line fixes.

    Raises:
        UserError: With the option.
    """
    answers = {"global_batch_size": ("per_device_train_batch_size",)}
    for parameter in space:
        for name in (parameter.name, *answers.get(parameter.name, ())):
            if name in given:
                raise UserError(f"--{name}: expected a fixed option, found one that --space varies. Leave one out.")


def check_values(space: Space, check: Callable[[Mapping[str, Any]], object]) -> None:
    """Check the values of a space, each alone, by what builds a run's options.

    Args:
        space: Of a range its two ends are checked.
        check: Raises a UserError where the options do not allow a setting.

    Raises:
        UserError: If one of them cannot be tried with the other options.
    """
    for parameter in space:
        for value in parameter.choices or (parameter.low, parameter.high):
            check({parameter.name: int(value) if parameter.whole else value})


def starting_setting(space: Space, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the setting that all options had without a search, if the space holds it.

    It is the first one to be tried, so that the best is never worse.
    """
    setting = {parameter.name: options[parameter.name] for parameter in space}
    held = all(setting[it.name] is not None and it.holds(setting[it.name]) for it in space)
    return setting if held else None


def describe_space(space: Space) -> str:
    """Return the lines that are printed before a search."""
    width = max(len(parameter.name) for parameter in space)
    lines = [f"{parameter.name:{width}}  {parameter.describe()}" for parameter in space]
    return "\n".join(f"{'space' if not number else '':7}{line}" for number, line in enumerate(lines))


def to_json(space: Space) -> list[dict[str, Any]]:
    """Return a space as JSON values."""
    return [asdict(parameter) | {"choices": list(parameter.choices)} for parameter in space]
