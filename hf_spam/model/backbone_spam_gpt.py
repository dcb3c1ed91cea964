"""The GPT without a head as a transformers model, and what all our models share.

Padding may be on either side: each token gets the position that it has among the real ones, and the padding is masked,
as transformers does. Ids alone go the way of `gpt`.
"""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache, DynamicCache
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.quantizers.auto import AutoQuantizationConfig
from transformers.utils.deprecation import deprecate_kwarg
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_spam_gpt import SpamGPTConfig
from .gpt import GPTBackbone, LayerNorm, TransformerBlock
from .pooling_spam_gpt import check_mask

if TYPE_CHECKING:  # see modeling_spam_gpt
    from .fields_spam_gpt import FieldRules  # noqa: F401

# Where each Auto class finds its model in the code beside the weights.
_AUTO_MAP = {
    "AutoConfig": ("configuration_spam_gpt", "SpamGPTConfig"),
    "AutoModel": ("backbone_spam_gpt", "SpamGPTModel"),
    "AutoModelForSequenceClassification": ("modeling_spam_gpt", "SpamGPTForSequenceClassification"),
    "AutoModelForCausalLM": ("modeling_spam_gpt", "SpamGPTForCausalLM"),
}
_ALIGNMENT = 64  # bytes, as torch allocates on a CPU
_OLD_HEAD = "model.out_head."  # the classifier's and the language model's, in checkpoints of our first version
# The name of a cache: `past_key_values` in older releases of transformers, each of which asks for its own.
CACHE = "cache" if "cache" in BaseModelOutputWithPast.__dataclass_fields__ else "past_key_values"
_Forward = TypeVar("_Forward", bound=Callable[..., Any])


def deprecate_old_name(forward: _Forward) -> _Forward:
    """Warn where `past_key_values` is given to a `forward`, in releases of transformers that call it `cache`."""
    return forward if CACHE != "cache" else deprecate_kwarg("past_key_values", "5.40.0", new_name="cache")(forward)


class SpamGPTPreTrainedModel(PreTrainedModel):
    """Base of all our models: configuration, initialisation, loading, and the transformers features they support."""

    config: SpamGPTConfig
    config_class = SpamGPTConfig
    base_model_prefix = "model"
    head_name: ClassVar[str] = "score"
    _no_split_modules = ["SpamGPTBlock"]
    _skip_keys_device_placement = ["cache", "past_key_values"]
    _supports_sdpa = True
    supports_gradient_checkpointing = True
    _can_record_outputs = {"hidden_states": TransformerBlock, "attentions": OutputRecorder(nn.Softmax)}
    _input_embed_layer = "tok_emb"

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, LayerNorm):  # transformers only knows `weight` and `bias`, not the book's names
            init.ones_(module.scale)
            init.zeros_(module.shift)
        else:
            super()._init_weights(module)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Self:
        """Load as transformers does, checkpoints of our first version too; then copy the weights to aligned memory.

        Weights are mapped from the file at whatever offset its header leaves, and the last bit of a matrix-vector
        product can depend on the alignment of its operands. Without the copy a loaded model would not score exactly
        like the one that was saved.
        """
        if kwargs.get("quantization_config") is not None:
            kwargs["quantization_config"] = spare_head(kwargs["quantization_config"], cls.head_name)
        renaming = {f"^{_OLD_HEAD.replace('.', chr(92) + '.')}": f"{cls.head_name}."}
        kwargs["key_mapping"] = renaming | (kwargs.get("key_mapping") or {})
        loaded: Any = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded  # with `output_loading_info`
        # Saving would turn the names back.
        kept = [it for it in model._weight_conversions if it.target_patterns != list(renaming.values())]
        model._weight_conversions = kept
        for parameter in model.parameters():
            if parameter.device.type == "cpu" and parameter.data_ptr() % _ALIGNMENT:
                parameter.data = parameter.data.clone()
        return loaded

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        # torch's hook for state dicts of earlier versions of a class.
        for name in [name for name in state_dict if name.startswith(f"{prefix}{_OLD_HEAD}")]:
            new = f"{prefix}{self.head_name}.{name.removeprefix(prefix + _OLD_HEAD)}"
            state_dict[new] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Save as transformers does. The code beside the weights serves every Auto class, not only this model's."""
        self.config.auto_map = {auto: f"{module}.{name}" for auto, (module, name) in _AUTO_MAP.items()}
        super().save_pretrained(*args, **kwargs)

    def asks(self, name: str, value: Any) -> Any:
        """Return what is asked of an output, by the argument or else by the configuration: whether, or which."""
        return getattr(self.config, name, False) if value is None else value


def spare_head(quantization: Any, head: str) -> Any:
    """Return a quantization's options with the head among what it leaves alone, unless they name that themselves.

    transformers spares the last parameter's module if it has no bias, and ours has one.
    """
    if isinstance(quantization, dict):
        quantization = AutoQuantizationConfig.from_dict(dict(quantization))
    names = {"llm_int8_skip_modules", "modules_to_not_convert"} & set(vars(quantization))  # bitsandbytes', and others'
    if any(getattr(quantization, name) is not None for name in names):
        return quantization
    changed = copy.copy(quantization)
    for name in names:
        setattr(changed, name, [head])
    return changed


