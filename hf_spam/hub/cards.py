"""What model cards and data set cards share: rendering a template, and describing how the splits were made."""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..data.arguments import DataArguments
from ..data.labels import Task
from ..errors import UNPRINTABLE, plain

_MOST_NAMES = 20  # labels in a sentence


def render(template: str, facts: Mapping[str, Any]) -> str:
    """Return the card that a template in this folder makes of the facts; a missing fact is an error, never a blank."""
    return _environment().get_template(template).render(facts).rstrip() + "\n"


@functools.cache
def _environment() -> Environment:
    loader = PackageLoader(__package__, package_path="")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.globals |= {"listed": _listed, "quoted": _quoted}
    environment.filters["plain"] = plain
    return environment


_BALANCES = {
    "none": "All messages are used, without balancing the labels.",
    "undersample": "Messages of the more frequent labels were dropped at random until all were equally frequent.",
    "oversample": "In training, messages of the rarer labels were repeated at random until all were equally frequent.",
    "class_weights": "All messages are used; in the training loss each label weighs the same in total.",
    "focal": "All messages are used; the training loss is the focal loss.",
}
_SPLITS = {
    "chapter": "at random",
    "stratified": "at random, with the same share of each label in every split",
    "grouped": "at random, near duplicates into the same one, with about the same share of each label in every split",
}


def describe_preparation(data: DataArguments, task: Task, given: bool) -> str:
    """Say in a sentence or two how the splits were made, or that they were given."""
    if given:
        balanced = data.balance if data.balance not in (None, "none") else None
        return "They were already split." + (f" Training is balanced ({balanced})." if balanced else "")
    plan = data.plan(task)
    kept = _BALANCES[plan.balance]
    if plan.balance == "undersample" and plan.split == "grouped":
        kept = f"In training, {kept[0].lower()}{kept[1:]}"
    if data.deduplicate:
        kept = f"Of messages with the same text one was kept. {kept}"
    train, validation = round(100 * data.train_fraction), round(100 * data.validation_fraction)
    shares = f"{train}/{validation}/{100 - train - validation}"
    return f"{kept} The messages are split {shares} {_SPLITS[plan.split]} (seed {data.split_seed})."


def to_json(value: Any) -> str:
    """Return indented JSON in which every line is a line of its own to everyone."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "\n".join(
        UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", line.replace("```", "\\u0060``"))
        for line in text.split("\n")
    )


def _listed(names: Sequence[str]) -> str:
    shown = [f"`{name}`" if re.fullmatch(r"[\w .-]+", name) else plain(name) for name in names[:_MOST_NAMES]]
    if len(names) > _MOST_NAMES:
        shown.append(f"one of {len(names) - _MOST_NAMES:,} more")
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 2 else shown)


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(json.dumps(text, ensure_ascii=False) for text in texts)
