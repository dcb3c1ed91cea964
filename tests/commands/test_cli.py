"""The entry point: pipes, terminals, encodings, completion and launch configurations.   pytest tests/commands/test_cli.py"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.places import ROOT
from support.warm_process import WarmProcess

from hf_spam.commands import COMMANDS
from hf_spam.commands.completion import whole_parser

Run = Callable[..., tuple[int, str, str]]
HF_SPAM = f"{sys.executable} -m hf_spam"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash."""
    argv = ["bash", "-o", "pipefail", "-c", command]
    return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)


def test_version(run: Run) -> None:
    assert run("--version") == (0, "hf-spam 0.1.0\n", "")


def test_a_reader_that_wants_one_line() -> None:
    found = shell(f"{HF_SPAM} --help | head -1")
    assert found.stdout.startswith("usage: hf-spam ")
    assert found.stderr == ""


def test_a_reader_that_wants_nothing() -> None:
    """It has gone before anything is written. (A command's own help is safe: argparse ignores that.)"""
    assert shell(f"{HF_SPAM} --help | true").stderr == ""


def test_underscores_still_answer(run: Run) -> None:
    for name in ("check-equivalence", "check_equivalence", "launch-configs", "launch_configs"):
        assert name.replace("_", "-") in COMMANDS
        with pytest.raises(SystemExit) as done:
            run(name, "--help")
        assert done.value.code == 0


def test_a_stream_that_is_not_utf8(tiny_run: Callable[[str], Path], warm: WarmProcess, tmp_path: Path) -> None:
    """As a terminal of another encoding, but no process of its own: the next test has one."""
    program = (
        "import sys\n"
        "sys.stdout, sys.stderr = (open(number, 'w', encoding='ascii', closefd=False) for number in (1, 2))\n"
        "from hf_spam.cli import main\n"
        "assert main(['predict', sys.argv[1], 'caf\xe9', '\u4f60\u597d']) == 0\n"
        "assert main(['train', '--weights', 'random', '--data_file', 'caf\xe9.csv']) == 2\n"
    )
    result = warm.call([tiny_run("last_token")], tmp_path, program)
    assert result.returncode == 0, result.stderr
    assert [line.split("\t")[2] for line in result.stdout.splitlines()] == ["caf\\xe9", "\\u4f60\\u597d"]
    assert result.stderr.startswith("hf-spam: error: --data_file caf\\xe9.csv: no such file.")


@pytest.mark.slow
def test_a_terminal_that_is_not_utf8(tmp_path: Path) -> None:
    """The start-up lines have a "×", and a message may have anything."""
    messages = tmp_path / "messages.csv"
    rows = [f"{label},Win £{number} at the café" for number in range(40) for label in ("ham", "spam")]
    messages.write_text("label,text\n" + "\n".join(rows) + "\n", encoding="utf-8")
    program = (
        "import sys\n"
        "from hf_spam.cli import main\n"
        f"run = ['train', '--data_file', {str(messages)!r}, '--weights', 'random', '--model_size', 'tiny']\n"
        "assert main([*run, '--max_steps', '1', '--output_dir', 'run']) == 0\n"
        "assert main(['predict', 'run', 'caf\\xe9', '\\u4f60\\u597d']) == 0\n"
        "assert main(['evaluate', 'run']) == 0\n"
        "assert main(['train', '--weights', 'random', '--data_file', 'caf\\xe9.csv']) == 2\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, encoding="ascii",
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "2 layers \\xd7 " in result.stdout
    assert "\tcaf\\xe9\n" in result.stdout
    assert "UnicodeEncodeError" not in result.stderr


# --- completion -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `hf-spam completion bash` prints."""
    import shtab

    path = tmp_path_factory.mktemp("completion") / "hf-spam"
    path.write_text(shtab.complete(whole_parser(), "bash"))
    return path


def test_completion_prints_a_script(run: Run, script: Path) -> None:
    code, out, _ = run("completion", "bash")
    assert code == 0
    assert out.strip() == script.read_text().strip()
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    assert "argument SHELL: invalid choice: 'csh'" in run("completion", "csh")[2]


@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        (["hf-spam", ""], set(COMMANDS), set()),
        (["hf-spam", "tr"], {"train"}, {"predict"}),
        (["hf-spam", "train", "--pre"], {"--preset", "--prefix_cache"}, {"--pooling"}),
        (["hf-spam", "train", "--preset", ""], {"default", "book", "quickstart"}, set()),
        (["hf-spam", "push", "--"], {"--dry_run", "--private"}, {"--preset"}),
    ],
)
def test_completion_in_a_real_bash(script: Path, line: list[str], wanted: set[str], unwanted: set[str]) -> None:
    """What TAB offers at the end of a line; it starts no Python."""
    words = " ".join(f"'{word}'" for word in line)
    program = (
        f"source {script}; COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; "
        "function=$(complete -p hf-spam | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
        f'$function hf-spam {line[-1]!r} {line[-2]!r}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    result = subprocess.run(["bash", "-c", program], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    offered = {word.strip() for word in result.stdout.splitlines()}
    assert wanted <= offered, result
    assert not unwanted & offered


# --- launch configurations --------------------------------------------------------------------------------------------


def test_launch_configurations_of_a_checkout(run: Run) -> None:
    folder = ROOT / "scripts" / "accelerate"
    code, out, _ = run("launch-configs")
    assert code == 0
    blocks = re.findall(r"^(\w+)\n  (\S+)\n  (\S.*)$", out, re.MULTILINE)
    assert [(name, path) for name, path, _ in blocks] == [(path.stem, str(path)) for path in sorted(folder.iterdir())]
    assert run("launch-configs", "fsdp2")[:2] == (0, f"{folder / 'fsdp2.yaml'}\n")
    code, _, err = run("launch-configs", "fsdp3")
    assert code == 2
    assert err.startswith("hf-spam: error: expected one of deepspeed_zero2, ")
    assert err.endswith("found 'fsdp3'. Try: hf-spam launch-configs\n")
