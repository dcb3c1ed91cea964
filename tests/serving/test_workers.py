"""Several processes serve one port, with the weights in memory once.

pytest tests/serving/test_workers.py -m serve
"""

import json
import os
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from serving.load import children, proportional_size
from support.served import Served, Start

from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification, build_tokenizer

pytestmark = pytest.mark.serve


def ask(served: Served, path: str = "/", body: object = None) -> str:
    """Ask on a connection of its own."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        served.url + path, data, {"Content-Type": "application/json", "Connection": "close"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def until(condition: Callable[[], bool]) -> None:
    """Wait for something, some seconds at most."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_well(served: Served) -> bool:
    """Tell whether a worker answers."""
    try:
        return "ok" in ask(served, "/health")
    except OSError:
        return False


@pytest.fixture(scope="module")
def pair(start: Start, tiny_run: Callable[[str], Path]) -> Served:
    """A server with two workers."""
    served = start(tiny_run("sample"), "--workers", "2")
    until(lambda: is_well(served) and len(children(served.pid)) == 2)
    return served


def test_both_answer_and_count_together(pair: Served) -> None:
    threads = [threading.Thread(target=ask, args=(pair, "/", {"inputs": "See you"})) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures = {
        ask(pair, "/metrics").split('hf_spam_requests_total{path="/",status="200"} ')[1].split("\n")[0]
        for _ in range(10)
    }
    assert figures == {"40.0"}  # whichever worker is asked


def test_one_that_dies_is_replaced(pair: Served) -> None:
    time.sleep(5.1)  # one that dies younger would die again
    first = children(pair.pid)
    os.kill(first[0], signal.SIGKILL)
    until(lambda: len(children(pair.pid)) == 2 and children(pair.pid) != first)
    assert ask(pair, "/", {"inputs": "See you"})
    until(lambda: "a worker has ended" in pair.log)


def test_all_end_with_a_signal(start: Start, tiny_run: Callable[[str], Path]) -> None:
    served = start(tiny_run("sample"), "--workers", "2")
    until(lambda: is_well(served))
    workers = children(served.pid)
    assert served.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert served.log.endswith("stopped\n")


def test_all_end_with_a_signal_at_the_start(start: Start, tiny_run: Callable[[str], Path]) -> None:
    """Before they serve."""
    served = start(tiny_run("sample"), "--workers", "3")
    assert served.stop() == 0
    assert re.search(r"stopped\n$", served.log)


def test_none_outlives_the_parent(start: Start, tiny_run: Callable[[str], Path]) -> None:
    served = start(tiny_run("sample"), "--workers", "2")
    until(lambda: is_well(served))
    workers = children(served.pid)
    served.stop(signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_the_weights_are_in_memory_once(start: Start, tmp_path: Path) -> None:
    """150 MB of weights and four workers: each needs less than those for itself, all else included."""
    torch.manual_seed(0)
    config = SpamGPTConfig(emb_dim=256, n_heads=4, n_layers=32, context_length=256, id2label={0: "ham", 1: "spam"})
    model = SpamGPTForSequenceClassification(config)
    weights = sum(4 * parameter.numel() for parameter in model.parameters())
    model.save_pretrained(tmp_path)
    build_tokenizer(max_length=256).save_pretrained(tmp_path)

    def own_memory(workers: int) -> int:
        served = start(tmp_path, "--workers", workers)
        until(lambda: is_well(served) and len(children(served.pid)) == workers)
        for _ in range(10 * workers):
            ask(served, "/", {"inputs": "See you"})
        total = sum(proportional_size(pid) for pid in [served.pid, *children(served.pid)])
        assert served.stop() == 0
        return total

    assert weights > 140e6
    assert (own_memory(4) - own_memory(2)) / 2 < 0.8 * weights
