"""Load for `hf-spam serve`: many connections, some of them hostile; every answer is checked, and times are printed.

python tests/serving/load.py outputs/quickstart --requests 100000

The server runs as a process of its own, and each answer must be what `SpamClassifier` says of the text. One request in
a hundred is hostile, and must get the status that it deserves: too large, no JSON, of wrong types, cut off, or slow.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from hf_spam import SpamClassifier
from hf_spam.data.sources import read_sample

READ_TIMEOUT = 2  # seconds; a slow client is given up then
TOLERANCE = 1e-4  # of a score: rounding differs with the other texts of a batch


@dataclass
class Server:
    """A running `hf-spam serve`."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def memory(self) -> float:
        """What the server's process and its children occupy, in MB, each shared page counted once."""
        pids = [self.process.pid, *children(self.process.pid)]
        return sum(proportional_size(pid) for pid in pids) / 1e6

    @property
    def cpu_seconds(self) -> float:
        """How long the server's process and its children have computed."""
        return sum(computed(pid) for pid in [self.process.pid, *children(self.process.pid)])

    def stop(self) -> tuple[int, str, str]:
        """Send SIGTERM and return the exit code and what was written to both streams."""
        self.process.send_signal(signal.SIGTERM)
        output, errors = self.process.communicate(timeout=120)
        return self.process.returncode, output, errors


def children(pid: int) -> list[int]:
    """Return a process's children."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def computed(pid: int) -> float:
    """Return the processor time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def proportional_size(pid: int) -> int:
    """Return the bytes that a process occupies, its share of what it shares."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(re.findall(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)[0])


@contextmanager
def serving(model: Path, *options: object, **environment: str) -> Iterator[Server]:
    """Run `hf-spam serve` on a free port until the block ends."""
    argv = [sys.executable, "-m", "hf_spam", "serve", str(model), "--port", "0", *map(str, options)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environment}) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://.*:(\d+);", line)
            assert found, line + process.communicate(timeout=30)[1]
            yield Server(process, int(found[1]))
        finally:
            process.kill()


@dataclass
class Findings:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)  # of each good request
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    wall: float = 0.0

    @property
    def median_ms(self) -> float:
        """Half of the requests took less."""
        return 1000 * statistics.median(self.seconds)

    @property
    def p99_ms(self) -> float:
        """All but one of a hundred requests took less."""
        return 1000 * sorted(self.seconds)[int(0.99 * len(self.seconds))]


class Client:
    """One connection that is kept, and opened again when the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return the status and the body of its answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        status, body, kept = await read_answer(reader)
        if not kept:
            await self.aclose()
        return status, body

    async def aclose(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Return status, body, and whether the connection stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length), b"connection: close" not in head.lower()


def post(body: bytes, path: str = "/", length: int | None = None) -> bytes:
    """Return a request."""
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {length or len(body)}"
    return head.encode() + b"\r\n\r\n" + body


LARGE = post(b'{"inputs": "' + b"x" * 10_000_000 + b'"}')
HALF = post(b'{"inputs": "See yo', length=100)


