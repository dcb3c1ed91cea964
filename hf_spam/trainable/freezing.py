"""Which parameters train: the chapter's choice and its published variations, for either training loop."""

from typing import Literal

import torch
from torch import nn

from ..conversion.to_book import AnyGPT, as_book
from ..model.gpt import GPTModel

Trainable = Literal["last_layer", "last_block", "last_two_blocks", "all", "lora"]
_BLOCKS = {"last_layer": 0, "last_block": 1, "last_two_blocks": 2}


def freeze(model: AnyGPT, trainable: Trainable = "last_block") -> list[str]:
    """Let only a part of the model train.

    The key biases that train get gradients of exactly zero, except with `eager` attention, which follows the book.

    Args:
        model: Changed in place, through `requires_grad` and gradient hooks.
        trainable: `last_layer`: the head alone. `last_block` (the chapter) and `last_two_blocks`: also the final norm
            and that many transformer blocks. `all`: everything. `lora` is another thing: see `adapters`.

    Returns:
        The names of the parameters that train, as in `GPTModel`.
    """
    gpt = as_book(model)
    gpt.requires_grad_(trainable == "all")
    if trainable != "all":
        parts: list[nn.Module] = [gpt.out_head]
        if blocks := _BLOCKS[trainable]:
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
