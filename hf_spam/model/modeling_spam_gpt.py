"""The GPT as a classifier, and as a language model. Both accept padding on either side.

`_auto_class` saves the code with the weights. It is set directly, because `register_for_auto_class` would import the
Auto classes.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast, SequenceClassifierOutputWithPast
from transformers.utils.generic import can_return_tuple

from .backbone_spam_gpt import CACHE, SpamGPTModel, SpamGPTPreTrainedModel, deprecate_old_name
from .configuration_spam_gpt import SpamGPTConfig
from .gpt import score_at
from .pooling_spam_gpt import find_position, find_real, mean_logits, to_rows

if TYPE_CHECKING:  # older releases of transformers copy only those files from a folder that this one names
    from .fields_spam_gpt import FieldRules  # noqa: F401
    from .layers_spam_gpt import SpamGPTBlock  # noqa: F401


class SpamGPTForSequenceClassification(SpamGPTPreTrainedModel):
    """A GPT whose logits at one position of the text, or whose mean over several, are the text's class scores.

    `config.pooling` chooses the positions; see `SpamGPTConfig`. Without an attention mask, padding is recognised by
    the pad id and only on the right, as in transformers' own GPT-2 classifier. A text without tokens is scored as a
    single `<|endoftext|>`.
    """

    _auto_class = "AutoModelForSequenceClassification"
    accepts_loss_kwargs = True  # the Trainer's `num_items_in_batch`

    def __init__(self, config: SpamGPTConfig) -> None:
        super().__init__(config)
        self.num_labels: int = config.num_labels  # type: ignore[assignment]
        self.model = SpamGPTModel(config, part=True)
        self.score = nn.Linear(config.emb_dim, self.num_labels)
        self.post_init()

    @can_return_tuple  # type: ignore[untyped-decorator]
    @deprecate_old_name
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        prefix_states: Tensor | None = None,
        prefix_blocks: int = 0,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache: Cache | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | list[int] | None = None,
        output_attentions: bool | None = None,
        past_key_values: Cache | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> SequenceClassifierOutputWithPast:
        """Score a batch of texts.

        Args:
            input_ids: Token ids. *Shape:* `[B, T]`, with any T as long as no row has more real tokens than
                `config.max_text_length`.
            attention_mask: 1 for real tokens, 0 for padding, on either side. *Shape:* `[B, T]`; see `SpamGPTModel`.
            labels: Class ids, or regression targets if `num_labels` is 1: *shape* `[B]`. Of several labels a text:
                *shape* `[B, num_labels]`.
            prefix_states: The precomputed output of the first `prefix_blocks` blocks for these texts; see
                `GPTBackbone.hidden`. Rows are padded on the right, to T or to `pad_to_length`.
            prefix_blocks: Number of blocks that `prefix_states` covers.
            position_ids: See `SpamGPTModel`, as for the following. What is asked for makes the last block compute
                every position. `last_position` reads rows of a fixed width: it takes ids or embeddings and a mask.
            inputs_embeds: *Shape:* `[B, T, C]`.
            cache: Of a prefix.
            use_cache: Whether to return a cache; by default not.
            output_hidden_states: As in `SpamGPTModel`.
            output_attentions: As in `SpamGPTModel`.
            past_key_values: The same as `cache`.
            num_items_in_batch: The number of labels whose mean the loss is a part of, when a step has several batches.

        Returns:
            `logits` of *shape* `[B, num_labels]`, `loss` if labels are given, and what was asked for.

        Raises:
            ValueError: If a text is longer than the model can read, or the arguments do not fit each other.
        """
        cache = past_key_values if cache is None else cache
        given: dict[str, Any] = {"position_ids": position_ids, "inputs_embeds": inputs_embeds, CACHE: cache}
        asked = {
            "use_cache": bool(use_cache),
            "output_hidden_states": self.asks("output_hidden_states", output_hidden_states),
            "output_attentions": self.asks("output_attentions", output_attentions),
        }
        each_sees = attention_mask is not None and attention_mask.dim() != 2
        alone = not each_sees and not any(asked.values()) and all(it is None for it in given.values())
        if alone and input_ids is not None:
            input_ids, real = to_rows(self.config, input_ids, attention_mask)
            at = find_position(self.config, real)
            lengths = None if self.config.causal or self.config.row_length else real.sum(dim=1)
            given = {"at": at, "prefix_states": prefix_states, "prefix_blocks": prefix_blocks, "lengths": lengths}
        elif self.config.row_length is None:
            self._check_beginning(cache)
            rows = inputs_embeds if input_ids is None else input_ids
            if rows is None:
                raise ValueError("expected either input_ids or inputs_embeds")
            real = find_real(self.config, rows, None if each_sees else attention_mask)
            at = find_position(self.config, real)
            if attention_mask is None and not self.config.causal:
                attention_mask = real.long()
            given |= {"attention_mask": attention_mask}
        else:
            if each_sees or position_ids is not None or cache is not None:
                raise ValueError(
                    f"pooling {self.config.pooling} reads rows of a fixed width: expected no position_ids, no cache "
                    f"and no mask of 4 dimensions"
                )
            if input_ids is not None:
                input_ids, real = to_rows(self.config, input_ids, attention_mask)
            else:
                inputs_embeds, real = self._pad_embeds(inputs_embeds, attention_mask)
            at = find_position(self.config, real)
            given = {"inputs_embeds": inputs_embeds}
        outputs = self.model(input_ids, return_dict=True, **given, **asked)
        states = outputs.last_hidden_state
        # [B, num_labels]
        logits = mean_logits(self.score(states), real) if at is None else score_at(self.score, states, at)
        loss = None if labels is None else self._loss(logits, labels, num_items_in_batch)
        kept = {name: outputs[name] for name in (CACHE, "hidden_states", "attentions") if name in outputs}
        return SequenceClassifierOutputWithPast(loss=loss, logits=logits, **kept)

    def _check_beginning(self, cache: Cache | None) -> None:
        """Refuse a cache of earlier tokens where the beginning of the text is read, too."""
        if cache is not None and cache.get_seq_length() and self.config.pooling != "last_token":
            raise ValueError(f"pooling {self.config.pooling} reads the text's beginning: expected no cache of it")

    def _pad_embeds(self, embeds: Tensor | None, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Do with embeddings `[B, T, C]` what `to_rows` does with ids."""
        if embeds is None:
            raise ValueError("expected either input_ids or inputs_embeds")
        B, T, C = embeds.shape
        mask = torch.ones(B, T, device=embeds.device) if attention_mask is None else attention_mask
        places, real = to_rows(self.config, torch.arange(T, device=embeds.device).expand(B, T), mask, pad=T)
        padding = self.model.tok_emb(torch.tensor(self.config.pad_token_id, device=embeds.device)).expand(B, 1, C)
        return torch.cat([embeds, padding], dim=1).gather(1, places[:, :, None].expand(-1, -1, C)), real

    def _loss(self, logits: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None) -> Tensor:
        """Return the loss of the configured problem: a mean over this batch, or its part of a mean over a step."""
        config = self.config
        given: dict[str, Any] = {"labels": labels, "pooled_logits": logits, "config": config}
        given["ignore_index"] = config.ignore_index
        if num_items_in_batch is None:
            return self.loss_function(**given)
        whole = not labels.is_floating_point() and self.num_labels > 1
        if config.problem_type == "single_label_classification" or (config.problem_type is None and whole):
            return self.loss_function(**given, num_items_in_batch=num_items_in_batch)
        # Those of regression and of several labels know nothing of the step, and would grow with its batches.
        return self.loss_function(**given) * (labels.numel() / num_items_in_batch)


