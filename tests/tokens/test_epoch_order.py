"""The orders of an epoch that are ours.   pytest tests/tokens/test_epoch_order.py"""

import random
from itertools import pairwise

from hf_spam.tokens.epoch_order import SimilarLengthSampler

LENGTHS = random.Random(7).choices(range(1, 200), k=1003)


def epoch(number: int, drawn: int = 1003, seed: int = 1) -> list[int]:
    sampler = SimilarLengthSampler(LENGTHS, batch=16, drawn=drawn, seed=seed)
    sampler.set_epoch(number)
    assert len(sampler) == drawn
    return list(sampler)


def test_each_message_once_in_another_order_each_epoch() -> None:
    assert sorted(epoch(0)) == list(range(1003))
    assert epoch(0) == epoch(0)
    assert epoch(0) != epoch(1)
    assert epoch(0) != epoch(0, seed=2)
    assert epoch(0, drawn=992) == epoch(0)[:992]


def test_little_of_a_batch_is_padding_and_no_length_comes_first() -> None:
    batches = [[LENGTHS[row] for row in epoch(0)[start : start + 16]] for start in range(0, 992, 16)]
    padded = sum(max(batch) * len(batch) for batch in batches)
    assert padded < 1.25 * sum(map(sum, batches))  # in random order it is twice as much
    means = [sum(batch) / 16 for batch in batches]
    falls = sum(after < before for before, after in pairwise(means))
    assert 0.3 < falls / len(means) < 0.7
