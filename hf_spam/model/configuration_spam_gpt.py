"""The configuration saved with the weights: sizes, labels, and the position where a text's score is read."""

from typing import ClassVar, Literal, TypeGuard, get_args

from transformers import PreTrainedConfig

Pooling = Literal["last_token", "last_position"]


class SpamGPTConfig(PreTrainedConfig):
    """Configuration of a from-scratch GPT that scores texts.

    The fields have the book's names; `attribute_map` translates transformers' names for the same things. The defaults
    are those of GPT-2 small.

    Args:
        vocab_size: Number of token ids, including GPT-2's `<|endoftext|>` (50256).
        context_length: Maximum text length in tokens; the number of learned positions.
        emb_dim: Width of the residual stream; a multiple of `n_heads`.
        n_heads: Attention heads per block.
        n_layers: Number of transformer blocks.
        drop_rate: Dropout after the embeddings, on the attention weights and on both shortcuts.
        qkv_bias: Whether queries, keys and values have a bias (in GPT-2 they do).
        initializer_range: Standard deviation of newly initialised linear and embedding weights.
        pooling: Which position's logits score the text. `last_token`: the last real token, so that padding never
            changes a score. `last_position` (the book): the last position of the row padded to `pad_to_length`.
        pad_to_length: Length in tokens to which `last_position` pads every row; defaults to `context_length`.

    Raises:
        ValueError: If a size or the pooling rule is invalid.
    """

    model_type: ClassVar[str] = "spam_gpt"
    _auto_class: ClassVar[str | None] = "AutoConfig"  # saves the code with the weights; see modeling_spam_gpt
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "emb_dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "max_position_embeddings": "context_length",
    }

    vocab_size: int = 50257
    context_length: int = 1024
    emb_dim: int = 768
    n_heads: int = 12
    n_layers: int = 12
    drop_rate: float = 0.0
    qkv_bias: bool = True
    initializer_range: float = 0.02
    pooling: Pooling = "last_token"
    pad_to_length: int | None = None
    pad_token_id: int | None = 50256
    bos_token_id: int | None = 50256
    eos_token_id: int | None = 50256
    tie_word_embeddings: bool = True  # the causal model's head to `tok_emb`, as in GPT-2

    def __post_init__(self, **kwargs: object) -> None:
        super().__post_init__(**kwargs)
        for name in ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers"):
            if not _is_whole(getattr(self, name)) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if self.emb_dim % self.n_heads:
            raise ValueError(f"emb_dim must be a multiple of n_heads, got {self.emb_dim} and {self.n_heads}")
        if not 0.0 <= self.drop_rate < 1.0:
            raise ValueError(f"drop_rate must be in [0, 1), got {self.drop_rate}")
        if self.pooling not in get_args(Pooling):
            raise ValueError(f"pooling must be one of {', '.join(get_args(Pooling))}, got {self.pooling!r}")
        if not _is_whole(self.pad_token_id) or not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(f"pad_token_id must be an id below {self.vocab_size}, got {self.pad_token_id!r}")
        if self.pooling == "last_position" and self.pad_to_length is None:
            self.pad_to_length = self.context_length
        if self.pad_to_length is not None and not (
            _is_whole(self.pad_to_length) and 1 <= self.pad_to_length <= self.context_length
        ):
            raise ValueError(
                f"pad_to_length must be between 1 and context_length ({self.context_length}), "
                f"got {self.pad_to_length!r}"
            )

    @property
    def max_text_length(self) -> int:
        """Maximum text length in tokens that the model scores without truncation."""
        return self.pad_to_length if self.pooling == "last_position" and self.pad_to_length else self.context_length


def _is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number; a JSON may hold anything."""
    return isinstance(value, int) and not isinstance(value, bool)
