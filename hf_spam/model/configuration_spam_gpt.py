"""The configuration saved with the weights: sizes, labels, and the positions where a text's scores are read."""

from typing import Any, ClassVar, Literal, TypeGuard, get_args

import transformers

# Before anything is imported that older releases lack: this code travels with the weights.
if [int(number) for number in transformers.__version__.split(".")[:2]] < [5, 2]:
    raise RuntimeError(
        f"this model needs transformers 5.2 or newer, found {transformers.__version__}: pip install -U transformers"
    )

from transformers import PreTrainedConfig

Pooling = Literal["first_token", "last_token", "last_position", "mean", "mean_positions"]
READS_PADDING = ("last_position", "mean_positions")  # rows of one width, padding included, as in the book
_ENDOFTEXT = 50256  # GPT-2's only special token


class SpamGPTConfig(PreTrainedConfig):
    """Configuration of a from-scratch GPT that scores texts.

    The fields have the book's names; `attribute_map` translates transformers' and GPT-2's names for the same things.
    The defaults are those of GPT-2 small. A vocabulary too small for the id of `<|endoftext|>` does without it.

    Args:
        vocab_size: Number of token ids, including GPT-2's `<|endoftext|>` (50256).
        context_length: Maximum text length in tokens; the number of learned positions.
        emb_dim: Width of the residual stream; a multiple of `n_heads`.
        n_heads: Attention heads per block.
        n_layers: Number of transformer blocks.
        drop_rate: Dropout after the embeddings, on the attention weights and on both shortcuts.
        qkv_bias: Whether queries, keys and values have a bias (in GPT-2 they do).
        initializer_range: Standard deviation of newly initialised linear and embedding weights.
        pooling: Which positions' logits score the text. `first_token`, `last_token`, `mean`: the first, the last or
            the mean of all real tokens, so that padding never changes a score. `last_position` (the book) and
            `mean_positions`: the last or the mean of all positions of the row padded to `pad_to_length`.
        pad_to_length: Length in tokens to which the latter two pad every row; defaults to `context_length`.
        causal: Whether a position sees only itself and what is before it. If not, it sees the whole text, or where
            padding is read the whole row.
        ignore_index: The class id of labels that the loss leaves out.
        operating_point: What `hf-spam calibrate` folded into the head, for the record: the model decides there.
        pad_token_id: The id that pads rows; `None` for a model that is only given rows without padding, or a mask.
        bos_token_id: The id that starts a text, for `generate()`.
        eos_token_id: The id that ends one, likewise.
        tie_word_embeddings: Whether the language model's head is the token embedding, as in GPT-2.
        use_cache: Whether the language model returns its keys and values when it is not training, as GPT-2 does.

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
        "n_embd": "emb_dim",
        "n_layer": "n_layers",
        "n_head": "n_heads",
        "n_positions": "context_length",
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
    causal: bool = True
    ignore_index: int = -100
    operating_point: dict[str, Any] | None = None
    pad_token_id: int | None = _ENDOFTEXT
    bos_token_id: int | None = _ENDOFTEXT
    eos_token_id: int | None = _ENDOFTEXT
    tie_word_embeddings: bool = True
    use_cache: bool = True

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
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            if getattr(self, name) == _ENDOFTEXT >= self.vocab_size:
                setattr(self, name, None)
        pad = self.pad_token_id
        if pad is not None and (not _is_whole(pad) or not 0 <= pad < self.vocab_size):
            raise ValueError(f"pad_token_id must be an id below {self.vocab_size}, got {pad!r}")
        if pad is None and self.pooling in READS_PADDING:
            raise ValueError(f"pooling {self.pooling} pads every row: it needs a pad_token_id, got None")
        if self.pooling in READS_PADDING and self.pad_to_length is None:
            self.pad_to_length = self.context_length
        if self.pad_to_length is not None and not (
            _is_whole(self.pad_to_length) and 1 <= self.pad_to_length <= self.context_length
        ):
            raise ValueError(
                f"pad_to_length must be between 1 and context_length ({self.context_length}), "
                f"got {self.pad_to_length!r}"
            )
        if not isinstance(self.causal, bool):
            raise ValueError(f"causal must be true or false, got {self.causal!r}")
        if not _is_whole(self.ignore_index) or 0 <= self.ignore_index < (self.num_labels or 0):
            raise ValueError(f"ignore_index must be an integer that is no label's id, got {self.ignore_index!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, under the book's names; asked for by GPT-2's names, the dictionary knows them as well."""
        return _Fields(super().to_dict())

    @property
    def row_length(self) -> int | None:
        """Length in tokens of every row, where padding is read; else `None`: rows may have any."""
        return self.pad_to_length if self.pooling in READS_PADDING else None

    @property
    def max_text_length(self) -> int:
        """Maximum text length in tokens that the model scores without truncation."""
        return self.row_length or self.context_length


class _Fields(dict[str, Any]):
    """A configuration's fields. Libraries that read a dictionary, as peft does, find sizes by the usual names."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or super().__contains__(SpamGPTConfig.attribute_map.get(str(name)))

    def __missing__(self, name: str) -> Any:
        if name in SpamGPTConfig.attribute_map:
            return self[SpamGPTConfig.attribute_map[name]]
        raise KeyError(name)


def _is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number; a JSON may hold anything."""
    return isinstance(value, int) and not isinstance(value, bool)
