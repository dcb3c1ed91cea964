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
    many = 1 if device.type == "cpu" else 100  # a GPU computes one in less time than it takes to start it alone

    def products() -> None:
        for _ in range(many):
            torch.nn.functional.linear(x, weight)

    return many * 2 * 2048 * 768 * 3072 / seconds(products, repeat=50)


def allow_tf32(precision: str) -> None:
    """Let products of float32 run in TF32 if `precision` is `tf32`: GPUs have it, CPUs compute as ever."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
