"""LoRA: what trains, what is saved, and that it loads, resumes, shares work and goes to the Hub like any other run.

pytest -m peft tests/training/test_lora.py
"""

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from support.bare_environment import make_bare_environment
from support.killing import PROGRAM as KILLED
from support.loopback_hub import LoopbackHub
from support.messages import write_messages
from support.warm_process import WarmProcess

from hf_spam import SpamClassifier, SpamGPTForSequenceClassification, UserError
from hf_spam.system.manifest import check_manifest
from hf_spam.training.checkpoints import list_checkpoints

pytestmark = [
    pytest.mark.peft,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]

Run = Callable[..., tuple[int, str, str]]
RECIPE = ["--data_file", "messages.csv", "--context_length", "64", "--max_length", "40", "--disable_tqdm", "true"]
RECIPE += ["--trainable", "lora", "--lora_rank", "4", "--learning_rate", "1e-2", "--num_train_epochs", "2"]
RANDOM = ["--weights", "random", "--model_size", "tiny"]
TEXTS = ["You are a winner! Claim your $1000 prize", "", "See you at eight", "Free entry! " * 20, "ok"]
HEAD = {"base_model.model.score.weight", "base_model.model.score.bias"}

# Run with folders or repositories and a file for what comes out: all that people do with an adapter.
LOAD = """
import json, sys
import torch
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer, pipeline

names, target, texts, options = sys.argv[1].split(), sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
found = {"hf_spam": "hf_spam" in sys.modules}
for name in names:
    tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    model = AutoPeftModelForSequenceClassification.from_pretrained(name, **options)
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits
    classify = pipeline("text-classification", model=name, top_k=None, **options)
    scores = [{row["label"]: row["score"] for row in rows} for rows in classify(texts, truncation=True, batch_size=2)]
    found[name] = {"logits": logits.tolist(), "scores": scores}
json.dump(found, open(target, "w"))
"""


@pytest.fixture
def peft() -> Any:
    """The library, which is missing in a default run and must not be where its marker is asked for."""
    return importlib.import_module("peft")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, messages: pd.DataFrame) -> Path:
    """130 real messages: 91 to train, 11 steps an epoch."""
    folder = tmp_path_factory.mktemp("lora")
    write_messages(messages, 65, folder / "messages.csv")
    return folder


@pytest.fixture(scope="module")
def trained(workplace: Path, warm: WarmProcess) -> Path:
    warm.run(["train", *RECIPE, *RANDOM, "--output_dir", "trained"], workplace)
    return workplace / "trained"


@pytest.fixture(scope="module")
def own(workplace: Path, warm: WarmProcess) -> Path:
    """A classifier of ours of the same labels, to start a LoRA from."""
    options = ["--data_file", "messages.csv", "--context_length", "64", "--max_length", "40", "--disable_tqdm", "true"]
    warm.run(["train", *options, *RANDOM, "--trainable", "all", "--max_steps", "3", "--output_dir", "own"], workplace)
    return workplace / "own"


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def figures(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())


def test_adapters_and_head_train_and_the_base_does_not(trained: Path, workplace: Path, warm: WarmProcess) -> None:
    """The base is the start to the last bit: that of a run from the same seed whose steps change nothing."""
    options = ["--learning_rate", "0", "--num_train_epochs", "1"]
    warm.run(["train", *RECIPE, *RANDOM, *options, "--output_dir", "still"], workplace)
    start, state, first = load_file(trained / "base/model.safetensors"), adapter(trained), adapter(workplace / "still")
    assert set(state) == set(first) >= HEAD
    assert all(".lora_A." in name or ".lora_B." in name for name in set(state) - HEAD)
    assert not any(torch.equal(state[name], first[name]) for name in state)
    still = load_file(workplace / "still/base/model.safetensors")
    assert all(torch.equal(start[name], still[name]) for name in start)
    assert torch.equal(start["score.weight"], first["base_model.model.score.weight"])
    assert not any(it.any() for name, it in first.items() if ".lora_B." in name)
    training = figures(trained)["training"]
    assert training["trained_parameters"] == sum(it.numel() for it in state.values())
    assert training["parameters"] == sum(it.numel() for it in start.values()) + sum(
        it.numel() for name, it in state.items() if name not in HEAD
    )


