"""What users would pick instead: what is asked of each, and that each answers.   pytest tests/alternatives/test_alternatives.py

Those that need the extra: pytest -m benchmark tests/benchmarks
"""

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from hf_spam.alternatives import contest, own
from hf_spam.alternatives.contest import FIRST, Contest, classify, distinct, measure, prepare
from hf_spam.alternatives.encoders import Compiled, Encoder, convert, scores_of
from hf_spam.alternatives.linear import CONTENDERS as LINEAR
from hf_spam.alternatives.linear import Linear
from hf_spam.alternatives.word_vectors import FastText, StaticVectors
from hf_spam.benchmarks.describing import describe, describe_row
from hf_spam.benchmarks.plotting import draw_alternatives, plot_alternatives
from hf_spam.benchmarks.processes import cold_start
from hf_spam.commands import benchmark
from hf_spam.tokens.tokenization import build_tokenizer


@pytest.fixture
def asked(messages: pd.DataFrame, tmp_path: Path) -> Contest:
    balanced = pd.concat([messages[messages["Label"] == label].head(150) for label in ("ham", "spam")])
    return benchmark.make_contest(balanced, many=650, folder=tmp_path, quick=True, train_ours=False)


# --- what is asked -----------------------------------------------------------------------------------------------------


def test_distinct_messages() -> None:
    texts = ["a", "b", "a 1"]
    assert list(itertools.islice(distinct(texts), 5)) == ["a 1", "b 1", "a 1 1", "a 2", "b 2"]
    many = list(itertools.islice(distinct([f"text {number}" for number in range(100)]), 5000))
    assert len(set(many)) == 5000


@dataclass
class Remembering:
    """A system that keeps what it was asked since it was loaded."""

    loads: list[list[list[str]]] = field(default_factory=list)
    name = folder = "remembering"
    needs: dict[str, str] = field(default_factory=dict)

    def prepare(self, contest: Contest) -> dict[str, Any]:
        return {}

    def load(self, folder: Path) -> contest.Label:
        asked: list[list[str]] = []
        self.loads.append(asked)

        def label(texts: list[str]) -> Sequence[str]:
            asked.append(texts)
            return ["ham"] * len(texts)

        return label

    def start(self, folder: Path) -> list[str]:
        return []


def test_nothing_that_is_counted_was_seen_before(asked: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "CHUNK", 400)
    system = Remembering()
    found = classify(system, asked, judged=True)
    for warm, *_ in system.loads:
        assert warm == [FIRST] * 2
    probes, single, rest = system.loads
    texts = list(dict.fromkeys(asked.texts))
    assert [len(texts) for texts in probes[1:]] == [1] * 20 + [100]
    assert [text for (text,) in single[1:]] == texts  # a call each
    everything, *many, tested = rest[1:]
    assert everything == asked.texts
    assert [len(part) for part in many] == [400, 250]
    assert len({*everything, *many[0], *many[1]}) == len(texts) + 650
    assert tested == asked.test[0]
    assert found["accuracy"] == asked.test[1].count("ham") / len(asked.test[1])
    assert (found["all_of"], found["many_of"]) == (300, 650)


def test_a_slow_system_is_timed_on_a_part() -> None:
    assert contest._within(60, 1 / 20_000, 1_000_000) == 1_000_000  # 50 s
    assert contest._within(60, 1 / 1_000, 1_000_000) == 15_000  # of 1,000 s: 15 s
    assert contest._within(60, 1, 1_000_000) == 100
    assert contest._within(0, 1, 30) == 30


def test_the_splits_are_the_chapters(asked: Contest) -> None:
    assert [len(asked.train[0]), len(asked.test[0])] == [210, 60]
    by_text = dict(zip(asked.texts, asked.labels, strict=True))
    assert [by_text[text] for text in asked.test[0]] == asked.test[1]


# --- who is asked ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", LINEAR, ids=[system.folder for system in LINEAR])
def test_linear_models_learn(system: Linear, asked: Contest) -> None:
    assert prepare(system, asked)["fit"] > 0
    label = system.load(asked.place / system.folder)
    right = sum(map(str.__eq__, label(asked.test[0]), asked.test[1]))
    assert right / len(asked.test[0]) > 0.85


def test_one_is_measured_alone(asked: Contest) -> None:
    """Its processes hold what it needs and nothing of ours, and its saved model starts."""
    row = measure(LINEAR[0], asked)
    assert {"single", "all", "many", "accuracy", "fit", "start"} <= row.keys()
    assert 20 < row["memory_mb"] < 300  # 200 more with torch
    assert 20 < row["start_mb"] < 300
    assert 0 < row["disk_mb"] < 1


def test_a_transformer_through_the_pipeline(asked: Contest) -> None:
    system = Encoder("tiny", "tiny", (1, 16, 2))
    assert prepare(system, asked) == {}  # no fit: its labels mean nothing
    label = system.load(asked.place / "tiny")
    assert set(label(asked.texts[:20])) <= {"ham", "spam"}
    assert json.loads((asked.place / "tiny" / "benchmark.json").read_text())["batch_size"] in (1, 8, 32)


def test_ours_without_training(asked: Contest) -> None:
    system = own.CONTENDERS[0]
    assert prepare(system, asked) == {}
    assert set(system.load(asked.place / system.folder)(asked.texts[:5])) <= {"ham", "spam"}
    before = (asked.place / system.folder / "config.json").stat().st_mtime_ns
    own.checkpoint(asked)
    assert (asked.place / system.folder / "config.json").stat().st_mtime_ns == before  # made once
    assert system.start(Path("folder"))[-2:] == ["predict", "folder"]


