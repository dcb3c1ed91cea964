"""`GPTModel` as transformers models: the classifier with its pooling rules, and the language model.

Both accept padding on either side. Given a mask, `align_left` moves each row's real tokens to the left, where
positions count from 0 and causal attention never sees the padding; so no other code needs to handle padding.

`_auto_class` saves the code with the weights. It is set directly, because `register_for_auto_class` would import the
Auto classes.
"""

from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutput, SequenceClassifierOutput

from .configuration_spam_gpt import SpamGPTConfig
from .gpt import GPTModel, LayerNorm

_ALIGNMENT = 64  # bytes, as torch allocates on a CPU


def align_left(input_ids: Tensor, attention_mask: Tensor, pad_token_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """Move each row's real tokens to the left, in order, and fill the rest with the pad id.

    Args:
        input_ids: *Shape:* `[B, T]`.
        attention_mask: Nonzero for real tokens. *Shape:* `[B, T]`.
        pad_token_id: The id that fills each row to the right of its real tokens.

    Returns:
        The aligned ids `[B, T]`, the number of real tokens in each row `[B]`, and the order `[B, T]` used to gather
        them (aligned[b, t] = input_ids[b, order[b, t]]).

    Raises:
        ValueError: If the mask does not have the shape of the ids.
    """
    if attention_mask.shape != input_ids.shape:
        raise ValueError(
            f"expected an attention mask with the shape of the ids, {list(input_ids.shape)}, "
            f"found {list(attention_mask.shape)}"
        )
    padding = attention_mask == 0
    positions = torch.arange(input_ids.shape[1], device=input_ids.device)
    order = (positions + 2**30 * padding).argsort(dim=1)  # distinct keys, because ONNX has no stable sort
    lengths = input_ids.shape[1] - padding.sum(dim=1)
    aligned = input_ids.gather(1, order).masked_fill(positions >= lengths[:, None], pad_token_id)
    return aligned, lengths, order


class SpamGPTPreTrainedModel(PreTrainedModel):
    """Base of both models: configuration, initialisation, and the transformers features they support."""

    config_class = SpamGPTConfig
    base_model_prefix = "model"
    _no_split_modules = ["TransformerBlock"]
    _supports_sdpa = True
    supports_gradient_checkpointing = True

    model: GPTModel

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, LayerNorm):  # transformers only knows `weight` and `bias`, not the book's names
            init.ones_(module.scale)
            init.zeros_(module.shift)
        else:
            super()._init_weights(module)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Self:
        """Load as transformers does, then copy the weights to aligned memory.

        Weights are mapped from the file at whatever offset its header leaves, and the last bit of a matrix-vector
        product can depend on the alignment of its operands. Without the copy a loaded model would not score exactly
        like the one that was saved.
        """
        loaded: Any = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded  # with `output_loading_info`
        for parameter in model.parameters():
            if parameter.device.type == "cpu" and parameter.data_ptr() % _ALIGNMENT:
                parameter.data = parameter.data.clone()
        return loaded

    def get_input_embeddings(self) -> nn.Module:
        return self.model.tok_emb

    def set_input_embeddings(self, value: nn.Embedding) -> None:  # type: ignore[override]
        self.model.tok_emb = value


