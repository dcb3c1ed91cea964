"""Try what strangers, bad disks and slips can do, at every door, by the real commands; print doors × inputs × outcomes.

python tests/campaign.py                  # everything, an hour and a half on two cores
python tests/campaign.py folders weights  # some doors

It is not part of the default run: the tables of `tests/support/strange_*.py` are, by the functions behind the doors.
Exit code 1 if an outcome is not one that we promise.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parent))

from support import strange_folders
from support.warm_process import WarmProcess

SECONDS = 120  # until an input counts as one that hangs
REFUSED, RIGHT = "refused in a line", "accepted"
Outcome = tuple[str, str, str]  # door, input, what came of it


class Campaign:
    """The commands as processes of their own, each in a folder of its own."""

    def __init__(self) -> None:
        self.warm = WarmProcess()
        self.place = Path(tempfile.mkdtemp(prefix="campaign-"))
        self.folders = 0

    def folder(self) -> Path:
        """Return a new, empty folder."""
        self.folders += 1
        folder = self.place / str(self.folders)
        folder.mkdir()
        return folder

    def run(self, argv: list[object], folder: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command, and kill it if it hangs."""
        (folder / "stdin").write_text(stdin)
        process = self.warm._start(
            argv, folder, {}, folder / "stdout", errors=folder / "stderr", input=folder / "stdin"
        )
        timer = threading.Timer(SECONDS, os.kill, (process, signal.SIGKILL))
        timer.start()
        code = self.warm.wait(process)
        timer.cancel()
        texts = [(folder / name).read_text(errors="replace") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess([str(word) for word in argv], code, *texts)

    def close(self) -> None:
        """End the processes and remove the folders."""
        self.warm.close()
        shutil.rmtree(self.place)


def judge(result: subprocess.CompletedProcess[str]) -> str:
    """Say what came of a command in a word or two."""
    if result.returncode < 0:
        return f"ended by {signal.Signals(-result.returncode).name}"
    if "Traceback" in result.stderr:
        return "traceback"
    if result.returncode == 0:
        return RIGHT if "nan" not in result.stdout else "accepted with nan"
    errors = [line for line in result.stderr.splitlines() if line.startswith("hf-spam: error")]
    if result.returncode == 2 and len(errors) == 1 and not result.stdout:
        return REFUSED
    return f"exit {result.returncode}, {len(errors)} error lines"


def folders(campaign: Campaign) -> Iterator[Outcome]:
    """Models with a fault, by every command that reads one."""
    base = campaign.folder()
    strange_folders.write_model(base)
    (base.parent / "mine.csv").write_text("label,text\n" + "ham,see you\nspam,win now\n" * 20)
    mine = ["--data_file", base.parent / "mine.csv"]
    commands: dict[str, Callable[[Path], list[object]]] = {
        "predict": lambda model: ["predict", model, "You are a winner"],
        "evaluate": lambda model: ["evaluate", model, *mine],
        "export": lambda model: ["export", model, "--format", "gpt2", *mine, "--output_dir", model.parent / "out"],
        "push": lambda model: ["push", model, "me/model", "--dry_run"],
    }
    for command, argv in commands.items():
        for name, (fault, _) in strange_folders.FAULTS.items():
            folder = campaign.folder()
            fault(Path(shutil.copytree(base, folder / "model")))
            result = campaign.run(argv(folder / "model"), folder)
            yield f"a model's folder: {command}", name, judge(result)


def weights(campaign: Campaign) -> Iterator[Outcome]:
    """GPT-2 folders with a fault, by a training that starts from one."""
    base = campaign.folder()
    strange_folders.write_gpt2(base)
    (base.parent / "train.csv").write_text("label,text\n" + "ham,see you\nspam,win now\n" * 60)
    for name, (fault, _) in strange_folders.GPT2_FAULTS.items():
        folder = campaign.folder()
        fault(Path(shutil.copytree(base, folder / "gpt2")))
        argv = ["train", "--weights", folder / "gpt2", "--data_file", base.parent / "train.csv", "--max_steps", "1"]
        result = campaign.run([*argv, "--output_dir", folder / "run"], folder)
        yield "--weights", name, judge(result) if not (folder / "ran").exists() else "code ran"


DOORS: dict[str, Callable[[Campaign], Iterator[Outcome]]] = {"folders": folders, "weights": weights}
PROMISED: dict[str, set[str]] = {}  # of a door whose inputs are not all to be refused


def main() -> int:
    """Run the doors that are named, or all, and print the table."""
    names = sys.argv[1:] or list(DOORS)
    campaign, start = Campaign(), time.perf_counter()
    counts: dict[str, Counter[str]] = {}
    broken = []
    for name in names:
        for door, what, came in DOORS[name](campaign):
            counts.setdefault(door, Counter())[came] += 1
            if came not in PROMISED.get(name, {REFUSED}):
                broken.append(f"{door}, {what}: {came}")
                print(broken[-1], file=sys.stderr, flush=True)
    campaign.close()
    print("| door | inputs | outcomes |\n| --- | --- | --- |")
    for door, outcomes in counts.items():
        shown = ", ".join(f"{number:,} {came}" for came, number in outcomes.most_common())
        print(f"| {door} | {outcomes.total():,} | {shown} |")
    print(
        f"\n{sum(map(Counter.total, counts.values())):,} inputs in {time.perf_counter() - start:.0f} s, {len(broken)} broken promises"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
