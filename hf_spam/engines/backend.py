"""What `SpamClassifier` needs of a model, whichever library runs it."""

from typing import Any, Protocol, Self

import torch
from torch import Tensor

from ..model.pooling_spam_gpt import align_left


class Scores(Protocol):
    """The output of a model. `logits` has the *shape* `[B, num_labels]`."""

    @property
    def logits(self) -> Tensor:
        """The class scores of each text."""


class Backend(Protocol):
    """A classifier that is called like `SpamGPTForSequenceClassification`."""

    @property
    def config(self) -> Any:
        """Its `SpamGPTConfig`."""

    @property
    def device(self) -> torch.device:
        """The device that the inputs must be on."""

    def eval(self) -> Self:
        """Turn dropout off."""

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Scores:
        """Score a batch of texts.

        Args:
            input_ids: Token ids. *Shape:* `[B, T]`.
            attention_mask: 1 for real tokens, 0 for padding, on either side. *Shape:* `[B, T]`.
        """


def mask_after(lengths: Tensor, width: int) -> Tensor:
    """Return the attention mask of rows that are padded on the right.

    Args:
        lengths: The number of real tokens of each row. *Shape:* `[B]`.
        width: The length of the padded rows.

    Returns:
        1 for real tokens, 0 for padding, int64. *Shape:* `[B, width]`.
    """
    return (torch.arange(width, device=lengths.device) < lengths[:, None]).long()


def trim(input_ids: Tensor, attention_mask: Tensor, pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Move each row's real tokens to the left and remove the columns that hold only padding.

    Args:
        input_ids: Token ids. *Shape:* `[B, T]`.
        attention_mask: Nonzero where a token is real. *Shape:* `[B, T]`.
        pad_token_id: The id to the right of the real tokens.

    Returns:
        The ids, *shape* `[B, L]`, where L is the length of the longest row, at least 1; and the number of real tokens
        of each row, *shape* `[B]`.
    """
    aligned, lengths, _ = align_left(input_ids, attention_mask, pad_token_id)
    if aligned.shape[1] == 0:
        aligned = aligned.new_full((aligned.shape[0], 1), pad_token_id)
    return aligned[:, : max(1, int(lengths.max()))], lengths
