"""What every request passes: the key is asked for, and the answer is counted."""

import hmac
import time

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics

OPEN = {"/health"}  # paths that need no key


class Guard:
    """The outermost layer of the app.

    Args:
        app: The rest.
        metrics: What counts.
        api_key: What must stand behind `Authorization: Bearer`; `None` if nothing must.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, api_key: str | None) -> None:
        self._app = app
        self._metrics = metrics
        self._expected = None if api_key is None else b"bearer " + api_key.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self._may_ask(scope):
                await self._app(scope, receive, noting)
            else:
                error = "Authorization: expected the server's key as 'Bearer KEY', found none or another."
                refusal = JSONResponse({"error": error}, 401, {"WWW-Authenticate": "Bearer"})
                await refusal(scope, receive, noting)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.answered(path, status, time.perf_counter() - began)

    def _may_ask(self, scope: Scope) -> bool:
        if self._expected is None or scope["path"] in OPEN:
            return True
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, space, key = given.partition(b" ")
        return hmac.compare_digest(scheme.lower() + space + key.strip(), self._expected)
