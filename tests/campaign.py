"""Try what strangers, bad disks and slips can do, at every door, by the real commands; print doors × inputs × outcomes.

python tests/campaign.py                  # everything, 40 minutes on two cores
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

import datasets
from support import strange_files, strange_folders, strange_options
from support.killing import kill_everywhere
from support.warm_process import WarmProcess

from hf_spam.commands import COMMANDS

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


def files(campaign: Campaign) -> Iterator[Outcome]:
    """Files that are no messages, by training and by prediction."""
    base = campaign.folder()
    strange_folders.write_model(base)
    tables = {
        "train": {**strange_files.BAD, **{name: ("a.zip", *rest) for name, rest in strange_files.ZIPS.items()}},
        "predict": strange_files.BAD,
    }
    for command, table in tables.items():
        for name, (file, data, _) in table.items():
            folder = campaign.folder()
            (folder / file).write_bytes(data)
            argv: list[object] = ["predict", base, "--input", file, "--output", "out.jsonl"]
            if command == "train":
                argv = ["train", "--weights", "random", "--data_file", file, "--max_steps", "1", "--output_dir", "run"]
            result = campaign.run(argv, folder)
            left = {path.name for path in folder.iterdir()} - {file, "stdin", "stdout", "stderr"}
            yield f"a file of messages: {command}", name, judge(result) if not left else f"left {left}"


def option_files(campaign: Campaign) -> Iterator[Outcome]:
    """Option files that are not plain options."""
    for name, (file, data, _) in strange_files.OPTIONS.items():
        folder = campaign.folder()
        (folder / file).write_bytes(data)
        yield "an option file", name, judge(campaign.run(["train", "--config", file], folder))


def splits(campaign: Campaign) -> Iterator[Outcome]:
    """Folders of splits that were changed, and Arrow files with flipped bits."""
    base = campaign.folder()
    rows = datasets.Dataset.from_dict(
        {"text": [f"message {n}" for n in range(60)], "label": [n % 2 for n in range(60)]},
        features=datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])}
        ),
    )
    datasets.DatasetDict(dict.fromkeys(("train", "validation", "test"), rows)).save_to_disk(base)
    saved = {str(path.relative_to(base)): path.read_bytes() for path in base.rglob("*") if path.is_file()}
    argv: list[object] = ["data", "--data_dir", "splits"]

    def write(content: dict[str, bytes]) -> Path:
        folder = campaign.folder()
        for file, data in content.items():
            (folder / "splits" / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / "splits" / file).write_bytes(data)
        return folder

    for name, (change, _) in strange_files.SPLITS.items():
        content = dict(saved)
        change(content)
        yield "a folder of splits", name, judge(campaign.run(argv, write(content)))
    arrow = next(name for name in saved if name.endswith(".arrow"))
    for seed in range(100):
        folder = write(saved)
        strange_folders.flip_bits(arrow, seed, 8)(folder / "splits")
        yield "an Arrow file with flipped bits", str(seed), judge(campaign.run(argv, folder))


def options(campaign: Campaign) -> Iterator[Outcome]:
    """Every option of every command with absurd values, as far as parsing and checking go."""
    folder = campaign.folder()
    (folder / "file").touch()
    for command in COMMANDS:
        accepted, wrong = strange_options.try_all(command, folder, folder / "file")
        total = sum(1 for _ in strange_options.pairs(command, folder, folder / "file"))
        for number in range(total - len(accepted) - len(wrong)):
            yield "an option's value", f"{command} {number}", REFUSED
        for name, value in accepted:
            yield "an option's value", f"{command} --{name}={value[:20]}", RIGHT
        for message in wrong:
            yield "an option's value", message, "wrong"


def runs(campaign: Campaign) -> Iterator[Outcome]:
    """Real runs with the values that were accepted."""
    folder = campaign.folder()
    (folder / "file").touch()
    (folder / "few.csv").write_text("label,text\n" + "".join(f"ham,see you at {n}\nspam,win {n}\n" for n in range(60)))
    pairs = strange_options.trainers_runs(folder, folder / "file", most=4)
    codes, wrong = strange_options.sweep(campaign.warm, folder / "few.csv", folder, pairs)
    for code, number in codes.items():
        for each in range(number):
            yield "a run with an accepted value", f"{code} {each}", {0: RIGHT, 2: REFUSED}.get(code, f"exit {code}")
    for message in wrong:
        yield "a run with an accepted value", message, "wrong"


def kills(campaign: Campaign) -> Iterator[Outcome]:
    """A SIGKILL at every change of files of a small run, then the same command again."""
    base = campaign.folder()
    (base / "few.csv").write_text("label,text\n" + "".join(f"ham,see you at {n}\nspam,win {n}\n" for n in range(60)))
    argv = ["train", "--data_file", str(base / "few.csv"), "--weights", "random", "--model_size", "tiny"]
    argv += ["--context_length", "32", "--max_steps", "4", "--save_strategy", "steps", "--save_steps", "2"]
    for processes, rank in ((1, 0), (2, 0), (2, 1)):
        *problems, summary = kill_everywhere(campaign.warm, campaign.folder(), argv, processes=processes, rank=rank)
        door = f"a kill of {'a process' if processes == 1 else f'process {rank} of 2'}"
        for number in range(int(summary.split(", ")[1].split()[0])):
            yield door, str(number), RIGHT
        for problem in problems:
            yield door, problem, "wrong"


DOORS: dict[str, Callable[[Campaign], Iterator[Outcome]]] = {
    "folders": folders,
    "weights": weights,
    "files": files,
    "option_files": option_files,
    "splits": splits,
    "options": options,
    "runs": runs,
    "kills": kills,
}
# Of the doors whose inputs are not all to be refused.
EITHER = {REFUSED, RIGHT}
PROMISED = {"splits": EITHER, "options": EITHER, "runs": EITHER, "kills": {RIGHT}}


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
