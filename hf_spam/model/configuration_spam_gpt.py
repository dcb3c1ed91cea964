"""The configuration saved with the weights: sizes, labels, and the positions where a text's scores are read."""

from dataclasses import asdict
from typing import Any, ClassVar, Self

import transformers

# Before anything is imported that older releases lack: this code travels with the weights.
if [int(number) for number in transformers.__version__.split(".")[:2]] < [5, 2]:
    raise RuntimeError(
        f"this model needs transformers 5.2 or newer, found {transformers.__version__}: pip install -U transformers"
    )

from transformers import PreTrainedConfig

from .fields_spam_gpt import FieldRules, Pooling, SpamGPTFields


class SpamGPTConfig(FieldRules, PreTrainedConfig):
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

    vocab_size: int = SpamGPTFields.vocab_size
    context_length: int = SpamGPTFields.context_length
    emb_dim: int = SpamGPTFields.emb_dim
    n_heads: int = SpamGPTFields.n_heads
    n_layers: int = SpamGPTFields.n_layers
    drop_rate: float = SpamGPTFields.drop_rate
    qkv_bias: bool = SpamGPTFields.qkv_bias
    initializer_range: float = SpamGPTFields.initializer_range
    pooling: Pooling = SpamGPTFields.pooling
    pad_to_length: int | None = SpamGPTFields.pad_to_length
    causal: bool = SpamGPTFields.causal
    ignore_index: int = SpamGPTFields.ignore_index
    operating_point: dict[str, Any] | None = SpamGPTFields.operating_point
    pad_token_id: int | None = SpamGPTFields.pad_token_id
    bos_token_id: int | None = SpamGPTFields.bos_token_id
    eos_token_id: int | None = SpamGPTFields.eos_token_id
    tie_word_embeddings: bool = SpamGPTFields.tie_word_embeddings
    use_cache: bool = True

    def __post_init__(self, **kwargs: object) -> None:
        super().__post_init__(**kwargs)
        self.check_fields()

    @classmethod
    def from_fields(cls, fields: SpamGPTFields) -> Self:
        """Return the configuration that has these fields."""
        return cls(**asdict(fields))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, under the book's names; asked for by GPT-2's names, the dictionary knows them as well."""
        return _Fields(super().to_dict())


class _Fields(dict[str, Any]):
    """A configuration's fields. Libraries that read a dictionary, as peft does, find sizes by the usual names."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or super().__contains__(SpamGPTConfig.attribute_map.get(str(name)))

    def __missing__(self, name: str) -> Any:
        if name in SpamGPTConfig.attribute_map:
            return self[SpamGPTConfig.attribute_map[name]]
        raise KeyError(name)
