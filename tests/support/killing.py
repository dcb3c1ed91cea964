"""Kill a process at its n-th change of the file system, to see that what is left can be finished.

`counted` is a program for `WarmProcess` or `python -c`: it runs `hf-spam`, counts what it does to files below a folder,
and kills itself with SIGKILL right before the n-th. `kill_everywhere` does that for every n and goes on each time.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hf_spam.system.manifest import check_manifest

# What Python tells its audit hooks before it changes files; the names of the arguments that are paths by their place.
_CHANGES = {
    "os.rename": (0, 1), "os.remove": (0,), "os.rmdir": (0,), "os.mkdir": (0,), "os.chmod": (0,), "os.truncate": (0,),
    "os.link": (0, 1), "os.symlink": (1,), "os.utime": (0,), "shutil.rmtree": (0,), "shutil.move": (0, 1),
    "shutil.copyfile": (1,), "shutil.copytree": (1,),
}  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def die_at(number: int, root: Path, tally: Path | None = None) -> Callable[[], int]:
    """Kill this process right before its `number`-th change below `root`; 0: never. Return what counts them.

    Args:
        number: Counted from 1.
        root: Changes elsewhere do not count.
        tally: Gets the number of changes as they happen.
    """
    count, inside = 0, False

    def changes(event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, mode, flags = arguments
            writing = isinstance(flags, int) and flags & _WRITING if mode is None else set(mode) & set("wxa+")
            paths = [path] if writing else []
        else:
            paths = [arguments[place] for place in _CHANGES.get(event, ())]
        names = [Path(os.fsdecode(path)) for path in paths if isinstance(path, str | bytes | os.PathLike)]
        above = Path.cwd()
        if event in ("os.remove", "os.rmdir") and arguments[1] >= 0:  # rmtree names files by their open folder
            above = Path(f"/proc/self/fd/{arguments[1]}").readlink()
        return any((above / name).is_relative_to(root) for name in names)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count, inside
        if inside or (event != "open" and event not in _CHANGES):
            return
        inside = True
        try:
            if changes(event, arguments):
                count += 1
                if tally is not None:
                    tally.write_text(str(count))
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
        finally:
            inside = False

    sys.addaudithook(hook)
    return lambda: count


# A program whose arguments are the number, the rank that dies, the folder, the tally, and those of `hf-spam`.
PROGRAM = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
from pathlib import Path
from support.killing import die_at
number, rank, root, tally = sys.argv[1:5]
if os.environ.get("RANK", "0") == rank:
    die_at(int(number), Path(root), Path(tally))
from hf_spam.cli import main
sys.exit(main(sys.argv[5:]))
"""


def kill_everywhere(
    warm: Any,
    workplace: Path,
    argv: list[str],
    *,
    processes: int = 1,
    rank: int = 0,
    step: int = 1,
    first: int = 1,
) -> list[str]:
    """Kill `hf-spam train` at every change of files, start it again each time, and compare what comes out.

    Args:
        warm: A `WarmProcess`.
        workplace: Where the command runs; the run goes to its folder `killed/run`.
        argv: The command without `--output_dir`.
        processes: How many train together.
        rank: The one that dies.
        step: Only every so many changes.
        first: The first of them.

    Returns:
        What went wrong, and in the last line how many changes there are and how many kills were survived.
    """
    root, log = workplace / "killed", workplace / "log"
    tally, problems, survived = workplace / "tally", [], 0

    def start(number: int, more: Iterable[str] = ()) -> list[int]:
        log.unlink(missing_ok=True)
        words = [str(number), str(rank), str(root), str(tally), *argv, "--output_dir", "killed/run", *more]
        started = warm.start_together(words, workplace, processes, PROGRAM)
        return [warm.wait(process) for process in started]

    def fresh() -> None:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()

    fresh()
    assert start(0) == [0] * processes, log.read_text()
    expected, total = fingerprint(root / "run"), int(tally.read_text())
    for number in range(first, total + 1, step):
        fresh()
        codes = start(number)
        told = log.read_text() if log.exists() else ""
        if codes[rank] != -signal.SIGKILL:
            problems.append(f"{number}: not killed: {codes}, {told[-1000:]}")
            continue
        problem = _finish(root, start)
        if problem is None and (found := fingerprint(root / "run")) != expected:
            problem = f"another run: {[name for name in expected if found.get(name) != expected[name]]}"
        # A kill during the trial of the place leaves the trial, which holds nothing.
        trials = [path for path in root.glob(".hf-spam-*") if not any(file.stat().st_size for file in _files(path))]
        left = {path.name for path in root.iterdir() if path not in trials}
        left -= {"run", "run.partial.lock"}
        if problem is None and left:
            problem = f"left {left}"
        if problem is None and (rest := sorted({path.name for path in (root / "run").iterdir()} - expected["names"])):
            problem = f"left in the run {rest}"
        if problem is None:
            survived += 1
        else:
            problems.append(f"{number}: {problem}")
    return [*problems, f"{total} changes, {survived} kills survived"]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _finish(root: Path, start: Callable[..., list[int]]) -> str | None:
    """Start again as a user or a scheduler would."""
    partial, place = root / "run.partial", root / "run"
    go_on = any(partial.glob("checkpoint-*/seal.json")) or (partial / "manifest.json").exists()
    if (place / "manifest.json").exists() and not (place / ".hf-spam").exists() and not partial.exists():
        return None if check_manifest(place) == [] else "damaged"
    codes = start(0, ["--resume_from_checkpoint", "last"] if go_on else [])
    if set(codes) != {0}:
        return f"codes {codes}: {(root.parent / 'log').read_text()[-1500:]}"
    return None if check_manifest(place) == [] else "damaged"


def fingerprint(run: Path) -> dict[str, Any]:
    """Return what of two runs must be the same: weights and figures, bit for bit, and the files' names."""
    metrics = json.loads((run / "metrics.json").read_text())
    return {
        "weights": (run / "model.safetensors").read_bytes(),
        "history": metrics["history"],
        "splits": metrics["splits"],
        "names": {path.name for path in run.iterdir()},
    }