class SpamGPTForSequenceClassification(SpamGPTPreTrainedModel):
    """A GPT whose logits at one position of the text are the text's class scores.

    `config.pooling` chooses the position; see `SpamGPTConfig`. Without an attention mask, padding is recognised by the
    pad id and only on the right, as in transformers' own GPT-2 classifier. A text without tokens is scored as a single
    `<|endoftext|>`.
    """

    _auto_class = "AutoModelForSequenceClassification"

    def __init__(self, config: SpamGPTConfig) -> None:
        super().__init__(config)
        self.model = GPTModel(config, num_labels=config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        prefix_states: Tensor | None = None,
        prefix_blocks: int = 0,
        **kwargs: object,
    ) -> SequenceClassifierOutput:
        """Score a batch of texts.

        Args:
            input_ids: Token ids. *Shape:* `[B, T]`, with any T as long as no row has more real tokens than
                `config.max_text_length`.
            attention_mask: 1 for real tokens, 0 for padding, on either side. *Shape:* `[B, T]`.
            labels: Class ids, or regression targets if `num_labels` is 1. *Shape:* `[B]`.
            prefix_states: The precomputed output of the first `prefix_blocks` blocks for these texts; see
                `GPTModel.forward`. Rows are padded on the right, to T or to `pad_to_length`.
            prefix_blocks: Number of blocks that `prefix_states` covers.
            **kwargs: Passed to the loss (the Trainer's `num_items_in_batch`).

        Returns:
            `logits` of *shape* `[B, num_labels]`, and `loss` if labels are given.

        Raises:
            ValueError: If a text is longer than the model can read.
        """
        if input_ids.shape[1] == 0:  # a batch of empty texts, which tokenizers return as floats
            input_ids = input_ids.new_full((input_ids.shape[0], 1), self.config.pad_token_id, dtype=torch.long)
            attention_mask = None
        if attention_mask is None:
            positions = torch.arange(input_ids.shape[1], device=input_ids.device)
            last = (positions * (input_ids != self.config.pad_token_id)).argmax(dim=1)  # [B]; 0 if all is padding
        else:
            input_ids, lengths, _ = align_left(input_ids, attention_mask, self.config.pad_token_id)
            last = (lengths - 1).clamp(min=0)  # [B]

        if self.config.pooling == "last_position":
            input_ids = self._to_width(input_ids, self.config.pad_to_length, last)
            last = torch.full_like(last, input_ids.shape[1] - 1)
        elif input_ids.shape[1] > self.config.context_length:
            input_ids = self._to_width(input_ids, self.config.context_length, last)

        logits = self.model(input_ids, last, prefix_states, prefix_blocks)  # [B, num_labels]
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config, **kwargs)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def _to_width(self, input_ids: Tensor, width: int, last: Tensor) -> Tensor:
        """Pad rows to `width` on the right, or cut padding off. `last` `[B]` is the place of each row's last token."""
        longest = int(last.max()) + 1 if input_ids.shape[1] > width else 0
        if longest > width:
            raise ValueError(
                f"expected texts of at most {width} tokens, found one of {longest}: "
                f"pass truncation=True to the tokenizer or the pipeline"
            )
        missing = max(0, width - input_ids.shape[1])
        return nn.functional.pad(input_ids[:, :width], (0, missing), value=self.config.pad_token_id)


class SpamGPTForCausalLM(SpamGPTPreTrainedModel, GenerationMixin):
    """The language model that the classifier starts from. Its head is tied to the token embedding, as in GPT-2.

    There is no key-value cache: `generate()` reads the whole sequence at every step, regardless of `use_cache`.
    """

    _auto_class = "AutoModelForCausalLM"
    _tied_weights_keys = {"model.out_head.weight": "model.tok_emb.weight"}

    def __init__(self, config: SpamGPTConfig) -> None:
        super().__init__(config)
        self.model = GPTModel(config)
        self.post_init()
        self.generation_config.use_cache = False

    def get_output_embeddings(self) -> nn.Module:
        return self.model.out_head

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        self.model.out_head = new_embeddings

    def prepare_inputs_for_generation(self, input_ids: Tensor, *args: Any, **kwargs: Any) -> dict[str, Tensor | None]:
        """Pass the whole sequence so far: without a cache, all of it is needed."""
        return {"input_ids": input_ids, "attention_mask": kwargs.get("attention_mask")}

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: object,
    ) -> CausalLMOutput:
        """Score the next token at every position.

        Args:
            input_ids: Token ids. *Shape:* `[B, T]`.
            attention_mask: 1 for real tokens, 0 for padding, on either side. *Shape:* `[B, T]`.
            labels: The ids again, with -100 where nothing is to be predicted; shifted here. *Shape:* `[B, T]`.
            **kwargs: Passed to the loss (the Trainer's `num_items_in_batch`).

        Returns:
            `logits` of *shape* `[B, T, vocab_size]` (meaningless at padding), and `loss` if labels are given.
        """
        order = None
        if attention_mask is not None:
            input_ids, _, order = align_left(input_ids, attention_mask, self.config.pad_token_id)
        logits = self.model(input_ids)
        loss = None
        if labels is not None:
            # Aligned like the ids: otherwise padding on the left would have to predict the first real token.
            labels = labels if order is None else labels.gather(1, order)
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        if order is not None:  # move each position's logits back to its token's place
            logits = logits.gather(1, order.argsort(dim=1)[:, :, None].expand_as(logits))
        return CausalLMOutput(loss=loss, logits=logits)
