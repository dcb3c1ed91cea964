"""Waiting texts are scored together, in order, by one thread, and none is lost.

pytest tests/serving/test_scoring.py -m serve
"""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_spam import SpamClassifier
from hf_spam.engines.engine import Logits
from hf_spam.serving.settings import Limits, Settings

pytestmark = pytest.mark.serve


class Slow(SpamClassifier):
    """A classifier that says how many texts it gets at once, and waits for leave."""

    def __init__(self, other: SpamClassifier, token_budget: int = 2048) -> None:
        super().__init__(other.model, other.tokenizer, token_budget)
        self.leave = threading.Event()
        self.sizes: list[int] = []
        self.fault: Exception | None = None

    def score_ids(self, ids: list[list[int]], max_padding: int | None = None) -> Logits:
        """Score them when it may."""
        self.sizes.append(len(ids))
        assert self.leave.wait(20)
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return super().score_ids(ids, max_padding)


@pytest.fixture(scope="module")
def whole(tiny_run: Callable[[str], Path]) -> SpamClassifier:
    """The tiny model."""
    return SpamClassifier.from_pretrained(tiny_run("sample"))


def make(classifier: SpamClassifier, max_queue: int = 100, max_latency: float = 0.0) -> Any:
    """A scorer that runs."""
    from hf_spam.serving.metrics import Metrics
    from hf_spam.serving.scoring import Scorer

    scorer = Scorer(classifier, max_queue, max_latency, Metrics())
    scorer.start()
    return scorer


async def until(condition: Callable[[], bool]) -> None:
    """Wait in the event loop, which must go on."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")


def test_what_waits_is_scored_together(whole: SpamClassifier) -> None:
    slow = Slow(whole)
    texts = [f"message {number}" for number in range(20)]

    async def ask() -> list[Any]:
        scorer = make(slow)
        first = asyncio.create_task(scorer.score(["the first"]))
        await until(lambda: slow.sizes == [1])
        rest = [asyncio.create_task(scorer.score(texts[start : start + 2])) for start in range(0, 20, 2)]
        await asyncio.sleep(0.05)
        slow.leave.set()
        found = await asyncio.gather(first, *rest)
        scorer.close()
        return found[1:]

    found = asyncio.run(ask())
    assert slow.sizes == [1, 20]
    assert np.allclose(np.concatenate([scored.logits for scored in found]), whole.logits(texts), atol=1e-4)
    assert all(len(scored.lengths) == 2 for scored in found)


def test_no_more_than_a_batch_is_taken(whole: SpamClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 characters each, four fit into 100 tokens; the rest of a large request waits behind the others."""
    monkeypatch.setattr("hf_spam.serving.scoring._TURN", 0.0)
    slow = Slow(whole, token_budget=100)

    async def ask() -> None:
        scorer = make(slow)
        tasks = [asyncio.create_task(scorer.score(["x"]))]
        await until(lambda: len(slow.sizes) == 1)
        texts = [[f"{number:<100}" for number in range(count)] for count in (1, 1, 1, 1, 9, 1, 5)]
        tasks += [asyncio.create_task(scorer.score(some)) for some in texts]
        order: list[int] = []
        for number, task in enumerate(tasks[1:]):
            task.add_done_callback(lambda _, number=number: order.append(number))
        await asyncio.sleep(0.05)
        slow.leave.set()
        found = await asyncio.gather(*tasks)
        scorer.close()
        for some, scored in zip(texts, found[1:], strict=True):
            assert np.allclose(scored.logits, whole.logits(some), atol=1e-4)
            assert len(scored.lengths) == len(some)
        assert order == [0, 1, 2, 3, 5, 6, 4]

    asyncio.run(ask())
    # the first; four; four of nine; one and three of five; four of the nine; two of the five and the ninth
    assert slow.sizes == [1, 4, 4, 4, 4, 3]


def test_company_is_waited_for(whole: SpamClassifier) -> None:
    slow = Slow(whole)
    slow.leave.set()

    async def ask() -> float:
        scorer = make(slow, max_latency=0.5)
        began = time.monotonic()
        first = asyncio.create_task(scorer.score(["a"]))
        await asyncio.sleep(0.1)
        await asyncio.gather(first, scorer.score(["b"]))
        took = time.monotonic() - began
        scorer.close()
        return took

    assert 0.5 <= asyncio.run(ask()) < 5
    assert slow.sizes == [2]


