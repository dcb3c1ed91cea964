"""Convert the classifier to transformers' own `GPT2ForSequenceClassification`, and run one from a folder.

Their classifier reads the rightmost id that is not the pad id; ours reads the last token that the attention mask marks
as real. These are the same position unless the ids end with `<|endoftext|>`, which our tokenizer never produces.
"""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2ForSequenceClassification

from ..errors import UserError
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from .backend import mask_after, trim
from .from_gpt2 import to_gpt2_names


def is_gpt2(folder: Path) -> bool:
    """Tell whether a folder holds a `GPT2ForSequenceClassification`."""
    config = folder / "config.json"
    return config.is_file() and '"GPT2ForSequenceClassification"' in config.read_text(encoding="utf-8")


def read_gpt2_config(folder: str | os.PathLike[str]) -> SpamGPTConfig:
    """Return our configuration for the `GPT2ForSequenceClassification` in a folder."""
    theirs = GPT2Config.from_pretrained(folder)
    return SpamGPTConfig(
        vocab_size=theirs.vocab_size,
        context_length=theirs.n_positions,
        emb_dim=theirs.n_embd,
        n_layers=theirs.n_layer,
        n_heads=theirs.n_head,
        drop_rate=theirs.resid_pdrop,
        pad_token_id=theirs.pad_token_id,
        id2label=theirs.id2label,
        label2id=theirs.label2id,
    )


def to_gpt2(model: SpamGPTForSequenceClassification) -> GPT2ForSequenceClassification:
    """Convert a model to one that every version of transformers knows.

    Their head has no bias, so the bias moves into the final norm: for a head `W h + c` and a shift `d` with `W d = c`,
    the logits of `h + d` without `c` are the same. The shortest such `d` is added, computed in float64.

    Args:
        model: A model on the CPU in float32; it is not changed.

    Returns:
        A model in evaluation mode whose logits are those of `model` up to rounding.

    Raises:
        UserError: If the pooling rule is not `last_token`, the only one that theirs has, or if no shift can replace
            the head's bias (two classes with equal weights and different biases).
    """
    config = model.config
    if config.pooling != "last_token":
        raise UserError(
            f"expected a model that is read at its last_token, as transformers' GPT-2 classifier is, found "
            f"{config.pooling}. Export to ONNX instead, or train with --pooling last_token."
        )
    state = to_gpt2_names(model.model)
    weight, bias = state["score.weight"].double(), state.pop("score.bias").double()
    shift = torch.linalg.pinv(weight) @ bias
    if not torch.allclose(weight @ shift, bias, rtol=0, atol=1e-9):
        raise UserError("expected a head whose classes have different weights: its biases have no place in GPT-2's.")
    state["transformer.ln_f.bias"] = (state["transformer.ln_f.bias"].double() + shift).float()
    converted = GPT2ForSequenceClassification(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.emb_dim,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            resid_pdrop=config.drop_rate,
            embd_pdrop=config.drop_rate,
            attn_pdrop=config.drop_rate,
            initializer_range=config.initializer_range,
            bos_token_id=config.bos_token_id,
            eos_token_id=config.eos_token_id,
            pad_token_id=config.pad_token_id,
            id2label=config.id2label,
            label2id=config.label2id,
        )
    )
    converted.load_state_dict(state)
    return converted.eval()


class GPT2Classifier:
    """A `Backend` that runs the `GPT2ForSequenceClassification` in a folder.

    Args:
        folder: A folder written by `to_gpt2(...).save_pretrained` or by transformers itself.
        dtype: The type of the weights and of the computation.
    """

    def __init__(self, folder: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
        self.model = GPT2ForSequenceClassification.from_pretrained(folder, dtype=dtype)
        self.config: Any = read_gpt2_config(folder)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.model.device

    def to(self, device: str) -> "GPT2Classifier":
        """Move the weights to a device."""
        self.model.to(device)  # type: ignore[arg-type]
        return self

    def eval(self) -> "GPT2Classifier":
        """Turn dropout off."""
        self.model.eval()
        return self

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        """Score a batch of texts.

        Args:
            input_ids: Token ids. *Shape:* `[B, T]`.
            attention_mask: 1 for real tokens, 0 for padding, on either side. *Shape:* `[B, T]`.

        Returns:
            `logits` of *shape* `[B, num_labels]`.
        """
        input_ids, lengths = trim(input_ids, attention_mask, self.config.pad_token_id)
        lengths = lengths.clamp(min=1)  # in our model, too, a text without tokens is a single pad id
        return self.model(input_ids, attention_mask=mask_after(lengths, input_ids.shape[1]))
