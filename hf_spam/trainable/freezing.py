"""Which parameters train: the chapter's choice and its published variations, for either training loop."""

import re

import torch
from torch import nn

from ..conversion.to_book import AnyGPT, as_book
from ..errors import UserError
from ..model.gpt import GPTModel

WORDS = ("last_layer", "last_block", "last_two_blocks", "last_N_blocks", "all", "lora")
_BLOCKS = {"last_layer": 0, "last_block": 1, "last_two_blocks": 2}
_SOME_BLOCKS = re.compile(r"last_([1-9]\d{0,3})_blocks")


def blocks_that_train(trainable: str, n_layers: int | None = None) -> int | None:
    """Return how many blocks train at the end of the model; `None` if all of them do, or adapters in them.

    Args:
        trainable: See `freeze`.
        n_layers: How many blocks the model has, if that is known.

    Raises:
        UserError: If it is none of `WORDS`, or the model has fewer blocks.
    """
    if trainable in ("all", "lora"):
        return None
    some = _SOME_BLOCKS.fullmatch(trainable)
    blocks = int(some[1]) if some else _BLOCKS.get(trainable)
    if blocks is None:
        raise UserError(f"--trainable: expected one of {', '.join(WORDS)}, found {trainable!r}.")
    if n_layers is not None and blocks > n_layers:
        raise UserError(f"--trainable: expected at most the {n_layers} blocks that the model has, found {trainable}.")
    return blocks


def freeze(model: AnyGPT, trainable: str = "last_block") -> list[str]:
    """Let only a part of the model train.

    The key biases that train get gradients of exactly zero, except with `eager` attention, which follows the book.

    Args:
        model: Changed in place, through `requires_grad` and gradient hooks.
        trainable: `last_layer`: the head alone. `last_block` (the chapter), `last_two_blocks`, `last_3_blocks` and so
            on: also the final norm and that many transformer blocks. `all`: everything. `lora` is another thing: see
            `adapters`.

    Returns:
        The names of the parameters that train, as in `GPTModel`.

    Raises:
        UserError: If `trainable` is something else, or the model has fewer blocks.
    """
    gpt = as_book(model)
    blocks = blocks_that_train(trainable, len(gpt.trf_blocks))
    gpt.requires_grad_(blocks is None)
    if blocks is not None:
        parts: list[nn.Module] = [gpt.out_head]
        if blocks:
            parts += [gpt.final_norm, *list(gpt.trf_blocks)[-blocks:]]
        for part in parts:
            part.requires_grad_(True)
    if gpt.config._attn_implementation != "eager":
        _zero_key_bias_gradients(gpt)
    return [name for name, parameter in gpt.named_parameters() if parameter.requires_grad]


def _zero_key_bias_gradients(model: GPTModel) -> None:
    """Replace the rounding noise in the key biases' gradients by their true value, zero.

    A key bias adds the same to all scores of a query, which the softmax removes. AdamW would scale the noise up to
    full steps. The bias is not frozen instead, because checkpoints hold optimizer state for it. A second hook from a
    second call does nothing more. FSDP replaces the parameters and loses the hooks; then the biases drift, to no
    effect on the scores.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("att.W_key.bias") and parameter.requires_grad:
            parameter.register_hook(torch.zeros_like)
