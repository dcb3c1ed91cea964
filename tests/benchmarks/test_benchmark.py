"""The benchmark's arithmetic, and that it runs.   pytest tests/benchmarks/test_benchmark.py"""

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy
import pandas as pd
import pytest
from support.warm_process import WarmProcess

from hf_spam.benchmarks.describing import describe
from hf_spam.benchmarks.processes import in_own_process
from hf_spam.benchmarks.training import Counts
from hf_spam.commands import benchmark

Run = Callable[..., tuple[int, str, str]]


def test_how_much_the_chapters_job_is() -> None:
    counts = Counts.of({"train": 1045, "validation": 149, "test": 300})
    assert counts.steps == 650
    assert counts.estimated == (13 + 5) * 10  # 13 estimates of the losses, 5 of the accuracies, of 5 batches and 5
    assert counts.evaluated == 131 + 19 + 38
    assert counts.validated == 5 * 19


def work(megabytes: int) -> dict[str, Any]:
    print("unheard")
    return {"size": numpy.ones(megabytes * 10**6, dtype=numpy.uint8).size, "process": os.getpid()}


def die() -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def test_memory_and_errors_of_a_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    small, large = in_own_process(work, 1), in_own_process(work, 200)
    assert small["process"] != os.getpid()
    assert large["peak_mb"] - small["peak_mb"] == pytest.approx(199, abs=20)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(TypeError) as caught:
        in_own_process(work, None)
    assert "in work" in str(caught.value.__cause__)  # the traceback of that process
    with pytest.raises(BrokenProcessPool):
        in_own_process(die)


def test_the_table() -> None:
    row = {"precision": "fp32", "peak_mb": 1000.4, "how": "whole"}
    report = {
        "environment": {"device": "a machine", "threads": 2, "torch": "2", "transformers": "5", "python": "3"},
        "messages": 5572,
        "measured": "4 of 19",
        "model_size": "small",
        "training": [
            {"system": "native loop", "seconds": 1000.0, **row},
            {"system": "transformers' GPT-2 + Trainer", "seconds": 500.0, **row},
            {"system": "ours", "seconds": 50.0, "parts": {"rest": 1.0, "pass": 49.0}, "shares": {"pass": 0.87}, **row},
            {"system": "one pass of the frozen blocks", "seconds": 40.0, "share": 0.94, "rate": 1.8e11, **row},
        ],
    }
    lines = describe(report).splitlines()
    assert lines[0].startswith(
        "a machine, 2 threads; torch 2, transformers 5, Python 3; 5,572 messages; GPT of 12 layers"
    )
    assert lines[2] == "So far 4 of 19 systems were measured."
    assert "| ours | fp32 | 50.0 s | 20.0× | 10.0× | 1.25 | 1,000 MB | whole |" in lines
    assert "matrix product fp32: 180 GFLOP/s, of which the pass reaches 94%" in lines
    assert lines[-2:] == ["| pass | 49.0 s | 87% |", "| rest | 1.0 s |  |"]


def test_mistakes(run: Run) -> None:
    code, _, error = run("benchmark", "--output", "/proc/report")  # before anything is measured
    assert code == 2
    assert error.startswith("hf-spam: error: /proc/report: cannot be written: ")
    assert run("benchmark", "--steps", "0")[::2] == (
        2,
        "hf-spam: error: --steps: expected a whole number from 1 to 1,000,000,000, found 0.\n",
    )


def test_what_was_measured_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], messages: pd.DataFrame
) -> None:
    """Each system is told and written when it is measured; a run that is stopped keeps it."""
    figures = iter([{"rate": 7.0, "peak_mb": 1.0, "how": "40 messages"}, {"rate": 21.0, "peak_mb": 1.0, "how": "all"}])

    def measure(*arguments: object) -> dict[str, Any]:
        if (found := next(figures, None)) is None:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr("hf_spam.commands.benchmark.in_own_process", measure)
    messages.head(20).to_csv(tmp_path / "messages.csv", index=False)
    place = tmp_path / "report"
    argv = ["--quick", "--parts", "inference", "--data_file", str(tmp_path / "messages.csv"), "--output", str(place)]
    with pytest.raises(KeyboardInterrupt):
        benchmark.main(benchmark.parse(argv))
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "[1/12] the chapter's function, fp32: 7.0 messages/s"
    assert [line.split("]")[0] for line in told] == ["[1/12", "[2/12"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["rate"] for row in report["inference"]] == [7.0, 21.0]
    written = (tmp_path / "report.md").read_text()
    assert "So far 2 of 12 systems were measured." in written
    assert "| pipeline(), transformers' GPT-2, batch 1 | fp32 | 21.0 | 3.0× | 1.00× | 1 MB | all |" in written


def test_quick() -> None:
    assert benchmark.parse(["--quick", "--some", "7"]) == {
        **{"model_size": "mini", "steps": 3, "some": 7, "many": 20_000, "quick": True},
        "parts": ["start", "training", "inference", "alternatives"],
    }


@pytest.mark.long
def test_the_whole_benchmark(warm: WarmProcess, tmp_path: Path) -> None:
    argv = ["benchmark", "--model_size", "tiny", "--steps", 2, "--some", 10, "--many", 2000]
    warm.run([*argv, "--output", tmp_path / "report"], tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert {row["system"] for row in report["training"]} >= {"ours", "ours, preset book", "ours without the cache"}
    assert len(report["inference"]) == 9
    starts = {row["system"]: row["seconds"] for row in report["start"]}
    assert starts["import hf_spam"] < starts["import torch"]
    assert starts["hf-spam --help"] < starts["hf-spam predict CHECKPOINT TEXT"]
    alternatives = {row["system"]: row for row in report["alternatives"]}
    trained, linear = alternatives["ours, quickstart, fp32"], alternatives["word TF-IDF + LR"]
    assert min(trained["accuracy"], linear["accuracy"]) > 0.9
    assert trained["fit"] > linear["fit"] > 0
    assert "accuracy" not in alternatives["DistilBERT, pipeline()"]
    assert linear["many_of"] == 2000
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
