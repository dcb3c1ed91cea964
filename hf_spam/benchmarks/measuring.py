"""Measure the time and peak memory of a piece of work, in a process of its own."""

import contextlib
import multiprocessing
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch


def in_own_process(work: Callable[..., dict[str, Any]], *arguments: Any, **options: Any) -> dict[str, Any]:
    """Run `work` in a fork of this process, without output.

    This process must not have computed anything yet: threads do not survive a fork. What `work` raises is raised here,
    with the traceback of the process as its cause.

    Args:
        work: A function of a module, because it is pickled.
        *arguments: Passed to `work`.
        **options: Likewise.

    Returns:
        What `work` returns and `peak_mb`: how far the process's memory rose above its size at the start, in MB
        (10^6 bytes). Where it computed on a GPU, `gpu_mb` is the most that torch reserved there.

    Raises:
        BrokenProcessPool: If the process was killed.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(_measure, work, arguments, options).result()


def _measure(
    work: Callable[..., dict[str, Any]], arguments: tuple[Any, ...], options: dict[str, Any]
) -> dict[str, Any]:
    import resource  # not on Windows, where the command refuses before it gets here

    before = _resident_bytes()
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        found = work(*arguments, **options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kibibytes
    on_gpu = {"gpu_mb": torch.cuda.max_memory_reserved() / 1e6} if torch.cuda.is_initialized() else {}
    return found | on_gpu | {"peak_mb": (peak - before) / 1e6}


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


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


def start_seconds(argv: Sequence[str], repeat: int = 3) -> float:
    """Return the shortest wall time of a command in a new process, in seconds."""
    return min(seconds(lambda: subprocess.run(argv, check=True, capture_output=True)) for _ in range(repeat))


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
