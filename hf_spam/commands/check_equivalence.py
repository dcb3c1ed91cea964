"""`hf-spam check-equivalence`: the Trainer route against the native loop, and the model against GPT-2.

Prints what was compared, how far apart it is and what was allowed; exits with 1 if anything is further apart.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import datasets
import torch

from ..checkpoint.adapter import has_peft
from ..conversion.from_gpt2 import load_checkpoint
from ..data.sources import COLLECTION, DATA_VARIABLE, read_at_hand
from ..data.splits import count
from ..dataclass_options import DataclassParser
from ..equivalence.adapters import check_adapters
from ..equivalence.comparison import Comparison, format_table, to_json
from ..equivalence.data import check_batches, check_rows
from ..equivalence.model import check_generation, check_logits, check_persistence
from ..equivalence.records import Record
from ..equivalence.starting_point import StartingPoint, prepare_starting_point
from ..equivalence.training import check_training, check_variants, train_both_ways
from ..errors import UserError
from ..evaluation.plots import plot_losses
from ..options import build, option
from ..system.environment import environment
from ..values.ranges import COUNT, FACTOR, FILE, FOLDER, SEED, check_values

REPORT = "equivalence.json"
LEVELS = {
    1: "1 rows",
    2: "2 batches",
    3: "3 logits",
    4: "4 training",
    5: "5 variants",
    6: "6 generation",
    7: "7 persistence",
    8: "8 lora",
}


@dataclass
class CheckArguments:
    """The starting point of both routes, and the place of the report."""

    data_file: str | None = option(
        None,
        f"Messages, as `hf-spam train` takes them (default: {COLLECTION} in ${DATA_VARIABLE}, else the sample's).",
        metavar=FILE,
    )
    model_size: Literal["tiny", "mini", "small", "medium", "large", "xl"] = option("tiny", "Width and depth.")
    weights: str = option("random", "random, hub, or a local GPT-2 folder.")
    steps: int | None = option(
        None,
        "Stop training after N steps, and evaluate N batches of each split (default: the whole training).",
        range=COUNT,
    )
    learning_rate: float | None = option(
        None,
        "AdamW's (default: the chapter's 5e-5; with --weights random 1e-3, as 5e-5 would hardly change them).",
        range=FACTOR,
    )
    seed: int = option(123, "Seed of everything random.", range=SEED)
    output_dir: str = option("outputs/equivalence", f"Folder for {REPORT} and the loss curves.", metavar=FOLDER)
    json: bool = option(False, f"Print {REPORT} instead of the table.")

    def __post_init__(self) -> None:
        """Check the values."""
        check_values(self)


def make_parser() -> DataclassParser:
    """Return the parser of `CheckArguments`."""
    return DataclassParser(CheckArguments, prog="hf-spam check-equivalence", description=__doc__)


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options given."""
    return make_parser().given(argv)


def main(options: dict[str, Any]) -> int:
    """Run every level and report; return 0 if all passed, else 1."""
    start = time.perf_counter()
    arguments: CheckArguments = build(CheckArguments, options)
    folder = Path(arguments.output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}. Choose another --output_dir.") from None
    datasets.disable_progress_bars()
    subject = prepare_subject(arguments, options)
    comparisons, pairs = run_levels(subject)
    report: dict[str, Any] = {
        "passed": all(comparison.passed for comparison in comparisons),
        "comparisons": to_json(comparisons),
        "subject": describe_subject(subject, arguments),
        "environment": environment(torch.device("cpu")),
        "losses": {
            name: {"native": [step.loss for step in native.steps], "trainer": [step.loss for step in trainer.steps]}
            for name, (native, trainer) in pairs.items()
        },
        "seconds": round(time.perf_counter() - start, 1),
    }
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    write_report(text, report["losses"]["all, dropout 0.1"], folder)
    print(text if arguments.json else describe(report, comparisons, folder))
    return 0 if report["passed"] else 1