class SpamGPTModel(SpamGPTPreTrainedModel, GPTBackbone):
    """The GPT without a head: texts to hidden states.

    Args:
        config: The sizes.
        part: Whether it is built inside a model with a head, which then initialises all weights at once: a seed's
            draws are those of one model.
    """

    _auto_class = "AutoModel"

    def __init__(self, config: SpamGPTConfig, part: bool = False) -> None:
        # Not above: `GradientCheckpointingLayer` comes with the Auto classes, and those look for this module.
        from .layers_spam_gpt import SpamGPTBlock

        super().__init__(config)
        self.build(config, SpamGPTBlock)
        for number, block in enumerate(self.trf_blocks):
            attention: Any = block.att
            attention.layer_idx = number
        self.part = part
        self.post_init()

    def init_weights(self) -> None:
        if not self.part:
            super().init_weights()

    @capture_outputs  # type: ignore[untyped-decorator]
    @deprecate_old_name
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache: Cache | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | list[int] | None = None,
        output_attentions: bool | None = None,
        past_key_values: Cache | None = None,
        at: Tensor | None = None,
        prefix_states: Tensor | None = None,
        prefix_blocks: int = 0,
        lengths: Tensor | None = None,
    ) -> BaseModelOutputWithPast:
        """Return the normed states of the last block.

        Args:
            input_ids: Token ids. *Shape:* `[B, T]`.
            attention_mask: 1 for real tokens, 0 for padding, on either side, those in the cache included: *shape*
                `[B, K]`. Or what each position sees, instead: *shape* `[B, 1, T, K]`.
            position_ids: By default a text's real tokens count from 0. Positions that start again at 0 within a row
                separate texts that are packed in it. *Shape:* `[B, T]`.
            inputs_embeds: Token embeddings instead of ids. *Shape:* `[B, T, C]`.
            cache: Keys and values of earlier positions; those of these are added.
            use_cache: Whether to return a cache; by default as the configuration says, and not in training.
            output_hidden_states: Whether to return the states before the first and after each block, or which ones.
            output_attentions: Whether to return each block's attention weights.
            past_key_values: The same as `cache`.
            at: The position of each text that alone is read, if nothing but ids is given; see `GPTBackbone.hidden`.
                *Shape:* `[B]`.
            prefix_states: See `GPTBackbone.hidden`.
            prefix_blocks: Likewise.
            lengths: Likewise, if nothing but ids is given. *Shape:* `[B]`.

        Returns:
            `last_hidden_state` of *shape* `[B, T, C]`, and what was asked for.

        Raises:
            ValueError: If the text is longer than the context, or the arguments do not fit each other.
        """
        cache = past_key_values if cache is None else cache
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("expected either input_ids or inputs_embeds")
        if self.training and any(block.gradient_checkpointing for block in self.trf_blocks):
            cache, use_cache = None, False  # the second pass would add everything again
        if not self.config.causal:
            if cache is not None or use_cache:
                raise ValueError("expected no cache: without a causal mask, later tokens change the earlier ones")
            use_cache = False
        if use_cache is None:
            use_cache = bool(self.config.use_cache) and at is None and position_ids is None and not self.training
        if use_cache and cache is None:
            cache = DynamicCache(config=self.config)
        explicit = self.asks("output_attentions", output_attentions)
        alone = not explicit and all(it is None for it in (attention_mask, position_ids, cache))
        if alone and input_ids is not None:
            states = self.hidden(input_ids, at, prefix_states, prefix_blocks, lengths)
            return BaseModelOutputWithPast(last_hidden_state=states)

        if inputs_embeds is None:
            inputs_embeds = self.tok_emb(input_ids)  # [B, T, C]
        positions = self._positions(inputs_embeds, attention_mask, position_ids, cache)
        x = self.drop_emb(inputs_embeds + self.pos_emb(positions))
        given: dict[str, Any] = {"inputs_embeds": x, "attention_mask": attention_mask}
        if self.config.causal:
            mask = create_causal_mask(self.config, position_ids=position_ids, **given, **{CACHE: cache})
        else:
            mask = create_bidirectional_mask(self.config, **given)
        for block in self.trf_blocks:
            x = block(x, None, None, mask, cache, explicit)
        kept: dict[str, Any] = {CACHE: cache} if use_cache else {}
        return BaseModelOutputWithPast(last_hidden_state=self.final_norm(x), **kept)

    def _positions(
        self, x: Tensor, attention_mask: Tensor | None, position_ids: Tensor | None, cache: Cache | None
    ) -> Tensor:
        """Return the position of each token, `[B, T]` or `[1, T]`."""
        B, T = x.shape[:2]
        past = 0 if cache is None else cache.get_seq_length()  # a tensor, if the cache has a fixed size
        if isinstance(past, int) and past + T > self.config.context_length:
            raise ValueError(
                f"expected at most {self.config.context_length} tokens (the model's context), found {past + T}: "
                f"pass truncation=True to the tokenizer or the pipeline"
            )
        if attention_mask is not None and attention_mask.dim() not in (2, 4):
            raise ValueError(f"expected an attention_mask of 2 or 4 dimensions, found {attention_mask.dim()}")
        if attention_mask is not None and attention_mask.dim() == 2 and isinstance(past, int):
            check_mask(attention_mask, torch.Size((B, past + T)))
        if position_ids is not None:
            if position_ids.shape[-1] != T:
                raise ValueError(f"expected position_ids of {T} tokens, found {list(position_ids.shape)}")
            return position_ids
        if attention_mask is None or attention_mask.dim() == 4:
            return torch.arange(T, device=x.device)[None] + past
        return ((attention_mask != 0).cumsum(dim=1) - 1).clamp(min=0)[:, -T:]
