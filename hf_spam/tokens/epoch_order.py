"""In which order an epoch visits the messages, the same on any number of processes."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from ..system.processes import broadcast


class UnseededSampler(Sampler[int]):
    """The chapter's order: each epoch takes its seed from torch's global generator, as torch's own sampler does.

    It exists for several processes: the main one draws for all. There accelerate would give torch's sampler a
    generator of its own, and the order would no longer be the chapter's.

    Args:
        messages: How many messages there are.
        drawn: How many of them an epoch visits.
    """

    def __init__(self, messages: int, drawn: int) -> None:
        self.messages = messages
        self.drawn = drawn

    def __iter__(self) -> Iterator[int]:
        seed = broadcast(int(torch.empty((), dtype=torch.int64).random_().item()))
        generator = torch.Generator().manual_seed(seed)
        yield from torch.randperm(self.messages, generator=generator).tolist()[: self.drawn]

    def __len__(self) -> int:
        return self.drawn


class SimilarLengthSampler(Sampler[int]):
    """Batches of messages of similar length, in random order: little of a batch is padding.

    The Trainer's own `group_by_length` groups by a process's share of a batch, so that its order is another one on two
    processes, and visits long messages before short ones.

    Args:
        lengths: Of each message in tokens.
        batch: The messages of a step.
        drawn: How many messages an epoch visits.
        seed: Of all epochs.
    """

    def __init__(self, lengths: Sequence[int], batch: int, drawn: int, seed: int) -> None:
        self.lengths = lengths
        self.batch = batch
        self.drawn = drawn
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch next. The Trainer calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.tensor(get_length_grouped_indices(self.lengths, self.batch, generator=generator))
        whole = len(order) // self.batch * self.batch
        batches = order[:whole].view(-1, self.batch)
        shuffled = batches[torch.randperm(len(batches), generator=generator)]
        yield from torch.cat([shuffled.flatten(), order[whole:]]).tolist()[: self.drawn]

    def __len__(self) -> int:
        return self.drawn
