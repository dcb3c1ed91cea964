"""The book's attention and block with what transformers asks of them: a key-value cache, masks, checkpointing.

Without any of these both compute what `gpt` computes, by its own code.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer

from .gpt import MultiHeadAttention, TransformerBlock


class SpamGPTAttention(MultiHeadAttention):
    """Attention that can also use a mask, continue from cached keys and values, and compute its weights explicitly."""

    layer_idx = 0  # the number of its block, by which a cache keeps its keys and values

    def forward(
        self,
        x: Tensor,
        at: Tensor | None = None,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        cache: Cache | None = None,
        explicit: bool = False,
    ) -> Tensor:
        """Attend from every position, or from one position of each text if nothing but `at` is given.

        Args:
            x: The normed states of the new positions. *Shape:* `[B, T, C]`.
            at: See `MultiHeadAttention`. *Shape:* `[B]`.
            lengths: See `MultiHeadAttention`; not with any of the following. *Shape:* `[B]`.
            mask: What each position sees: true where it does, or what is added to its scores; `None` for everything
                before it, or without causality everything. *Shape:* `[B, 1, T, K]`, K the number of keys with those
                of the cache.
            cache: Keys and values of earlier positions. Those of `x` are added.
            explicit: Compute the weights by the softmax, where they are recorded, instead of by a fused kernel.

        Returns:
            *Shape:* `[B, T, C]`, or `[B, 1, C]` with `at`.
        """
        if mask is None and cache is None and not explicit:
            return super().forward(x, at, lengths)
        queries, keys, values = self._project(x)
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer_idx)  # [B, H, K, D]
        if mask is not None and mask.dtype != torch.bool:
            mask = mask.to(queries.dtype)
        if explicit or self.config._attn_implementation == "eager":
            context = self._weighted(queries, keys, values, mask)
        else:
            drop_rate = self.dropout.p if self.training else 0.0
            # A mask is left out where causality says it all, and where a single position sees every key.
            causal = self.config.causal and mask is None and x.shape[1] > 1
            context = F.scaled_dot_product_attention(
                queries, keys, values, attn_mask=mask, dropout_p=drop_rate, is_causal=causal
            )
        return self.out_proj(context.transpose(1, 2).reshape(x.shape))

    def _weighted(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        scores = queries @ keys.transpose(2, 3) / self.head_dim**0.5  # [B, H, T, K]
        if mask is None:
            T, K = scores.shape[-2:]
            mask = torch.ones(T, K, dtype=torch.bool, device=scores.device)
            mask = mask.tril(diagonal=K - T) if self.config.causal else mask
        if mask.dtype == torch.bool:
            # Not -inf: a position of padding may see nothing, and its weights must still be numbers.
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        else:
            scores = scores + mask
        return self.dropout(self.softmax(scores)) @ values  # [B, H, T, D]


class SpamGPTBlock(GradientCheckpointingLayer, TransformerBlock):
    """The book's block around `SpamGPTAttention`. transformers can checkpoint its activations."""

    attention = SpamGPTAttention

    def forward(
        self,
        x: Tensor,
        at: Tensor | None = None,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        cache: Cache | None = None,
        explicit: bool = False,
    ) -> Tensor:
        """Transform every position, or one of each text if nothing but `at` is given; see `SpamGPTAttention`."""
        if mask is None and cache is None and not explicit:
            return TransformerBlock.forward(self, x, at, lengths)
        x = x + self.drop_shortcut(self.att(self.norm1(x), None, None, mask, cache, explicit))
        return x + self.drop_shortcut(self.ff(self.norm2(x)))
