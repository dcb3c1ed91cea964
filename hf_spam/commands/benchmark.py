"""`hf-spam benchmark`: measure our speed as ratios to named peers, in one run on one machine.

Every system runs in a process of its own. The messages are real; the weights are random, as speed does not depend on
them. Each system's figure is told when it is there, and the tables at the end; with --output the report is written
after each system, so that a run that is stopped loses none.
"""

import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..alternatives import encoders, linear, own, word_vectors
from ..alternatives.contest import FIRST, Contender, Contest, measure
from ..benchmarks import inference, training
from ..benchmarks.describing import describe, describe_row
from ..benchmarks.plotting import plot_alternatives
from ..benchmarks.processes import cold_start, in_own_process
from ..conversion.from_gpt2 import SIZES
from ..data.labels import HAM_SPAM
from ..data.sources import COLLECTION, DATA_VARIABLE, read_at_hand
from ..equivalence.native_loop import split_messages
from ..errors import UserError, install_hint
from ..options import OptionParser
from ..system.environment import environment
from ..system.files import write_atomically
from ..system.place import find_place, prove_writable
from ..values.ranges import COUNT, FILE

PARTS = ("start", "training", "inference", "alternatives")
CONTENDERS: tuple[Contender, ...] = (
    *linear.CONTENDERS,
    *word_vectors.CONTENDERS,
    *encoders.CONTENDERS,
    *own.CONTENDERS,
)
_QUICK = {"model_size": "mini", "steps": 3, "some": 50, "many": 20_000}
_QUICK_CONTENDERS = {"words", "fasttext", own.CHECKPOINT, own.EXPORT}  # by their folders
_LIMITS = (60.0, 2.0)  # seconds that a contender may take for all messages or many, and with --quick
_STARTS = (3, 1)  # cold starts of each


@dataclass(frozen=True)
class Unit:
    """One thing that is measured: a row of a table of the report.

    Attributes:
        table: Of the report.
        row: What names it.
        measure: Returns its figures.
    """

    table: str
    row: dict[str, str]
    measure: Callable[[], dict[str, Any]]


