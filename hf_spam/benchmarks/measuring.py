"""Measure the time of a piece of work, and what the machine's matrix product does in it."""

import statistics
import time
from collections.abc import Callable

import torch


def seconds(work: Callable[[], object], repeat: int = 1) -> float:
    """Return the median wall time of a call, in seconds."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def matrix_product_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Return the FLOP/s of GPT-2 small's feed-forward product with 2,048 positions: [2048, 768] × [768, 3072]."""
    x = torch.randn(2048, 768, device=device).to(dtype)
    weight = torch.randn(3072, 768, device=device).to(dtype)
    once = seconds(lambda: torch.nn.functional.linear(x, weight), repeat=50)
    return 2 * 2048 * 768 * 3072 / once