class SpamGPTForCausalLM(SpamGPTPreTrainedModel, GenerationMixin):
    """The language model that the classifier starts from. Its head is tied to the token embedding, as in GPT-2."""

    _auto_class = "AutoModelForCausalLM"
    _tied_weights_keys = {"lm_head.weight": "model.tok_emb.weight"}
    head_name = "lm_head"
    accepts_loss_kwargs = True  # the Trainer's `num_items_in_batch`

    def __init__(self, config: SpamGPTConfig) -> None:
        super().__init__(config)
        self.model = SpamGPTModel(config, part=True)
        self.lm_head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)
        self.post_init()

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, *args: Any, inputs_embeds: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Name the cache as peft does where it wraps this method: else its prompts are put in at every step."""
        inputs = super().prepare_inputs_for_generation(input_ids, *args, inputs_embeds=inputs_embeds, **kwargs)
        wrapper = vars(self).get("prepare_inputs_for_generation")
        if CACHE in inputs and getattr(wrapper, "__self__", self) is not self:
            inputs["past_key_values"] = inputs.pop(CACHE)
        return inputs

    @can_return_tuple  # type: ignore[untyped-decorator]
    @deprecate_old_name
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache: Cache | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        output_hidden_states: bool | list[int] | None = None,
        output_attentions: bool | None = None,
        past_key_values: Cache | None = None,
        num_items_in_batch: Tensor | int | None = None,
        shift_labels: Tensor | None = None,
    ) -> CausalLMOutputWithPast:
        """Score the next token at every position.

        Args:
            input_ids: Token ids. *Shape:* `[B, T]`.
            attention_mask: See `SpamGPTModel`, as for what is not described here.
            labels: The ids again, with -100 where nothing is to be predicted; shifted here. *Shape:* `[B, T]`.
            position_ids: *Shape:* `[B, T]`.
            inputs_embeds: *Shape:* `[B, T, C]`.
            cache: Keys and values of earlier positions.
            use_cache: Whether to return them with those of these positions.
            logits_to_keep: How many positions at the end to score, or which ones; 0 for all.
            output_hidden_states: Whether to return the states of each block, or which ones.
            output_attentions: Whether to return each block's attention weights.
            past_key_values: The same as `cache`.
            num_items_in_batch: The number of tokens that the loss is a mean over, when a step has several batches.
            shift_labels: The labels already shifted, which are then used as they are: for sequences that several
                devices share, whose parts cannot be shifted alone. *Shape:* `[B, T]`.

        Returns:
            `logits` of *shape* `[B, T, vocab_size]` (meaningless at padding), `loss` if labels are given, and what was
            asked for.

        Raises:
            ValueError: If the text is longer than the context, or the arguments do not fit each other.
        """
        outputs = self.model(
            input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=self.asks("output_hidden_states", output_hidden_states),
            output_attentions=self.asks("output_attentions", output_attentions),
            return_dict=True,
            **{CACHE: past_key_values if cache is None else cache},
        )
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, keep])
        loss = None
        targets = labels if shift_labels is None else shift_labels
        if targets is not None:
            if logits.shape[1] != targets.shape[1]:
                raise ValueError("expected no logits_to_keep with labels: every position is scored for the loss")
            if labels is not None and attention_mask is not None and attention_mask.dim() == 2:
                # Padding on the left would have to predict the first real token.
                before = nn.functional.pad(attention_mask[:, -labels.shape[1] : -1], (1, 0))
                labels = labels.masked_fill(before == 0, -100)
            items: dict[str, Any] = {} if num_items_in_batch is None else {"num_items_in_batch": num_items_in_batch}
            items |= {} if shift_labels is None else {"shift_labels": shift_labels}
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **items)
        kept = {name: outputs[name] for name in (CACHE, "hidden_states", "attentions") if name in outputs}
        return CausalLMOutputWithPast(loss=loss, logits=logits, **kept)
