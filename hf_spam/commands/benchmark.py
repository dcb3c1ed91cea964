"""`hf-spam benchmark`: measure our speed as ratios to named peers, in one run on one machine.

Every system runs in a process of its own. The messages are real; the weights are random, as speed does not depend on
them. Each system's figure is told when it is there, and the tables at the end; with --output the report is written
after each system, so that a run that is stopped loses none.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..benchmarks import inference, training
from ..benchmarks.measuring import in_own_process, start_seconds
from ..conversion.from_gpt2 import SIZES
from ..data.sources import COLLECTION, DATA_VARIABLE, read_at_hand
from ..errors import UserError
from ..options import OptionParser
from ..system.environment import environment
from ..system.files import write_atomically
from ..system.place import find_place, prove_writable
from ..values.ranges import COUNT, FILE

PARTS = ("start", "training", "inference")
_QUICK = {"model_size": "mini", "steps": 3, "some": 50}
_GIGA = 1e9


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
        "--quick",
        action="store_true",
        help="Take about two minutes: --model_size mini, 3 steps and 50 messages, unless they are given.",
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="What to measure (default: everything).")
    parser.add_argument(
        "--output", help="Write the report to NAME.md and NAME.json, after each system again.", metavar="NAME"
    )
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given, and the defaults of the others."""
    given = make_parser().given(argv)
    defaults = {"model_size": "small", "steps": 12, "some": 200, "parts": list(PARTS)}
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
    size, parts = options["model_size"], options["parts"]
    job = training.Job(messages, size, options["steps"])
    task = inference.Task(messages["Text"].tolist(), size, options["some"])
    units: list[Unit] = []
    if "start" in parts:
        units += start_units()
    if "training" in parts:
        units += training_units(job)
    if "inference" in parts:
        units += inference_units(task)
    facts = environment(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    report: dict[str, Any] = {"model_size": size, "messages": len(messages), "environment": facts}
    for number, unit in enumerate(units, start=1):
        report["measured"] = f"{number} of {len(units)}"
        report.setdefault(unit.table, []).append({**unit.row, **unit.measure()})
        if output:
            write_atomically(Path(f"{output}.md"), f"{describe(report)}\n".encode())
            write_atomically(Path(f"{output}.json"), json.dumps(report, indent=2).encode())
        print(f"[{number}/{len(units)}] {describe_row(report[unit.table][-1])}", file=sys.stderr, flush=True)
    print(describe(report))


def start_units() -> Iterator[Unit]:
    """Yield what imports the libraries, and starts the command."""

    def unit(name: str, argv: Sequence[str]) -> Unit:
        return Unit("start", {"system": name}, lambda: {"seconds": start_seconds(argv)})

    for statement in ("import torch", "import transformers", "import hf_spam", "from hf_spam import SpamClassifier"):
        yield unit(statement, [sys.executable, "-c", statement])
    command = shutil.which("hf-spam", path=str(Path(sys.executable).parent))
    if command is not None:
        yield unit("hf-spam --help", [command, "--help"])


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


# --- the report ------------------------------------------------------------------------------------------------------


def describe_row(row: dict[str, Any]) -> str:
    """Return a system's figure in a clause: `ours, fp32: 57.3 messages/s`."""
    name = ", ".join(row[key] for key in ("system", "precision") if key in row)
    if "rate" in row and "seconds" not in row:
        return f"{name}: {row['rate']:,.1f} messages/s"
    return f"{name}: {row['milliseconds']:.1f} ms" if "milliseconds" in row else f"{name}: {row['seconds']:,.2f} s"


def describe(report: dict[str, Any]) -> str:
    """Return the report in Markdown, as far as it was measured."""
    facts = report["environment"]
    machine = f"{facts['device']}, {facts['threads']} threads; torch {facts['torch']}, "
    machine += f"transformers {facts['transformers']}, Python {facts['python']}"
    sizes = SIZES[report["model_size"]]
    lines = [f"{machine}; {report['messages']:,} messages; GPT of {sizes['n_layers']} layers × {sizes['emb_dim']}"]
    if (done := report["measured"].split(" of "))[0] != done[1]:
        lines += ["", f"So far {report['measured']} systems were measured."]
    for name, tell in (("training", _describe_training), ("inference", _describe_inference)):
        if name in report:
            lines += ["", *tell(report[name])]
    for row in report.get("one message", []):
        bare = row["milliseconds"] / row["bare"]
        lines += ["", f"{describe_row(row)}, {row['tokens']} tokens; {bare:.2f} of the bare forward pass"]
    lines += [line for row in report.get("load", []) for line in ("", describe_row(row))]
    if "start" in report:
        starts = [(row["system"], f"{row['seconds']:.2f} s") for row in report["start"]]
        lines += ["", *_table(["start", "takes"], starts)]
    return "\n".join(lines)


def _describe_training(rows: list[dict[str, Any]]) -> Iterator[str]:
    passes = {row["precision"]: row for row in rows if "share" in row}
    peers = {row["precision"]: row["seconds"] for row in rows if row["system"].startswith("transformers")}
    table = []
    for row in rows:
        taken, precision = row["seconds"], row["precision"]
        one_pass = passes.get(precision, {}).get("seconds")
        ratios = (_times(rows[0]["seconds"], taken, 1), _times(peers.get(precision), taken, 1))
        cells = (
            f"{taken:.1f} s",
            *ratios,
            _times(taken, one_pass).rstrip("×"),
            f"{row['peak_mb']:,.0f} MB",
            row["how"],
        )
        table.append((row["system"], precision, *cells))
    head = ["five epochs and all evaluations", "", "takes", "native loop / it", "Trainer / it", "it / one pass"]
    yield from _table([*head, "peak memory", "measured"], table)
    for precision, row in passes.items():
        yield (
            f"\nmatrix product {precision}: {row['rate'] / _GIGA:,.0f} GFLOP/s, "
            f"of which the pass reaches {row['share']:.0%}"
        )


def _describe_inference(rows: list[dict[str, Any]]) -> Iterator[str]:
    chapter = rows[0]["rate"]
    best: dict[str, float] = {}
    for row in rows:
        if row["system"].startswith("pipeline"):
            best[row["precision"]] = max(row["rate"], best.get(row["precision"], 0.0))
    table = [
        (
            *(row["system"], row["precision"], f"{row['rate']:.1f}", _times(row["rate"], chapter, 1)),
            *(_times(row["rate"], best.get(row["precision"])), f"{row['peak_mb']:,.0f} MB", row["how"]),
        )
        for row in rows
    ]
    head = ["classifying", "", "messages/s", "it / chapter's", "it / best pipeline()", "peak memory", "measured"]
    yield from _table(head, table)


def _times(upper: float | None, lower: float | None, digits: int = 2) -> str:
    """Return a ratio; nothing where a part of it is not measured yet."""
    return "" if upper is None or lower is None else f"{upper / lower:.{digits}f}×"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from (f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
