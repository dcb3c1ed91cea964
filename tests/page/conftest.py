"""A page in a browser, models with strange labels, and gradio_client."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.served import Served, Start

from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification, build_tokenizer

HOSTILE = "<b>bold</b>", "${1+1}{{value}}`", '"><img src=x onerror=alert(1)>'  # labels, messages and names of files
_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
_FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def start(start: Start) -> Iterator[Start]:
    """The same, stopped as a user would: killed, a page leaves its temporary folder."""
    running: list[Served] = []

    def begin(model: Path, *options: object, **environment: str) -> Served:
        running.append(start(model, *options, **environment))
        return running[-1]

    yield begin
    assert [served.stop() for served in running if not served.stopped] == [0] * len(running)


@pytest.fixture(scope="module")
def served(start: Start, tiny_run: Callable[[str], Path]) -> Served:
    """A server with a tiny model of ham and spam, whose run has everything."""
    return start(tiny_run("sample"), "--name", "my <i>filter</i>")


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Save a tiny model with these labels and nothing else of a run."""

    def make(*labels: str, **more: Any) -> Path:
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp("model")
        config = SpamGPTConfig(
            context_length=64, emb_dim=16, n_heads=2, n_layers=1, initializer_range=0.2, id2label=dict(enumerate(labels)),
            **more,
        )  # fmt: skip
        SpamGPTForSequenceClassification(config).save_pretrained(folder)
        build_tokenizer(max_length=64).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A running Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser's tests: install the extra [browser]")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(program).exists():
        pytest.skip("the browser's tests: install Chromium, or set CHROMIUM to it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open a server's page. At the end nothing was asked of another host, and no script of a stranger ran."""
    contexts, asked, faults = [], [], []

    def open_it(served: Served, width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(served.url)
        page.locator("#message textarea").wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert asked
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))] == []
    assert faults == []
