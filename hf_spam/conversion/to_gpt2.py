"""Convert the classifier to transformers' own `GPT2ForSequenceClassification`, and run one.

Their classifier reads the rightmost id that is not the pad id; ours reads the last token that the attention mask marks
as real. These are the same position unless the ids end with `<|endoftext|>`, which our tokenizer never produces.
"""

from typing import Any

import torch
from transformers import GPT2ForSequenceClassification

from ..checkpoint.loading import to_gpt2_config
from ..errors import UserError
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from .from_gpt2 import to_gpt2_names
from .to_book import as_book


def to_gpt2(model: SpamGPTForSequenceClassification) -> GPT2ForSequenceClassification:
    """Convert a model to one that every version of transformers knows.

    Their head has no bias, so the bias moves into the final norm: for a head `W h + c` and a shift `d` with `W d = c`,
    the logits of `h + d` without `c` are the same. The shortest such `d` is added, computed in float64.

    Args:
        model: A model on the CPU in float32; it is not changed.

    Returns:
        A model in evaluation mode whose logits are those of `model` up to rounding.

    Raises:
        UserError: If the pooling rule is not `last_token`, the only one that theirs has, if attention is not causal,
            or if no shift can replace the head's bias (two classes with equal weights and different biases).
    """
    config: Any = model.config
    if config.pooling != "last_token":
        raise UserError(
            f"expected a model that is read at its last_token, as transformers' GPT-2 classifier is, found "
            f"{config.pooling}. Export to ONNX instead, or train with --pooling last_token."
        )
    if not config.causal:
        raise UserError("expected a model with causal attention, as transformers' GPT-2 has, found one without.")
    state = to_gpt2_names(as_book(model))
    weight, bias = state["score.weight"].double(), state.pop("score.bias").double()
    shift = torch.linalg.pinv(weight) @ bias
    if not torch.allclose(weight @ shift, bias, rtol=0, atol=1e-9):
        raise UserError("expected a head whose classes have different weights: its biases have no place in GPT-2's.")
    state["transformer.ln_f.bias"] = (state["transformer.ln_f.bias"].double() + shift).float()
    converted = GPT2ForSequenceClassification(to_gpt2_config(config))
    converted.load_state_dict(state)
    return converted.eval()
