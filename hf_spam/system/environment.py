"""Describe the machine and the versions that produced a figure."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "transformers", "datasets", "evaluate", "accelerate", "tokenizers")


def environment(device: torch.device) -> dict[str, Any]:
    """Return the versions of Python and the main libraries, the platform, the device and torch's CPU threads."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "torch": torch.__version__,  # names the build, as in 2.10.0+cu128; not every package of torch does
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "threads": torch.get_num_threads(),
    }


def cpu_name() -> str:
    """Return the processor's name and the instruction set that torch uses on it."""
    cpuinfo = Path("/proc/cpuinfo")  # platform.processor() is empty on Linux
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
