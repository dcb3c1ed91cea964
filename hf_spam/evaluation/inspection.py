"""Looking inside a classifier: its parts and their shapes, the logits at every position, the attention of a block."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..conversion.to_book import as_book
from ..data.labels import task_of_config
from ..errors import one_line, shorten
from ..model.gpt import TransformerBlock
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..model.pooling_spam_gpt import find_position, to_rows
from ..system.files import atomic_file
from ..tokens.encoding import encode, special_counts, truncate

_MOST_LABELS = 12  # columns of logits
_LONGEST_TOKEN, _LONGEST_LABEL = 24, 16
_MOST_NAMED = 128  # tokens that the picture names


@dataclass(frozen=True)
class Part:
    """A line of the architecture.

    Attributes:
        name: Its name in `GPTModel`; that of a part of a block is indented.
        shape: The shapes of its parameters, or which part it is like.
        parameters: How many parameters it has.
        trained: How many of them were trained; `None` for a part of a block, and where nothing says it.
    """

    name: str
    shape: str
    parameters: int
    trained: int | None = None


@dataclass(frozen=True)
class Reading:
    """How a classifier reads a text.

    Attributes:
        ids: The row as the model reads it, padding included.
        tokens: What each id stands for.
        logits: At every position. *Shape:* `[T, num_labels]`.
        read: The positions whose logits are the text's.
    """

    ids: list[int]
    tokens: list[str]
    logits: Tensor
    read: list[int]


# --- the architecture ------------------------------------------------------------------------------------------------


def list_parts(model: SpamGPTForSequenceClassification, trained: Collection[str] | None = None) -> list[Part]:
    """Return the parts of a model from the embeddings to the head; of blocks, what is in the first.

    Args:
        model: The classifier.
        trained: The names of the parameters that were trained, as in `GPTModel`, if that is known.
    """
    parameters = dict(as_book(model).named_parameters())
    blocks = [f"trf_blocks.{number}" for number in range(model.config.n_layers)]
    parts = []
    for name in ("tok_emb", "pos_emb", *blocks, "final_norm", "out_head"):
        own = {path.removeprefix(f"{name}."): it for path, it in parameters.items() if path.startswith(f"{name}.")}
        size = sum(parameter.numel() for parameter in own.values())
        learned = None
        if trained is not None:
            learned = sum(parameter.numel() for path, parameter in own.items() if f"{name}.{path}" in trained)
        is_block = name in blocks
        shape = "" if is_block and name == blocks[0] else f"as {blocks[0]}" if is_block else _shapes(own.values())
        parts.append(Part(name, shape, size, learned))
        if is_block and name == blocks[0]:
            for inner in dict.fromkeys(path.rpartition(".")[0] for path in own):
                tensors = [parameter for path, parameter in own.items() if path.rpartition(".")[0] == inner]
                parts.append(Part(f"  {inner}", _shapes(tensors), sum(map(Tensor.numel, tensors))))
    return parts


def _shapes(parameters: Collection[Tensor]) -> str:
    return " + ".join(str(list(parameter.shape)) for parameter in parameters)


def describe_parts(parts: Collection[Part]) -> str:
    """Return the parts as a table, with their sum in the last line."""
    whole = [part for part in parts if not part.name.startswith(" ")]
    known = any(part.trained is not None for part in whole)
    learned = sum(part.trained or 0 for part in whole) if known else None
    total = Part("all", "", sum(part.parameters for part in whole), learned)
    rows = [("part", "shape", "parameters", "trained" if known else "")]
    for part in [*parts, total]:
        trained = "" if part.trained is None else f"{part.trained:,}"
        rows.append((part.name, part.shape, f"{part.parameters:,}", trained))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}".rstrip()
        for row in rows
    )


def describe_sizes(model: SpamGPTForSequenceClassification) -> str:
    """Return the lines on the model's sizes, its labels and the position that it reads."""
    config: Any = model.config
    width = "" if config.row_length is None else f", rows of {config.row_length:,} tokens"
    return "\n".join(
        [
            f"model  {config.n_layers} layers × {config.emb_dim} wide, {config.n_heads} heads, context "
            f"{config.context_length:,}, vocabulary {config.vocab_size:,}",
            one_line(task_of_config(config).describe()),
            f"read   {config.pooling}{width}",
        ]
    )


# --- a text ----------------------------------------------------------------------------------------------------------


