"""Run transformers' own tests of models on ours and on its GPT-2, and print what fails beside each other.

The tests come with the source distribution of the installed transformers, which pip downloads from the package index
into a temporary folder, and `parameterized` with it. Nothing of either is kept.

python scripts/model_tester.py
"""

import argparse
import importlib
import logging
import subprocess
import sys
import tarfile
import tempfile
import unittest
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel, GPT2Model
from transformers.models.auto import modeling_auto

from hf_spam import SpamGPTConfig, SpamGPTForCausalLM, SpamGPTForSequenceClassification, SpamGPTModel

SIZES = {"vocab_size": 99, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
IDS = {"bos_token_id": 98, "eos_token_id": 98, "pad_token_id": 98}
SUBJECTS: dict[str, tuple[type[Any], tuple[type[Any], ...]]] = {
    "ours": (SpamGPTConfig, (SpamGPTModel, SpamGPTForCausalLM, SpamGPTForSequenceClassification)),
    "GPT-2": (GPT2Config, (GPT2Model, GPT2LMHeadModel, GPT2ForSequenceClassification)),
}
# Modules that the common tests import and the source distribution leaves out, with what is imported.
LEFT_OUT = {"exporters/test_export": "ExportTesterMixin", "generation/test_utils": "GenerationTesterMixin"}


class ModelTester:
    """What the tests ask of the tester of an architecture: sizes, a configuration and inputs.

    Args:
        configuration: The class of the configuration.
    """

    batch_size, seq_length, is_training = 3, 7, True
    hidden_size, num_hidden_layers, num_attention_heads = 32, 2, 4

    def __init__(self, configuration: type[Any]) -> None:
        self.configuration = configuration

    def get_config(self) -> Any:
        """Return a configuration without dropout."""
        dropout = {"drop_rate": 0.0} if self.configuration is SpamGPTConfig else dict.fromkeys(_GPT2_DROPOUT, 0.0)
        return self.configuration(**SIZES, **IDS, **dropout)

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict[str, torch.Tensor]]:
        """Return a configuration and a batch of random ids, with padding on the right of one row."""
        ids = torch.randint(0, 98, (self.batch_size, self.seq_length))
        return self.get_config(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


_GPT2_DROPOUT = ("resid_pdrop", "embd_pdrop", "attn_pdrop")


class Outcomes(unittest.TestResult):
    """What became of each test, by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        """Note it."""
        self.found.setdefault(_name(test), "passes")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        """Note it."""
        self.found.setdefault(_name(test), "skipped")

    def addFailure(self, test: unittest.TestCase, error: Any) -> None:  # noqa: N802
        """Note the first line of the error."""
        lines = str(error[1]).strip().splitlines() or [error[0].__name__]
        self.found[_name(test)] = f"fails: {error[0].__name__}: {lines[0]}"

    def addError(self, test: unittest.TestCase, error: Any) -> None:  # noqa: N802
        """Note the first line of the error."""
        self.addFailure(test, error)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, error: Any) -> None:  # noqa: N802
        """Note the first error of a part."""
        if error is not None:
            self.addFailure(test, error)


def _name(test: Any) -> str:
    return str(getattr(test, "test_case", test)._testMethodName)  # a part of a test counts as the test


def make_parser() -> argparse.ArgumentParser:
    """One option: which tests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="test_", metavar="START", help="run the tests whose names begin so")
    parser.add_argument("--sdist", type=Path, metavar="FILE", help="the source distribution, if it is there already")
    return parser


def fetch(folder: Path, sdist: Path | None) -> None:
    """Put transformers' tests into a folder as the package `their_tests`, and what they import beside them."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--target", str(folder), "--no-deps", "parameterized"], check=True)
    if sdist is None:
        name = f"transformers=={transformers.__version__}"
        where = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--dest", str(folder)]
        subprocess.run([*pip, "download", *where, name], check=True)
        (sdist,) = folder.glob("transformers-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    tests = next(folder.glob("transformers-*/tests")).rename(folder / "their_tests")
    for module, name in LEFT_OUT.items():
        file = tests / f"{module}.py"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"class {name}:\n    pass\n", encoding="utf-8")


def run(subject: str, mixin: type[Any], start: str) -> dict[str, str]:
    """Run the tests of a mixin on an architecture, and return what became of each."""
    configuration, classes = SUBJECTS[subject]

    def set_up(self: Any) -> None:
        self.model_tester = ModelTester(configuration)

    members = {"all_model_classes": classes, "setUp": set_up, "pipeline_model_mapping": {}}
    generation = importlib.import_module(mixin.__module__).GenerationTesterMixin  # expected where a model generates
    case = type(f"Test{configuration.__name__}", (mixin, generation, unittest.TestCase), members)
    names = [name for name in unittest.TestLoader().getTestCaseNames(case) if name.startswith(start)]
    outcomes = Outcomes()
    for name in names:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")  # some tests expect one
            case(name).run(outcomes)
    return outcomes.found


def main(arguments: argparse.Namespace) -> int:
    """Print the tests that fail, and how many pass; return 1 if more fail on ours than on GPT-2."""
    transformers.logging.disable_default_handler()
    transformers.logging.add_handler(logging.NullHandler())
    transformers.logging.disable_progress_bar()
    # By these names the tests know what a model is for.
    modeling_auto.MODEL_MAPPING_NAMES["spam_gpt"] = "SpamGPTModel"
    modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES["spam_gpt"] = "SpamGPTForCausalLM"
    modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES["spam_gpt"] = "SpamGPTForSequenceClassification"
    with tempfile.TemporaryDirectory() as name:
        fetch(Path(name), arguments.sdist)
        sys.path.insert(0, name)
        mixin = importlib.import_module("their_tests.test_modeling_common").ModelTesterMixin
        found = {subject: run(subject, mixin, arguments.only) for subject in SUBJECTS}
    failed = {name for outcomes in found.values() for name, what in outcomes.items() if what.startswith("fails")}
    for name in sorted(failed):
        print(
            name,
            *(f"  {subject:6} {outcomes.get(name, 'not run')[:110]}" for subject, outcomes in found.items()),
            sep="\n",
        )
    counts = {}
    for subject, outcomes in found.items():
        kinds = [what.split(":")[0] for what in outcomes.values()]
        counts[subject] = kinds.count("fails")
        print(f"{subject:6} " + ", ".join(f"{kinds.count(kind)} {word}" for kind, word in _WORDS.items()))
    return int(counts["ours"] > counts["GPT-2"])


_WORDS = {"passes": "pass", "fails": "fail", "skipped": "are skipped"}


if __name__ == "__main__":
    sys.exit(main(make_parser().parse_args()))
