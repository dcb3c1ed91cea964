"""Run work in a process of its own: a fork, or one that has imported nothing yet; and commands from a cold start.

Imports nothing large: a fresh process holds what its work needs, and this.
"""

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

# A command as the child of a small process: Linux counts a parent's size when it starts a child as the child's.
_LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
found = {"seconds": time.perf_counter() - start, "code": done.returncode, "output": done.stdout, "error": done.stderr}
found["memory_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
print(json.dumps(found))
"""


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
        return pool.submit(_measure_growth, work, arguments, options).result()


def in_fresh_process(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run `work` in a new process that has imported only the modules of `work` and `arguments`, without output.

    Args:
        work: A function of a module, because it is pickled.
        *arguments: Passed to `work`.

    Returns:
        What `work` returns and `memory_mb`: the largest size of the whole process, imports included, in MB (10^6
        bytes).

    Raises:
        BrokenProcessPool: If the process was killed.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure_size, work, arguments).result()


def cold_start(argv: Sequence[str], repeat: int = 3) -> dict[str, Any]:
    """Run a command in a new process, several times.

    Returns:
        `seconds`, the shortest wall time; `memory_mb`, the largest size of the process, in MB (10^6 bytes); and
        `output`, what it printed.

    Raises:
        RuntimeError: If it fails.
    """
    runs = []
    for _ in range(repeat):
        told = subprocess.run([sys.executable, "-I", "-S", "-c", _LAUNCHER, *argv], check=True, capture_output=True)
        runs.append(json.loads(told.stdout))
        if runs[-1]["code"] != 0:
            raise RuntimeError(f"{' '.join(argv)}: exit code {runs[-1]['code']}: {runs[-1]['error'].strip()}")
    shortest = min(runs, key=lambda run: run["seconds"])
    return {name: shortest[name] for name in ("seconds", "memory_mb", "output")}


def _measure_growth(
    work: Callable[..., dict[str, Any]], arguments: tuple[Any, ...], options: dict[str, Any]
) -> dict[str, Any]:
    import resource  # not on Windows, where the command refuses before it gets here

    before = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        found = work(*arguments, **options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kibibytes
    torch = sys.modules.get("torch")
    on_gpu = {"gpu_mb": torch.cuda.max_memory_reserved() / 1e6} if torch and torch.cuda.is_initialized() else {}
    return found | on_gpu | {"peak_mb": (peak - before) / 1e6}


def _measure_size(work: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]) -> dict[str, Any]:
    with Path(os.devnull).open("w") as nowhere:
        for stream in (1, 2):  # for good, as this process ends with its work: loggers hold the streams already
            os.dup2(nowhere.fileno(), stream)
    found = work(*arguments)
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    peak = next(line for line in status if line.startswith("VmHWM"))  # since exec, unlike ru_maxrss
    return found | {"memory_mb": int(peak.split()[1]) * 1024 / 1e6}
