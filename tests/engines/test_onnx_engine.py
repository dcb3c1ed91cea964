"""A runtime without torch: an export to ONNX needs ONNX Runtime, the tokenizers library and numpy alone.

pytest -m onnx tests/engines/test_onnx_engine.py
"""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.bare_environment import make_bare_environment
from support.places import ROOT

from hf_spam import SpamClassifier
from hf_spam.engines.onnx_engine import OnnxModel

pytestmark = pytest.mark.onnx

TEXTS = ["", "See you at eight", "WIN a £1000 prize now, call 09061234567", "so " * 30]
ALONE = {"hf_spam", "numpy", "onnxruntime", "tokenizers"}
ABSENT = {"torch", "transformers", "accelerate", "datasets", "pandas", "scipy"}

# What an editable install and compiled modules leave in `sys.modules` besides.
THIRD = """
def third():
    names = {name.split(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
    return {name for name in names if not name.startswith(("_", "cython"))}
"""
BY_COMMAND = f"""
import sys{THIRD}
before = third()
import hf_spam.cli
assert hf_spam.cli.main(["predict", *sys.argv[1:]]) == 0
print(sorted(third() - before))
"""
BY_CLASS = f"""
import sys{THIRD}
before = third()
from hf_spam import SpamClassifier
from hf_spam.engines.onnx_engine import OnnxModel
classifier = SpamClassifier.from_pretrained(sys.argv[1])
print(classifier(sys.argv[2]).label)
assert classifier.all_scores(sys.argv[2]).keys() == {{"ham", "spam"}}
assert len(list(classifier.stream([sys.argv[2:]]))) == 1
print(sorted(third() - before))
"""


@pytest.fixture(scope="module")
def export(
    tmp_path_factory: pytest.TempPathFactory, tiny_run: Callable[[str], Path], run_once: Callable[..., None]
) -> Path:
    folder = tmp_path_factory.mktemp("export") / "onnx"
    run_once("export", tiny_run("last_token"), "--int8", "--max_changed", "1", "--output_dir", folder)
    return folder


@pytest.fixture(scope="module")
def run_once() -> Callable[..., None]:
    from hf_spam.cli import main

    def call(*argv: object) -> None:
        assert main([str(word) for word in argv]) == 0

    return call


def fresh(program: str, *argv: object, python: object = sys.executable, **environment: str) -> list[str]:
    command = [str(python), "-W", "error", "-c", program, *map(str, argv)]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert (found.returncode, re.sub("note   .*\n", "", found.stderr)) == (0, "")
    return found.stdout.splitlines()


@pytest.mark.parametrize("options", [[], ["--explain", "--all_scores", "--json"]], ids=["plain", "explained"])
def test_the_command_imports_three_packages(export: Path, options: list[str]) -> None:
    assert set(ast.literal_eval(fresh(BY_COMMAND, export, TEXTS[2], *options)[-1])) == ALONE


def test_the_class_imports_three_packages(export: Path) -> None:
    assert set(ast.literal_eval(fresh(BY_CLASS, export, TEXTS[2])[-1])) == ALONE


def test_files_need_neither_torch_nor_transformers(export: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nhello\nwin a prize\n")
    lines = fresh(BY_COMMAND, export, "--input", tmp_path / "in.csv", "--output", tmp_path / "out.parquet")
    assert not {"torch", "transformers"} & set(ast.literal_eval(lines[-1]))


@pytest.mark.serve
def test_the_server_needs_neither(export: Path) -> None:
    program = f"""
import sys{THIRD}
import anyio
from hf_spam import SpamClassifier
from hf_spam.engines.onnx_engine import OnnxModel
from hf_spam.commands import serve
from hf_spam.serving import app, protocol
from hf_spam.serving.metrics import Metrics
from hf_spam.serving.scoring import Scorer
classifier = SpamClassifier.from_pretrained(sys.argv[1])
scorer = Scorer(classifier, 100, 0.0, Metrics())
scorer.start()
print(anyio.run(scorer.score, ["hello", "win"]).logits.shape)
scorer.close()
print(sorted(third()))
"""
    lines = fresh(program, export)
    assert lines[0] == "(2, 2)"
    assert not ABSENT & set(ast.literal_eval(lines[1]))


def test_an_environment_of_these_packages_is_enough(export: Path, tmp_path: Path) -> None:
    """As hf_spam/README.md says: ours without its dependencies, and the extra's."""
    python = make_bare_environment(tmp_path / "venv", "onnxruntime", "tokenizers", "numpy")
    program = "import importlib.util as u; print([n for n in ('torch', 'transformers', 'pandas') if u.find_spec(n)])"
    assert fresh(program, python=python, PYTHONPATH="") == ["[]"]
    program = "import sys; from hf_spam.cli import main; sys.exit(main(['predict', *sys.argv[1:]]))"
    lines = fresh(program, export, "--json", *TEXTS, python=python, PYTHONPATH=str(ROOT))
    expected = SpamClassifier.from_pretrained(export)
    for line, label, scores in zip(lines, expected(TEXTS), expected.score(TEXTS), strict=True):
        found = json.loads(line)
        assert (found["label"], found["score"]) == (label.label, pytest.approx(float(scores.max()), abs=1e-5))


def test_a_batch_on_each_core(export: Path) -> None:
    """Results keep their order, and their values: a score does not depend on its batch."""
    alone, together = SpamClassifier.from_pretrained(export), SpamClassifier.from_pretrained(export)
    alone.engine = OnnxModel(export, alone.config, threads=1)
    together.engine = OnnxModel(export, together.config, threads=4)
    together.token_budget = 32
    texts = [f"{text} {number}" for number in range(40) for text in TEXTS]
    expected = [alone.score([text])[0] for text in texts]
    assert np.allclose(together.score(texts), expected, atol=1e-5)


def test_scores_are_the_functions_of_logits(export: Path) -> None:
    classifier = SpamClassifier.from_pretrained(export)
    logits = classifier.logits(TEXTS)
    assert np.allclose(classifier.score(TEXTS), classifier.scores(logits).numpy(), rtol=1e-6)
    assert classifier.score([]).shape == (0, 2)
