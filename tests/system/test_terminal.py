"""What reaches standard output and error: no control character, no extra line, no traceback.   pytest tests/system/test_terminal.py"""

import errno
import io
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strange_texts import CONTROLS, STRANGE_NAMES
from support.warm_process import WarmProcess
from tqdm.auto import tqdm

from hf_spam.cli import main
from hf_spam.errors import LONGEST_LINE, UserError, one_line, shorten
from hf_spam.system.terminal import ReaderGone, SafeStream, safe_streams

SPLIT = CONTROLS - {"\t"}  # what ends a line or acts on a terminal


class Broken(io.StringIO):
    """A stream that cannot be written."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str, /) -> int:
        raise self.error


# --- text in a line ---------------------------------------------------------------------------------------------------


@given(st.text(st.one_of(st.characters(), st.sampled_from(sorted(CONTROLS)))))
def test_any_text_is_one_line(text: str) -> None:
    shown = one_line(text)
    assert not CONTROLS & set(shown)
    assert len(shown.splitlines()) <= 1
    assert shown.encode("utf-8").decode() == shown  # no half of a character
    assert one_line(shown) == shown


@given(st.text(max_size=3000), st.integers(10, 1000))
def test_any_text_is_short(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert short == text or (short[:2] == text[:2] and short[-2:] == text[-2:])


@given(st.lists(st.text(st.one_of(st.characters(), st.sampled_from(sorted(CONTROLS)))), max_size=30))
def test_any_error_is_a_few_lines(lines: list[str]) -> None:
    shown = str(UserError(*lines)).split("\n")
    assert len(shown) == max(1, min(10, len(lines)))
    assert all(len(line) <= LONGEST_LINE and not SPLIT & set(line) for line in shown)


# --- the streams ------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(st.one_of(st.characters(), st.sampled_from(sorted(CONTROLS)))), max_size=5))
def test_any_text_on_standard_output(texts: list[str]) -> None:
    behind = io.StringIO()
    stream = SafeStream(behind, bars=False)
    for text in texts:
        print(text, file=stream)  # type: ignore[call-overload]
    shown = behind.getvalue()
    assert not (SPLIT - {"\n"}) & set(shown)
    assert len(shown.splitlines()) == sum(text.count("\n") + 1 for text in texts)
    assert shown.encode("utf-8").decode() == shown  # no half of a character


@given(st.text(st.one_of(st.characters(), st.sampled_from(sorted(CONTROLS)))))
def test_any_text_on_standard_error(text: str) -> None:
    """Bars need the start of the line and the line above; nothing else passes."""
    behind = io.StringIO()
    SafeStream(behind, bars=True).write(text)
    assert not (SPLIT - {"\n", "\r", "\x1b"}) & set(behind.getvalue())
    assert behind.getvalue().count("\x1b") == behind.getvalue().count("\x1b[A") == text.count("\x1b[A")


def test_a_bar_is_drawn_as_ever() -> None:
    """Two bars, one below the other, with a line printed between."""

    def draw(stream: object) -> None:
        for _ in tqdm(range(3), file=stream, ncols=60, position=1, leave=False, bar_format="{desc}{n}", desc="above"):  # type: ignore[call-overload]
            tqdm.write("a line", file=stream)  # type: ignore[arg-type]

    plain, behind = io.StringIO(), io.StringIO()
    draw(plain)
    draw(SafeStream(behind, bars=True))
    assert "\x1b[A" in plain.getvalue()
    assert behind.getvalue() == plain.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8", "utf-16"])
def test_a_stream_that_cannot_show_a_character(encoding: str) -> None:
    raw = io.BytesIO()
    behind = io.TextIOWrapper(raw, encoding=encoding, newline="")
    stream = SafeStream(behind, bars=False)
    stream.write("caf\xe9 × 你好 \u2028 \x1b[31m\n")
    stream.flush()
    assert stream.failure is None
    shown = raw.getvalue().decode(encoding)
    assert shown.startswith("caf")
    assert shown.endswith(" \\u2028 \\x1b[31m\n")
    assert "你好" in shown or "\\u4f60\\u597d" in shown


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EBADF, "closed"),
        OSError(errno.EIO, "gone"),
        ValueError("I/O operation on closed file"),
    ],
)
def test_a_stream_that_fails_is_remembered(error: Exception) -> None:
    stream = SafeStream(Broken(error), bars=False)
    stream.writelines(["a", "b"])
    assert stream.failure is error


def test_a_reader_that_has_gone() -> None:
    with pytest.raises(ReaderGone):
        SafeStream(Broken(BrokenPipeError(errno.EPIPE, "gone")), bars=False).write("a")
    SafeStream(Broken(BrokenPipeError(errno.EPIPE, "gone")), bars=True).write("a")  # an error message is no reason


def test_everything_else_is_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    behind = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    stream = SafeStream(behind, bars=False)
    assert (stream.encoding, stream.isatty(), stream.buffer) == ("latin-1", False, behind.buffer)
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with safe_streams() as (output, errors):
        print("into the void")
        print("and this", file=sys.stderr)
        assert sys.stdin.read() == ""
        assert sys.stdin.buffer.read() == b""
    assert (output.failure, errors.failure, sys.stdout) == (None, None, None)


# --- what logs and warnings say ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_log_line_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and the libraries', whose handlers took standard error long ago."""
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    loggers = [logging.getLogger(f"{name_}.strange") for name_ in ("transformers", "datasets", "huggingface_hub")]
    handler = logging.StreamHandler()
    with safe_streams():
        for logger in loggers:
            logger.parent.addHandler(handler)  # type: ignore[union-attr]
            logger.warning("%s is odd: %s", "model", name)
            logger.parent.removeHandler(handler)  # type: ignore[union-attr]
    told = [line for line in errors.getvalue().split("\n") if line.startswith("model is odd: a")]
    assert len(told) == len(loggers)
    assert not (SPLIT - {"\n"}) & set(errors.getvalue())
    assert not any(line.startswith("hf-spam: error") for line in errors.getvalue().splitlines())


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_warning_of_pythons_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    with safe_streams():
        shown = warnings.formatwarning(UserWarning(f"odd {name}"), UserWarning, f"{name}.py", 3)
        print(shown, end="", file=sys.stderr)
    assert len(errors.getvalue().splitlines()) == 1
    assert not (SPLIT - {"\n"}) & set(errors.getvalue())


