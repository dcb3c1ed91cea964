"""The house: which way imports point, what the package exports, how fast the command answers.

pytest tests/test_imports.py
"""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
from conftest import ROOT

import hf_spam

PACKAGE = ROOT / "hf_spam"
HUB_TIER = {"configuration_spam_gpt", "gpt", "modeling_spam_gpt"}

# From the leaves up: a module may import only what stands on an earlier line (the lines' names, in any order).
LAYERS = [
    {"errors"},
    {"configuration_spam_gpt", "processes", "interruption", "checkpoints"},
    {"gpt"},
    {"modeling_spam_gpt"},
    {"agreement", "onnx_model", "download", "environment", "freezing", "metrics", "plots", "records", "run_folder"},
    {"sources"},
    {"data", "tokenization", "openai_checkpoint"},
    {"weights", "inference", "arguments"},
    {"builders", "comparison", "callbacks", "trainer", "batch_prediction"},
    {"training", "native_loop"},  # which never meet but in:
    {"equivalence"},
    {"model_equivalence"},
    {"__init__"},
    {"commands"},
]


def imports(path: str) -> tuple[set[str], set[str]]:
    """The package's own modules and the other top-level modules that a file imports, anywhere in it."""
    own, others = set(), set()
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            others |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            own |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            others.add((node.module or "").split(".")[0])
    return own, others


MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def test_every_module_has_its_place() -> None:
    assert set(MODULES) == {name for layer in LAYERS for name in layer} - {"commands"}
    assert len(MODULES) == sum(map(len, LAYERS)) - 1


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    own, others = imports(f"{module}.py")
    level = next(number for number, layer in enumerate(LAYERS) if module in layer)
    below = {name for layer in LAYERS[:level] for name in layer}
    assert own <= below, f"{module} imports {own - below} from its own layer or above"
    assert "hf_spam" not in others


@pytest.mark.parametrize("module", sorted(HUB_TIER))
def test_what_travels_with_the_weights_stands_alone(module: str) -> None:
    own, others = imports(f"{module}.py")
    assert own <= HUB_TIER
    assert others <= {"torch", "transformers", "typing", "collections"}
    assert module != "gpt" or "transformers" not in others  # plain torch


def test_modules_are_small() -> None:
    assert [path.name for path in PACKAGE.rglob("*.py") if len(path.read_text().splitlines()) > 300] == []


def test_public_names() -> None:
    assert sorted(hf_spam.__all__) == [
        "GPTModel",
        "Prediction",
        "SpamClassifier",
        "SpamGPTConfig",
        "SpamGPTForCausalLM",
        "SpamGPTForSequenceClassification",
        "UserError",
    ]
    assert all(getattr(hf_spam, name) for name in hf_spam.__all__)
    assert hf_spam.__version__ == version("hf-spam")


def test_top_level_is_as_agreed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    top = {path.split("/")[0] for path in listed if not path.startswith(".")}
    assert top <= {"pyproject.toml", "README.md", "LICENSE", "hf_spam", "scripts", "tests", "outputs"}
    assert [path for path in listed if path.startswith("outputs/")] == ["outputs/.gitkeep"]


def test_every_dependency_is_imported() -> None:
    """Nothing is asked of a machine that the code does not use, or uses without asking."""
    names = {"scikit-learn": "sklearn", "huggingface-hub": "huggingface_hub", "pyyaml": "yaml"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {line.split(">")[0] for line in project["dependencies"]}
    files = [str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")]
    imported = {name for file in files for name in imports(file)[1]} - set(sys.stdlib_module_names)
    implied = {"tiktoken_ext", "tensorflow"}  # tiktoken's own plugin; the extra [openai]
    implied |= {"onnx", "onnxruntime", "onnxscript"}  # the extra [onnx]
    assert {names.get(name, name) for name in asked} == imported - implied


def test_help_imports_next_to_nothing() -> None:
    program = (
        "import sys, hf_spam_cli\n"
        "assert hf_spam_cli.main(['--help']) == 0\n"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'hf_spam'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
