"""Progress on a terminal and anywhere else (test_install.py has a pipe).   pytest tests/system/test_progress.py"""

import fcntl
import os
import pty
import re
import struct
import termios
import threading
from pathlib import Path

import pytest
from support.warm_process import WarmProcess

from hf_spam.system import progress

QUICKSTART = ["train", "--preset", "quickstart", "--model_size", "tiny", "--max_steps", "20", "--output_dir", "run"]


def on_a_terminal(warm: WarmProcess, argv: list[str], folder: Path) -> str:
    """Run a command with standard output and error on a terminal of 100 columns, and return what it shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    (folder / "log").symlink_to(os.ttyname(theirs))  # where a warm process writes
    shown = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 4096):
                shown.extend(data)
        except OSError:
            pass  # how Linux says that nobody writes any more

    reader = threading.Thread(target=read)
    reader.start()
    code = warm.wait(warm.start(argv, folder))
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert code == 0, shown
    return shown.decode()


@pytest.mark.slow
def test_a_terminal_has_one_bar_at_a_time(warm: WarmProcess, tmp_path: Path) -> None:
    """The training's, then the evaluations'; none of the libraries' own, and none a line above another."""
    shown = on_a_terminal(warm, QUICKSTART, tmp_path)
    bars = re.findall(r"([A-Z]\w+(?: \w+)*): +(\d+)%\|", shown)
    names = [name for name, _ in bars]
    assert list(dict.fromkeys(names)) == ["Training", "Evaluating"]
    assert names == sorted(names, reverse=True)  # the training is over when the evaluations begin
    assert bars[0] == ("Training", "0")
    assert ("Training", "100") in bars
    assert "\x1b[A" not in shown  # a second bar would move the cursor up


def test_lines_every_ten_seconds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with progress.progress(5000, "Frozen blocks", "texts") as lines:
        for second in (3.0, 6.0, 11.0, 12.0, 21.5):
            now = second
            lines.update(1000)
    with progress.progress(0, "Downloading file", "B") as lines:
        now = 40.0
        lines.update(70_000)
    assert capsys.readouterr().err.splitlines() == [
        "Frozen blocks: 3,000 of 5,000 texts",
        "Frozen blocks: 5,000 of 5,000 texts",
        "Downloading file: 70,000 B",
    ]


def test_a_process_that_does_not_report(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    with progress.progress(2, "Frozen blocks", "texts", shown=False) as bar:
        bar.update(2)
    assert capsys.readouterr().err == ""