def positions_read(model: SpamGPTForSequenceClassification, ids: list[int]) -> tuple[Tensor, list[int]]:
    """Return a text's row as the model reads it, *shape* `[1, T]`, and the positions whose logits are the text's."""
    config: Any = model.config
    row = torch.tensor([ids], dtype=torch.long, device=model.device)
    row, real = to_rows(config, row, torch.ones_like(row))
    at = find_position(config, real)
    return row, (real[0].nonzero().flatten() if at is None else at).tolist()


@torch.inference_mode()
def read_text(model: SpamGPTForSequenceClassification, tokenizer: PreTrainedTokenizerBase, text: str) -> Reading:
    """Return a text's tokens and the logits at every position. A long text is cut as for a prediction."""
    longest = min(tokenizer.model_max_length, model.config.max_text_length)
    (ids,) = truncate(encode(tokenizer, [text], longest), longest, special_counts(tokenizer)[1])
    row, read = positions_read(model.eval(), ids)
    logits = model.score(model.model(row).last_hidden_state)[0].float().cpu()  # [T, num_labels]
    found = row[0].tolist()
    return Reading(found, [str(tokenizer.decode([id_])) for id_ in found], logits, read)


def describe_reading(model: SpamGPTForSequenceClassification, reading: Reading) -> str:
    """Return a line for each position: its number, id and token, the logit of each label, and whether it is read."""
    names = [shorten(one_line(name), _LONGEST_LABEL) for name in task_of_config(model.config).names]
    shown = names[:_MOST_LABELS]
    widths = [max(9, len(name)) for name in shown]
    tokens = [shorten(one_line(repr(token)), _LONGEST_TOKEN) for token in reading.tokens]
    width = max(5, *map(len, tokens))
    head = "  ".join(f"{name:>{size}}" for name, size in zip(shown, widths, strict=True))
    lines = [f"{'':4}  {'id':>6}  {'token':{width}}  {head}"]
    for place, (id_, token, row) in enumerate(zip(reading.ids, tokens, reading.logits.tolist(), strict=True)):
        values = "  ".join(f"{value:{size}.4f}" for value, size in zip(row, widths, strict=False))
        mark = "  ← read" if place in reading.read else ""
        lines.append(f"{place:4}  {id_:6}  {token:{width}}  {values}{mark}")
    if len(names) > len(shown):
        lines.append(f"logits of the first {len(shown)} of {len(names)} labels")
    return "\n".join(lines)


# --- attention -------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def attention_of(model: SpamGPTForSequenceClassification, reading: Reading, block: int) -> Tensor:
    """Return how much the last position that is read attends to each position in one block.

    Args:
        model: The classifier.
        reading: From `read_text`.
        block: The block's number, from 0.

    Returns:
        The weights of each head, which add up to 1. *Shape:* `[n_heads, T]`.
    """
    gpt = model.model.eval()
    chosen: TransformerBlock = gpt.trf_blocks[block]
    weights: list[Tensor] = []
    handle = chosen.att.softmax.register_forward_hook(lambda *found: weights.append(found[2]))
    try:
        states = gpt.states(torch.tensor([reading.ids], device=model.device), block)  # [1, T, C]
        chosen.att(chosen.norm1(states), explicit=True)
    finally:
        handle.remove()
    return weights[0][0, :, reading.read[-1]].float().cpu()


def draw_attention(weights: Tensor, reading: Reading, block: int, file: Path) -> None:
    """Draw the attention weights as a PNG: a row for each head, a column for each token.

    Args:
        weights: From `attention_of`. *Shape:* `[n_heads, T]`.
        reading: The text.
        block: The block's number, for the title.
        file: Where the picture goes; it is written whole or not at all.
    """
    heads, length = weights.shape
    figure = Figure(figsize=(min(2.5 + 0.22 * length, 40), 2 + 0.25 * heads), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(weights.numpy(), cmap="Blues", vmin=0, aspect="auto", interpolation="nearest")
    step = -(-length // _MOST_NAMED)
    # Escaped: fonts lack most scripts, and `$` would begin a formula.
    names = [shorten(ascii(token)[1:-1], _LONGEST_TOKEN).replace("$", r"\$") for token in reading.tokens[::step]]
    axes.set_xticks(range(0, length, step), names, rotation=90, fontsize=8)
    axes.set_yticks(range(heads), [str(head) for head in range(heads)], fontsize=8)
    axes.set_ylabel("Head")
    axes.set_title(f"Attention of position {reading.read[-1]} in block {block}", fontsize=10)
    figure.colorbar(image, label="Weight")
    with atomic_file(file) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
