"""Shared fixtures: real messages, GPT-2's byte-pair files, tiny models, a server on loopback, the command line.

Real messages come from the extra `[sample]`, and the whole collection from the folder `$HF_SPAM_TEST_DATA`
(`SMSSpamCollection`, the UCI zip, `gpt2-bpe/`); what needs the latter is skipped without it. No test needs a network
but those marked so.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

# Before any import of the Hugging Face libraries: nothing here may reach out.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import huggingface_hub
import hypothesis
import torch
import transformers
from hf_spam_cli import main as cli_main
from loopback_hub import LoopbackHub

from hf_spam import SpamGPTConfig, sources
from hf_spam.tokenization import build_tokenizer

# Deterministic, and indifferent to how busy the machine is.
hypothesis.settings.register_profile("project", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("project")

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's caches, or runs in the checkout."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HF_SPAM_CACHE", str(home / "cache"))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(home / "tiktoken"))
    monkeypatch.delenv("HF_SPAM_BPE_DIR", raising=False)
    monkeypatch.chdir(home)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of the real collection."""
    folder = os.environ.get("HF_SPAM_TEST_DATA")
    if not folder:
        pytest.skip("the real collection: set HF_SPAM_TEST_DATA to a folder that holds SMSSpamCollection")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def collection(test_data: Path) -> Path:
    """The real SMS Spam Collection as UCI distributes it."""
    return test_data / "SMSSpamCollection"


@pytest.fixture(scope="session")
def messages() -> pd.DataFrame:
    """The real messages of the extra [sample]."""
    return sources.read_sample()


@pytest.fixture(scope="session")
def tokenizer() -> transformers.GPT2Tokenizer:
    """GPT-2's tokenizer, from the extra [sample]."""
    return build_tokenizer(max_length=1024)


@pytest.fixture
def tiny_config() -> SpamGPTConfig:
    """A model of a few thousand parameters over a vocabulary of 100 ids, the last of which pads."""
    return SpamGPTConfig(
        vocab_size=100,
        context_length=32,
        emb_dim=16,
        n_heads=4,
        n_layers=2,
        initializer_range=0.2,
        pad_token_id=99,
        bos_token_id=99,
        eos_token_id=99,
    )


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of 32 × 2 with the real vocabulary and random weights, written by transformers."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.1)
    folder = tmp_path_factory.mktemp("gpt2")
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


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


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A real HTTP server on loopback."""
    with LoopbackServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


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


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A Hub with two users, to which this process pushes as the first; one token of hers may only read."""
    with LoopbackHub(tmp_path / "hub") as running:
        running.tokens = {"hf_alice": "alice", "hf_bob": "bob", "hf_reader": "alice"}
        running.readers = {"hf_reader"}
        # The client has read its environment already.
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", running.url)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", "hf_alice")
        yield running


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`hf-spam` in this process: exit code, standard output, standard error."""

    def run_command(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli_main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


class WarmProcess:
    """Starts `hf-spam` commands as processes of their own, by `warm_process.py`: as many as wished, killed at will."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("warm_process.py")
        pipe = subprocess.PIPE
        self._server = subprocess.Popen([sys.executable, "-u", program], stdin=pipe, stdout=pipe, text=True)

    def _ask(self, request: dict[str, object]) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def start(self, argv: Sequence[object], folder: Path, **environment: str) -> int:
        """Start a command in a folder and return its process id; its output is appended to `log` there."""
        words = [str(word) for word in argv]
        return self._ask({"argv": words, "environment": environment, "folder": str(folder), "log": f"{folder}/log"})

    def wait(self, process: int) -> int:
        """A command's exit code, negative for a signal."""
        return self._ask({"wait": process})

    def run(self, argv: Sequence[object], folder: Path, processes: int = 1) -> str:
        """Run a command on so many processes that know each other, expect it to succeed, and return its output."""
        (folder / "log").unlink(missing_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        started = []
        for rank in range(processes):
            environment = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            environment |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
            started.append(self.start(argv, folder, **(environment if processes > 1 else {})))
        codes = [self.wait(process) for process in started]
        output = (folder / "log").read_text()
        assert codes == [0] * processes, output
        return output

    def close(self) -> None:
        """End the server."""
        self._server.communicate()


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmProcess]:
    """Commands as processes of their own that start at once."""
    server = WarmProcess()
    yield server
    server.close()
