"""The server as one process or several on the same port, from its first request to the answer to its last."""

import gc
import importlib.util
import ipaddress
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from types import FrameType
from typing import TYPE_CHECKING

from ..engines.threads import count_threads, set_threads
from ..errors import UserError, install_hint
from ..inference.classifier import SpamClassifier
from .settings import Settings

if TYPE_CHECKING:
    from .guarding import Page
    from .scoring import Scorer

KEEP_ALIVE = 60  # seconds that a connection may wait for its next request
_BACKLOG = 2048
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SETTLED = 5.0  # seconds; a worker that ends sooner would end again


def require_extra(page: bool = False) -> None:
    """Check that the libraries of the extra are there, without importing them: see `serve_together`.

    Args:
        page: Whether there will be a page.

    Raises:
        UserError: If not.
    """
    for name in ("fastapi", "uvicorn", "httptools", "prometheus_client", *(["gradio"] if page else [])):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"hf-spam serve needs {name}, found none. Install it: {install_hint('serve')}")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UserError: If the machine has no such address, or the port is taken.
    """
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise UserError(f"--host {host} --port {port}: cannot listen there: {error.strerror}. Name another.") from None
    listening.set_inheritable(True)
    return listening


def is_loopback(listening: socket.socket) -> bool:
    """Tell whether a socket is reached from this machine alone."""
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def url_of(listening: socket.socket) -> str:
    """Return where a socket is reached."""
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve_alone(
    classifier: SpamClassifier,
    settings: Settings,
    listening: socket.socket,
    access_log: bool = False,
    ready: Callable[[], None] | None = None,
    parent: int | None = None,
    make_page: "Callable[[Scorer], Page] | None" = None,
) -> int:
    """Answer requests in this process until a signal stops it, and return how many were answered.

    On SIGTERM or SIGINT no connection is accepted any more, what was taken is answered, and then it ends. A second
    SIGINT ends it at once.

    Args:
        classifier: The model.
        settings: What the server is told.
        listening: Where it listens.
        access_log: Whether requests are logged.
        ready: Is called when connections are accepted.
        parent: The process without which this one should not go on.
        make_page: See `build_app`.
    """
    import uvicorn

    from .app import build_app
    from .protocol import BoundedProtocol

    app = build_app(classifier, settings, make_page)
    announced = False

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """Stop. Without this, it would wait until nobody looks at the page any more."""
            if app.state.page is not None:
                app.state.page.stop()
            await super().shutdown(sockets)

    async def tick() -> None:
        """Is called every second, first when connections are accepted."""
        nonlocal announced
        if not announced and ready is not None:
            ready()
        announced = True
        if parent is not None and os.getppid() != parent:
            server.should_exit = True

    config = uvicorn.Config(
        app,
        http=type("Protocol", (BoundedProtocol,), {"read_timeout": settings.limits.read_timeout}),
        ws="none",
        lifespan="on",
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        server_header=False,
        proxy_headers=False,
        access_log=access_log,
        log_level="info" if access_log else "error",
        callback_notify=tick,
        timeout_notify=1,
    )
    server = Server(config)

    def stop(number: int, frame: FrameType | None) -> None:
        """Stop. uvicorn does the same while it runs, and raises the signal again afterwards."""
        server.should_exit = True

    for number in _SIGNALS:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    server.run(sockets=[listening])
    return server.server_state.total_requests


def serve_together(
    load: Callable[[], SpamClassifier],
    shared: bool,
    settings: Settings,
    listening: socket.socket,
    workers: int,
    ready: Callable[[], None],
    access_log: bool = False,
) -> None:
    """Answer requests in several processes until a signal stops them; one that dies is replaced.

    They are forked after the model was loaded, so its weights are in memory once. Until then this process computes on
    one thread, because OpenMP's threads do not survive a fork.

    Args:
        load: Loads the model.
        shared: Whether it can be forked. ONNX Runtime's cannot: then each worker loads its own.
        settings: What the servers are told.
        listening: Where they listen.
        workers: How many there are.
        ready: Is called when the model is loaded and a signal stops everything in order.
        access_log: Whether requests are logged.

    Raises:
        UserError: If the model is on a GPU, or workers end as soon as they start.
    """
    threads = max(1, count_threads() // workers)
    set_threads(1)
    classifier = load() if shared else None
    if classifier is not None and not classifier.engine.on_cpu:
        raise UserError(f"--workers: expected 1 for a model on a GPU, which one process keeps busy, found {workers}.")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the library would warn of the fork
    parent = os.getpid()

    def work() -> None:
        set_threads(threads)
        serve_alone(classifier or load(), settings, listening, access_log, parent=parent)

    with tempfile.TemporaryDirectory(prefix="hf-spam-serve-") as figures:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures  # prometheus_client reads it when it is imported, which is:
        from . import app, protocol  # noqa: F401, once for all workers

        gc.collect()
        gc.freeze()  # a collection would write to the pages that are shared
        _supervise(work, workers, ready)


def _supervise(work: Callable[[], None], count: int, ready: Callable[[], None]) -> None:
    """Run `work` in so many processes until a signal comes, which is passed on to them."""
    running: dict[ForkProcess, float] = {}  # since when
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for process in running:
            process.terminate()

    def start() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # a worker unblocks them when it can stop
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        running[process] = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    for number in _SIGNALS:
        signal.signal(number, stop)
    ready()
    for _ in range(count):
        if not stopping:
            start()
    while running:
        wait([process.sentinel for process in running])
        for process in [process for process in running if not process.is_alive()]:
            lived = time.monotonic() - running.pop(process)
            if stopping:
                continue
            if lived < _SETTLED:
                stop(signal.SIGTERM, None)
                raise UserError(f"expected workers that stay, found one that ended with {process.exitcode}.")
            print("hf-spam: a worker has ended; another takes its place", file=sys.stderr, flush=True)
            start()
