"""Chromium for tests of pages, and axe-core, which looks for what keeps people out."""

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hf_spam import UserError
from hf_spam.network.npm import fetch_npm_package

_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
_FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
_AXE = "4.14.1", "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="


@contextmanager
def open_chromium() -> Iterator[Any]:
    """Run Chromium, or skip the test with a line that says what is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser's tests: install the extra [browser]")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(program).exists():
        pytest.skip("the browser's tests: install Chromium, or set CHROMIUM to it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


def read_axe() -> str:
    """Return axe-core's program, or skip the test."""
    try:
        package = fetch_npm_package("axe-core", *_AXE, "")
    except UserError as error:
        pytest.skip(f"the browser's tests: {error}")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()
