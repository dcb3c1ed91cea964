"""The from-scratch GPT of the book's chapters 3 and 4, in plain torch, top to bottom.

Shapes at the line ends: B texts, T tokens, C = emb_dim, H = n_heads, D = C / H. There is no attention mask anywhere:
under causal attention a position never sees what stands to its right, so rows padded on the right need none.

A classifier reads one position of each text. `at` names it, and the last block is then computed for it alone; that is
the same function with the same gradients, without the positions that nobody reads.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .configuration_spam_gpt import SpamGPTConfig


class LayerNorm(nn.Module):
    """Layer normalisation with the book's parameter names and its biased variance."""

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.eps = 1e-5
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)


class MultiHeadAttention(nn.Module):
    """Causal self-attention with separate query, key and value matrices (GPT-2's checkpoints fuse the three).

    `attn_implementation="eager"` is the book's explicit masked softmax; anything else is torch's fused kernel, and
    leaves the bias of the keys out: it adds the same to all scores of a query, which the softmax takes away. Its
    gradient is zero, and said to be; in the book's way it is rounding, which AdamW enlarges to steps.
    """

    def __init__(self, config: SpamGPTConfig) -> None:
        super().__init__()
        self.config = config
        self.num_heads = config.n_heads
        self.head_dim = config.emb_dim // config.n_heads
        self.W_query = nn.Linear(config.emb_dim, config.emb_dim, bias=config.qkv_bias)
        self.W_key = nn.Linear(config.emb_dim, config.emb_dim, bias=config.qkv_bias)
        self.W_value = nn.Linear(config.emb_dim, config.emb_dim, bias=config.qkv_bias)
        self.out_proj = nn.Linear(config.emb_dim, config.emb_dim)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Attend from every position, `[B, T, C]` → `[B, T, C]`, or from position `at` `[B]` alone: → `[B, 1, C]`."""
        # Adapters and quantisers put modules of their own in the place of the linear ones, without a plain weight.
        plain = type(self.W_key) is nn.Linear and type(self.W_value) is nn.Linear
        if at is not None:
            rows = torch.arange(at.shape[0], device=at.device)
            return self.out_proj(self._attend_from(x, at)) if plain else self.forward(x)[rows, at][:, None]
        B, T, C = x.shape
        split = (B, T, self.num_heads, self.head_dim)
        eager = self.config._attn_implementation == "eager"
        unbiased = plain and not eager and self.W_key.bias is not None
        keys = F.linear(x, self.W_key.weight, 0 * self.W_key.bias) if unbiased else self.W_key(x)
        keys = keys.view(split).transpose(1, 2)  # [B, H, T, D]
        queries = self.W_query(x).view(split).transpose(1, 2)  # [B, H, T, D]
        values = self.W_value(x).view(split).transpose(1, 2)  # [B, H, T, D]
        if eager:
            context = self._masked_attention(queries, keys, values)
        else:
            drop_rate = self.dropout.p if self.training else 0.0
            context = F.scaled_dot_product_attention(queries, keys, values, dropout_p=drop_rate, is_causal=True)
        return self.out_proj(context.transpose(1, 2).reshape(B, T, C))

    def _masked_attention(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        scores = queries @ keys.transpose(2, 3)  # [B, H, T, T]
        # Built here, not kept as a buffer: a non-persistent buffer does not survive from_pretrained.
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(diagonal=1)
        scores = scores.masked_fill(future, -torch.inf)
        weights = torch.softmax(scores / keys.shape[-1] ** 0.5, dim=-1)
        return self.dropout(weights) @ values  # [B, H, T, D]

    def _attend_from(self, x: Tensor, at: Tensor) -> Tensor:
        """The context of position `at`, without a key or a value of any position: `[B, 1, C]`.

        A score is q · W_k x = (W_kᵀ q) · x, and the weighted sum of values is W_v applied to the weighted sum of x:
        the two matrices meet one vector of each head instead of every position's.
        """
        B, T, C = x.shape
        heads = (self.num_heads, self.head_dim)
        query = self.W_query(x[torch.arange(B, device=x.device), at])  # [B, C]
        if self.W_key.bias is not None:
            query = query + 0 * self.W_key.bias
        reach = torch.einsum("bhd,hdc->bhc", query.view(B, *heads), self.W_key.weight.view(*heads, C))  # [B, H, C]
        scores = reach @ x.transpose(1, 2)  # [B, H, T]
        future = torch.arange(T, device=x.device) > at[:, None]  # [B, T]
        scores = scores.masked_fill(future[:, None], -torch.inf)
        weights = self.dropout(torch.softmax(scores / self.head_dim**0.5, dim=-1))  # [B, H, T]
        mixed = weights @ x  # [B, H, C]
        context = torch.einsum("bhc,hdc->bhd", mixed, self.W_value.weight.view(*heads, C))  # [B, H, D]
        if self.W_value.bias is not None:  # dropped out with the weights that it comes with
            context = context + weights.sum(dim=-1, keepdim=True) * self.W_value.bias.view(heads)
        return context.reshape(B, 1, C)


class FeedForward(nn.Module):
    """Two linear layers, four times as wide in between, with GPT-2's tanh-approximated GELU."""

    def __init__(self, config: SpamGPTConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(config.emb_dim, 4 * config.emb_dim),
            nn.GELU(approximate="tanh"),
            nn.Linear(4 * config.emb_dim, config.emb_dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each behind a norm and beside a shortcut (pre-norm)."""

    # transformers sets both on every module that has the first, in `activation_checkpointing_enable`.
    gradient_checkpointing = False
    _gradient_checkpointing_func: Callable[..., Tensor] = staticmethod(checkpoint)

    def __init__(self, config: SpamGPTConfig) -> None:
        super().__init__()
        self.att = MultiHeadAttention(config)
        self.ff = FeedForward(config)
        self.norm1 = LayerNorm(config.emb_dim)
        self.norm2 = LayerNorm(config.emb_dim)
        self.drop_shortcut = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Every position's, `[B, T, C]` → `[B, T, C]`, or that of position `at` `[B]` alone: → `[B, 1, C]`."""
        # Checkpointed inside `forward`, so that hooks around the block (FSDP's) run once.
        if self.gradient_checkpointing and self.training:
            return self._gradient_checkpointing_func(self._block, x, at)
        return self._block(x, at)

    def _block(self, x: Tensor, at: Tensor | None) -> Tensor:
        shortcut = x if at is None else x[torch.arange(x.shape[0], device=x.device), at][:, None]
        x = shortcut + self.drop_shortcut(self.att(self.norm1(x), at))
        return x + self.drop_shortcut(self.ff(self.norm2(x)))


class GPTModel(nn.Module):
    """GPT-2's architecture with the book's module names.

    Args:
        config: The sizes.
        num_labels: `None` for the language-model head over the vocabulary (no bias), else the number of classes of
            the book's classification head (with bias).
    """

    def __init__(self, config: SpamGPTConfig, num_labels: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.pos_emb = nn.Embedding(config.context_length, config.emb_dim)
        self.drop_emb = nn.Dropout(config.drop_rate)
        self.trf_blocks = nn.Sequential(*[TransformerBlock(config) for _ in range(config.n_layers)])
        self.final_norm = LayerNorm(config.emb_dim)
        self.out_head = (
            nn.Linear(config.emb_dim, config.vocab_size, bias=False)
            if num_labels is None
            else nn.Linear(config.emb_dim, num_labels)
        )

    def forward(
        self, in_idx: Tensor, at: Tensor | None = None, prefix_states: Tensor | None = None, prefix_blocks: int = 0
    ) -> Tensor:
        """Score every position, or one of each text.

        Args:
            in_idx: Token ids, padded on the right if at all.
                *Shape:* `[B, T]`, T at most `context_length`.
            at: The position of each text that is scored; every one where `None`. With the book's explicit attention
                (`eager`) every position is computed all the same, as the book does.
                *Shape:* `[B]`.
            prefix_states: What `states` gives for the first blocks, instead of computing it: for all T positions or,
                if that is all blocks, for position `at` alone. Needs `at`.
                *Shape:* `[B, T, C]` or `[B, 1, C]`.
            prefix_blocks: How many blocks that is.

        Returns:
            The head's logits, over the vocabulary or over the classes.
                *Shape:* `[B, T, num_logits]`, or `[B, num_logits]` with `at`.

        Raises:
            ValueError: If a row is longer than the context.
        """
        x = self.states(in_idx) if prefix_states is None else prefix_states
        blocks = list(self.trf_blocks)[0 if prefix_states is None else prefix_blocks :]
        if at is None or (self.config._attn_implementation == "eager" and prefix_states is None):
            for block in blocks:
                x = block(x)
            logits = self.out_head(self.final_norm(x))  # [B, T, num_logits]
            return logits if at is None else logits[torch.arange(at.shape[0], device=at.device), at]
        for block in blocks[:-1]:
            x = block(x)
        for block in blocks[-1:]:
            x = block(x, at)  # [B, 1, C]
        return self.out_head(self.final_norm(x[:, 0]))

    def states(self, in_idx: Tensor, num_blocks: int = 0) -> Tensor:
        """The embeddings of token ids `[B, T]` after the first `num_blocks` blocks: `[B, T, C]`."""
        T = in_idx.shape[1]
        if self.config.context_length < T:
            raise ValueError(
                f"expected at most {self.config.context_length} tokens (the model's context), found {T}: "
                f"pass truncation=True to the tokenizer or the pipeline"
            )
        x = self.tok_emb(in_idx) + self.pos_emb(torch.arange(T, device=in_idx.device))  # [B, T, C]
        x = self.drop_emb(x)
        for block in list(self.trf_blocks)[:num_blocks]:
            x = block(x)
        return x

    @property
    def frozen_blocks(self) -> int:
        """How many blocks from the first on are frozen, the embeddings with them; what they compute never changes."""
        parts = [self.tok_emb, self.pos_emb, *self.trf_blocks]
        trains = [any(parameter.requires_grad for parameter in part.parameters()) for part in parts]
        return max(0, trains.index(True) - 2) if True in trains else len(self.trf_blocks)