def test_all_is_as_before_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr, logging.getLogRecordFactory(), warnings.formatwarning
    with safe_streams():
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr, logging.getLogRecordFactory(), warnings.formatwarning) == before


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_defect_of_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError("\x1b[2J\u2028hf-spam: error: forged")

    monkeypatch.setattr("hf_spam.commands.completion.parse", fail)
    assert main(["completion", "bash"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback ")
    assert shown.endswith("ZeroDivisionError: \\x1b[2J\\u2028hf-spam: error: forged\n")


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_command_that_does_not_exist(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 2
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 1
    assert not (SPLIT - {"\n"}) & set(shown)


CLOSED = {
    "input": "<&-", "output": ">&-", "errors": "2>&-", "all": "<&- >&- 2>&-", "output and errors": ">&- 2>&-",
}  # fmt: skip


@pytest.mark.parametrize("how", CLOSED.values(), ids=CLOSED.keys())
def test_closed_streams(how: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m hf_spam --help {how}"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("command", ["--help", "--version"])
def test_a_full_disk_is_told(command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hf_spam", command], stdout=full, stderr=subprocess.PIPE, text=True
        )
        assert done.returncode == 2
        assert done.stderr.startswith("hf-spam: error: standard output cannot be written: No space left on device.")
        assert len(done.stderr.splitlines()) == 1
        assert subprocess.run([sys.executable, "-m", "hf_spam", "nope"], stderr=full).returncode == 2


def test_a_command_without_streams(warm: WarmProcess, tmp_path: Path) -> None:
    """What it opens is not taken for standard output: nothing is printed into its files."""
    program = (
        "import os, sys\n"
        "for number in range(3):\n"
        "    os.close(number)\n"
        "sys.stdin = sys.stdout = sys.stderr = None\n"
        "from hf_spam.cli import main\n"
        "code = main(['data', '--data_source', 'sample', '--output_dir', 'splits'])\n"
        "os.write(1, b'lost')\n"
        "os._exit(code)\n"
    )
    assert warm.call([], tmp_path, program).returncode == 0
    assert not any(b"lost" in path.read_bytes() for path in tmp_path.rglob("*.csv"))
    assert (tmp_path / "splits" / "test.csv").is_file()


def test_a_command_on_a_full_disk(warm: WarmProcess, tmp_path: Path) -> None:
    """Its work is done all the same: here a folder of splits."""
    program = (
        "import os, sys\n"
        "sys.stdout = open('/dev/full', 'w')\n"
        "from hf_spam.cli import main\n"
        "sys.exit(main(['data', '--data_source', 'sample', '--output_dir', 'splits']))\n"
    )
    done = warm.call([], tmp_path, program)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "standard output cannot be written" in done.stderr
    assert (tmp_path / "splits" / "train.csv").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["splits"]
