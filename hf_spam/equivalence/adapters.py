"""Compare LoRA of our classifier with LoRA of transformers' own GPT-2, both by peft: level 8.

Both have the same weights and the same adapters on every linear layer. GPT-2 fuses queries, keys and values into one
layer; three adapters of rank r there are one of rank 3r, whose second matrix is zero outside of three blocks.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2ForSequenceClassification

from ..checkpoint.adapter import Adapter, wrap
from ..conversion.from_gpt2 import fill
from ..conversion.to_book import as_book
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..trainable.adapters import LINEAR_LAYERS
from .comparison import Comparison, Value, compare
from .model import TEXTS, pad, random_gpt2
from .starting_point import StartingPoint

TOLERANCE = 1e-5
RANK, ALPHA = 4, 8
_FUSED = ("att.W_query", "att.W_key", "att.W_value")
# Ours and theirs, by the ends of their names within a block.
_SINGLE = {"att.out_proj": "attn.c_proj", "ff.layers.0": "mlp.c_fc", "ff.layers.2": "mlp.c_proj"}


def check_adapters(subject: StartingPoint, sizes: Sequence[str] = ("tiny", "small")) -> list[Comparison]:
    """Compare logits and gradients of real messages with equal adapters. Needs peft."""
    rows = [row for row in subject.tokenized["test"]["input_ids"] if row][:TEXTS]
    ids, mask = pad(rows, "right")
    labels = torch.arange(len(rows)) % 2
    comparisons = []
    for size in sizes:
        with random_gpt2(size) as (gpt2, checkpoint):
            base = SpamGPTForSequenceClassification(SpamGPTConfig(**checkpoint.sizes))
            fill(as_book(base), checkpoint)
            nn.init.zeros_(base.score.bias)  # GPT-2's classifier has none
            other = GPT2ForSequenceClassification(gpt2.config)
            other.transformer.load_state_dict(gpt2.transformer.state_dict())
            other.score.load_state_dict({"weight": base.score.weight.detach()})
            ours = wrap(base, Adapter(RANK, ALPHA, LINEAR_LAYERS, "")).eval()
            theirs = wrap_gpt2(other).eval()
        blocks = checkpoint.sizes["n_layers"]
        copy_adapters(ours, theirs, blocks)
        expected: dict[str, Value] = {}
        found: dict[str, Value] = {}
        for side, model in ((expected, theirs), (found, ours)):
            outputs = model(input_ids=ids, attention_mask=mask, labels=labels)
            outputs.loss.backward()
            side |= {f"text {number}": logits.detach() for number, logits in enumerate(outputs.logits)}
        comparisons.append(compare(8, f"{size}: logits = LoRA of GPT-2", expected, found, TOLERANCE))
        gradients = ours_as_theirs(_gradients(ours), blocks)
        reached = {name: tensor for name, tensor in _gradients(theirs).items() if name in gradients}
        for name in [name for name in reached if "c_attn.lora_B" in name]:
            reached[name] = _blocks_alone(reached[name])
        comparisons.append(compare(8, f"{size}: gradients = LoRA of GPT-2's", reached, gradients, TOLERANCE))
    return comparisons


def wrap_gpt2(model: GPT2ForSequenceClassification) -> Any:
    """Return peft's model around a GPT-2: adapters on every linear layer, the fused one's of three times the rank."""
    import peft

    config = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=RANK,
        lora_alpha=ALPHA,
        target_modules=["c_attn", "c_proj", "c_fc"],
        rank_pattern={"c_attn": len(_FUSED) * RANK},
        alpha_pattern={"c_attn": len(_FUSED) * ALPHA},
        modules_to_save=["score"],
        fan_in_fan_out=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # see `wrap`
        return peft.get_peft_model(model, config)


def copy_adapters(ours: Any, theirs: Any, blocks: int) -> None:
    """Draw the matrices of our adapters, none of them zero, and give the same to GPT-2."""
    generator = torch.Generator().manual_seed(0)
    drawn = dict(ours.named_parameters())
    with torch.no_grad():
        for name, parameter in drawn.items():
            if ".lora_" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        targets = dict(theirs.named_parameters())
        for name, tensor in ours_as_theirs({name: it.detach() for name, it in drawn.items()}, blocks).items():
            targets[name].copy_(tensor)


def ours_as_theirs(tensors: Mapping[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """Return the tensors of our adapters and head, or their gradients, as those of GPT-2 by its names."""
    mine, its = (
        "base_model.model.model.trf_blocks.{}.{}.lora_{}.default.weight",
        "base_model.model.transformer.h.{}.{}",
    )
    found = {}
    for block in range(blocks):
        for part in ("A", "B"):
            three = [tensors[mine.format(block, name, part)] for name in _FUSED]
            fused = torch.cat(three) if part == "A" else torch.block_diag(*three)
            found[f"{its.format(block, 'attn.c_attn')}.lora_{part}.default.weight"] = fused
            for name, other in _SINGLE.items():
                found[f"{its.format(block, other)}.lora_{part}.default.weight"] = tensors[
                    mine.format(block, name, part)
                ]
    head = "base_model.model.score.modules_to_save.default.weight"
    return found | {head: tensors[head]}


def _gradients(model: Any) -> dict[str, Tensor]:
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def _blocks_alone(fused: Tensor) -> Tensor:
    """Return a fused second matrix's gradient without what is outside of its three blocks: that has no counterpart."""
    height, width = fused.shape[0] // len(_FUSED), fused.shape[1] // len(_FUSED)
    parts = [fused[n * height : (n + 1) * height, n * width : (n + 1) * width] for n in range(len(_FUSED))]
    return torch.block_diag(*parts)
