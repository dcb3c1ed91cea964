"""A server as a process of its own, started in moments by the warm process."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.served import Served, Start
from support.warm_process import WarmProcess


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, warm: WarmProcess) -> Iterator[Start]:
    """Start a server on a free port, with a model's folder and options."""
    running: list[Served] = []

    def begin(model: Path, *options: object, **environment: str) -> Served:
        folder = tmp_path_factory.mktemp("serving")
        pid = warm.start(["serve", model, "--port", "0", *options], folder, **environment)
        deadline = time.monotonic() + 60
        log = folder / "log"
        while not (found := re.search(r"http://.*:(\d+);", log.read_text() if log.exists() else "")):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        running.append(Served(pid, int(found[1]), folder, warm))
        return running[-1]

    yield begin
    for served in running:
        if not served.stopped:
            served.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def served(start: Start, tiny_run: Callable[[str], Path]) -> Served:
    """A server with a tiny model of ham and spam."""
    return start(tiny_run("sample"), "--name", "someone/spam-filter", "--read_timeout", "1", "--max_texts", "64")