def test_what_a_run_holds(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names >= {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "metrics.json", "base"}
    assert not names & {"model.safetensors", "config.json", "README.md", "gpt.py"}
    assert check_manifest(trained) == []
    assert "base/model.safetensors" in json.loads((trained / "manifest.json").read_text())["files"]
    config = json.loads((trained / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(trained / "base")
    assert config["modules_to_save"] == ["score"]
    assert (trained / "adapter_model.safetensors").stat().st_size < 30_000


def test_defaults_are_pefts(peft: Any) -> None:
    from hf_spam.trainable.adapters import Lora

    theirs = peft.LoraConfig()
    assert (Lora().rank, Lora().alpha, Lora().dropout) == (theirs.r, theirs.lora_alpha, theirs.lora_dropout)


def test_all_linear_is_pefts_all_linear(peft: Any, trained: Path) -> None:
    base = SpamGPTForSequenceClassification.from_pretrained(trained / "base")
    theirs = peft.get_peft_model(base, peft.LoraConfig(task_type="SEQ_CLS", target_modules="all-linear", r=4))
    assert set(peft.get_peft_model_state_dict(theirs)) == set(adapter(trained))


def test_merged_and_unmerged_logits(
    peft: Any, trained: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours, merged at loading and exported, beside peft's own, unmerged."""
    monkeypatch.chdir(trained.parent)  # where its messages are
    classifier = SpamClassifier.from_pretrained(trained)
    assert type(classifier.model) is SpamGPTForSequenceClassification
    base = SpamGPTForSequenceClassification.from_pretrained(trained / "base")
    unmerged = peft.PeftModel.from_pretrained(base, str(trained)).eval()
    expected = SpamClassifier(unmerged, classifier.tokenizer).logits(TEXTS)
    torch.testing.assert_close(classifier.logits(TEXTS), expected, rtol=0, atol=1e-6)
    for format_ in ("merged", "gpt2"):
        code, output, error = run("export", trained, "--format", format_, "--output_dir", tmp_path / format_)
        assert code == 0, error
        assert "0 of 26 labels changed (0.00%)" in output
        found = SpamClassifier.from_pretrained(tmp_path / format_).logits(TEXTS)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert (tmp_path / "merged/modeling_spam_gpt.py").is_file()


def test_an_adapter_folder_is_a_model_everywhere(
    trained: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent)
    moved = tmp_path / "moved"
    shutil.copytree(trained, moved)
    assert run("predict", moved, "See you at eight") == run("predict", trained, "See you at eight")
    code, output, error = run("evaluate", trained)
    assert code == 0, error
    accuracy = figures(trained)["splits"]["test"]["accuracy"]
    assert f"{accuracy:.2%}" in output
    code, output, _ = run("verify", moved)
    assert (code, "files as they were saved; an adapter of ham, spam" in output) == (0, True)


def test_what_a_lora_can_be_told(workplace: Path, warm: WarmProcess, trained: Path) -> None:
    """The prefix cache before the adapters; the best checkpoint, early stopping, class weights, another mix."""
    options = ["--lora_target_modules", "trf_blocks.1.W_query,trf_blocks.1.ff.layers.0", "--lora_dropout", "0.1"]
    options += ["--early_stopping_patience", "1", "--balance", "class_weights", "--prior", "spam=0.13"]
    output = warm.run(["train", *RECIPE, *RANDOM, *options, "--output_dir", "options"], workplace)
    assert "lora   2 layers get adapters of rank 4, alpha 8: 448 parameters; they and the head train" in output
    assert "cache  output of the 1 frozen blocks" in output
    assert "scores are corrected after training to 0.87 ham, 0.13 spam" in output
    state = adapter(workplace / "options")
    assert len(state) == 4 + 2
    assert {name.rpartition(".lora_")[0] for name in set(state) - HEAD} == {
        "base_model.model.model.trf_blocks.1.att.W_query",
        "base_model.model.model.trf_blocks.1.ff.layers.0",
    }
    plain = warm.run(["train", *RECIPE, *RANDOM, "--max_steps", "1", "--output_dir", "plain"], workplace)
    assert "cache  none: adapters train in every block" in plain
    # The correction is in the adapter: what is loaded scores as the run's own evaluation did.
    test = figures(workplace / "options")["splits"]["test"]
    evaluated = warm.run(["evaluate", "options"], workplace)
    assert f"{test['accuracy']:.2%}" in evaluated
    assert re.search(rf"\s{test['loss']:.3f}\s", evaluated)


def assert_same_run(found: Path, expected: Path) -> None:
    """Bit for bit: parameters, figures, history."""
    ours, theirs = adapter(found), adapter(expected)
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    assert (found / "base/model.safetensors").read_bytes() == (expected / "base/model.safetensors").read_bytes()
    one, other = figures(found), figures(expected)
    assert (one["history"], one["splits"]) == (other["history"], other["splits"])
    assert not list(found.glob("checkpoint-*"))


OFTEN = ["--save_strategy", "steps", "--save_steps", "4", "--lora_dropout", "0.2", "--load_best_model_at_end", "true"]
OFTEN += ["--eval_strategy", "steps", "--eval_steps", "4", "--save_total_limit", "2"]


@pytest.fixture(scope="module")
def uninterrupted(workplace: Path, warm: WarmProcess) -> Path:
    warm.run(["train", *RECIPE, *RANDOM, *OFTEN, "--output_dir", "whole/run"], workplace)
    return workplace / "whole/run"


@pytest.mark.parametrize("share", [0.4, 0.6, 0.85])
def test_killed_and_resumed_bit_for_bit(workplace: Path, warm: WarmProcess, uninterrupted: Path, share: float) -> None:
    """SIGKILL at a change of files, in the middle and after the last step, when nothing is left to train."""
    log, tally, root = workplace / "log", workplace / "tally", workplace / f"killed-{share}"
    root.mkdir()

    def start(number: int, *more: str) -> int:
        log.unlink(missing_ok=True)
        words = [str(number), "0", str(root), str(tally), "train", *RECIPE, *RANDOM, *OFTEN]
        (process,) = warm.start_together([*words, "--output_dir", f"{root.name}/run", *more], workplace, 1, KILLED)
        return warm.wait(process)

    counted = workplace / "counted"
    if not counted.exists():
        assert start(0) == 0, log.read_text()
        counted.write_text(tally.read_text())
        assert_same_run(root / "run", uninterrupted)
        shutil.rmtree(root)
        root.mkdir()
    assert start(int(share * int(counted.read_text()))) == -signal.SIGKILL, log.read_text()
    (*_, first) = list_checkpoints(root / "run.partial")
    assert {path.name for path in first.iterdir()} >= {"adapter_model.safetensors", "adapter_config.json"}
    assert not (first / "model.safetensors").exists()
    assert start(0, "--resume_from_checkpoint", "last") == 0, log.read_text()
    assert_same_run(root / "run", uninterrupted)


def test_stopped_at_the_end_and_resumed(workplace: Path, warm: WarmProcess, uninterrupted: Path) -> None:
    """A checkpoint of the last step: its adapters, or the best ones, are loaded, and nothing trains."""
    options = [*RECIPE, *RANDOM, *OFTEN, "--max_steps", "22"]
    warm.run(["train", *options, "--keep_checkpoints", "true", "--output_dir", "kept"], workplace)
    (workplace / "again.partial").mkdir()
    last, *others = list_checkpoints(workplace / "kept")
    for folder in (last, *others):
        shutil.copytree(folder, workplace / "again.partial" / folder.name)
    for name in (".hf-spam", "arguments.json"):
        (workplace / "again.partial" / name).write_bytes(
            b"" if name[0] == "." else (workplace / "kept" / name).read_bytes()
        )
    warm.run(["train", "--output_dir", "again", "--resume_from_checkpoint", "last"], workplace)
    ours, theirs = adapter(workplace / "again"), adapter(workplace / "kept")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    # Another run's adapters are refused in a line.
    code = warm.wait(
        warm.start_together(
            ["train", *options, "--lora_rank", "2", "--output_dir", "other", "--resume_from_checkpoint", str(last)],
            workplace,
            1,
            "import sys; from hf_spam.cli import main; sys.exit(main(sys.argv[1:]))",
        )[0]
    )
    assert code == 2
    assert "expected the adapters of this run, found others" in (workplace / "log").read_text()


def test_two_processes_train_the_same(workplace: Path, warm: WarmProcess) -> None:
    recipe = [*RECIPE, *RANDOM, "--optim", "sgd", "--learning_rate", "0.1"]
    for name, number in (("one", 1), ("two", 2)):
        program = "import sys; from hf_spam.cli import main; sys.exit(main(sys.argv[1:]))"
        started = warm.start_together(["train", *recipe, "--output_dir", name], workplace, number, program)
        assert [warm.wait(process) for process in started] == [0] * number, (workplace / "log").read_text()
    ours, theirs = adapter(workplace / "two"), adapter(workplace / "one")
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-6, msg=name)
    assert figures(workplace / "two")["training"]["processes"] == 2


@pytest.fixture(scope="module")
def with_peft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with transformers, torch and peft, without hf_spam."""
    return make_bare_environment(tmp_path_factory.mktemp("bare") / "venv", "transformers", "torch", "peft")


def load(python: Path, names: list[str], home: Path, **environment: str) -> Any:
    """Load adapters in a fresh process."""
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", "HF_TOKEN")}
    options = json.dumps({"trust_remote_code": True})
    argv = [str(python), "-c", LOAD, " ".join(names), str(home / "found"), json.dumps(TEXTS), options]
    environment = {**kept, "HF_HOME": str(home / "hf"), **environment}
    done = subprocess.run(argv, cwd=home, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((home / "found").read_text())


def test_a_base_of_ours_and_the_hub(
    workplace: Path,
    own: Path,
    trained: Path,
    warm: WarmProcess,
    run: Run,
    hub: LoopbackHub,
    with_peft: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An adapter of a classifier of ours names it; pushed after it, it loads alone, in a folder or from the Hub."""
    warm.run(["train", *RECIPE, "--weights", "own", "--output_dir", "on-own"], workplace)
    folder = workplace / "on-own"
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(own)
    assert not (folder / "base").exists()
    expected = SpamClassifier.from_pretrained(folder).logits(TEXTS)

    code, _, error = run("push", folder, "alice/filter")
    assert (code, hub.requests) == (2, [])
    assert error.startswith(
        f"hf-spam: error: {folder}: expected the base of the adapter on the Hub, found it in {own} alone."
    )
    assert run("push", own, "alice/base")[0] == 0
    code, _, error = run("push", folder, "alice/filter", "--base_model", "alice/base")
    assert code == 0, error
    stored = hub.files("alice/filter")
    assert "adapter_model.safetensors" in stored
    assert not {"model.safetensors", "config.json", "gpt.py"} & set(stored)
    assert json.loads(stored["adapter_config.json"])["base_model_name_or_path"] == "alice/base"
    card = stored["README.md"].decode()
    assert "library_name: peft\n" in card
    assert "base_model: alice/base\n" in card
    assert "LoRA adapters of rank 4, alpha 8, and the head" in card

    found = load(
        with_peft, ["alice/filter", str(folder)], tmp_path / "fresh", **hub.environment(None, tmp_path / "fresh")
    )
    assert not found["hf_spam"]
    for name in ("alice/filter", str(folder)):
        logits = torch.tensor(found[name]["logits"])
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-6)
        for row, scores in zip(expected.softmax(dim=1).tolist(), found[name]["scores"], strict=True):
            assert [scores["ham"], scores["spam"]] == pytest.approx(row, abs=1e-6)
    torch.testing.assert_close(
        SpamClassifier.from_pretrained("alice/filter").logits(TEXTS), expected, rtol=0, atol=1e-6
    )

    # From the repository of a base, a run names that repository, and its adapter is pushed as it is.
    monkeypatch.chdir(workplace)
    code, _, error = run("train", *RECIPE, "--weights", "alice/base", "--output_dir", tmp_path / "hub-run")
    assert code == 0, error
    config = json.loads((tmp_path / "hub-run/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "alice/base"
    assert run("push", tmp_path / "hub-run", "alice/second")[0] == 0

    # Another base in the same place is noticed, here and on the Hub.
    kept = (own / "model.safetensors").read_bytes()
    (own / "manifest.json").unlink()
    shutil.copy(trained / "base/model.safetensors", own)
    with pytest.raises(UserError, match="expected the base that this adapter was trained on, found other weights in"):
        SpamClassifier.from_pretrained(folder)
    code, _, error = run("push", tmp_path / "hub-run", "alice/third", "--base_model", "alice/second")
    assert (code, "expected the weights of" in error) == (2, True)
    (own / "model.safetensors").write_bytes(kept)


def test_a_run_on_top_of_an_adapter(workplace: Path, trained: Path, warm: WarmProcess) -> None:
    """`--weights` takes an adapter like any run: merged, with a new head."""
    argv = ["train", *RECIPE, "--weights", "trained", "--max_steps", "2", "--output_dir", "on-top"]
    assert "of a run of ours: its head over its labels is left out" in warm.run(argv, workplace)
    merged = SpamClassifier.from_pretrained(trained).model.state_dict()
    start = load_file(workplace / "on-top/base/model.safetensors")
    assert all(torch.equal(start[name], merged[name]) for name in start if not name.startswith("score."))
