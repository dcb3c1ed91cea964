"""The house: which way imports point, what the package exports, what importing it and asking for help leave out.

pytest tests/test_house.py
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from support.places import ROOT
from support.warm_process import WarmProcess
from transformers import GPT2Tokenizer

import hf_spam
from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification
from hf_spam.commands import COMMANDS

PACKAGE = ROOT / "hf_spam"
HUB_TIER = {
    *("configuration_spam_gpt", "fields_spam_gpt", "gpt", "pooling_spam_gpt", "layers_spam_gpt"),
    *("backbone_spam_gpt", "modeling_spam_gpt"),
}

# From the ground up: a room may import only rooms of an earlier line.
ROOMS = [
    {"errors", "model"},
    {"system"},
    {"network"},
    {"values", "option_files"},
    {"options", "tables"},
    {"dataclass_options", "data"},
    {"tokens"},
    {"checkpoint"},
    {"conversion"},
    {"engines"},
    {"inference"},
    {"audit", "calibration", "correction", "evaluation", "trainable"},
    {"reporting", "robustness", "serving"},
    {"training"},
    {"equivalence", "hub", "starting"},
    {"benchmarks", "cross_validation", "experiments", "pretraining", "searching"},
    {"alternatives", "page"},
    {"commands"},
    {"cli", "__init__"},
    {"__main__"},
]


def imports(path: Path) -> tuple[set[str], set[str]]:
    """The rooms and the other top-level modules that a file imports, anywhere in it."""
    package, own, others = list(path.relative_to(PACKAGE).parts[:-1]), set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            others |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) + 1 - node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            own |= {".".join([*base, name]).split(".")[0] for name in names}
        elif isinstance(node, ast.ImportFrom):
            others.add((node.module or "").split(".")[0])
    return own, others


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])
def test_imports_point_one_way(path: Path) -> None:
    own, others = imports(path)
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    below = {name for level in ROOMS[: next(n for n, level in enumerate(ROOMS) if room in level)] for name in level}
    assert own <= below | {room}
    assert "hf_spam" not in others


@pytest.mark.parametrize("module", sorted(HUB_TIER))
def test_what_travels_with_the_weights_stands_alone(module: str) -> None:
    own, others = imports(PACKAGE / "model" / f"{module}.py")
    assert own <= {"model"}
    assert others <= {"torch", "transformers", "typing", "collections", "copy", "dataclasses"}
    assert module not in ("gpt", "pooling_spam_gpt") or "transformers" not in others  # plain torch
    assert module != "fields_spam_gpt" or not {"torch", "transformers"} & others


def test_modules_are_small() -> None:
    assert [path.name for path in PACKAGE.rglob("*.py") if len(path.read_text().splitlines()) > 300] == []


ALL_ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def test_every_room_has_its_level() -> None:
    assert set(ALL_ROOMS) <= {name for level in ROOMS for name in level}


@pytest.mark.parametrize("room", ALL_ROOMS)
def test_a_room_answers_one_question(room: str) -> None:
    """Its docstring asks it; it has about ten modules, or one a command, and tests in a folder of its name."""
    docstring = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert re.fullmatch(r"[A-Z][^.?\n]+\?", docstring), docstring
    modules = {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"}
    assert len(modules) <= 12 or modules == {name.replace("-", "_") for name in COMMANDS}
    assert list((ROOT / "tests" / room).glob("test_*.py"))


def test_public_names() -> None:
    assert sorted(hf_spam.__all__) == [
        "DataArguments",
        "GPTModel",
        "ModelArguments",
        "Prediction",
        "Run",
        "SpamClassifier",
        "SpamGPTConfig",
        "SpamGPTForCausalLM",
        "SpamGPTForSequenceClassification",
        "SpamGPTModel",
        "SpamTrainingArguments",
        "UserError",
        "build_model",
        "build_tokenizer",
        "fine_tune",
        "load_splits",
        "load_state",
        "save_run",
        "tokenize",
    ]
    assert all(getattr(hf_spam, name).__name__ == name for name in hf_spam.__all__)
    assert set(hf_spam.__all__) <= set(dir(hf_spam))
    starred: dict[str, object] = {}
    exec("from hf_spam import *", starred)
    assert set(starred) - {"__builtins__"} == set(hf_spam.__all__)
    with pytest.raises(AttributeError, match="module 'hf_spam' has no attribute 'SpamGPT'"):
        hf_spam.SpamGPT  # noqa: B018
    assert hf_spam.__version__ == version("hf-spam")


def test_top_level_is_as_agreed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    top = {path.split("/")[0] for path in listed if not path.startswith(".")}
    assert top <= {"pyproject.toml", "README.md", "LICENSE", "hf_spam", "scripts", "tests", "outputs"}
    assert [path for path in listed if path.startswith("outputs/")] == ["outputs/.gitkeep"]


def test_every_dependency_is_imported() -> None:
    """Nothing is asked of a machine that the code does not use, or uses without asking."""
    names = {
        "scikit-learn": "sklearn",
        "huggingface-hub": "huggingface_hub",
        "pyyaml": "yaml",
        "charset-normalizer": "charset_normalizer",
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {line.split(">")[0] for line in project["dependencies"]}
    imported = {name for file in FILES for name in imports(file)[1]} - set(sys.stdlib_module_names)
    implied = {"tiktoken_ext", "tensorflow"}  # tiktoken's own plugin; the extra [openai]
    implied |= {"openpyxl", "peft"}  # the extras [xlsx] and [peft]
    implied |= {"cleanlab", "py3langid", "ftfy"}  # the extra [audit]
    implied |= {"optuna", "captum"}  # the extras [search] and [explain]
    implied |= {
        "fastapi",
        "starlette",
        "uvicorn",
        "pydantic",
        "httptools",
        "prometheus_client",
        "anyio",
        "gradio",
    }  # [serve]
    implied |= {"onnx", "onnxruntime", "ray"}  # the extras [onnx] and [ray]
    implied |= {"fasttext", "model2vec", "ctranslate2", "joblib"}  # the extra [benchmark]; scikit-learn's own
    assert {names.get(name, name) for name in asked} == imported - implied


def test_help_imports_next_to_nothing() -> None:
    program = (
        "import sys, hf_spam.cli\n"
        "assert hf_spam.cli.main(['--help']) == 0\n"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizer: GPT2Tokenizer) -> Path:
    """A tiny classifier and its tokenizer, as a run saves them."""
    folder = tmp_path_factory.mktemp("checkpoint")
    config = SpamGPTConfig(context_length=32, emb_dim=16, n_heads=2, n_layers=1, id2label={0: "ham", 1: "spam"})
    SpamGPTForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def without_us() -> Iterator[WarmProcess]:
    """Python programs that find torch and transformers imported, but neither the Auto classes nor anything of ours."""
    server = WarmProcess("torch", "transformers.modeling_utils", HF_HUB_DISABLE_PROGRESS_BARS="1")
    yield server
    server.close()


def run_fresh(program: str, *argv: object) -> None:
    """Run a program in a process of its own, which must succeed and print nothing."""
    command = [sys.executable, "-W", "error", "-c", program, *map(str, argv)]
    environment = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_import_imports_next_to_nothing(checkpoint: Path, tmp_path: Path) -> None:
    """The package neither torch nor transformers, the configuration no model, the models not what they register with."""
    program = (
        "import sys, hf_spam\n"
        "def absent(*names):\n"
        "    assert not set(names) & set(sys.modules), set(names) & set(sys.modules)\n"
        "absent('torch', 'transformers', 'pandas', 'numpy')\n"
        "hf_spam.SpamGPTConfig().save_pretrained(sys.argv[2])\n"
        "absent('transformers.models.auto.configuration_auto')\n"
        "from transformers import AutoConfig\n"
        "assert type(AutoConfig.from_pretrained(sys.argv[1])) is hf_spam.SpamGPTConfig\n"
        "absent('transformers.modeling_utils', 'hf_spam.model.modeling_spam_gpt')\n"
        "assert hf_spam.SpamGPTForSequenceClassification and hf_spam.SpamGPTForCausalLM\n"
        "absent('transformers.models.auto.modeling_auto')\n"
    )
    run_fresh(program, checkpoint, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("config.json", "configuration_spam_gpt.py", "fields_spam_gpt.py")
    }


AUTO = "from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, pipeline"


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports",
    [f"import hf_spam; {AUTO}", f"{AUTO}; import hf_spam", f"import hf_spam.model.modeling_spam_gpt; {AUTO}"],
    ids=["package first", "transformers first", "module first"],
)
def test_auto_classes_know_our_models(checkpoint: Path, without_us: WarmProcess, tmp_path: Path, imports: str) -> None:
    """Whatever is imported first, and again after a reload."""
    program = (
        "import sys, warnings\n"
        "warnings.simplefilter('error')\n"
        "assert not {'hf_spam', 'transformers.models.auto.modeling_auto'} & set(sys.modules)\n"
        f"{imports}\n"
        "import importlib, inspect, sys\n"
        "from transformers.models.auto import configuration_auto, modeling_auto\n"
        "[prediction] = pipeline('text-classification', model=sys.argv[1])('Hello')\n"
        "assert prediction['label'] in ('ham', 'spam'), prediction\n"
        "model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1])\n"
        "assert type(model) is hf_spam.SpamGPTForSequenceClassification\n"
        "config = AutoConfig.from_pretrained(sys.argv[1])\n"
        "assert type(config) is hf_spam.SpamGPTConfig\n"
        "assert type(AutoModelForCausalLM.from_config(config)) is hf_spam.SpamGPTForCausalLM\n"
        "assert inspect.getsource(modeling_auto)\n"
        "finders = len(sys.meta_path)\n"
        "importlib.reload(hf_spam)\n"
        "assert len(sys.meta_path) == finders\n"
        "importlib.reload(configuration_auto)\n"
        "assert configuration_auto.CONFIG_MAPPING['spam_gpt'] is hf_spam.SpamGPTConfig\n"
        "assert type(modeling_auto.__loader__).__module__ != 'hf_spam.model.registration'\n"
    )
    result = without_us.call([checkpoint], tmp_path, program)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.slow
def test_predict_imports_no_training(checkpoint: Path, without_us: WarmProcess, tmp_path: Path) -> None:
    """Neither what reads messages nor what trains on them nor what measures."""
    program = (
        "import sys, hf_spam.cli, transformers.generation.utils\n"
        "theirs = set(sys.modules)\n"  # older releases import scikit-learn there
        "assert hf_spam.cli.main(['predict', sys.argv[1], 'Hello']) == 0\n"
        "heavy = {'datasets', 'evaluate', 'matplotlib', 'pandas', 'sklearn', 'tiktoken', 'transformers.trainer'}\n"
        "assert not heavy & set(sys.modules) - theirs, heavy & set(sys.modules)\n"
    )
    result = without_us.call([checkpoint], tmp_path, program)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    """What CI tests as oldest is what pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = dict(line.split(",")[0].split(">=") for line in project["dependencies"])
    lines = (ROOT / "tests" / "oldest-versions.txt").read_text().splitlines()
    oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert set(oldest) == {"torch", "transformers", "datasets", "accelerate", "huggingface-hub"}
    for name, version_ in oldest.items():
        assert f"{version_}.0.0".startswith(f"{bounds[name]}."), name
