"""The classifier as transformers' own GPT-2, which `hf-spam export --format gpt2` writes, called like ours."""

from typing import Any

import torch
from torch import Tensor
from transformers import GPT2ForSequenceClassification

from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.fields_spam_gpt import SpamGPTFields
from .backend import mask_after, trim


class GPT2Classifier:
    """A `Backend` that runs a `GPT2ForSequenceClassification`.

    Args:
        model: The model.
        config: Its sizes and labels in our terms.
    """

    def __init__(self, model: GPT2ForSequenceClassification, config: SpamGPTConfig | SpamGPTFields) -> None:
        self.model = model
        self.config: Any = config

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.model.device

    def to(self, device: str | torch.device) -> "GPT2Classifier":
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