@pytest.mark.benchmark
@pytest.mark.parametrize("system", [FastText(), StaticVectors(rows=2000, width=64)], ids=lambda system: system.folder)
def test_word_vectors(system: FastText | StaticVectors, asked: Contest) -> None:
    prepared = prepare(system, asked)
    folder = asked.place / system.folder
    found = list(system.load(folder)(["two\nlines", *asked.test[0]]))[1:]
    assert set(found) == {"ham", "spam"}
    assert ("fit" in prepared) == isinstance(system, FastText)
    if "fit" in prepared:
        assert sum(map(str.__eq__, found, asked.test[1])) / len(found) > 0.85
    done = subprocess.run([*system.start(folder), FIRST], capture_output=True, text=True, check=True)
    assert done.stdout.strip().removeprefix("__label__") in ("ham", "spam")


@pytest.mark.benchmark
def test_ctranslate2_scores_as_torch_does(asked: Contest) -> None:
    import ctranslate2

    system = Compiled(sizes=(2, 32, 2), quantization="float32")
    model, tokenizer = system.build(), build_tokenizer()
    ids = tokenizer(asked.texts[:40])["input_ids"]
    with torch.inference_mode():
        expected = torch.stack([model(torch.tensor([row])).logits[0, -1] for row in ids])
    folder = asked.place / system.folder
    convert(model, folder, "float32")
    scores = scores_of(ids, ctranslate2.Generator(str(folder)), batch_size=8)
    torch.testing.assert_close(torch.from_numpy(scores), expected, atol=1e-5, rtol=1e-4)
    answers = system.load(folder)(asked.texts[:40])
    assert answers == [("ham", "spam")[row] for row in expected.argmax(1)]
    done = subprocess.run([*system.start(folder), asked.texts[0]], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == answers[0]


# --- processes ---------------------------------------------------------------------------------------------------------


def test_a_cold_start_is_the_commands_own() -> None:
    large = bytearray(b"1") * 300_000_000  # of this process, not of the command's
    started = cold_start([sys.executable, "-S", "-c", "x = bytearray(b'1') * 50_000_000; print('label')"], 2)
    assert started["output"] == "label\n"
    assert 50 < started["memory_mb"] < 100
    assert 0 < started["seconds"] < 5
    assert len(large) == 300_000_000
    with pytest.raises(RuntimeError, match=r"exit code 1: .*no such text"):
        cold_start([sys.executable, "-S", "-c", "raise SystemExit('no such text')"], 1)


def test_what_is_not_installed_is_told_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"fasttext", "onnx"}
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: None if name in absent else name)
    notes = [note for system in benchmark.CONTENDERS if (note := benchmark.describe_missing(system))]
    assert [note.split(": pip install ")[0] for note in notes] == [
        "fastText, words and characters 2-5 needs fasttext",
        "ours, quickstart, ONNX int8 needs onnx",
    ]
    assert "[benchmark]" in notes[0]
    assert "[onnx]" in notes[1]


# --- the report --------------------------------------------------------------------------------------------------------


def row(system: str, rate: float, **more: Any) -> dict[str, Any]:
    counts = {"messages": 5572, "asked": 1_000_000, "all_of": 5572, "many_of": 1_000_000}
    sizes = {"start": 1.5, "start_mb": 150.0, "memory_mb": 200.0, "disk_mb": 0.25}
    return {"system": system, "single": rate / 100, "all": rate, "many": rate * 2, **counts, **sizes, **more}


def test_the_tables() -> None:
    rows = [
        row("word TF-IDF + LR", 60_000.0, fit=0.04, accuracy=0.97),
        row("BERT", 30.0, all_of=450, many_of=15_000, start=4.5),
    ]
    facts = {"device": "a machine", "threads": 2, "torch": "2", "transformers": "5", "python": "3"}
    report = {"environment": facts, "messages": 5572, "measured": "2 of 2", "model_size": "small"}
    report |= {"alternatives": rows, "left out": ["fastText needs fasttext: pip install it"]}
    lines = describe(report).splitlines()
    assert (
        "| labelling, messages/s; word TF-IDF + LR = 1 | × | a call each | 5,572 at once | 1,000,000 | fit | accuracy |"
        in lines
    )
    assert "| word TF-IDF + LR | 1× | 600 | 60,000 | 120,000 | 0.04 s | 97.00% |" in lines
    assert "| BERT | 0.0005× | 0 | 30 (450 timed) | 60 (15,000 timed) |  |  |" in lines
    assert "| BERT | 3.0× | 4.50 s | 150 MB | 200 MB | 0.2 MB |" in lines
    assert lines[-1] == "Left out: fastText needs fasttext: pip install it"
    assert describe_row(rows[0]) == "word TF-IDF + LR: 60,000 messages/s, 1.50 s to the first label"


def test_no_name_of_the_plot_covers_another() -> None:
    rows = [row(f"a system of a long name {number}", 50_000.0 + number, accuracy=0.97) for number in range(4)]
    rows += [row(f"another of a long name {number}", 100.0 + number) for number in range(4)]
    figure = draw_alternatives(rows)
    figure.draw_without_rendering()
    names = [text for text in figure.axes[0].texts if "long name" in text.get_text()]
    assert len(names) == 8
    marks = figure.axes[0].transData.transform([(row["all"], row["accuracy"]) for row in rows[:4]])
    assert not any(name.get_window_extent().contains(*mark) for name in names for mark in marks)
    for one, other in itertools.combinations(names, 2):
        assert not one.get_window_extent().overlaps(other.get_window_extent())
    assert plot_alternatives(rows[:1]).startswith(b"\x89PNG")