async def be_hostile(kind: str, port: int) -> str:
    """Do something wrong on a connection of its own; return what came of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        if kind == "cut off":
            writer.write(HALF)
            await writer.drain()
            return "gone"
        requests = {"large": LARGE, "no JSON": post(b'{"inputs": '), "wrong types": post(b'{"inputs": [1, null]}')}
        requests |= {
            "slow body": HALF,
            "slow head": b"POST / HTTP/1.1\r\nHost: he",
            "no HTTP": b"\x16\x03\x01 hello\r\n\r\n",
        }
        writer.write(requests[kind])
        status, body, _ = await asyncio.wait_for(read_answer(reader), 60)
        assert list(json.loads(body)) == ["error"]
        return str(status)
    finally:
        writer.close()


DESERVED = {"large": "413", "no JSON": "400", "wrong types": "422", "cut off": "gone", "slow body": "408"}
DESERVED |= {"slow head": "408", "no HTTP": "400"}


async def load(
    port: int,
    requests: int,
    clients: int,
    texts: Sequence[str],
    expected: Sequence[float],
    together: int = 1,
    hostile: float = 0.0,
) -> Findings:
    """Send requests from so many connections and check each answer.

    Args:
        port: Where the server is.
        requests: How many are sent, of all clients together.
        clients: How many connections send them.
        texts: What they send, from the start again when all were sent.
        expected: The score of spam of each.
        together: How many texts a request has.
        hostile: The share of requests that are hostile.
    """
    found = Findings()
    bodies = []
    for start in range(0, len(texts) - together + 1, together):
        some = list(texts[start : start + together])
        bodies.append((post(json.dumps({"inputs": some[0] if together == 1 else some}).encode()), start))
    numbers, kinds, dice = iter(range(requests)), list(DESERVED), random.Random(0)

    async def be_client() -> None:
        async with aclosing(Client(port)) as client:
            for number in numbers:
                if dice.random() < hostile:
                    kind = dice.choice(kinds)
                    outcome = await be_hostile(kind, port)
                    found.statuses[f"{kind}: {outcome}"] += 1
                    if outcome != DESERVED[kind]:
                        found.faults.append(f"{kind}: expected {DESERVED[kind]}, found {outcome}")
                    continue
                body, start = bodies[number % len(bodies)]
                began = time.perf_counter()
                status, answer = await client.ask(body)
                found.seconds.append(time.perf_counter() - began)
                found.statuses[str(status)] += 1
                scores = (
                    [next(label["score"] for label in row if label["label"] == "spam") for row in json.loads(answer)]
                    if status == 200
                    else []
                )
                right = expected[start : start + together]
                if len(scores) != together or any(abs(a - b) > TOLERANCE for a, b in zip(scores, right, strict=True)):
                    found.faults.append(f"request {number}: expected {right}, found {status} {answer[:200]!r}")

    began = time.perf_counter()
    await asyncio.gather(*(be_client() for _ in range(clients)))
    found.wall = time.perf_counter() - began
    return found


def run_load(*args: object, **options: object) -> Findings:
    """Run `load` on the fastest event loop that is there."""
    try:
        import uvloop

        return uvloop.run(load(*args, **options))  # type: ignore[arg-type]
    except ImportError:
        return asyncio.run(load(*args, **options))  # type: ignore[arg-type]


def offline(model: Path, texts: Sequence[str]) -> tuple[list[float], float, float]:
    """Return what the classifier says of each text by itself, how many it scores a second, and a CPU-second."""
    classifier = SpamClassifier.from_pretrained(model)
    classifier(texts[:200])  # it warms up
    began, computing = time.perf_counter(), time.process_time()
    scores = classifier.scores(classifier.logits(texts))[:, classifier.labels.index("spam")]
    wall, cpu = time.perf_counter() - began, time.process_time() - computing
    return scores.tolist(), len(texts) / wall, len(texts) / cpu


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--requests", type=int, default=100_000, help="of the hostile part")
    parser.add_argument("--some", type=int, default=3000, help="requests of each other part")
    parser.add_argument("--texts", type=int, default=1284, help="different texts")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--options", default="", help="more of hf-spam serve's")
    args = parser.parse_args(argv)
    parts = [
        (clients, together, args.some if together == 1 else max(clients, args.some // together * 4))
        for clients, together in ((1, 1), (8, 1), (32, 1), (8, 32), (32, 32))
    ]
    texts = read_sample()["Text"].tolist()[: args.texts]
    # A text that comes again is not scored again, so that each of these comes once.
    wanted = sum(together * count for _, together, count in parts)
    numbered = [f"{texts[number % len(texts)]} {number}" for number in range(wanted)]
    expected, rate, cpu_rate = offline(args.model, numbered)
    print(
        f"{torch.get_num_threads()} threads; offline, {wanted:,} texts in one call: {rate:,.0f} texts/s, "
        f"{1000 / cpu_rate:.2f} ms of CPU each"
    )
    options = ("--read_timeout", READ_TIMEOUT, "--workers", args.workers, *args.options.split())
    faults: list[str] = []
    with serving(args.model, *options) as server:
        of_texts = offline(args.model, texts)[0]
        run_load(server.port, 200, 8, texts, of_texts)
        start = 0
        for clients, together, count in parts:
            end = start + together * count
            computing = server.cpu_seconds
            found = run_load(server.port, count, clients, numbered[start:end], expected[start:end], together)
            start = end
            cpu = 1000 * (server.cpu_seconds - computing) / (count * together)
            faults += found.faults
            served = count * together / found.wall
            print(
                f"{clients:3} clients, {together:2} texts a request: median {found.median_ms:7.1f} ms, p99 "
                f"{found.p99_ms:7.1f} ms, {served:7,.0f} texts/s = {served / rate:.0%} of offline, {cpu:.2f} ms of CPU each"
            )
        if args.requests:
            first = server.memory
            for part in range(4):
                found = run_load(server.port, args.requests // 4, 32, texts, of_texts, hostile=0.01)
                faults += found.faults
                print(
                    f"{(part + 1) * args.requests // 4:,} requests of 32 clients, 1 % hostile: {found.wall:.0f} s, memory "
                    f"{first:.0f} → {server.memory:.0f} MB, {len(found.faults)} wrong, {dict(sorted(found.statuses.items()))}"
                )
        code, output, errors = server.stop()
        print(output.strip(), f"(exit code {code})", errors)
    for fault in faults[:10]:
        print(fault)
    return int(bool(faults) or code != 0 or bool(errors))


if __name__ == "__main__":
    sys.exit(main())
