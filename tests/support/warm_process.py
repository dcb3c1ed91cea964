"""Commands as processes of their own that start at once: the client of `warm_server.py`."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

COMMANDS = (
    *(f"hf_spam.commands.{name}" for name in ("data", "evaluate", "experiments", "predict", "push", "train")),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf", "fontTools.subset"),  # for the plots
)


class WarmProcess:
    """Starts `hf-spam` commands and Python programs as processes of their own, as many as wished, killed at will."""

    def __init__(self, *modules: str, python: Path | None = None, **environment: str) -> None:
        """Start the server with these modules imported, or those of our commands, by this interpreter or another."""
        program = Path(__file__).with_name("warm_server.py")
        inherited = {name: value for name, value in os.environ.items() if python is None or name != "PYTHONPATH"}
        self._server = subprocess.Popen(
            [python or sys.executable, "-u", program, *(modules or COMMANDS)],
            env={**inherited, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, request: dict[str, object]) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def _start(
        self, argv: Sequence[object], folder: Path, environment: dict[str, str], log: Path, **more: object
    ) -> int:
        words = [str(word) for word in argv]
        given = {name: str(value) for name, value in more.items() if value is not None}
        return self._ask({"argv": words, "environment": environment, "folder": str(folder), "log": str(log), **given})

    def start(self, argv: Sequence[object], folder: Path, program: str | None = None, **environment: str) -> int:
        """Start a command, or a Python program with `argv`, and return its process id; `log` gets its output."""
        return self._start(argv, folder, environment, folder / "log", program=program)

    def start_together(
        self, argv: Sequence[object], folder: Path, processes: int, program: str | None = None
    ) -> list[int]:
        """Start a command on so many processes that know each other, as a launcher would, and return their ids."""
        if processes == 1:
            return [self.start(argv, folder, program)]
        return self.start_machines(argv, [folder], processes, program)

    def start_machines(
        self, argv: Sequence[object], folders: Sequence[Path], processes: int, program: str | None = None
    ) -> list[int]:
        """Start a command on so many processes of each machine, which has a folder of its own, as a launcher would."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        started = []
        for machine, folder in enumerate(folders):
            for local in range(processes):
                environment = {"RANK": str(machine * processes + local), "LOCAL_RANK": str(local)}
                environment |= {"WORLD_SIZE": str(len(folders) * processes), "LOCAL_WORLD_SIZE": str(processes)}
                environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
                started.append(self.start(argv, folder, program, **environment))
        return started

    def wait(self, process: int) -> int:
        """Return a command's exit code, negative for a signal."""
        return self._ask({"wait": process})

    def run(self, argv: Sequence[object], folder: Path, processes: int = 1, program: str | None = None) -> str:
        """Run a command on so many processes that know each other, expect it to succeed, and return its output."""
        (folder / "log").unlink(missing_ok=True)
        codes = [self.wait(process) for process in self.start_together(argv, folder, processes, program)]
        output = (folder / "log").read_text()
        assert codes == [0] * processes, output
        return output

    def call(
        self,
        argv: Sequence[object],
        folder: Path,
        program: str | None = None,
        stdin: str | None = None,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, or a Python program with `argv`, as `subprocess.run` would; nothing of it stays in `folder`."""
        with tempfile.TemporaryDirectory() as place:
            output, errors, given = (Path(place) / name for name in ("output", "errors", "input"))
            if stdin is not None:
                given.write_text(stdin, encoding="utf-8", newline="")
            source = given if stdin is not None else None
            process = self._start(argv, folder, environment, output, errors=errors, input=source, program=program)
            code = self.wait(process)
            texts = [path.read_text(encoding="utf-8", errors="replace") for path in (output, errors)]
        return subprocess.CompletedProcess([str(word) for word in argv], code, *texts)

    def first_line(self, argv: Sequence[object], folder: Path, stdin: Path | None = None) -> tuple[int, str, str]:
        """Run a command whose reader goes away after one line: exit code, that line, standard error."""
        pipe, errors = folder / "pipe", folder / "errors"
        os.mkfifo(pipe)
        process = self._start(argv, folder, {}, pipe, errors=errors, input=stdin)
        with pipe.open(encoding="utf-8") as reader:
            fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)  # so small that what is longer finds the reader gone
            line = reader.readline()
        code = self.wait(process)
        pipe.unlink()
        return code, line, errors.read_text(encoding="utf-8")

    def close(self) -> None:
        """End the server."""
        self._server.communicate()
