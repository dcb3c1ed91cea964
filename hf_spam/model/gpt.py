"""The from-scratch GPT of the book's chapters 3 and 4, in plain torch, from top to bottom.

Shapes are noted at the line ends: B texts, T tokens, C = emb_dim, H = n_heads, D = C / H. There is no attention mask:
under causal attention a position never sees what is to its right, so rows padded on the right need none. Where
`config.causal` is off, `lengths` says how many positions of each row may be seen; without it, all.

Most classifiers read one position of each text. `at` names that position, and the last block is then computed for it
alone. This is the same function with the same gradients, without the positions that are never read.

`GPTModel` is the book's model; `layers_spam_gpt` and `modeling_spam_gpt` derive transformers' side of it from it.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from .configuration_spam_gpt import SpamGPTConfig
    from .fields_spam_gpt import SpamGPTFields


class LayerNorm(nn.LayerNorm):
    """Layer normalisation with the book's parameter names and biased variance.

    A torch LayerNorm without parameters of its own: whoever treats norms apart, as weight decay does, knows it by its
    type.
    """

    def __init__(self, emb_dim: int) -> None:
        super().__init__(emb_dim, eps=1e-5, elementwise_affine=False)
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)


def is_plain(module: nn.Module) -> bool:
    """Tell whether calling a linear layer multiplies by its weight and does nothing else.

    Adapters and quantisers put another module or tensor in its place; pruning, offloading and sharding act in hooks or
    in a `forward` of the instance's own. What they do would be lost if the weight were read instead.
    """
    return (
        type(module) is nn.Linear
        and type(module.weight) in (nn.Parameter, FakeTensor)  # the latter while torch.export traces
        and module.weight.device.type != "meta"
        and not (module._forward_hooks or module._forward_pre_hooks)
        and not (module._backward_hooks or module._backward_pre_hooks)
        and not vars(module).keys() & {"forward", "_hf_hook"}
    )


class MultiHeadAttention(nn.Module):
    """Self-attention with separate query, key and value matrices (GPT-2's checkpoints fuse the three).

    `attn_implementation="eager"` is the book's explicit masked softmax; any other value uses torch's fused kernel.
    """

    def __init__(self, config: "SpamGPTConfig | SpamGPTFields") -> None:
        super().__init__()
        self.config = config
        self.num_heads = config.n_heads
        self.head_dim = config.emb_dim // config.n_heads
        self.W_query = nn.Linear(config.emb_dim, config.emb_dim, bias=config.qkv_bias)
        self.W_key = nn.Linear(config.emb_dim, config.emb_dim, bias=config.qkv_bias)
        self.W_value = nn.Linear(config.emb_dim, config.emb_dim, bias=config.qkv_bias)
        self.out_proj = nn.Linear(config.emb_dim, config.emb_dim)
        self.softmax = nn.Softmax(dim=-1)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor, at: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """Attend from every position, `[B, T, C]` → `[B, T, C]`, or from position `at` `[B]` alone: → `[B, 1, C]`."""
        if at is not None:
            if is_plain(self.W_key) and is_plain(self.W_value):
                return self.out_proj(self._attend_from(x, at, lengths))
            return self.forward(x, None, lengths)[torch.arange(at.shape[0], device=at.device), at][:, None]
        queries, keys, values = self._project(x)
        if self.config._attn_implementation == "eager":
            context = self._masked_attention(queries, keys, values, lengths)
        else:
            drop_rate = self.dropout.p if self.training else 0.0
            causal: dict[str, Any] = {"is_causal": self.config.causal}
            if lengths is not None:
                causal = {"attn_mask": ~_beyond(lengths, x.shape[1])[:, None, None]}  # [B, 1, 1, T]
            context = F.scaled_dot_product_attention(queries, keys, values, dropout_p=drop_rate, **causal)
        return self.out_proj(context.transpose(1, 2).reshape(x.shape))

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries, keys and values of `[B, T, C]`: each `[B, H, T, D]`."""
        split = (*x.shape[:2], self.num_heads, self.head_dim)
        keys = self.W_key(x).view(split).transpose(1, 2)
        queries = self.W_query(x).view(split).transpose(1, 2)
        values = self.W_value(x).view(split).transpose(1, 2)
        return queries, keys, values

    def _masked_attention(self, queries: Tensor, keys: Tensor, values: Tensor, lengths: Tensor | None) -> Tensor:
        scores = queries @ keys.transpose(2, 3)  # [B, H, T, T]
        if self.config.causal:
            # Built here rather than kept in a buffer: a non-persistent buffer does not survive from_pretrained.
            future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(diagonal=1)
            scores = scores.masked_fill(future, -torch.inf)
        elif lengths is not None:
            scores = scores.masked_fill(_beyond(lengths, scores.shape[-1])[:, None, None], -torch.inf)
        weights = self.softmax(scores / keys.shape[-1] ** 0.5)
        return self.dropout(weights) @ values  # [B, H, T, D]

    def _attend_from(self, x: Tensor, at: Tensor, lengths: Tensor | None) -> Tensor:
        """Return the context of position `at` without computing any position's key or value: `[B, 1, C]`.

        A score is q · (W_k x + b_k) = (W_kᵀ q) · x + q · b_k, and the weighted sum of the values is W_v applied to the
        weighted sum of x. So both matrices multiply one vector per head instead of T.
        """
        B, T, C = x.shape
        heads = (self.num_heads, self.head_dim)
        query = self.W_query(x[torch.arange(B, device=x.device), at]).view(B, *heads)  # [B, H, D]
        reach = torch.einsum("bhd,hdc->bhc", query, self.W_key.weight.view(*heads, C))  # [B, H, C]
        scores = reach @ x.transpose(1, 2)  # [B, H, T]
        if self.W_key.bias is not None:
            scores = scores + (query * self.W_key.bias.view(heads)).sum(dim=-1, keepdim=True)  # [B, H, 1]
        seen = at + 1 if self.config.causal else lengths  # how many positions
        if seen is not None:
            scores = scores.masked_fill(_beyond(seen, T)[:, None], -torch.inf)
        weights = self.dropout(torch.softmax(scores / self.head_dim**0.5, dim=-1))  # [B, H, T]
        mixed = weights @ x  # [B, H, C]
        context = torch.einsum("bhc,hdc->bhd", mixed, self.W_value.weight.view(*heads, C))  # [B, H, D]
        if self.W_value.bias is not None:  # times the sum of the weights, which is 1 only without dropout
            context = context + weights.sum(dim=-1, keepdim=True) * self.W_value.bias.view(heads)
        return context.reshape(B, 1, C)


def _beyond(lengths: Tensor, width: int) -> Tensor:
    """Return where each row's first `lengths` `[B]` positions have ended: `[B, width]`."""
    return torch.arange(width, device=lengths.device) >= lengths[:, None]


class FeedForward(nn.Module):
    """Two linear layers, four times as wide in between, with GPT-2's tanh approximation of GELU."""

    def __init__(self, config: "SpamGPTConfig | SpamGPTFields") -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(config.emb_dim, 4 * config.emb_dim),
            nn.GELU(approximate="tanh"),
            nn.Linear(4 * config.emb_dim, config.emb_dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each after a norm and with a shortcut around both (pre-norm)."""

    attention: type[MultiHeadAttention] = MultiHeadAttention

    def __init__(self, config: "SpamGPTConfig | SpamGPTFields") -> None:
        super().__init__()
        self.att = self.attention(config)
        self.ff = FeedForward(config)
        self.norm1 = LayerNorm(config.emb_dim)
        self.norm2 = LayerNorm(config.emb_dim)
        self.drop_shortcut = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor, at: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """Transform every position, `[B, T, C]` → `[B, T, C]`, or position `at` `[B]` alone: → `[B, 1, C]`."""
        shortcut = x if at is None else x[torch.arange(x.shape[0], device=x.device), at][:, None]
        x = shortcut + self.drop_shortcut(self.att(self.norm1(x), at, lengths))
        return x + self.drop_shortcut(self.ff(self.norm2(x)))


class GPTBackbone(nn.Module):
    """Everything but the head: the embeddings, the blocks and the final norm."""

    config: Any

    def build(self, config: "SpamGPTConfig | SpamGPTFields", block: type[TransformerBlock] = TransformerBlock) -> None:
        """Create the modules. A method, because `__init__` is transformers' own in one of the subclasses."""
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.pos_emb = nn.Embedding(config.context_length, config.emb_dim)
        self.drop_emb = nn.Dropout(config.drop_rate)
        self.trf_blocks = nn.Sequential(*[block(config) for _ in range(config.n_layers)])
        self.final_norm = LayerNorm(config.emb_dim)

    def hidden(
        self,
        in_idx: Tensor,
        at: Tensor | None = None,
        prefix_states: Tensor | None = None,
        prefix_blocks: int = 0,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return what the head reads: the normed states of every position, or of one position of each text.

        Args:
            in_idx: Token ids. Padding, if any, is on the right.
                *Shape:* `[B, T]`, T at most `context_length`.
            at: The position of each text that will be read; `None` returns all. With `eager` attention every position
                is computed and returned nevertheless, as in the book.
                *Shape:* `[B]`.
            prefix_states: The precomputed result of `states` for the first blocks: for all T positions or, if it
                covers all blocks, for position `at` alone.
                *Shape:* `[B, T, C]` or `[B, 1, C]`.
            prefix_blocks: Number of blocks that `prefix_states` covers.
            lengths: How many positions of each row may be seen, in a model that is not causal; `None` for all.
                *Shape:* `[B]`.

        Returns:
            The states, for `score_at` or a head.
                *Shape:* `[B, T, C]`, or `[B, 1, C]` with `at`.

        Raises:
            ValueError: If a row is longer than the context.
        """
        x = self.states(in_idx) if prefix_states is None else prefix_states
        blocks = list(self.trf_blocks)[0 if prefix_states is None else prefix_blocks :]
        if at is None or (self.config._attn_implementation == "eager" and prefix_states is None):
            for block in blocks:
                x = block(x, None, lengths)
            return self.final_norm(x)
        for block in blocks[:-1]:
            x = block(x, None, lengths)
        for block in blocks[-1:]:
            x = block(x, at, lengths)  # [B, 1, C]
        return self.final_norm(x)

    def states(self, in_idx: Tensor, num_blocks: int = 0, lengths: Tensor | None = None) -> Tensor:
        """Return the hidden states of token ids `[B, T]` after the first `num_blocks` blocks: `[B, T, C]`."""
        T = in_idx.shape[1]
        if self.config.context_length < T:
            raise ValueError(
                f"expected at most {self.config.context_length} tokens (the model's context), found {T}: "
                f"pass truncation=True to the tokenizer or the pipeline"
            )
        x = self.tok_emb(in_idx) + self.pos_emb(torch.arange(T, device=in_idx.device))  # [B, T, C]
        x = self.drop_emb(x)
        for block in list(self.trf_blocks)[:num_blocks]:
            x = block(x, None, lengths)
        return x

    @property
    def frozen_blocks(self) -> int:
        """Number of leading blocks that are frozen, and the embeddings with them: their output never changes."""
        parts = [self.tok_emb, self.pos_emb, *self.trf_blocks]
        trains = [any(parameter.requires_grad for parameter in part.parameters()) for part in parts]
        return max(0, trains.index(True) - 2) if True in trains else len(self.trf_blocks)


def score_at(head: nn.Module, states: Tensor, at: Tensor) -> Tensor:
    """Return a head's logits at position `at` `[B]` of the states that `GPTBackbone.hidden` returned for it.

    Where those are the states of every position, the head reads them all, as the book's does.
    """
    if states.shape[1] == 1:
        return head(states[:, 0])
    return head(states)[torch.arange(at.shape[0], device=at.device), at]


class GPTModel(GPTBackbone):
    """GPT-2's architecture with the book's module names.

    Args:
        config: The sizes.
        num_labels: Number of classes of the book's classification head (with bias), or `None` for the language-model
            head over the vocabulary (without bias).
    """

    def __init__(self, config: "SpamGPTConfig | SpamGPTFields", num_labels: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.build(config)
        self.out_head = (
            nn.Linear(config.emb_dim, config.vocab_size, bias=False)
            if num_labels is None
            else nn.Linear(config.emb_dim, num_labels)
        )

    def forward(
        self, in_idx: Tensor, at: Tensor | None = None, prefix_states: Tensor | None = None, prefix_blocks: int = 0
    ) -> Tensor:
        """Score every position, or one position of each text.

        Args:
            in_idx: See `hidden`, as for the other arguments. *Shape:* `[B, T]`.
            at: *Shape:* `[B]`.
            prefix_states: *Shape:* `[B, T, C]` or `[B, 1, C]`.
            prefix_blocks: Number of blocks that `prefix_states` covers.

        Returns:
            The head's logits over the vocabulary or the classes.
                *Shape:* `[B, T, num_logits]`, or `[B, num_logits]` with `at`.

        Raises:
            ValueError: If a row is longer than the context.
        """
        states = self.hidden(in_idx, at, prefix_states, prefix_blocks)
        return self.out_head(states) if at is None else score_at(self.out_head, states, at)
