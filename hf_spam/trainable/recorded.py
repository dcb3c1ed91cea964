"""Which parameters of a saved model were trained, by the record of its run."""

from pathlib import Path
from typing import Any

from ..conversion.to_book import as_book
from ..errors import UserError, one_line, shorten
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..options import read_config
from ..system.reading import read_json
from ..system.run_folder import ARGUMENTS_FILE, METRICS_FILE
from .freezing import freeze


def trained_names(folder: Path, model: SpamGPTForSequenceClassification) -> tuple[str, set[str] | None]:
    """Return what a run's record says of what trained, and the names of those parameters, as in `GPTModel`.

    The names are `None` where there is no record, or none that fits the model.

    Args:
        folder: The run's.
        model: Its model, whose parameters that trained are marked so.

    Raises:
        UserError: If a record cannot be read.
    """
    if not (folder / ARGUMENTS_FILE).exists() or not (folder / METRICS_FILE).exists():
        return "not recorded", None
    trainable: Any = read_config(folder / ARGUMENTS_FILE).get("trainable", "last_block")
    training = read_json(folder / METRICS_FILE).get("training")
    count = training.get("trained_parameters") if isinstance(training, dict) else None
    try:
        names = set(freeze(model, str(trainable)))
    except UserError:  # of another kind than freezing, or of another model
        names = set()
    sizes = {name: parameter.numel() for name, parameter in as_book(model).named_parameters()}
    if names and count == sum(sizes[name] for name in names):
        return str(trainable), names
    shown = f", {count:,} parameters" if type(count) is int else ""
    return one_line(shorten(f"{trainable}{shown}", 100)), None
