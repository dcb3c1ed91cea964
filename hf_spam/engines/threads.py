"""How many threads compute, whichever library does: torch's number, without importing torch."""

import os
import sys


def count_threads() -> int:
    """Return torch's number where it is imported, else what `$OMP_NUM_THREADS` says, else one for each core."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    text = os.environ.get("OMP_NUM_THREADS", "")
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(number: int) -> None:
    """Set it for what is computed or loaded from now on."""
    os.environ["OMP_NUM_THREADS"] = str(number)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(number)
