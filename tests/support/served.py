"""A running `hf-spam serve`."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.warm_process import WarmProcess


@dataclass
class Served:
    """A running `hf-spam serve`."""

    pid: int
    port: int
    folder: Path
    warm: WarmProcess
    stopped: bool = False

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it wrote to both streams."""
        return (self.folder / "log").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        os.kill(self.pid, number)
        self.stopped = True
        return self.warm.wait(self.pid)


Start = Callable[..., Served]
