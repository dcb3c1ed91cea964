"""Run experiments one after the other, in this process; what is finished stays finished."""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import Interrupted, UserError, one_line
from ..system import processes
from ..system.own_files import has_checkpoints, remove_ours
from ..system.reading import read_json
from ..system.run_folder import METRICS_FILE, partial_folder
from .records import Planned, Result, find_done, load_results, save_results

CACHE = "prefix-cache"
_RUNS = "runs"

Train = Callable[[dict[str, Any]], None]


def run_all(planned: Sequence[Planned], folder: Path, train: Train, keep_models: bool = False) -> list[str]:
    """Run what is not finished, and write each result as soon as it is there.

    Runs whose options are equal come out equal, so only the first of them is run. All share a folder for the output of
    frozen blocks, where they keep what they have in common.

    Args:
        planned: The runs, in order.
        folder: Where results, logs and models go.
        train: `hf-spam train` with options.
        keep_models: Whether the runs' folders stay.

    Returns:
        A line for each run that failed.

    Raises:
        UserError: If results of other options are there.
        Interrupted: If SIGTERM or Ctrl-C came; what is finished stays, and the run that was at work has a checkpoint.
    """
    results = load_results(folder)
    done = find_done(planned, results, folder)
    finished = {Planned(result.name, result.seed, result.options).key: result for result in done.values()}
    processes.wait_for_all()
    failures, began, ran = [], time.monotonic(), 0
    for number, run in enumerate(planned, start=1):
        if run.label in done:
            continue
        place = f"[{number}/{len(planned)}] {run.label}"
        if run.key in finished:
            result = dataclasses.replace(finished[run.key], name=run.name)
            said = f"the same options as {finished[run.key].name}"
        else:
            print(one_line(f"{place}: runs; its log: {folder / _RUNS / run.label}.log"), flush=True)
            try:
                result = _run(run, folder, train, keep_models)
            except UserError as error:
                if processes.world_size() > 1:
                    raise
                failures.append(one_line(f"{run.label}: {error}"))
                print(one_line(f"{place}: failed: {error}"), flush=True)
                continue
            ran += 1
            said = f"{result.seconds:.1f} s of training"
        results.append(result)
        finished.setdefault(run.key, result)
        if processes.rank() == 0:
            save_results(folder, results)
        test = f"test accuracy {result.accuracies['test']:.2%}"
        print(one_line(f"{place}: {test}, {said}{_left(planned, number, began, ran)}"), flush=True)
    if processes.rank() == 0 and not failures:
        shutil.rmtree(folder / CACHE, ignore_errors=True)
    return failures


def _left(planned: Sequence[Planned], number: int, began: float, ran: int) -> str:
    """Say how long the rest takes if it goes on so."""
    rest = len(planned) - number
    if not rest or not ran:
        return ""
    minutes = (time.monotonic() - began) / ran * rest / 60
    return f"; about {max(1, round(minutes))} min for {rest} more"


def _run(run: Planned, folder: Path, train: Train, keep_models: bool) -> Result:
    place = folder / _RUNS / run.label
    options = {"prefix_cache_dir": str(folder / CACHE), **run.options}
    options |= {"seed": run.seed, "output_dir": str(place), "disable_tqdm": True}
    started = place.exists() or (partial_folder(place).is_dir() and has_checkpoints(partial_folder(place)))
    processes.wait_for_all()  # before the first process changes what the others look at
    if started:
        options["resume_from_checkpoint"] = "last"
    _reset_peak()
    try:
        with _output_to(place.with_suffix(".log")):
            train(options)
    except Interrupted as stop:
        stop.message = f"{stop.message.partition('. Resume with:')[0]}. The same command goes on from there"
        raise
    peak = _peak_mb()
    processes.wait_for_all()
    record = read_json(place / METRICS_FILE)
    splits, training = record["splits"], record["training"]
    if "accuracy" not in splits["test"]:
        raise UserError("expected labels that have an accuracy, found a regression. Use hf-spam train.")
    processes.wait_for_all()
    if not keep_models and processes.rank() == 0:
        remove_ours(place)
    return Result(
        name=run.name,
        seed=run.seed,
        options=run.options,
        accuracies={name: figures["accuracy"] for name, figures in splits.items()},
        messages={name: figures["messages"] for name, figures in splits.items()},
        losses={name: figures["loss"] for name, figures in splits.items()},
        seconds=training["seconds"],
        peak_mb=peak,
        parameters=training["parameters"],
        trained_parameters=training["trained_parameters"],
        environment=record["environment"],
    )


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what the main process prints, its progress too, to a file."""
    if processes.rank() > 0:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield


def _reset_peak() -> None:
    """Let the highest memory count from here, where the system allows it."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux


def _peak_mb() -> float | None:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return None
