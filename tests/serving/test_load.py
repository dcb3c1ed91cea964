"""Many requests at once, one in a hundred hostile: none is wrong, none is lost, and memory stays flat.

pytest tests/serving/test_load.py -m serve
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from serving import load
from support.served import Start

from hf_spam.data.sources import read_sample

pytestmark = pytest.mark.serve


def check_load(model: Path, requests: int) -> None:
    """Load a server, and compare every answer."""
    texts = read_sample()["Text"].tolist()[:500]
    expected, _, _ = load.offline(model, texts)
    with load.serving(model, "--read_timeout", load.READ_TIMEOUT) as server:
        load.run_load(server.port, requests // 4, 32, texts, expected, hostile=0.01)
        before = server.memory
        found = load.run_load(server.port, requests - requests // 4, 32, texts, expected, hostile=0.01)
        assert found.faults == []
        assert found.statuses["200"] > 0.97 * (requests - requests // 4)
        assert {kind.split(":")[0] for kind in found.statuses} > set(load.DESERVED)
        assert server.memory < before + 40
        code, output, errors = server.stop()
    assert (code, errors) == (0, "")
    assert "requests answered" in output


def test_load(tiny_run: Callable[[str], Path]) -> None:
    check_load(tiny_run("sample"), 10_000)


@pytest.mark.long
def test_much_load(tiny_run: Callable[[str], Path]) -> None:
    check_load(tiny_run("sample"), 100_000)


def test_sigterm_under_load_answers_what_was_taken(start: Start, tiny_run: Callable[[str], Path]) -> None:
    """What the server counts as answered is what the clients have received, whole."""
    served = start(tiny_run("sample"))
    answered: list[int] = []
    halves: list[bytes] = []

    async def be_client() -> None:
        async with aclosing(load.Client(served.port)) as client:
            while True:
                try:
                    status, _ = await client.ask(load.post(b'{"inputs": "See you at eight, or nine"}'))
                except (OSError, asyncio.IncompleteReadError) as error:
                    halves.append(getattr(error, "partial", b""))
                    return
                answered.append(status)

    async def ask() -> None:
        await asyncio.gather(*(be_client() for _ in range(16)))

    thread = threading.Timer(1.0, lambda: codes.append(served.stop(signal.SIGTERM)))
    codes: list[int] = []
    thread.start()
    asyncio.run(ask())
    thread.join()
    assert codes == [0]
    assert not any(halves)
    assert set(answered) == {200}
    assert served.log.endswith(f"stopped: {len(answered):,} requests answered\n")
