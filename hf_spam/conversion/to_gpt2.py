"""The classifier as transformers' own `GPT2ForSequenceClassification`: converted, and run from a folder.

Theirs reads the rightmost id that is not the pad id, ours the last one that the attention mask calls real. That is the
same position unless a text ends in `<|endoftext|>`, which our tokenizer makes of no text.
"""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2ForSequenceClassification

from ..errors import UserError
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification, align_left
from .from_gpt2 import to_gpt2_names


def is_gpt2(folder: Path) -> bool:
    """Whether a folder holds a `GPT2ForSequenceClassification`."""
    config = folder / "config.json"
    return config.is_file() and '"GPT2ForSequenceClassification"' in config.read_text(encoding="utf-8")


def read_gpt2_config(folder: str | os.PathLike[str]) -> SpamGPTConfig:
    """The configuration of the model of ours that a folder's `GPT2ForSequenceClassification` is."""
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
    """The same function as a model that every version of transformers knows.

    Their head has no bias. Ours goes into the final norm's: for a head `W h + c` and a shift `d` with `W d = c`, the
    logits of `h + d` without `c` are the same. The shortest such `d` is added, computed in float64.

    Args:
        model: Left as it is; on the CPU, in float32.

    Returns:
        A model in evaluation mode whose logits are those of `model` up to rounding.

    Raises:
        UserError: If the pooling rule is not `last_token`, the only one that theirs has, or if no shift stands in for
            the head's bias (two classes of equal weights and different biases).
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
    """A folder with a `GPT2ForSequenceClassification`, called like `SpamGPTForSequenceClassification`.

    Args:
        folder: What `to_gpt2(...).save_pretrained` wrote, or transformers itself.
        dtype: Of the weights and of what is computed with them.
    """

    def __init__(self, folder: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
        self.model = GPT2ForSequenceClassification.from_pretrained(folder, dtype=dtype)
        self.config: Any = read_gpt2_config(folder)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    def to(self, device: str) -> "GPT2Classifier":
        """Move the weights."""
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
        input_ids, lengths, _ = align_left(input_ids, attention_mask, self.config.pad_token_id)
        lengths = lengths.clamp(min=1)  # a text without tokens is a single pad id, as in ours
        input_ids = input_ids[:, : int(lengths.max())]
        attention_mask = torch.arange(input_ids.shape[1], device=input_ids.device) < lengths[:, None]
        return self.model(input_ids, attention_mask=attention_mask.long())
