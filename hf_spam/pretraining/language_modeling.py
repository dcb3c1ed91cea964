"""Train a language model of ours on rows of ids with the Trainer, to start classifiers from."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerFast,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    set_seed,
)

from ..conversion.from_gpt2 import GPT2Checkpoint, fill
from ..conversion.to_book import as_book
from ..errors import UserError
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForCausalLM
from ..training.arguments import ModelArguments, SpamTrainingArguments
from ..training.callbacks import ProgressBars
from ..training.checkpoints import STABLE
from ..training.initial_model import build_config, special_ids
from ..training.trainer import NotFiniteLossError

_IGNORED = -100
# Of a configuration, what is about labels: a language model has none.
_OF_LABELS = ("pooling", "pad_to_length", "causal", "ignore_index", "id2label", "label2id", "problem_type")


@dataclass(frozen=True)
class Pretrained:
    """A trained language model.

    Attributes:
        model: The model.
        loss: Its mean loss of a token of the held-out texts, in nats.
        record: What was trained, and for how long.
    """

    model: SpamGPTForCausalLM
    loss: float
    record: dict[str, Any]

    @property
    def perplexity(self) -> float:
        """The exponential of the loss: among how many tokens the model hesitates, as it were."""
        return math.exp(min(self.loss, 700.0))


def initialize(
    arguments: ModelArguments, weights: GPT2Checkpoint | None, tokenizer: PreTrainedTokenizerFast, seed: int
) -> SpamGPTForCausalLM:
    """Return a language model with its starting weights.

    Args:
        arguments: Which GPT.
        weights: What it starts from; `None` for random weights.
        tokenizer: Of the texts.
        seed: Of random weights.

    Raises:
        UserError: If the options contradict the weights.
    """
    values = build_config(arguments, weights, len(tokenizer), None, 1, special_ids(tokenizer)).to_dict()
    config = SpamGPTConfig(**{name: value for name, value in values.items() if name not in _OF_LABELS})
    set_seed(seed)
    model = SpamGPTForCausalLM(config)
    if weights is not None:
        fill(as_book(model), weights)
    return model


def pretrain(
    model: SpamGPTForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    rows: Dataset,
    held_out: Dataset,
    arguments: SpamTrainingArguments,
) -> Pretrained:
    """Train on rows of ids, then measure the loss of the held-out ones.

    Args:
        model: Changed in place.
        tokenizer: Pads the batches.
        rows: Column `input_ids`.
        held_out: The same.
        arguments: The Trainer's.

    Raises:
        UserError: If the rows do not fill one batch, or a loss is not finite.
    """
    if arguments.dataloader_drop_last and len(rows) < arguments.messages_per_step:
        raise UserError(
            f"expected at least one training batch of {arguments.messages_per_step} texts, found {len(rows)}. Give "
            f"more, or a smaller --global_batch_size."
        )
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=collator,
        train_dataset=rows,
        processing_class=tokenizer,
    )
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(ProgressBars)
    trainer.pop_callback(PrinterCallback)
    output = trainer.train()
    loss = mean_loss(model, collator, held_out, arguments.per_device_eval_batch_size)
    if not math.isfinite(loss):
        raise NotFiniteLossError(f"expected a finite loss on the held-out texts, found {loss}. {STABLE}")
    record = {
        "rows": len(rows),
        "held_out_rows": len(held_out),
        "tokens": sum(map(len, rows["input_ids"][:])),
        "epochs": float(trainer.state.epoch or 0),
        "steps": trainer.state.global_step,
        "seconds": output.metrics["train_runtime"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    return Pretrained(model, loss, record)


@torch.inference_mode()
def mean_loss(
    model: SpamGPTForCausalLM, collator: DataCollatorForLanguageModeling, rows: Dataset, batch: int
) -> float:
    """Return the mean loss of all predicted tokens, in nats: the Trainer's own counts batches alike.

    Args:
        model: A language model.
        collator: Makes batches.
        rows: Column `input_ids`.
        batch: How many rows at a time.
    """
    model.eval()
    total, count = 0.0, 0
    for start in range(0, len(rows), batch):
        inputs = collator([{"input_ids": ids} for ids in rows["input_ids"][start : start + batch]])
        predicted = int((inputs["labels"][:, 1:] != _IGNORED).sum())
        outputs = model(**{name: tensor.to(model.device) for name, tensor in inputs.items()})
        total += float(outputs.loss) * predicted
        count += predicted
    return total / max(count, 1)
