"""The fields of the configuration and their rules, without transformers: what a model of this kind may be.

`SpamGPTConfig` is the same as a configuration of transformers.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeGuard, get_args

Pooling = Literal["first_token", "last_token", "last_position", "mean", "mean_positions"]
READS_PADDING = ("last_position", "mean_positions")  # rows of one width, padding included, as in the book
_ENDOFTEXT = 50256  # GPT-2's only special token


class FieldRules:
    """What the fields must be, and what follows from them; for a class that has them."""

    def check_fields(self: Any) -> None:
        """Check every field, and fill in what follows from others.

        Raises:
            ValueError: If a size or the pooling rule is invalid.
        """
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

    @property
    def row_length(self: Any) -> int | None:
        """Length in tokens of every row, where padding is read; else `None`: rows may have any."""
        return self.pad_to_length if self.pooling in READS_PADDING else None

    @property
    def max_text_length(self: Any) -> int:
        """Maximum text length in tokens that the model scores without truncation."""
        return self.row_length or self.context_length


@dataclass
class SpamGPTFields(FieldRules):
    """The fields with their defaults, those of GPT-2 small; see `SpamGPTConfig` for what each means.

    Raises:
        ValueError: If a size or the pooling rule is invalid.
    """

    _attn_implementation: ClassVar[str] = "sdpa"

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
    # transformers' own:
    id2label: dict[int, str] = field(default_factory=lambda: {0: "LABEL_0", 1: "LABEL_1"})
    label2id: dict[str, int] = field(default_factory=lambda: {"LABEL_0": 0, "LABEL_1": 1})
    problem_type: Literal["regression", "single_label_classification", "multi_label_classification"] | None = None
    architectures: list[str] | None = None

    def __post_init__(self) -> None:
        self.check_fields()

    @property
    def num_labels(self) -> int:
        """The number of labels."""
        return len(self.id2label)


def _is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number; a JSON may hold anything."""
    return isinstance(value, int) and not isinstance(value, bool)