def prepare_subject(arguments: CheckArguments, options: dict[str, Any]) -> StartingPoint:
    """Load the messages and the weights that both routes start from."""
    checkpoint = None
    if arguments.weights != "random":
        checkpoint = load_checkpoint(arguments.weights, arguments.model_size if "model_size" in options else None)
    rate = arguments.learning_rate
    if rate is None:
        rate = 1e-3 if checkpoint is None else 5e-5
    return prepare_starting_point(
        read_at_hand(arguments.data_file),
        model_size=arguments.model_size,
        checkpoint=checkpoint,
        max_steps=arguments.steps,
        learning_rate=rate,
        seed=arguments.seed,
    )


def run_levels(subject: StartingPoint) -> tuple[list[Comparison], dict[str, tuple[Record, Record]]]:
    """Run all levels, that of LoRA where peft is installed.

    Returns:
        Their comparisons, and what each route of the trainings in level 4 recorded.
    """
    pairs: dict[str, tuple[Record, Record]] = {}

    def train_and_check(subject: StartingPoint) -> list[Comparison]:
        pairs.update(train_both_ways(subject))
        return check_training(pairs)

    checks: dict[int, Callable[[StartingPoint], list[Comparison]]] = {
        1: check_rows,
        2: check_batches,
        3: check_logits,
        4: train_and_check,
        5: check_variants,
        6: check_generation,
        7: check_persistence,
    }
    if has_peft():
        checks[8] = check_adapters
    comparisons: list[Comparison] = []
    for level, check in checks.items():
        began = time.perf_counter()
        comparisons += check(subject)
        print(f"level {LEVELS[level]}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    if not has_peft():
        print(f'level {LEVELS[8]}: skipped, peft is not installed: pip install ".[peft]"', file=sys.stderr, flush=True)
    return comparisons, pairs


def write_report(text: str, curves: dict[str, list[float]], folder: Path) -> None:
    """Write the report and the loss curves of both routes into a folder, each file whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder) as staging:
        (Path(staging) / REPORT).write_text(text, encoding="utf-8")
        plot_losses({"native loop": curves["native"], "Trainer": curves["trainer"]}, Path(staging), "loss-curves")
        for file in Path(staging).iterdir():
            os.replace(file, folder / file.name)


def describe_subject(subject: StartingPoint, arguments: CheckArguments) -> dict[str, Any]:
    """Return the figures of what both routes start from, for the report."""
    config = subject.classifier.config
    return {
        "messages": count(subject.splits).to_dict(orient="index"),
        "row_length": config.pad_to_length,
        "layers": config.n_layers,
        "width": config.emb_dim,
        "parameters": subject.classifier.num_parameters(),
        "weights": arguments.weights,
        "steps": subject.max_steps,
        "learning_rate": subject.learning_rate,
        "seed": subject.seed,
    }


def describe(report: dict[str, Any], comparisons: list[Comparison], folder: Path) -> str:
    """Return the subject, the table, the verdict and the environment as text."""
    subject, machine = report["subject"], report["environment"]
    sizes = " / ".join(f"{row['total']:,} {name}" for name, row in subject["messages"].items())
    failed = [LEVELS[level] for level in LEVELS if any(c.level == level and not c.passed for c in comparisons)]
    verdict = f"FAILED: level {', '.join(failed)}" if failed else f"all {len(LEVELS) - (not has_peft())} levels passed"
    return "\n".join(
        [
            f"messages  {sizes}; rows of {subject['row_length']} tokens",
            f"model     {subject['layers']} layers × {subject['width']} wide, {subject['parameters']:,} parameters, "
            f"weights: {subject['weights']}, seed {subject['seed']}, learning rate {subject['learning_rate']:g}",
            f"machine   {machine['device']}, {machine['threads']} threads; torch {machine['torch']}, "
            f"transformers {machine['transformers']}, accelerate {machine['accelerate']}, Python {machine['python']}",
            "",
            format_table(comparisons, LEVELS),
            "",
            f"{verdict}: {len(comparisons)} comparisons in {report['seconds']:.0f} s",
            f"loss curves and {REPORT} are in {folder}; level 9, the published values of GPT-2's real weights, "
            f"needs a network: pytest -m network",
        ]
    )
