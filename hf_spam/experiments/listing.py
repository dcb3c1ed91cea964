"""A list of experiments in YAML: names, options of `hf-spam train`, and published figures to compare with."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..option_files import read_config
from ..system.reading import describe

CHAPTER = Path(__file__).with_name("chapter6.yaml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_FIELDS = ("name", "title", "options", "published")
_PUBLISHED = ("train", "validation", "test", "minutes")
# What the command decides for each run, or what has no place in a table.
TAKEN = (
    *("output_dir", "overwrite_output_dir", "resume_from_checkpoint", "config", "seed", "disable_tqdm", "report"),
    *("push_to_hub", "hub_model_id", "hub_token", "hub_private_repo", "hub_revision"),
)


@dataclass(frozen=True)
class Experiment:
    """A recipe with a name.

    Attributes:
        name: Letters, digits, dots, dashes and underscores; a folder's name.
        title: What is different about it, for the table.
        options: Options of `hf-spam train`.
        published: Accuracies in % by split and `minutes`, to show beside ours.
    """

    name: str
    title: str
    options: dict[str, Any] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)


def read_experiments(path: Path) -> list[Experiment]:
    """Read a list of experiments.

    Args:
        path: YAML or JSON: `experiments`, a list of mappings with a `name` and perhaps `title`, `options` and
            `published`; and perhaps `options` of all of them.

    Raises:
        UserError: If the file cannot be read or something else stands in it.
    """
    values = read_config(path)
    try:
        _check_fields(values, ("options", "experiments"), "the list")
        shared, listed = _options(values.get("options"), "the list"), values.get("experiments")
        if not isinstance(listed, list) or not listed:
            raise UserError(f"expected experiments, a list of mappings, found {describe(listed)}.")
        experiments = [_read(item, shared, number) for number, item in enumerate(listed, start=1)]
        names = [experiment.name for experiment in experiments]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(f"expected a different name for each experiment, found {', '.join(twice)} twice.")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return experiments


def choose(experiments: Sequence[Experiment], names: Collection[str]) -> list[Experiment]:
    """Return the experiments of these names in the order of the list; without names all.

    Raises:
        UserError: If there is none of a name.
    """
    known = [experiment.name for experiment in experiments]
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"expected names of experiments ({', '.join(known)}), found {', '.join(unknown)}.")
    return [experiment for experiment in experiments if not names or experiment.name in names]


def _read(item: Any, shared: Mapping[str, Any], number: int) -> Experiment:
    if not isinstance(item, dict):
        raise UserError(f"experiment {number}: expected a mapping with a name, found {describe(item)}.")
    _check_fields(item, _FIELDS, f"experiment {number}")
    name = item.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"experiment {number}: expected a name of letters, digits, dots, dashes and underscores, found "
            f"{describe(name)}."
        )
    title, published = item.get("title", name), item.get("published") or {}
    if not isinstance(title, str) or len(title) > 200:
        raise UserError(f"{name}: expected a title of up to 200 characters, found {describe(title)}.")
    if not isinstance(published, dict):
        raise UserError(f"{name}: expected published figures by name, found {describe(published)}.")
    _check_fields(published, _PUBLISHED, f"{name}, published")
    for what, value in published.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10**6:
            raise UserError(f"{name}: expected as published {what} a number, found {describe(value)}.")
    return Experiment(name, title, {**shared, **_options(item.get("options"), name)}, published)


def _options(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected options, a mapping of names to values, found {describe(value)}.")
    if taken := [name for name in TAKEN if name in value]:
        raise UserError(f"{where}: expected options of the recipe, found {taken[0]}, which the command decides.")
    return value


def _check_fields(values: Mapping[str, Any], known: Collection[str], where: str) -> None:
    if unknown := [str(name) for name in values if name not in known]:
        raise UserError(f"{where}: expected {', '.join(known)}, found {unknown[0][:80]!r}.")
