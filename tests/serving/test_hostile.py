"""Raw sockets: what is slow, endless, cut off or no HTTP is answered as it deserves, and others are served meanwhile.

pytest tests/serving/test_hostile.py -m serve
"""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.served import Served, Start

pytestmark = pytest.mark.serve
BODY = b'{"inputs": "See you at eight"}'
HEAD = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
GOOD = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


def connect(served: Served) -> socket.socket:
    """A connection."""
    return socket.create_connection(("127.0.0.1", served.port), timeout=20)


def read(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body


def check_refused(connection: socket.socket, status: int, words: str) -> None:
    """The next answer is this error, and the connection is closed."""
    found, body = read(connection)
    assert (found, words in json.loads(body)["error"]) == (status, True), body
    assert connection.recv(10) == b""


def check_well(served: Served) -> None:
    """Others are served."""
    with connect(served) as connection:
        connection.sendall(GOOD)
        status, body = read(connection)
        assert (status, len(json.loads(body)[0])) == (200, 2)


@pytest.mark.parametrize("begin", [b"", b"P", b"POST / HTTP/1.1\r\nHost: he", b"\r\n\r\n"], ids=repr)
def test_a_head_that_does_not_come(served: Served, begin: bytes) -> None:
    with connect(served) as connection:
        connection.sendall(begin)
        began = time.monotonic()
        check_well(served)
        check_refused(connection, 408, "expected a request within 1 s")
        assert 0.5 < time.monotonic() - began < 10


def test_a_head_that_drips(served: Served) -> None:
    """A byte now and then does not hold the connection."""
    with connect(served) as connection:
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT012, PT011
            for byte in HEAD:
                connection.sendall(bytes([byte]))
                time.sleep(0.2)
        assert time.monotonic() - began < 10


def test_a_second_head_that_does_not_come(served: Served) -> None:
    """The same after a request on the same connection, where uvicorn's own timer is stopped by the first byte."""
    with connect(served) as connection:
        connection.sendall(GOOD)
        assert read(connection)[0] == 200
        connection.sendall(b"\r\nPOS")
        check_refused(connection, 408, "expected a request within 1 s")


def test_a_connection_is_kept(served: Served) -> None:
    """Beyond the time in which a head must come, and across a body that was refused before its end."""
    with connect(served) as connection:
        connection.sendall(GOOD)
        assert read(connection)[0] == 200
        time.sleep(1.5)
        connection.sendall(HEAD + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000)
        assert read(connection)[0] == 413
        connection.sendall(GOOD)
        assert read(connection)[0] == 200


def test_an_endless_head(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(HEAD)
        with pytest.raises(OSError):  # noqa: PT012, PT011
            for _ in range(1000):
                connection.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")
                time.sleep(0.0005)
            raise AssertionError("a megabyte of headers was taken")
    check_well(served)


def test_a_large_head_is_answered(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(HEAD + b"X-More: " + b"x" * 70_000)
        assert read(connection)[0] == 431


@pytest.mark.parametrize(
    "rest", [b"Content-Length: 30\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"], ids=["length", "chunks"]
)
def test_a_body_that_does_not_come(served: Served, rest: bytes) -> None:
    with connect(served) as connection:
        connection.sendall(HEAD + rest)
        check_refused(connection, 408, "expected the body within 1 s")


def test_chunks_that_grow_too_large(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 20)
        status, body = read(connection)
        assert (status, "at most 1,000,000 bytes" in json.loads(body)["error"]) == (413, True)


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"], ids=repr
)
def test_what_is_no_http(served: Served, noise: bytes) -> None:
    with connect(served) as connection:
        connection.sendall(noise)
        check_refused(connection, 400, "expected an HTTP request")


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST", HEAD, HEAD + b"Content-Length: 30\r\n\r\n{", GOOD],
    ids=["nothing", "word", "head", "half", "all"],
)
def test_a_client_that_goes_away(served: Served, sent: bytes) -> None:
    for _ in range(20):
        with connect(served) as connection:
            connection.sendall(sent)
    check_well(served)
    assert served.log.count("\n") == 1  # no traceback, no warning


def test_several_requests_at_once(served: Served) -> None:
    """Pipelined: answered in order."""
    with connect(served) as connection:
        connection.sendall(GOOD * 3)
        assert [read_one(connection) for _ in range(3)] == [200, 200, 200]


def read_one(connection: socket.socket) -> int:
    """The status of the next answer, and no byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while length:
        length -= len(connection.recv(length))
    return int(head.split()[1])


def test_an_upgrade_is_passed_over(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert read(connection)[0] == 200


# --- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_taken_is_answered(start: Start, tiny_run: Callable[[str], Path], number: int) -> None:
    """A body that is still on its way when the signal comes; then the server is gone."""
    stopping = start(tiny_run("sample"))
    with connect(stopping) as idle, connect(stopping) as connection:
        connection.sendall(GOOD[:-5])
        time.sleep(1)  # so that it is taken, also on a busy machine
        os.kill(stopping.pid, number)
        time.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            connect(stopping)
        assert idle.recv(10) == b""
        connection.sendall(GOOD[-5:])
        status, body = read(connection)
        assert (status, len(json.loads(body)[0])) == (200, 2)
        assert connection.recv(10) == b""
    stopping.stopped = True
    assert stopping.warm.wait(stopping.pid) == 0
    assert stopping.log.endswith("stopped: 1 requests answered\n")


def test_a_second_interrupt_ends_it(start: Start, tiny_run: Callable[[str], Path]) -> None:
    stopping = start(tiny_run("sample"), "--read_timeout", "100")
    with connect(stopping) as connection:
        connection.sendall(GOOD[:-5])
        time.sleep(1)  # so that it is taken, also on a busy machine
        os.kill(stopping.pid, signal.SIGINT)
        time.sleep(0.5)
        assert stopping.stop(signal.SIGINT) == 0
