"""Where the seconds go, and what is timed on a GPU.   pytest tests/benchmarks/test_parts.py"""

import importlib.util
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from support.places import ROOT

from hf_spam import SpamGPTConfig
from hf_spam.benchmarks import on_gpu, parts
from hf_spam.benchmarks.inference import Task
from hf_spam.benchmarks.measuring import allow_tf32
from hf_spam.benchmarks.training import Job, ours, steps_to_time


def test_what_a_part_calls_of_another_counts_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    monkeypatch.setattr(parts, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def outer() -> None:
        now[0] += 2
        place.inner()

    def inner() -> None:
        now[0] += 5
        raise ValueError

    place = SimpleNamespace(inner=inner, outer=outer)
    with parts.timed([("a", place, "outer"), ("b", place, "inner")]) as spent:
        for call in (place.outer, place.inner):
            with pytest.raises(ValueError):  # noqa: PT011  # timed nevertheless
                call()
    assert spent == {"a": 2, "b": 10}
    assert (place.outer, place.inner) == (outer, inner)


def test_how_much_the_parts_compute() -> None:
    found = parts.operations(SpamGPTConfig(emb_dim=10, n_layers=3, n_heads=2), 2, [5, 6], {parts.STEPS: 4, "x": 7})
    block = 2 * (4 * 10 * 10 + 2 * 10 * 40)  # attention's four matrices, and the two of the feed-forward layers
    assert found == {parts.PASS: 2 * 11 * block, parts.STEPS: 3 * 4 * block, "x": 7 * block}


def test_a_gpu_warms_up() -> None:
    assert steps_to_time(12, gpu=False) == (1, 12)
    assert steps_to_time(12, gpu=True) == (50, 150)
    assert steps_to_time(600, gpu=True) == (50, 600)


def test_tf32_only_where_it_is_asked_for() -> None:
    try:
        allow_tf32("tf32")
        assert torch.get_float32_matmul_precision() == "high"
        allow_tf32("bf16")
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.slow
def test_the_parts_of_our_route(messages: pd.DataFrame) -> None:
    found = ours(Job(messages.head(200), "tiny", 3), "fp32")
    assert min(found["parts"].values()) > 0
    assert sum(found["parts"].values()) == pytest.approx(found["seconds"])
    assert set(found["shares"]) == {parts.PASS, parts.STEPS, parts.ESTIMATES, parts.EVALUATIONS}


def test_each_size_of_batch(messages: pd.DataFrame) -> None:
    task = Task(messages["Text"].head(30).tolist(), "tiny", 10)
    found = on_gpu.classification(task, "fp32", budgets=(1, 512))["budgets"]
    assert {budget: row["messages"] for budget, row in found.items()} == {1: 30, 512: 30}
    assert min(row["scored"] for row in found.values()) > 0


def test_the_script_knows_its_configurations() -> None:
    spec = importlib.util.spec_from_file_location("gpu", ROOT / "scripts" / "gpu.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert all((script.CONFIGURATIONS / f"{name}.yaml").is_file() for name, _ in script.LAUNCHES)
    assert script.make_parser().parse_args([]).parts == script.PARTS
