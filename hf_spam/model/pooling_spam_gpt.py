"""Which positions of a text give its scores: rows of ids, what of them is read, and the logits that follow.

Rows may be padded on either side, with holes too. The real tokens are moved to the left (`align_left`), where
positions count from 0 and causal attention never sees the padding, so that one position can be computed alone. Where
padding is read like text (`config.row_length`), every position of the padded row counts as real.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .configuration_spam_gpt import SpamGPTConfig
    from .fields_spam_gpt import SpamGPTFields


def check_mask(attention_mask: Tensor, shape: torch.Size) -> None:
    """Refuse a mask that does not have the shape of the ids.

    Raises:
        ValueError: If so.
    """
    if attention_mask.shape != shape:
        raise ValueError(
            f"expected an attention mask with the shape of the ids, {list(shape)}, found {list(attention_mask.shape)}"
        )


def align_left(input_ids: Tensor, attention_mask: Tensor, pad_token_id: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Move each row's real tokens to the left, in order, and fill the rest with the pad id.

    Args:
        input_ids: *Shape:* `[B, T]`.
        attention_mask: Nonzero for real tokens. *Shape:* `[B, T]`.
        pad_token_id: The id that fills each row to the right of its real tokens; without one 0, which is never seen.

    Returns:
        The aligned ids `[B, T]`, the number of real tokens in each row `[B]`, and the order `[B, T]` used to gather
        them (aligned[b, t] = input_ids[b, order[b, t]]).

    Raises:
        ValueError: If the mask does not have the shape of the ids.
    """
    check_mask(attention_mask, input_ids.shape)
    padding = attention_mask == 0
    positions = torch.arange(input_ids.shape[1], device=input_ids.device)
    order = (positions + 2**30 * padding).argsort(dim=1)  # distinct keys, because ONNX has no stable sort
    lengths = input_ids.shape[1] - padding.sum(dim=1)
    aligned = input_ids.gather(1, order).masked_fill(positions >= lengths[:, None], pad_token_id or 0)
    return aligned, lengths, order


def to_rows(
    config: "SpamGPTConfig | SpamGPTFields", input_ids: Tensor, attention_mask: Tensor | None, pad: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return ids with padding on the right alone, and which of their positions are real.

    Without a mask, padding is recognised by the pad id and only on the right. A text without tokens is one pad id.

    Args:
        config: The model's.
        input_ids: *Shape:* `[B, T]`.
        attention_mask: Nonzero for real tokens. *Shape:* `[B, T]`.
        pad: The id that fills the rows; by default the configuration's.

    Returns:
        The ids and a mask of the same *shape:* `[B, T']`, T' being `config.row_length` where there is one.

    Raises:
        ValueError: If a text is longer than the model reads, or the mask does not fit the ids.
    """
    pad = config.pad_token_id if pad is None else pad
    if input_ids.shape[1] == 0:  # a batch of empty texts, which tokenizers return as floats
        if pad is None:
            raise ValueError("expected tokens, found a text without any, and the model has no pad_token_id for it")
        input_ids = input_ids.new_full((input_ids.shape[0], 1), pad, dtype=torch.long)
        attention_mask = None
    if attention_mask is None:
        last = find_real(config, input_ids, None).sum(dim=1) - 1
    else:
        input_ids, lengths, _ = align_left(input_ids, attention_mask, pad)
        last = (lengths - 1).clamp(min=0)  # [B]
    if config.row_length is not None:
        input_ids = _to_width(input_ids, config.row_length, last, pad)
        return input_ids, torch.ones_like(input_ids, dtype=torch.bool)
    if input_ids.shape[1] > config.context_length:
        input_ids = _to_width(input_ids, config.context_length, last, pad)
    return input_ids, _count(input_ids) <= last[:, None]


def find_real(config: "SpamGPTConfig | SpamGPTFields", rows: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Return which positions of rows are real tokens, wherever they stand.

    Args:
        config: The model's.
        rows: Ids, *shape* `[B, T]`, or embeddings, *shape* `[B, T, C]`.
        attention_mask: Nonzero for real tokens, those of a cache before them included. *Shape:* `[B, K]`.

    Returns:
        A mask of *shape* `[B, T]`.

    Raises:
        ValueError: If nothing tells what is padding.
    """
    B, T = rows.shape[:2]
    if attention_mask is not None:
        return attention_mask[:, -T:] != 0
    if rows.dim() == 2 and config.pad_token_id is not None:
        last = (_count(rows) * (rows != config.pad_token_id)).argmax(dim=1)
        return _count(rows) <= last[:, None]
    if rows.dim() == 3 or B == 1:
        return torch.ones(B, T, dtype=torch.bool, device=rows.device)
    raise ValueError("expected an attention_mask: padding in a batch is not recognised without a pad_token_id")


def find_position(config: "SpamGPTConfig | SpamGPTFields", real: Tensor) -> Tensor | None:
    """Return the position of each row that alone is read: *shape* `[B]`; `None` where a mean is read.

    Args:
        config: The model's.
        real: From `to_rows` or `find_real`. A row without real tokens is read at its first position.
            *Shape:* `[B, T]`.
    """
    if config.pooling == "first_token":
        return real.long().argmax(dim=1)
    if config.pooling in ("last_token", "last_position"):
        return (_count(real) * real).argmax(dim=1)
    return None


def mean_logits(logits: Tensor, real: Tensor) -> Tensor:
    """Return the mean of the logits at the real positions of each row.

    Args:
        logits: At every position. *Shape:* `[B, T, num_labels]`.
        real: As for `find_position`. *Shape:* `[B, T]`.

    Returns:
        *Shape:* `[B, num_labels]`.
    """
    counted = real | ((_count(real) == 0) & ~real.any(dim=1, keepdim=True))
    shares = (counted / counted.sum(dim=1, keepdim=True)).to(logits.dtype)
    return (shares[:, None] @ logits)[:, 0]


def _count(rows: Tensor) -> Tensor:
    """Return 0, 1, ... for the positions of rows `[B, T, ...]`: `[T]`."""
    return torch.arange(rows.shape[1], device=rows.device)


def _to_width(input_ids: Tensor, width: int, last: Tensor, pad: int | None) -> Tensor:
    """Pad rows to `width` on the right, or cut padding off. `last` `[B]` is the place of each row's last token."""
    longest = int(last.max()) + 1 if input_ids.shape[1] > width else 0
    if longest > width:
        raise ValueError(
            f"expected texts of at most {width} tokens, found one of {longest}: "
            f"pass truncation=True to the tokenizer or the pipeline"
        )
    missing = max(0, width - input_ids.shape[1])
    return nn.functional.pad(input_ids[:, :width], (0, missing), value=pad)