def make_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="hf-spam benchmark", description=__doc__)
    collection = f"{COLLECTION} in ${DATA_VARIABLE}, else the sample's"
    parser.add_argument(
        "--data_file", metavar=FILE, help=f"Messages, as `hf-spam train` takes them (default: {collection})."
    )
    parser.add_argument("--model_size", choices=list(SIZES), help="Width and depth (default: small).")
    parser.add_argument(
        "--steps", type=int, range=COUNT, help="Steps to time where the whole would take too long (default: 12)."
    )
    parser.add_argument("--some", type=int, range=COUNT, help="Messages for the peers to classify (default: 200).")
    parser.add_argument(
        "--many", type=int, range=COUNT, help="Messages for the alternatives to label (default: 1,000,000)."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="Take about two minutes: --model_size mini, 3 steps, 50 messages, and 20,000 for four alternatives, "
        "unless they are given; ours does not train for them.",
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="What to measure (default: everything).")
    parser.add_argument(
        "--output",
        metavar="NAME",
        help="Write the report to NAME.md and NAME.json, after each system again; and a plot of the alternatives to "
        "NAME.png.",
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given, and the defaults of the others."""
    given = make_parser().given(argv)
    defaults = {"model_size": "small", "steps": 12, "some": 200, "many": 1_000_000, "parts": list(PARTS)}
    return {**defaults, **(_QUICK if given.get("quick") else {}), **given}


def main(options: dict[str, Any]) -> None:
    """Measure one system after the other, print the tables, and write them.

    Raises:
        UserError: If the system is not Linux.
    """
    if sys.platform != "linux":
        raise UserError(
            f"hf-spam benchmark expected Linux, where it can read a process's memory, found {sys.platform}."
        )
    output = options.get("output")
    if output:
        prove_writable(find_place(output))
    messages = read_at_hand(options.get("data_file"))
    with tempfile.TemporaryDirectory() as folder:
        _measure_all(options, messages, Path(folder))


def _measure_all(options: dict[str, Any], messages: pd.DataFrame, folder: Path) -> None:
    output, size, parts = options.get("output"), options["model_size"], options["parts"]
    job = training.Job(messages, size, options["steps"])
    task = inference.Task(messages["Text"].tolist(), size, options["some"])
    quick = options.get("quick", False)
    contest = make_contest(messages, options["many"], folder, quick, not quick and "alternatives" in parts)
    units: list[Unit] = []
    left_out: list[str] = []
    if "start" in parts:
        units += start_units(contest)
    if "training" in parts:
        units += training_units(job)
    if "inference" in parts:
        units += inference_units(task)
    if "alternatives" in parts:
        chosen = [one for one in CONTENDERS if not quick or one.folder in _QUICK_CONTENDERS]
        units += alternative_units(contest, [one for one in chosen if not missing(one)])
        left_out += [note for one in chosen if (note := describe_missing(one))]
    facts = environment(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    report: dict[str, Any] = {"model_size": size, "messages": len(messages), "environment": facts}
    if left_out:
        report["left out"] = left_out
    for reason in left_out:
        print(f"left out: {reason}", file=sys.stderr, flush=True)
    for number, unit in enumerate(units, start=1):
        report["measured"] = f"{number} of {len(units)}"
        report.setdefault(unit.table, []).append({**unit.row, **unit.measure()})
        if output:
            write_atomically(Path(f"{output}.md"), f"{describe(report)}\n".encode())
            write_atomically(Path(f"{output}.json"), json.dumps(report, indent=2).encode())
            if unit.table == "alternatives":
                write_atomically(Path(f"{output}.png"), plot_alternatives(report["alternatives"]))
        print(f"[{number}/{len(units)}] {describe_row(report[unit.table][-1])}", file=sys.stderr, flush=True)
    print(describe(report))


def make_contest(messages: pd.DataFrame, many: int, folder: Path, quick: bool, train_ours: bool) -> Contest:
    """Return what is asked of the alternatives: the chapter's splits to learn and be judged on, and all messages."""
    splits = split_messages(messages)
    train, test = (
        (frame["Text"].tolist(), [HAM_SPAM[label] for label in frame["Label"]])
        for frame in (splits["train"], splits["test"])
    )
    texts, labels = messages["Text"].tolist(), messages["Label"].tolist()
    return Contest(texts, labels, train, test, many, _LIMITS[quick], train_ours, _STARTS[quick], folder)


def start_units(contest: Contest) -> Iterator[Unit]:
    """Yield what imports the libraries, starts the command, and labels a text from a cold shell."""

    def unit(name: str, argv: Callable[[], Sequence[str]]) -> Unit:
        return Unit("start", {"system": name}, lambda: _started(argv(), contest.starts))

    for statement in ("import torch", "import transformers", "import hf_spam", "from hf_spam import SpamClassifier"):
        yield unit(statement, partial(list, (sys.executable, "-c", statement)))
    yield unit("hf-spam --help", lambda: [*own.command(), "--help"])
    for ours, name, saved in zip(
        own.CONTENDERS, ("CHECKPOINT", "ONNX-INT8"), (own.checkpoint, own.export), strict=True
    ):
        if not missing(ours):
            yield unit(f"hf-spam predict {name} TEXT", partial(_predict, ours, saved, contest))


def _predict(ours: Contender, saved: Callable[[Contest], Path], contest: Contest) -> list[str]:
    return [*ours.start(saved(contest)), FIRST]


def _started(argv: Sequence[str], repeat: int) -> dict[str, Any]:
    started = cold_start(argv, repeat)
    return {name: started[name] for name in ("seconds", "memory_mb")}


def training_units(job: training.Job) -> Iterator[Unit]:
    """Yield the systems that are timed on the whole job."""
    systems: list[tuple[str, str, Any, tuple[Any, ...]]] = [
        ("native loop, padded to 120", "fp32", training.native, ())
    ]
    for precision in ("fp32", "bf16"):
        systems += [
            ("transformers' GPT-2 + Trainer", precision, training.transformers_trainer, (precision,)),
            ("ours without the cache", precision, training.ours_without_cache, (precision,)),
            ("ours", precision, training.ours, (precision,)),
            ("one pass of the frozen blocks", precision, training.frozen_pass, (precision,)),
        ]
    systems.append(("ours, preset book", "fp32", training.ours, ("fp32", "book")))
    for name, precision, work, arguments in systems:
        yield _unit("training", name, precision, work, job, *arguments)


def inference_units(task: inference.Task) -> Iterator[Unit]:
    """Yield the systems whose messages per second are counted, and what a single message takes."""
    systems: list[tuple[str, str, Any, tuple[Any, ...]]] = [
        ("the chapter's function", "fp32", inference.chapters_function, ())
    ]
    for precision in ("fp32", "bf16"):
        for batch_size in (1, 8, 32):
            name = f"pipeline(), transformers' GPT-2, batch {batch_size}"
            systems.append((name, precision, inference.transformers_pipeline, (precision, batch_size)))
        systems.append(("ours", precision, inference.ours, (precision,)))
    for name, precision, work, arguments in systems:
        yield _unit("inference", name, precision, work, task, *arguments)
    for precision in ("fp32", "bf16"):
        yield _unit("one message", "one message", precision, inference.one_message, task, precision)
    yield _unit("load", "a checkpoint from disk to its first label", "fp32", inference.load, task)


def _unit(table: str, name: str, precision: str, work: Callable[..., dict[str, Any]], *arguments: Any) -> Unit:
    return Unit(table, {"system": name, "precision": precision}, lambda: in_own_process(work, *arguments))


def alternative_units(contest: Contest, contenders: Sequence[Contender]) -> Iterator[Unit]:
    """Yield the systems that users might pick instead, and ours beside them."""
    for contender in contenders:
        yield Unit("alternatives", {"system": contender.name}, partial(measure, contender, contest))


def missing(contender: Contender) -> list[str]:
    """Return the modules that a system needs and that are not installed."""
    return [name for name in contender.needs if importlib.util.find_spec(name) is None]


def describe_missing(contender: Contender) -> str:
    """Return what a system needs that is not installed, and what installs it; nothing where all is there."""
    if not (names := missing(contender)):
        return ""
    return f"{contender.name} needs {', '.join(names)}: {install_hint(contender.needs[names[0]])}"
