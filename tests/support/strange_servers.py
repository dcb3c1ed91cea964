"""Servers that do not do what was agreed: on the wire, in a redirect, in a head, in the JSON of the Hub.

`StrangeServer` plays one script for every connection. `WIRE` has the scripts, by name; `ODD_JSON` has the answers in
the place of the Hub's JSON; `STRANGE_PATHS` are names of files that lead elsewhere.
"""

import gzip
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self

Script = Callable[["Connection"], None]


class Connection:
    """One connection, whose request has been read; sending ends when the client or the test has gone."""

    def __init__(self, wire: socket.socket, closing: threading.Event, url: str, request: str) -> None:
        self.wire, self.closing, self.url, self.request = wire, closing, url, request

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.wire.sendall(piece)

    def drip(self, content: Iterable[bytes], seconds: float = 0.05) -> None:
        """Send piece by piece, as slowly as that."""
        for piece in content:
            if self.closing.wait(seconds):
                raise ConnectionError("the test is over")
            self.wire.sendall(piece)

    def forever(self, piece: bytes) -> None:
        """Send the same again and again, as fast as can be."""
        while not self.closing.is_set():
            self.wire.sendall(piece)


class StrangeServer(socketserver.ThreadingTCPServer):
    """`with StrangeServer(script) as server` plays the script for every request."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script, self.closing, self.requests = script, threading.Event(), list[str]()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is right to do so."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.StreamRequestHandler):
    server: StrangeServer

    def handle(self) -> None:
        lines = []
        while (line := self.rfile.readline(65536)) not in (b"\r\n", b""):
            lines.append(line.decode("latin-1"))
        request = lines[0].strip() if lines else ""
        self.server.requests.append(request)
        with suppress(OSError):
            self.server.script(Connection(self.connection, self.server.closing, self.server.url, request))


OK = b"HTTP/1.1 200 OK\r\n"
CLOSE = b"Connection: close\r\n\r\n"
PAGE = b"<!DOCTYPE html><html><title>Welcome to our hotel</title><body>Log in</body></html>"


def answer(head: bytes, body: bytes = b"") -> Script:
    """A whole answer whose head claims nothing that it does not say."""
    return lambda client: client.send(head, CLOSE, body)


def redirect(address: str) -> Script:
    return lambda client: client.send(
        f"HTTP/1.1 302 Found\r\nLocation: {address.format(url=client.url)}\r\n".encode("latin-1"), CLOSE
    )


WIRE: dict[str, Script] = {
    "nothing, for ever": lambda client: client.drip([b""] * 10_000),
    "hangs up": lambda client: client.send(),
    "not HTTP": lambda client: client.send(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "a status of letters": lambda client: client.send(b"HTTP/1.1 fine\r\n", CLOSE),
    "a status out of range": answer(b"HTTP/1.1 999 Odd\r\n", b"x"),
    "control characters in the reason": answer(b"HTTP/1.1 500 \x1b[2Joh\x07\x85no\r\n"),
    "a dripping head": lambda client: client.drip([OK, *[b"X"] * 10_000]),
    "dripping head lines": lambda client: client.drip([OK, *[b"X-A: b\r\n"] * 10_000]),
    "an endless head line": lambda client: (client.send(OK, b"X-A: "), client.forever(b"a" * 4096))[0],
    "endless head lines": lambda client: (client.send(OK), client.forever(b"X-A: b\r\n"))[0],
    "a dripping body": lambda client: (client.send(OK, b"Content-Length: 100000\r\n\r\n"), client.drip([b"x"] * 10_000))[0],
    "a dripping body in chunks": lambda client: (client.send(OK, b"Transfer-Encoding: chunked\r\n\r\n"), client.drip([b"1\r\nx\r\n"] * 10_000))[0],
    "a dripping body without a length": lambda client: (client.send(OK, CLOSE), client.drip([b"x"] * 10_000))[0],
    "an endless body": lambda client: (client.send(OK, CLOSE), client.forever(b"x" * 4096))[0],
    "an endless body in chunks": lambda client: (client.send(OK, b"Transfer-Encoding: chunked\r\n\r\n"), client.forever(b"1000\r\n" + b"x" * 4096 + b"\r\n"))[0],
    "less than promised": answer(OK + b"Content-Length: 5000\r\n", b"x" * 100),
    "more than promised": answer(OK + b"Content-Length: 5\r\n", b"x" * 500),
    "too much promised": answer(OK + b"Content-Length: 900000000000\r\n", b"x"),
    "an absurd length": answer(OK + b"Content-Length: " + b"9" * 400 + b"\r\n", b"x"),
    "a negative length": answer(OK + b"Content-Length: -5\r\n", b"x"),
    "a length of letters": answer(OK + b"Content-Length: many\r\n", b"x"),
    "two lengths": answer(OK + b"Content-Length: 5\r\nContent-Length: 7\r\n", b"xxxxxxx"),
    "broken chunks": answer(OK + b"Transfer-Encoding: chunked\r\n", b"zz\r\nx\r\n"),
    "a chunk that ends early": answer(OK + b"Transfer-Encoding: chunked\r\n", b"ffff\r\nx"),
    "a bomb": answer(OK + b"Content-Encoding: gzip\r\n", gzip.compress(b"\0" * 30_000_000)),
    "no gzip": answer(OK + b"Content-Encoding: gzip\r\n", b"not gzip at all"),
    "a page": answer(OK + b"Content-Type: text/html; charset=utf-8\r\n", PAGE),
    "a page that says it is a zip": answer(OK + b"Content-Type: application/zip\r\n", b"\n" + PAGE),
    "a login": answer(b"HTTP/1.1 511 Network Authentication Required\r\nContent-Type: text/html\r\n", PAGE),
    "no content": answer(b"HTTP/1.1 204 No Content\r\n"),
    "a part": answer(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/9\r\n", b"x"),
    "not modified": answer(b"HTTP/1.1 304 Not Modified\r\n"),
    "nothing in it": answer(OK + b"Content-Length: 0\r\n"),
    "a loop": redirect("{url}/again"),
    "to a file": redirect("file:///etc/passwd"),
    "to ftp": redirect("ftp://127.0.0.1/x"),
    "to data": redirect("data:text/plain,hello"),
    "to a script": redirect("javascript:alert(1)"),
    "to another scheme": redirect("gopher://127.0.0.1:70/x"),
    "to no host": redirect("http://"),
    "to a bad host": redirect("http://[::1/x"),
    "to a bad port": redirect("http://127.0.0.1:99999/x"),
    "to control characters": redirect("http://\x01\x1b[2J/x"),
    "to a host that is too long": redirect("http://" + "a" * 300 + "/x"),
    "to nowhere": redirect("http://127.0.0.1:9/x"),
}  # fmt: skip

_KEYS = ("id", "sha", "siblings", "url", "files", "objects", "commitUrl", "commitOid", "private", "lastModified")


def _every_key(value: object) -> bytes:
    """All that the client looks for, and nothing of it as agreed."""
    return json.dumps(dict.fromkeys(_KEYS, value)).encode()


# In the place of the Hub's JSON.
ODD_JSON: dict[str, bytes] = {
    "a page": PAGE,
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a list of texts": b'["a", "b"]',
    "a number": b"5",
    "a text": b'"hello"',
    "true": b"true",
    "an empty object": b"{}",
    "cut off": b'{"id": "alice/spam", "sib',
    "not UTF-8": b'{"id": "\xff\xfe"}',
    "not JSON": b"{'id': 5}",
    "NaN": b"NaN",
    "nested deeply": b"[" * 100_000,
    "a list of numbers": b"[1, 2]",
    "a list of nulls": b"[null]",
    "an error": b'{"error": 5}',
    "an error of a list": b'{"error": [1]}',
    "wrong types": _every_key(5),
    "nulls": _every_key(None),
    "lists": _every_key([1]),
    "objects": _every_key({"a": 1}),
    "texts": _every_key("\x1b[2J\n"),
}  # fmt: skip

# Names of files in a repository that do not stay in the cache, or that nobody wants in a terminal.
STRANGE_PATHS = [
    "model/../../../../escaped.safetensors",
    "model/../escaped.safetensors",
    "../../model.safetensors",
    "/etc/model.safetensors",
    "model//escaped.safetensors",
    "model/./escaped.safetensors",
    "model\\..\\..\\escaped.safetensors",
    "C:\\model.safetensors",
    "model:stream.safetensors",
    "model\x00.safetensors",
    "model\x1b[2J.safetensors",
    "model\nhf-spam: error: forged.safetensors",
    "model\u202e.safetensors",
    f"model{'a' * 300}.safetensors",
    f"{'model/' * 200}x.safetensors",
]
