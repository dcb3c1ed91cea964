"""What every request passes: the key is asked for, and the answer is counted. Behind it are the API and the page."""

import base64
import binascii
import hmac
import time
from typing import Protocol

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics

OPEN = {"/health"}  # paths that need no key
_KEY = "Authorization: expected the server's key as 'Bearer KEY', found none or another."
_LOGIN = "expected the server's key as the password, with any name, found none or another."
_CROSS = "expected a request of this page, found one of another site."


class Page(Protocol):
    """What answers browsers beside the API, on paths of its own."""

    def owns(self, method: str, path: str) -> bool:
        """Tell whether a request is the page's."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is."""

    def stop(self) -> None:
        """End the answers that would go on as long as somebody looks at the page."""

    async def close(self) -> None:
        """Leave nothing behind."""


class Guard:
    """The outermost layer of the app.

    Args:
        app: The rest.
        metrics: What counts.
        api_key: What must stand behind `Authorization: Bearer`; `None` if nothing must. A browser, which asks for it,
            may send it to the page as a password.
        page: The page, if there is one.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, api_key: str | None, page: Page | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._key = None if api_key is None else api_key.encode("ascii")
        self._page = page

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

        page = self._page if self._page is not None and self._page.owns(scope["method"], scope["path"]) else None
        headers = dict(scope["headers"])
        try:
            if not self._may_ask(scope["path"], headers.get(b"authorization", b""), page is not None):
                asked = 'Basic realm="hf_spam", charset="UTF-8"' if page else "Bearer"
                refusal = JSONResponse({"error": _LOGIN if page else _KEY}, 401, {"WWW-Authenticate": asked})
                await refusal(scope, receive, noting)
            elif page is None:
                await self._app(scope, receive, noting)
            elif headers.get(b"sec-fetch-site") == b"cross-site" and scope["method"] not in ("GET", "HEAD"):
                await JSONResponse({"error": _CROSS}, 403)(scope, receive, noting)  # browsers add the password there
            else:
                await page(scope, receive, noting)
        finally:
            path = "the page" if page else getattr(scope.get("route"), "path", "other")
            self._metrics.answered(path, status, time.perf_counter() - began)

    def _may_ask(self, path: str, authorization: bytes, is_page: bool) -> bool:
        if self._key is None or path in OPEN:
            return True
        scheme, _, given = authorization.partition(b" ")
        if is_page and scheme.lower() == b"basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
            return hmac.compare_digest(given, self._key)
        return hmac.compare_digest(scheme.lower() + b" " + given.strip(), b"bearer " + self._key)
