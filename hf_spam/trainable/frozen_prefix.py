"""Compute the frozen blocks' output once for each distinct text, not at every step and every evaluation.

If nothing trains before some block, and without dropout, the input of that block never changes. It is kept in a
memory-mapped file, which the processes of a machine fill and share; each machine has its own. Training and evaluation
then run only the rest of the model (`GPTModel.forward`'s `prefix_states`).

`datasets.map` could hold the same values, but it stores no bf16, and it would keep each repeated text again.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import DatasetDict
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import pad_sequence
from transformers import DataCollatorWithPadding

from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..model.pooling_spam_gpt import find_position, to_rows
from ..system import processes
from ..system.progress import progress
from ..tokens.batching import token_batches

TOKEN_BUDGET = 2048  # positions of a batch, padding included: the fastest matrix products on a CPU
_FORMAT = 2  # of the file; part of its key
# On a GPU cuDNN's attention plans anew for each shape, which takes longer than the batch.
UNPLANNED = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

Ids = tuple[int, ...]


class PrefixCache:
    """The residual stream of known texts after the frozen blocks.

    Args:
        states: The states of all texts, one text after the other, in the precision they were computed in.
            *Shape:* `[positions, C]`.
        spans: For the ids of each text, its first row and its number of rows: one row a position or, if no block
            trains, the pooled position's alone.
        blocks: How many blocks are frozen.
        dtype: The model's.
        file: Where the states are kept.
    """

    def __init__(
        self, states: Tensor, spans: dict[Ids, tuple[int, int]], blocks: int, dtype: torch.dtype, file: Path
    ) -> None:
        self.states = states
        self.dtype = dtype
        self.blocks = blocks
        self.spans = spans
        self.file = file

    def __call__(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Return the states of a batch of texts, padded with zeros on the right: *shape* `[B, T, C]`."""
        spans = [self.spans[tuple(ids)] for ids in texts]
        rows = [self.states[start : start + length] for start, length in spans]
        return pad_sequence(rows, batch_first=True).to(self.dtype)

    def move_to(self, device: torch.device) -> None:
        """Hold the states on a GPU, where batches are made in less time than it takes to copy them there.

        They stay in the file if they would take a quarter of the GPU's free memory.
        """
        if device.type == "cuda" and self.states.nbytes < torch.cuda.mem_get_info(device)[0] / 4:
            self.states = self.states.to(device)

    def remove(self) -> None:
        """Delete the file and the lock beside it."""
        self.states = torch.empty(0)  # Windows keeps a file that is mapped
        self.file.unlink()
        _lock(self.file).unlink(missing_ok=True)


