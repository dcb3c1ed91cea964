"""`GradioPage`: which requests are the page's, and what bounds them. Gradio is imported when somebody opens it."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from ..serving.settings import Limits
from ..system.files import folder_size

_READ = {"/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"}  # by GET
_BELOW = ("/assets/", "/static/", "/svelte/")
_GRADIO = "/gradio_api/"
# Of Gradio's own API what the page and gradio_client need. It has more, such as cutting films, which is not served.
_NEEDED = (
    *("info", "config", "theme.css", "startup-events", "heartbeat/", "queue/join", "queue/data", "call/", "run/"),
    *("cancel", "reset", "upload", "upload_progress", "file="),
)
_UPLOAD = f"{_GRADIO}upload"
_FORM = 10_000  # bytes around an uploaded file
_MOST_FILES = 20  # of the largest size may lie here at once, or more that are smaller
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self' https://huggingface.co"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),  # Gradio needs inline scripts, but nothing of another host
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
}


class GradioPage:
    """A Gradio app whose imports, files and endless answers are bounded: see `serving.guarding.Page`.

    Args:
        build: Imports Gradio and returns the app, given a folder for its files. Runs in a thread.
        limits: How much is accepted.
    """

    def __init__(self, build: Callable[[Path], Any], limits: Limits) -> None:
        self._build = build
        self._limits = limits
        self._lock = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._closing = asyncio.Event()  # when the last request is answered
        self._life: asyncio.Task[None] | None = None
        self._app: Any = None
        self._files: Path | None = None

    def owns(self, method: str, path: str) -> bool:
        """Tell whether a request is the page's."""
        if path.startswith(_GRADIO):
            return path.removeprefix(_GRADIO).startswith(_NEEDED)
        return method in ("GET", "HEAD") and (path in _READ or path.startswith(_BELOW))

    @property
    def is_stopping(self) -> bool:
        """Whether the server ends."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End the answers that would go on as long as somebody looks at the page."""
        self._stopping.set()

    async def close(self) -> None:
        """End Gradio, and remove its files."""
        self.stop()
        self._closing.set()
        if self._life is not None:
            await self._life

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if refusal := self._refuse(scope):
            await refusal(scope, receive, send)
            return
        await self._start()
        sender = _Sender(send)
        answer = asyncio.ensure_future(self._app(scope, _Bounded(receive, self._most(scope), self._limits), sender))
        if not scope["path"].startswith(f"{_GRADIO}heartbeat/"):  # which goes on as long as the page is open
            await answer
            return
        ending = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([answer, ending], return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if answer.done():
            await answer
            return
        answer.cancel()
        await asyncio.wait([answer])
        if sender.began and not sender.ended:
            await send({"type": "http.response.body", "body": b""})

    def _most(self, scope: Scope) -> int:
        """Return how large a request's body may be, in bytes."""
        return self._limits.max_upload + _FORM if scope["path"].startswith(_UPLOAD) else self._limits.max_body

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        if self.is_stopping:
            return JSONResponse({"error": "expected a running server, found it about to stop."}, 503)
        length = dict(scope["headers"]).get(b"content-length", b"")
        if length.isdigit() and int(length) > self._most(scope):
            error = f"expected a body of at most {self._most(scope):,} bytes, found {int(length):,}. Send less."
            return JSONResponse({"error": error, "detail": error}, 413, {"Connection": "close"})
        most = _MOST_FILES * self._limits.max_upload
        if scope["path"] == _UPLOAD and self._files is not None and folder_size(self._files) > most:
            error = f"expected at most {most:,} bytes of files on the server, found more. Try again in an hour."
            return JSONResponse({"error": error, "detail": error}, 503, {"Connection": "close"})
        return None

    async def _start(self) -> None:
        """Build the app, once."""
        async with self._lock:
            if self._app is None:
                ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                self._life = asyncio.create_task(self._live(ready))
                self._app = await ready

    async def _live(self, ready: "asyncio.Future[Any]") -> None:
        """Run the app with a folder of its own until the server stops."""
        try:
            folder = Path(tempfile.mkdtemp(prefix="hf-spam-page-"))
            try:
                self._files = folder / "gradio"
                os.environ["GRADIO_TEMP_DIR"] = str(self._files)  # Gradio reads these when it is imported
                os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
                os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))  # which Gradio imports
                app = await anyio.to_thread.run_sync(self._build, folder)
                async with app.router.lifespan_context(app):
                    ready.set_result(app)
                    await self._closing.wait()
            finally:
                await anyio.to_thread.run_sync(_remove, folder)
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)


def _remove(folder: Path) -> None:
    """Remove a folder, in which a handler that was stopped may still be removing a file of its own."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


class _Sender:
    """Adds headers to an answer, and knows how far it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.began = self.ended = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.began = True
            kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in _HEADERS]
            message = {**message, "headers": [*kept, *_HEADERS.items()]}
        elif message["type"] == "http.response.body":
            self.ended = not message.get("more_body", False)
        await self._send(message)


class _Bounded:
    """Reads a body of a bounded size, whose pieces come in time. Otherwise the client counts as gone."""

    def __init__(self, receive: Receive, most: int, limits: Limits) -> None:
        self._receive = receive
        self._left = most
        self._limits = limits
        self._more = True

    async def __call__(self) -> Message:
        if not self._more:
            return await self._receive()
        try:
            async with asyncio.timeout(self._limits.read_timeout):
                message = await self._receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        self._left -= len(message.get("body", b""))
        self._more = message.get("more_body", False)
        return message if self._left >= 0 else {"type": "http.disconnect"}
