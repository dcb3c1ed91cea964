"""A real HTTP server on loopback that answers from a table, and what goes wrong on the way."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Answer:
    """What the loopback server does with a path: a status, a body, and what goes wrong on the way."""

    def __init__(
        self, body: bytes = b"", status: int = 200, claim: int | None = None, delay: float = 0.0, **headers: str
    ) -> None:
        self.body = body
        self.status = status
        self.claim = claim if claim is not None else len(body)  # the Content-Length it announces
        self.delay = delay  # seconds before it answers
        self.headers = headers


class LoopbackServer(ThreadingHTTPServer):
    """Answers from a table of paths and remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of some tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackServer

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.server.requests.append(f"{self.command} {path}")
        answer = self.server.answers.get(path, Answer(status=404))
        time.sleep(answer.delay)
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(answer.claim), **answer.headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve_repository(server: LoopbackServer, repository: str, folder: Path) -> None:
    """The routes of the Hub that a download asks, for the files of a folder."""
    commit = "0" * 40
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    listing = {"id": repository, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
    body = json.dumps(listing).encode()
    tree = json.dumps(
        [{"type": "file", "path": name, "size": len(content), "oid": name} for name, content in files.items()]
    )
    for revision in ("main", commit):
        server.answers[f"/api/models/{repository}/revision/{revision}"] = Answer(body)
        server.answers[f"/api/models/{repository}/tree/{revision}"] = Answer(tree.encode())
        for name, content in files.items():
            headers = {"X_Repo_Commit": commit, "ETag": f'"{name}"'}
            server.answers[f"/{repository}/resolve/{revision}/{name}"] = Answer(content, **headers)