def test_a_full_queue(whole: SpamClassifier) -> None:
    from hf_spam.serving.scoring import Busy

    slow = Slow(whole)

    async def ask() -> None:
        scorer = make(slow, max_queue=3)
        tasks = [asyncio.create_task(scorer.score(["x"]))]
        await until(lambda: slow.sizes == [1])
        tasks.append(asyncio.create_task(scorer.score(["a", "b"])))
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="at most 3 waiting texts, found 2"):
            await scorer.score(["c", "d"])
        tasks.append(asyncio.create_task(scorer.score(["e"])))
        await asyncio.sleep(0)
        slow.leave.set()
        assert [len(scored.logits) for scored in await asyncio.gather(*tasks)] == [1, 2, 1]
        scorer.close()

    asyncio.run(ask())


def test_what_is_scored_in_a_moment_is_taken_at_once(whole: SpamClassifier) -> None:
    """At first a batch of four; when it is known how fast the tiny model is, as much as eight batches."""
    slow = Slow(whole, token_budget=100)
    slow.leave.set()

    async def ask() -> None:
        scorer = make(slow)
        for start in (0, 6):
            await scorer.score([f"{number:<100}" for number in range(start, start * 7 + 6)])
        scorer.close()

    asyncio.run(ask())
    assert slow.sizes[0] == 4
    assert sum(slow.sizes) == 6 + 42
    assert max(slow.sizes) == 32


def test_closing_answers_what_waits(whole: SpamClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_spam.serving.scoring import Busy

    monkeypatch.setattr("hf_spam.serving.scoring._TURN", 0.0)
    slow = Slow(whole, token_budget=1)  # each request is taken alone

    async def ask() -> None:
        scorer = make(slow)
        tasks = [asyncio.create_task(scorer.score([f"text {number}"])) for number in range(5)]
        await until(lambda: slow.sizes == [1])
        closing = asyncio.create_task(asyncio.to_thread(scorer.close))
        await until(lambda: not scorer.is_running)
        with pytest.raises(Busy):
            await scorer.score(["too late"])
        slow.leave.set()
        assert len(await asyncio.gather(*tasks)) == 5
        await closing

    asyncio.run(ask())
    assert slow.sizes == [1] * 5


def test_a_defect_reaches_all_that_wait_and_nobody_else(whole: SpamClassifier) -> None:
    slow = Slow(whole)
    slow.leave.set()

    async def ask() -> None:
        scorer = make(slow)
        for texts in (["a"], ["a" * 5000] * 4):  # whole, and a part of it
            slow.fault = RuntimeError("out of memory")
            with pytest.raises(RuntimeError, match="out of memory"):
                await scorer.score(texts)
        assert len((await scorer.score(["b"] * 100)).logits) == 100  # nothing waits any more
        scorer.close()

    asyncio.run(ask())


def test_busy_and_defect_as_answers(whole: SpamClassifier) -> None:
    """503 with the time to come again, and 500 that says nothing of the texts."""
    import httpx

    from hf_spam.serving.app import build_app

    slow = Slow(whole)

    async def ask() -> None:
        app = build_app(slow, Settings("name", limits=Limits(max_texts=1, max_queue=1)))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://x") as client,
        ):
            slow.fault = RuntimeError("private")
            first = asyncio.create_task(client.post("/", json={"inputs": "a"}))
            await until(lambda: slow.sizes == [1])
            second = asyncio.create_task(client.post("/", json={"inputs": "b"}))
            await asyncio.sleep(0.05)
            refused = await client.post("/", json={"inputs": "c"})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert (await client.get("/health")).status_code == 200  # while the thread is busy
            slow.leave.set()
            broken, answered = await asyncio.gather(first, second)
            assert (broken.status_code, answered.status_code) == (500, 200)
            assert list(broken.json()) == ["error"]
            assert "private" not in broken.text

    asyncio.run(ask())


def test_get_at_the_root_is_free(whole: SpamClassifier) -> None:
    """A page can be mounted there."""
    import httpx

    from hf_spam.serving.app import build_app

    async def ask() -> None:
        app = build_app(whole, Settings("name"))
        app.add_api_route("/", lambda: "a page", methods=["GET"])
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://x") as client,
        ):
            assert (await client.get("/")).text == '"a page"'
            assert (await client.post("/", json={"inputs": "c"})).status_code == 200

    asyncio.run(ask())


def test_scores_do_not_depend_on_it(whole: SpamClassifier) -> None:
    texts = ["a", "see you there " * 20, "see you", "win " * 50]
    ids = [whole.tokenizer(text)["input_ids"] for text in texts]
    assert np.allclose(whole.score_ids(ids), whole.score_ids(ids, max_padding=3), atol=1e-5)
