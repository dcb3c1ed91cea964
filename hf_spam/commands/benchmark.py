"""`hf-spam benchmark`: measure our speed as ratios to named peers, in one run on one machine.

Every system runs in a process of its own. The messages are real; the weights are random, as speed does not depend on
them.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..benchmarks import inference, training
from ..benchmarks.measuring import in_own_process, python_seconds, start_seconds
from ..conversion.from_gpt2 import SIZES
from ..data.sources import COLLECTION, DATA_VARIABLE, read_at_hand
from ..errors import UserError
from ..options import OptionParser
from ..system.environment import environment
from ..system.files import write_atomically
from ..system.place import find_place, prove_writable
from ..values.ranges import COUNT, FILE

PARTS = ("start", "training", "inference")
_GIGA = 1e9


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
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="What to measure (default: everything).")
    parser.add_argument("--output", help="Write the report to NAME.md and NAME.json.", metavar="NAME")
    return parser


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given, and the defaults of the others."""
    given = make_parser().given(argv)
    return {"model_size": "small", "steps": 12, "some": 200, "parts": list(PARTS), **given}


def main(options: dict[str, Any]) -> None:
    """Measure, print the tables, and write them.

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
    report: dict[str, Any] = {"model_size": size, "messages": len(messages)}
    if "start" in parts:
        report["start"] = measure_start()
    if "training" in parts:
        report["training"] = list(measure_training(training.Job(messages, size, options["steps"])))
    if "inference" in parts:
        task = inference.Task(messages["Text"].tolist(), size, options["some"])
        report["inference"] = list(measure_inference(task))
        report["one message"] = [
            {"precision": precision, **in_own_process(inference.one_message, task, precision)}
            for precision in ("fp32", "bf16")
        ]
        report["load"] = in_own_process(inference.load, task)
    report["environment"] = environment(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    text = describe(report)
    print(text)
    if output:
        write_atomically(Path(f"{output}.md"), f"{text}\n".encode())
        write_atomically(Path(f"{output}.json"), json.dumps(report, indent=2).encode())


def measure_start() -> dict[str, float]:
    """Return the seconds that importing the libraries and starting the command take."""
    statements = ("import torch", "import transformers", "import hf_spam", "from hf_spam import SpamClassifier")
    found = {statement: python_seconds(statement) for statement in statements}
    command = shutil.which("hf-spam", path=str(Path(sys.executable).parent))
    return found if command is None else {**found, "hf-spam --help": start_seconds([command, "--help"])}


def measure_training(job: training.Job) -> Iterator[dict[str, Any]]:
    """Yield each system's seconds for the whole job."""
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
        yield {"system": name, "precision": precision, **in_own_process(work, job, *arguments)}


def measure_inference(task: inference.Task) -> Iterator[dict[str, Any]]:
    """Yield each system's messages per second."""
    systems: list[tuple[str, str, Any, tuple[Any, ...]]] = [
        ("the chapter's function", "fp32", inference.chapters_function, ())
    ]
    for precision in ("fp32", "bf16"):
        for batch_size in (1, 8, 32):
            name = f"pipeline(), transformers' GPT-2, batch {batch_size}"
            systems.append((name, precision, inference.transformers_pipeline, (precision, batch_size)))
        systems.append(("ours", precision, inference.ours, (precision,)))
    for name, precision, work, arguments in systems:
        yield {"system": name, "precision": precision, **in_own_process(work, task, *arguments)}


# --- the report ------------------------------------------------------------------------------------------------------


def describe(report: dict[str, Any]) -> str:
    """Return the report in Markdown."""
    facts = report["environment"]
    machine = f"{facts['device']}, {facts['threads']} threads; torch {facts['torch']}, "
    machine += f"transformers {facts['transformers']}, Python {facts['python']}"
    sizes = SIZES[report["model_size"]]
    lines = [f"{machine}; {report['messages']:,} messages; GPT of {sizes['n_layers']} layers × {sizes['emb_dim']}"]
    if "training" in report:
        lines += ["", *_describe_training(report["training"])]
    if "inference" in report:
        lines += ["", *_describe_inference(report)]
    if "start" in report:
        starts = [(name, f"{taken:.2f} s") for name, taken in report["start"].items()]
        lines += ["", *_table(["start", "takes"], starts)]
    return "\n".join(lines)


def _describe_training(rows: list[dict[str, Any]]) -> Iterator[str]:
    passes = {row["precision"]: row for row in rows if "share" in row}
    peers = {row["precision"]: row["seconds"] for row in rows if row["system"].startswith("transformers")}
    table = []
    for row in rows:
        taken, precision = row["seconds"], row["precision"]
        ratios = (rows[0]["seconds"] / taken, peers[precision] / taken, taken / passes[precision]["seconds"])
        cells = (f"{ratios[0]:.1f}×", f"{ratios[1]:.1f}×", f"{ratios[2]:.2f}")
        table.append((row["system"], precision, f"{taken:.1f} s", *cells, f"{row['peak_mb']:,.0f} MB", row["how"]))
    head = ["five epochs and all evaluations", "", "takes", "native loop / it", "Trainer / it", "it / one pass"]
    yield from _table([*head, "peak memory", "measured"], table)
    for precision, row in passes.items():
        yield (
            f"\nmatrix product {precision}: {row['rate'] / _GIGA:,.0f} GFLOP/s, "
            f"of which the pass reaches {row['share']:.0%}"
        )


def _describe_inference(report: dict[str, Any]) -> Iterator[str]:
    rows = report["inference"]
    chapter = rows[0]["rate"]
    best: dict[str, float] = {}
    for row in rows:
        if row["system"].startswith("pipeline"):
            best[row["precision"]] = max(row["rate"], best.get(row["precision"], 0.0))
    table = [
        (
            *(row["system"], row["precision"], f"{row['rate']:.1f}", f"{row['rate'] / chapter:.1f}×"),
            *(f"{row['rate'] / best[row['precision']]:.2f}×", f"{row['peak_mb']:,.0f} MB", row["how"]),
        )
        for row in rows
    ]
    head = ["classifying", "", "messages/s", "it / chapter's", "it / best pipeline()", "peak memory", "measured"]
    yield from _table(head, table)
    for row in report["one message"]:
        yield (
            f"\none message of {row['tokens']} tokens, {row['precision']}: {row['milliseconds']:.1f} ms, "
            f"{row['milliseconds'] / row['bare']:.2f} of the bare forward pass"
        )
    yield f"\na checkpoint from disk to its first label: {report['load']['seconds']:.2f} s"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from (f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
