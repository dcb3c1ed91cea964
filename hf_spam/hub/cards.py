"""What model cards and data set cards share: rendering a template, and describing how the splits were made."""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..data.arguments import DataArguments
from ..errors import UNPRINTABLE, one_line

HUB_DATASET = "ucirvine/sms_spam"  # the SMS Spam Collection on the Hub


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


def describe_preparation(data: DataArguments) -> str:
    """Say in a sentence or two how the splits were made."""
    if data.data_dir is not None:
        return "They were already split."
    kept = "All messages are used, without balancing the labels."
    if data.balance:
        kept = "Messages of the more frequent label were dropped at random until both labels were equally frequent."
    train, validation = round(100 * data.train_fraction), round(100 * data.validation_fraction)
    shares = f"{train}/{validation}/{100 - train - validation}"
    return f"{kept} The messages are split {shares} at random (seed {data.split_seed})."


def plain(text: object) -> str:
    """Return text that Markdown shows as it is: one line, without formatting, links, HTML or cells of its own."""
    line = " ".join(one_line(text).split())
    return re.sub(r"[^\w\s.,:;()/+='%-]|_(?=\W|$)|(?<!\w)_|^[-+=#]|^\d+[.)]", _entities, line)


def to_json(value: Any) -> str:
    """Return indented JSON in which every line is a line of its own to everyone."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "\n".join(
        UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", line.replace("```", "\\u0060``"))
        for line in text.split("\n")
    )


def _entities(found: re.Match[str]) -> str:
    return "".join(f"&#{ord(character)};" for character in found[0])


def _listed(names: Sequence[str]) -> str:
    return " or ".join(f"`{name}`" if re.fullmatch(r"[\w .-]+", name) else plain(name) for name in names)


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(json.dumps(text, ensure_ascii=False) for text in texts)
