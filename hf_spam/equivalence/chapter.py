"""Where each listing, figure and exercise of the chapter is in this project, and what prints or draws it.

The table in this room's README and the headings of `hf-spam native --explain` say the same, and both come from here.
"""

import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = __name__.split(".")[0]
EXPLAIN = "hf-spam native --explain"
_FOUND = Path(__file__).parents[1]


@dataclass(frozen=True)
class Place:
    """A listing, figure or exercise, and where its subject is here.

    Attributes:
        label: Its name in the book.
        subject: What it is about.
        native: The function or class of the chapter's own program, as `room.module:name`.
        hugging_face: That of the Trainer route.
        command: What prints or draws it.
    """

    label: str
    subject: str
    native: str
    hugging_face: str
    command: str = EXPLAIN


_LOOP = "equivalence.native_loop"
_START = "training.initial_model"
_MODEL = "model.modeling_spam_gpt:SpamGPTForSequenceClassification"
_INSPECT = "hf-spam inspect outputs/default 'Do you have time'"

PLACES = (
    Place("Listing 6.1", "the messages: download and unzip", "data.sources:read_uci", "data.sources:open_tables"),
    Place("Figure 6.5", "the messages as a data frame", "data.loading:read_messages", "data.loading:read_messages"),
    Place("Listing 6.2", "as many ham as spam", f"{_LOOP}:balance_messages", "data.sampling:undersample"),
    Place("Listing 6.3", "the three splits", f"{_LOOP}:split_messages", "data.sampling:prepare_splits"),
    Place("Figure 6.6", "from text to padded ids", f"{_LOOP}:SpamDataset", "tokens.encoding:encode"),
    Place("Listing 6.4", "the data set of padded rows", f"{_LOOP}:SpamDataset", "tokens.tokenization:tokenize"),
    Place("Listing 6.5", "the loaders", f"{_LOOP}:build_loaders", "training.fine_tuning:build_trainer"),
    Place("Figure 6.7", "one batch", f"{_LOOP}:build_loaders", "trainable.frozen_prefix:PrefixCollator"),
    Place("Figure 6.8", "an overview of the steps", "commands.native:main", "commands.train:main"),
    Place(
        "Listing 6.6",
        "the pretrained GPT",
        "commands.native:build_language_model",
        f"{_START}:load_weights",
    ),
    Place("Figure 6.9", "the head that is replaced", "model.gpt:GPTModel", _MODEL),
    Place("Listing 6.7", "the new head", f"{_LOOP}:replace_head", f"{_START}:initialize_model"),
    Place("Figure 6.10", "what trains", "trainable.freezing:freeze", "trainable.freezing:freeze"),
    Place("Figure 6.11", "logits at every position", "model.gpt:GPTModel.forward", f"{_MODEL}.forward", _INSPECT),
    Place(
        "Figure 6.12",
        "causal attention: the last position sees all",
        "model.gpt:MultiHeadAttention",
        "model.layers_spam_gpt:SpamGPTAttention",
        f"{_INSPECT} --output attention.png",
    ),
    Place("Figure 6.13", "an overview of the steps", "commands.native:main", "commands.train:main"),
    Place("Figure 6.14", "from logits to a label", f"{_LOOP}:classify", "inference.classifier:SpamClassifier.scores"),
    Place("Listing 6.8", "the accuracy over a loader", f"{_LOOP}:loader_accuracy", "training.callbacks:estimate"),
    Place("Listing 6.9", "the loss over a loader", f"{_LOOP}:loader_loss", "training.callbacks:estimate"),
    Place("Figure 6.15", "a training loop", f"{_LOOP}:train", "training.trainer:SpamTrainer"),
    Place(
        "Listing 6.10",
        "training with interim estimates",
        f"{_LOOP}:train",
        "training.callbacks:InterimEstimates",
        "hf-spam train --preset book",
    ),
    Place("Listing 6.11", "the plots", "evaluation.plots:plot_history", "evaluation.plots:plot_history"),
    Place("Figure 6.16", "both losses", "evaluation.plots:plot_history", "evaluation.plots:plot_history"),
    Place("Figure 6.17", "both accuracies", "evaluation.plots:plot_history", "evaluation.plots:plot_history"),
    Place(
        "Listing 6.12",
        "a new text",
        f"{_LOOP}:classify",
        "inference.classifier:SpamClassifier",
        "hf-spam predict outputs/book 'You are a winner'",
    ),
    Place(
        "Exercise 6.1",
        "rows as long as the context",
        f"{_LOOP}:SpamDataset",
        f"{_START}:build_config",
        "hf-spam train --preset book --pad_to context",
    ),
    Place(
        "Exercise 6.2",
        "the whole model trains",
        "trainable.freezing:freeze",
        "trainable.freezing:freeze",
        "hf-spam train --preset book --trainable all",
    ),
    Place(
        "Exercise 6.3",
        "the first token instead of the last",
        f"{_LOOP}:batch_loss",
        f"{_MODEL}.forward",
        "hf-spam train --preset book --pooling first_token",
    ),
)
BY_LABEL = {place.label: place for place in PLACES}


def find(name: str) -> Any:
    """Return the function or class of a `room.module:name`."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(f"{PACKAGE}.{module}")
    for part in path.split("."):
        found = getattr(found, part)
    return found


def locate(name: str) -> str:
    """Return the file, the line and the name of a `room.module:name`: `hf_spam/room/module.py:12 name`."""
    found = inspect.unwrap(find(name))
    _, line = inspect.getsourcelines(found)
    file = Path(inspect.getfile(found)).relative_to(_FOUND)
    return f"{PACKAGE}/{file.as_posix()}:{line} {name.partition(':')[2]}"


def heading(*labels: str) -> str:
    """Return the heading of a step of the walk: each label and its subject, and where both routes have it."""
    places = [BY_LABEL[label] for label in labels]
    lines = ["", " · ".join(f"{place.label}: {place.subject}" for place in places)]
    for route, names in (
        ("native loop", dict.fromkeys(place.native for place in places)),
        ("Hugging Face", dict.fromkeys(place.hugging_face for place in places)),
    ):
        lines += [f"  {route if not number else '':13} {locate(name)}" for number, name in enumerate(names)]
    return "\n".join(lines)
