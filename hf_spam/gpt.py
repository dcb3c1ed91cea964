"""The from-scratch GPT of the book's chapters 3 and 4, in plain torch, top to bottom.

Shapes at the line ends: B texts, T tokens, C = emb_dim, H = n_heads, D = C / H. There is no attention mask anywhere:
under causal attention a position never sees what stands to its right, so rows padded on the right need none.
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

    `attn_implementation="eager"` is the book's explicit masked softmax; anything else is torch's fused kernel.
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

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        split = (B, T, self.num_heads, self.head_dim)
        queries = self.W_query(x).view(split).transpose(1, 2)  # [B, H, T, D]
        keys = self.W_key(x).view(split).transpose(1, 2)  # [B, H, T, D]
        values = self.W_value(x).view(split).transpose(1, 2)  # [B, H, T, D]
        if self.config._attn_implementation == "eager":
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

    def forward(self, x: Tensor) -> Tensor:
        # Checkpointed inside `forward`, so that hooks around the block (FSDP's) run once.
        if self.gradient_checkpointing and self.training:
            return self._gradient_checkpointing_func(self._block, x)
        return self._block(x)

    def _block(self, x: Tensor) -> Tensor:
        x = x + self.drop_shortcut(self.att(self.norm1(x)))
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

    def forward(self, in_idx: Tensor) -> Tensor:
        """Score every position.

        Args:
            in_idx: Token ids, padded on the right if at all.
                *Shape:* `[B, T]`, T at most `context_length`.

        Returns:
            The head's logits at each position.
                *Shape:* `[B, T, vocab_size]`, or `[B, T, num_labels]` with a classification head.

        Raises:
            ValueError: If a row is longer than the context.
        """
        T = in_idx.shape[1]
        if self.config.context_length < T:
            raise ValueError(
                f"expected at most {self.config.context_length} tokens (the model's context), found {T}: "
                f"pass truncation=True to the tokenizer or the pipeline"
            )
        x = self.tok_emb(in_idx) + self.pos_emb(torch.arange(T, device=in_idx.device))  # [B, T, C]
        x = self.drop_emb(x)
        x = self.trf_blocks(x)
        x = self.final_norm(x)
        return self.out_head(x)
