"""Which parameters train: the chapter's choice and its published variations, for either training loop."""

from typing import Literal

from torch import nn

from ..model.gpt import GPTModel

Trainable = Literal["last_layer", "last_block", "last_two_blocks", "all"]
_BLOCKS = {"last_layer": 0, "last_block": 1, "last_two_blocks": 2}


def freeze(model: GPTModel, trainable: Trainable = "last_block") -> list[str]:
    """Let only a part of the model train.

    Args:
        model: Changed in place, through `requires_grad`.
        trainable: `last_layer`, the head alone; `last_block` (the chapter) and `last_two_blocks`, also the final norm
            and so many transformer blocks; `all`, everything.

    Returns:
        The names of the parameters that train.
    """
    model.requires_grad_(trainable == "all")
    if trainable != "all":
        parts: list[nn.Module] = [model.out_head]
        if blocks := _BLOCKS[trainable]:
            parts += [model.final_norm, *list(model.trf_blocks)[-blocks:]]
        for part in parts:
            part.requires_grad_(True)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]
