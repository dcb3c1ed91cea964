"""uvicorn's HTTP protocol with what it lacks: a time and a size for the head of a request, and errors as JSON.

uvicorn bounds neither, so that a client that sends a byte a minute would hold a connection for ever. The methods that
are overridden here are those of asyncio's protocols and of httptools' parser, and `send_400_response`, which is
uvicorn's own; tests/serving/test_hostile.py notices if one of them is no longer called.
"""

import asyncio
import http
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 2**16  # bytes


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `read_timeout` is the number of seconds in which the head of a request must be there."""

    read_timeout = 10.0

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        self._timer: asyncio.TimerHandle | None = None
        self._head = 0  # bytes that have come since the last request
        self._body_comes = False
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Parse what has come. What belongs to no request yet is counted, and must become one in time."""
        if self._is_between():
            self._head += len(data)
            self._start_timer()
        super().data_received(data)
        if self._is_between() and self._head > LARGEST_HEAD and not self._body_comes:
            self._refuse(431, f"expected a head of at most {LARGEST_HEAD:,} bytes, found more.")

    def on_headers_complete(self) -> None:
        """Hand the request over: from now on the app bounds it."""
        self._head, self._body_comes = 0, True
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a body, which may have been answered before its end."""
        self._head, self._body_comes = 0, False
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "expected an HTTP request, found something else.")

    def _is_between(self) -> bool:
        """Tell whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.read_timeout, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._is_between():
            self._refuse(408, f"expected a request within {self.read_timeout:g} s, found none by then.")

    def _refuse(self, status: int, error: str) -> None:
        if self.transport.is_closing():
            return
        body = json.dumps({"error": error}).encode()
        head = (
            f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        if self._is_between():  # otherwise an answer is on its way, which this would garble
            self.transport.write(head.encode() + body)
        self.transport.close()
