"""Shared fixtures: real messages, GPT-2's byte-pair files, tiny models, a server on loopback, the command line.

Real messages come from the extra `[sample]`, and the whole collection from the folder `$HF_SPAM_DATA`
(`SMSSpamCollection`, the UCI zip, `gpt2-bpe/`); what needs the latter is skipped without it. No test needs a network
but those marked so.
"""

import gc
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

# Before any import of torch: several processes share the cores, and tiny models gain nothing from a second thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before any import of the Hugging Face libraries: nothing here may reach out.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import huggingface_hub
import hypothesis
import torch
import transformers
from support.bare_environment import make_bare_environment
from support.browser import open_chromium, read_axe
from support.loopback_hub import LoopbackHub
from support.loopback_server import LoopbackServer
from support.messages import write_messages
from support.served import Served, Start
from support.shared import make_once
from support.warm_process import WarmProcess

from hf_spam import SpamGPTConfig
from hf_spam.cli import main as cli_main
from hf_spam.data import sources
from hf_spam.tokens.tokenization import build_tokenizer

# Deterministic, and indifferent to how busy the machine is.
hypothesis.settings.register_profile("thorough", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("project", hypothesis.settings.get_profile("thorough"), max_examples=30)
hypothesis.settings.load_profile("project")  # .ci/run takes the other


# Files that take longest start first, so that no worker ends with one of them while the other has nothing left.
LONGEST = ["test_readmes.py", "test_resume.py", "test_push.py", "test_install.py", "test_equivalence.py"]
LONGEST += ["test_processes.py", "test_commands.py", "test_hub_loading.py", "test_cli.py", "test_frozen_prefix.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; each keeps the order of its tests."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONGEST)))


def pytest_collection_finish() -> None:
    """Spare the garbage collector, which the Trainer runs after each training, all that was imported by now."""
    gc.collect()
    gc.freeze()


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
    folder = os.environ.get("HF_SPAM_DATA")
    if not folder:
        pytest.skip("the real collection: set HF_SPAM_DATA to a folder that holds SMSSpamCollection")
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
def few_messages(messages: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """130 balanced real messages as a CSV: 91 to train (11 batches of 8), 13 to validate, 26 to test."""
    return write_messages(messages, 65, tmp_path_factory.mktemp("few") / "few.csv")


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


# The options of the finished runs that many tests read. All but `sample` start from the GPT-2 of random weights.
_TWO_EPOCHS = ["--data_file", "few.csv", "--trainable", "all", "--learning_rate", "1e-3", "--num_train_epochs", "2"]
_OWN = ["--data_file", "mine.csv", "--balance", "false", "--max_length", "20", "--max_steps", "2"]
_SAMPLE = ["--preset", "quickstart", "--split", "chapter"]
TINY_RUNS = {
    "last_token": _TWO_EPOCHS,
    "last_position": [*_TWO_EPOCHS, "--pooling", "last_position"],
    "own": [*_OWN, "--pooling", "last_position"],
    "sample": [*_SAMPLE, "--model_size", "tiny", "--max_steps", "60", "--keep_checkpoints", "true"],
}


@pytest.fixture(scope="session")
def tiny_run(
    tmp_path_factory: pytest.TempPathFactory, warm: WarmProcess, gpt2_folder: Path, few_messages: Path
) -> Callable[[str], Path]:
    """Train the run of this name in `TINY_RUNS` by the real command, unless it is there, and return its folder."""

    def train(name: str) -> Path:
        def make(folder: Path) -> None:
            for inner in ("data", "outputs"):
                (folder / inner).mkdir()
            shutil.copy(few_messages, folder / "data")
            rows = "".join(f"{'ham' if number % 3 else 'spam'},text number {number}\n" for number in range(120))
            (folder / "data" / "mine.csv").write_text(f"label,text\n{rows}")
            options = [folder / "data" / word if word.endswith(".csv") else word for word in TINY_RUNS[name]]
            if name != "sample":
                options += ["--weights", gpt2_folder]
            argv = ["train", *options, "--disable_tqdm", "true", "--output_dir", folder / "outputs" / "run"]
            warm.run(argv, folder)

        return make_once(tmp_path_factory, f"tiny-run-{name}", make) / "outputs" / "run"

    return train


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A real HTTP server on loopback."""
    with LoopbackServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


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


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmProcess]:
    """Commands as processes of their own that start at once."""
    server = WarmProcess()
    yield server
    server.close()


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with transformers and torch alone."""
    return make_bare_environment(tmp_path_factory.mktemp("bare") / "venv", "transformers", "torch")


@pytest.fixture(scope="session")
def warm_bare(tmp_path_factory: pytest.TempPathFactory, bare: Path) -> Iterator[WarmProcess]:
    """Python programs in that environment, as processes of their own that start at once."""
    home = str(tmp_path_factory.mktemp("bare-home"))
    server = WarmProcess("torch", "transformers.pipelines", python=bare, HF_HOME=home)
    yield server
    server.close()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, warm: WarmProcess) -> Iterator[Start]:
    """Start a server on a free port, with a model's folder and options."""
    running: list[Served] = []

    def begin(model: Path, *options: object, **environment: str) -> Served:
        folder = tmp_path_factory.mktemp("serving")
        pid = warm.start(["serve", model, "--port", "0", *options], folder, **environment)
        deadline = time.monotonic() + 60
        log = folder / "log"
        while not (found := re.search(r"http://.*:(\d+);", log.read_text() if log.exists() else "")):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        running.append(Served(pid, int(found[1]), folder, warm))
        return running[-1]

    yield begin
    for served in running:
        if not served.stopped:
            served.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A running Chromium. Not for the session: while it runs, no test of the same process can use asyncio."""
    with open_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's program."""
    return read_axe()
