"""The wheel as others install it: in an environment without the checkout, used from an empty folder.

pytest tests/test_install.py
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from support.places import ROOT

QUICKSTART = ["train", "--preset", "quickstart", "--model_size", "tiny", "--max_steps", "5"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what git would check out: setuptools leaves `build/` and `*.egg-info` where it builds."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in files:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        source,
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "--wheel-dir",
        target,
    ]
    subprocess.run(command, check=True)
    (found,) = target.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that has the wheel, and our dependencies by links, but not the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    for entry in map(Path, sys.path):
        if entry.name not in ("site-packages", "dist-packages"):
            continue
        for path in entry.iterdir():
            if "hf_spam" not in path.name and path.suffix != ".pth" and not (packages / path.name).exists():
                (packages / path.name).symlink_to(path)
    command = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet", "--no-deps"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*command, wheel], check=True, env=environment)
    return folder / "bin"


def use(installed: Path, folder: Path, *argv: object) -> str:
    """Run an installed program in a folder and return what it prints."""
    program, *rest = map(str, argv)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PATH": f"{installed}:{os.environ['PATH']}"}
    result = subprocess.run(
        [installed / program, *rest], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert not re.search(r"[\r\x1b\b]", result.stdout + result.stderr)  # neither bars nor colours in a pipe
    assert result.stderr.count("\n") <= 10  # a line every ten seconds
    return result.stdout


def test_every_package_is_listed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {path.parent.relative_to(ROOT) for path in (ROOT / "hf_spam").rglob("__init__.py")}
    assert set(setuptools["packages"]) == {".".join(path.parts) for path in packages} | {"hf_spam.launch_configs"}


def test_the_wheel_has_every_file(wheel: Path) -> None:
    """All modules, the cards' templates, the web export's page, the launch configurations and the mark of a typed package."""
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / "hf_spam").rglob("*.py")} | {"hf_spam/py.typed"}
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / "hf_spam" / "hub").glob("*.md")}
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / "hf_spam" / "conversion" / "web").iterdir()}
    wanted |= {f"hf_spam/launch_configs/{path.name}" for path in (ROOT / "scripts" / "accelerate").glob("*.yaml")}
    assert wanted <= names
    assert {name.split("/")[0] for name in names} == {"hf_spam", "hf_spam-0.1.0.dist-info"}


def test_the_entry_points(installed: Path, tmp_path: Path) -> None:
    version = "hf-spam 0.1.0\n"
    assert use(installed, tmp_path, "hf-spam", "--version") == version
    assert use(installed, tmp_path, "python", "-m", "hf_spam", "--version") == version


@pytest.mark.slow
def test_from_training_to_a_push(installed: Path, tmp_path: Path) -> None:
    """In one process, as importing torch takes seconds. The slow test below starts each command by itself."""
    commands = [
        QUICKSTART,
        ["predict", "outputs/quickstart", "Hello"],
        ["evaluate", "outputs/quickstart"],
        ["push", "outputs/quickstart", "me/spam", "--dry_run"],
        ["launch-configs", "two_cpu_processes"],
    ]
    program = (
        "import json, sys, hf_spam\n"
        "from hf_spam.cli import main\n"
        "from hf_spam.errors import install_hint\n"
        "print(hf_spam.__file__)\n"
        "print(install_hint('onnx'))\n"
        "assert [main(argv) for argv in json.loads(sys.argv[1])] == [0] * 5\n"
    )
    printed = use(installed, tmp_path, "python", "-c", program, json.dumps(commands))
    lines = printed.splitlines()
    assert Path(lines[0]).is_relative_to(installed.parent)
    assert lines[1] == 'pip install "hf-spam[onnx]"'
    for part in ("saved to outputs/quickstart", "\tHello\n", "on the test split, 973 messages", "nothing was sent"):
        assert part in printed
    configuration = Path(lines[-1])
    assert configuration.is_file()
    assert configuration.is_relative_to(installed.parent)


@pytest.mark.slow
def test_each_command_by_itself(installed: Path, tmp_path: Path) -> None:
    assert "saved to outputs/quickstart" in use(installed, tmp_path, "hf-spam", *QUICKSTART)
    assert use(installed, tmp_path, "hf-spam", "predict", "outputs/quickstart", "Hello").endswith("\tHello\n")
    assert "on the test split, 973 messages" in use(installed, tmp_path, "hf-spam", "evaluate", "outputs/quickstart")
    pushed = use(installed, tmp_path, "hf-spam", "push", "outputs/quickstart", "me/spam", "--dry_run")
    assert "nothing was sent" in pushed


@pytest.mark.slow
def test_a_launcher_with_an_installed_configuration(installed: Path, tmp_path: Path) -> None:
    """As `hf-spam launch-configs --help` says."""
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    program = " ".join(
        [f"{installed}/python", *launch[1:], "--config_file", '"$(hf-spam launch-configs two_cpu_processes)"',
         "-m hf_spam", *QUICKSTART]
    )  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PATH": f"{installed}:{os.environ['PATH']}"}
    result = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert "run    2 processes on cpu" in result.stdout
