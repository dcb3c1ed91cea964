"""Seconds and memory of a piece of work, in a process of its own."""

import contextlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch


def in_own_process(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run `work` in a fork of this process, silently.

    This process must not have computed anything yet: threads do not survive a fork.

    Returns:
        What `work` returns and `peak_mb`: how far the process's memory went beyond what it was at the beginning,
        in MB (10^6 bytes).

    Raises:
        RuntimeError: If `work` fails; the message is its traceback.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, work, arguments))
    process.start()
    sender.close()
    try:
        found: dict[str, Any] = receiver.recv()
    except EOFError:
        found = {"error": "the process was killed"}
    process.join()
    if "error" in found:
        raise RuntimeError(f"{work.__name__}: {found['error']}")
    return found


def _work(sender: Connection, work: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]) -> None:
    import resource  # Unix only: the command that asks for it refuses other systems, but they can import this

    before = _resident_bytes()
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        try:
            found = work(*arguments)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kibibytes
            found |= {"peak_mb": (peak - before) / 1e6}
        except BaseException:
            found = {"error": traceback.format_exc()}
    sender.send(found)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def seconds(work: Callable[[], object], repeat: int = 1) -> float:
    """Median wall time of a call."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def start_seconds(argv: Sequence[str], repeat: int = 3) -> float:
    """Shortest wall time of a command as a process of its own."""
    return min(seconds(lambda: subprocess.run(argv, check=True, capture_output=True)) for _ in range(repeat))


def python_seconds(statement: str) -> float:
    """`start_seconds` of a Python process that runs one statement."""
    return start_seconds([sys.executable, "-c", statement])


def matrix_product_rate(dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s of the feed-forward's product of GPT-2 small with 2,048 positions: [2048, 768] × [768, 3072]."""
    x = torch.randn(2048, 768, device=device).to(dtype)
    weight = torch.randn(3072, 768, device=device).to(dtype)
    once = seconds(lambda: torch.nn.functional.linear(x, weight), repeat=50)
    return 2 * 2048 * 768 * 3072 / once
