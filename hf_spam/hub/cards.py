"""What the cards of a model and of a data set share: their templates, and what they say of messages."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from ..data.arguments import DataArguments

HUB_DATASET = "ucirvine/sms_spam"  # the SMS Spam Collection on the Hub


def render(template: str, facts: Mapping[str, Any]) -> str:
    """A card from a template of this folder; a fact that is missing is an error, never a blank."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.globals |= {"listed": _listed, "quoted": _quoted}
    text = (Path(__file__).parent / template).read_text(encoding="utf-8")
    return environment.from_string(text).render(facts).rstrip() + "\n"


def describe_preparation(data: DataArguments) -> str:
    """How the splits came about, in a sentence or two."""
    if data.data_dir is not None:
        return "They had been split beforehand."
    kept = "All are used, as many as there are of each label."
    if data.balance:
        kept = "Of the more frequent label as many are kept, at random, as there are of the other."
    train, validation = round(100 * data.train_fraction), round(100 * data.validation_fraction)
    return f"{kept} They are split {train}/{validation}/{100 - train - validation} at random (seed {data.split_seed})."


def _listed(names: Sequence[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(json.dumps(text, ensure_ascii=False) for text in texts)
