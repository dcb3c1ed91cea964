"""A package by npm: a stand-in for npm is called as it should be, and what it leaves is kept only if its hash is right.

pytest tests/network/test_npm.py
"""

import base64
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_spam import UserError
from hf_spam.network.npm import fetch_npm_package

PACKAGE = b"the tarball"
INTEGRITY = f"sha512-{base64.b64encode(hashlib.sha512(PACKAGE).digest()).decode()}"
REMEDY = "Name its folder."
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a first line")


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put an npm on the PATH that runs these lines of Python in the folder where it was called."""

    def install(lines: str) -> None:
        script = tmp_path / "npm"
        script.write_text(f"#!{sys.executable}\nimport pathlib, sys\nhere = pathlib.Path('.')\n{lines}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return install


def fetch() -> bytes:
    return fetch_npm_package("thing", "1.2.3", INTEGRITY, REMEDY)


def test_the_tarball(npm: Callable[[str], None]) -> None:
    npm("assert sys.argv[1:3] == ['pack', 'thing@1.2.3'] and '--ignore-scripts' in sys.argv\n"
        "(here / 'thing-1.2.3.tgz').write_bytes(b'the tarball')")  # fmt: skip
    assert fetch() == PACKAGE


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("(here / 'thing.tgz').write_bytes(b'another')", f"expected the package {INTEGRITY}, found sha512-"),
        ("sys.exit('npm ERR! code ENOTFOUND\\nnpm ERR! more')", r"npm pack failed \(npm ERR! code ENOTFOUND\)"),
        ("", r"npm pack failed \(it gave no reason\)"),
    ],
    ids=["another package", "npm fails", "nothing comes"],
)
def test_what_is_refused(npm: Callable[[str], None], lines: str, message: str) -> None:
    npm(lines)
    with pytest.raises(UserError, match=f"^thing 1.2.3: {message.replace('+', '[+]')}.*{REMEDY}$"):
        fetch()


def test_without_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=f"^thing 1.2.3: expected npm on the PATH, found none. {REMEDY}$"):
        fetch()
