"""A server as a process of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.served import Served, Start


@pytest.fixture(scope="module")
def served(start: Start, tiny_run: Callable[[str], Path]) -> Served:
    """A server with a tiny model of ham and spam."""
    return start(tiny_run("sample"), "--name", "someone/spam-filter", "--read_timeout", "1", "--max_texts", "64")