@dataclass
class PrefixCollator(DataCollatorWithPadding):
    """Pads a batch's ids, and adds `prefix_states` if there is a cache."""

    cache: PrefixCache | None = None

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Make a batch of tokenized texts."""
        texts = [feature["input_ids"] for feature in features]
        batch = dict(super().__call__(features))
        if self.cache is not None:
            batch |= {"prefix_states": self.cache(texts), "prefix_blocks": self.cache.blocks}
        return batch


def why_not_cacheable(model: SpamGPTForSequenceClassification, sharded: bool) -> str | None:
    """Return why the frozen blocks' output cannot be kept, or `None` if it can.

    Args:
        model: With `requires_grad` set to what trains.
        sharded: Whether FSDP or DeepSpeed divides the weights among the processes.
    """
    if model.model.frozen_blocks == 0:
        adapters = any(".lora_" in name for name, _ in model.named_parameters())
        return "adapters train in every block" if adapters else "every block trains"
    if model.config.drop_rate > 0:
        return f"dropout ({model.config.drop_rate}) changes what the frozen blocks compute at every step"
    if sharded:
        return "the weights are divided among the processes"
    return None


@dataclass(frozen=True)
class PrefixPlan:
    """The layout of a cache: the distinct texts of all splits, the longest first.

    Attributes:
        texts: Their ids.
        spans: See `PrefixCache`.
        dtype: Of the states. Half the precision takes half the room.
        size: In bytes.
    """

    texts: list[Ids]
    spans: dict[Ids, tuple[int, int]]
    dtype: torch.dtype
    size: int


def plan(model: SpamGPTForSequenceClassification, tokenized: DatasetDict, precision: str) -> PrefixPlan:
    """Lay out the distinct texts, without computing anything.

    Args:
        model: The model that will compute the states.
        tokenized: The splits.
        precision: accelerate's name for it: `no` (the model's own), `bf16` or `fp16`.
    """
    config, pooled_alone = model.config, is_pooled(model)
    distinct = {tuple(ids) for split in tokenized.values() for ids in split["input_ids"][:]}
    texts = sorted(distinct, key=lambda ids: (-len(ids), ids))
    spans, positions = {}, 0
    for ids in texts:
        spans[ids] = (positions, 1 if pooled_alone else config.row_length or max(1, len(ids)))
        positions += spans[ids][1]
    dtype = torch.bfloat16 if precision == "bf16" else model.dtype
    return PrefixPlan(texts, spans, dtype, positions * config.emb_dim * dtype.itemsize)


def load_or_fill(
    model: SpamGPTForSequenceClassification,
    planned: PrefixPlan,
    folder: Path,
    precision: str,
    autocast: AbstractContextManager[Any],
) -> PrefixCache:
    """Return the planned cache, from a file of an earlier run in `folder`, or else computed by all processes.

    The file is named by a hash of what it depends on: weights, ids, precision and pooling rule. It gets that name once
    it is complete. If several runs want the same file, the first computes it and the others wait. Of several machines
    each computes its own, named by its first process too, because they may share the disk or not.

    Args:
        model: The weights, on the device that computes.
        planned: The texts.
        folder: Where the file is or will be.
        precision: accelerate's name for what `autocast` does.
        autocast: The context of the computation.
    """
    shape = (planned.size // planned.dtype.itemsize // model.config.emb_dim, model.config.emb_dim)
    key = processes.broadcast(_key(model, planned, precision) if processes.rank() == 0 else 0)
    machine = f"-{processes.rank() - processes.local_rank()}" if processes.on_several_machines() else ""
    file = folder / f"prefix-{key:016x}{machine}.bin"
    is_first = processes.local_rank() == 0
    if is_first:
        folder.mkdir(parents=True, exist_ok=True)
    with processes.locked_on_each_machine(_lock(file)):
        there = processes.broadcast_on_machine(int(file.is_file() and file.stat().st_size == planned.size))
        partial = file.with_suffix(".partial")
        if not there and is_first:
            partial.write_bytes(b"")
        processes.wait_for_all()
        if not there:
            with autocast:
                _fill(model, planned, partial)
        processes.wait_for_all()
        if not there and is_first:
            os.replace(partial, file)
        processes.wait_for_all()
    mapped = torch.from_file(str(file), shared=False, size=shape[0] * shape[1], dtype=planned.dtype)
    return PrefixCache(mapped.view(shape), planned.spans, model.model.frozen_blocks, model.dtype, file)


def _lock(file: Path) -> Path:
    return file.with_suffix(".lock")


@torch.no_grad()
def _fill(model: SpamGPTForSequenceClassification, planned: PrefixPlan, file: Path) -> None:
    """Compute this process's share of the batches and write the states to their places in the file."""
    training = model.training
    model.eval()
    row_size = model.config.emb_dim * planned.dtype.itemsize
    batches = list(_batches(model, planned.texts))[processes.local_rank() :: processes.local_world_size()]
    bar = progress(sum(map(len, batches)), "Frozen blocks", "texts", shown=processes.rank() == 0)
    with file.open("r+b") as target, bar, sdpa_kernel(UNPLANNED):
        for texts in batches:
            for ids, states in zip(texts, _compute(model, texts), strict=True):
                start, length = planned.spans[ids]
                target.seek(start * row_size)
                target.write(states[:length].to(planned.dtype).cpu().contiguous().view(torch.uint8).numpy().data)
            bar.update(len(texts))
    model.train(training)


def _compute(model: SpamGPTForSequenceClassification, texts: list[Ids]) -> Tensor:
    """Return the states of a batch, `[B, T, C]`, or `[B, 1, C]` if no block trains."""
    gpt, config = model.model, model.config
    ids = pad_sequence([torch.tensor(ids, dtype=torch.long) for ids in texts], batch_first=True)
    mask = pad_sequence([torch.ones(len(ids)) for ids in texts], batch_first=True)
    in_idx, real = to_rows(config, ids.to(model.device), mask.to(model.device))  # [B, T]
    lengths = None if config.causal or config.row_length else real.sum(dim=1)
    if not is_pooled(model):
        return gpt.states(in_idx, gpt.frozen_blocks, lengths)
    states = gpt.states(in_idx, config.n_layers - 1, lengths)
    return gpt.trf_blocks[-1](states, find_position(config, real), lengths)


def is_pooled(model: SpamGPTForSequenceClassification) -> bool:
    """Tell whether one position of each text is all that is needed: no block trains, and no mean is read."""
    return model.model.frozen_blocks == model.config.n_layers and not model.config.pooling.startswith("mean")


def _batches(model: SpamGPTForSequenceClassification, texts: list[Ids]) -> Iterator[list[Ids]]:
    for numbers in token_batches([model.config.row_length or len(ids) for ids in texts], TOKEN_BUDGET):
        yield [texts[number] for number in numbers]


def _key(model: SpamGPTForSequenceClassification, planned: PrefixPlan, precision: str) -> int:
    """Return 64 bits of a hash of everything that the states depend on."""
    config, gpt = model.config, model.model
    facts = (_FORMAT, gpt.frozen_blocks, precision, str(model.dtype), config.n_heads, config._attn_implementation)
    rule = (config.pooling if is_pooled(model) else None, config.row_length, config.causal, config.pad_token_id)
    digest = hashlib.sha256(repr((facts, rule, planned.texts)).encode())
    used = sorted({config.pad_token_id or 0, *(id_ for ids in planned.texts for id_ in ids)})
    blocks = list(gpt.trf_blocks)[: gpt.frozen_blocks]
    frozen = (parameter for block in blocks for parameter in block.parameters())
    for weight in (gpt.tok_emb.weight[used], gpt.pos_emb.weight, *frozen):
        digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return int.from_bytes(digest.digest()[:8])
