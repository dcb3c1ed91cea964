"""Every command and every program of the README, run in the order in which they stand there.

pytest tests/test_readmes.py

They run in one working folder, as a reader's would. What would download GPT-2 and the collection runs on stand-ins on
this machine (a GPT-2 of random weights and the sample's messages) for two steps; the quickstart runs whole.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from support.loopback_hub import LoopbackHub
from support.places import ROOT
from support.warm_process import WarmProcess

from hf_spam import GPTModel, SpamGPTConfig
from hf_spam.equivalence import native_loop

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    (kind, command)
    for kind, block in BLOCKS
    for command in ([block] if kind == "python" else block.strip().splitlines())
]
NEEDS_EXTRA = pytest.mark.onnx  # the only one whose commands stand in a block
CASES = [pytest.param(*case, marks=[NEEDS_EXTRA] if "outputs/onnx" in case[1] else []) for case in COMMANDS]
INSTALL = 'pip install -e ".[sample,test]"'


@pytest.fixture(scope="module")
def workplace(
    tmp_path_factory: pytest.TempPathFactory, messages: pd.DataFrame, gpt2_folder: Path, warm: WarmProcess
) -> Path:
    """A folder with what the README takes for granted."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "scripts").symlink_to(ROOT / "scripts")
    shutil.copytree(gpt2_folder, folder / "gpt2")
    some = pd.concat([messages[messages["Label"] == label].head(100) for label in ("ham", "spam")])
    some.to_csv(folder / "messages.csv", index=False)
    some.set_axis(["kind", "body"], axis=1).to_csv(folder / "named.csv", index=False)
    argv = [
        "train",
        "--preset",
        "quickstart",
        "--model_size",
        "tiny",
        "--max_steps",
        "2",
        "--keep_checkpoints",
        "true",
    ]
    warm.run([*argv, "--output_dir", "outputs/long"], folder)
    (folder / "outputs" / "long").rename(folder / "outputs" / "long.partial")  # as if killed at the end
    native_loop.save_state(GPTModel(SpamGPTConfig(), num_labels=2), folder / "review_classifier.pth")
    return folder


@pytest.fixture(scope="module")
def your_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    """A Hub where `you` are a user."""
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as running:
        running.tokens = {"hf_you": "you"}
        yield running


def prepared(command: str) -> str:
    """A command as it is run here: installed already, and without what only a network can bring."""
    command = command.removeprefix(f"{INSTALL} && ")
    if command == "python scripts/check_equivalence.py":
        return f"{command} --steps 5"  # the whole is a slow test
    if command == "python scripts/benchmark.py":
        return f"{command} --model_size tiny --some 10 --parts inference"  # the whole is a slow test
    trains = command.startswith("hf-spam train") or "scripts/train.py" in command or "scripts/native.py" in command
    if not trains or "--help" in command or "--resume_from_checkpoint" in command:
        return command
    if command == "hf-spam train --preset quickstart":
        return command
    extra = ["--max_steps 2"] if "preset quickstart" not in command else ["--max_steps 2 --model_size tiny"]
    if "quickstart" not in command:
        extra.append("--data_source sample --max_length 60")
        if "--weights" not in command:
            extra.append("--weights ./gpt2")
    return " ".join([command, *extra])


@pytest.mark.parametrize(("kind", "command"), CASES, ids=[command.split("\n")[0][:70] for _, command in COMMANDS])
def test_command(workplace: Path, your_hub: LoopbackHub, warm: WarmProcess, kind: str, command: str) -> None:
    if command == "pytest":
        return  # it is what runs this
    if "outputs/onnx" in command and not (workplace / "outputs" / "quickstart").is_dir():
        warm.run(["train", "--preset", "quickstart"], workplace)  # run by themselves, with -m onnx
    words = shlex.split(prepared(command)) if kind == "sh" else []
    if (
        words[:1] == ["hf-spam"]
        and not {"|", "--help"} & set(words)
        and INSTALL not in command
        and "you/" not in command
    ):
        assert warm.run(words[1:], workplace)  # without seconds of imports each
        return
    if kind == "python":
        argv = [sys.executable, "-c", command]
    else:
        argv = ["bash", "-euo", "pipefail", "-c", prepared(command)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if "you/" in command:
        environment |= your_hub.environment("hf_you", workplace / "home")
    result = subprocess.run(argv, cwd=workplace, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_the_quickstart_learns(workplace: Path) -> None:
    """What the first command promises, with room for other machines' rounding."""
    metrics = json.loads((workplace / "outputs" / "quickstart" / "metrics.json").read_text())
    assert metrics["splits"]["test"]["messages"] == 258
    assert metrics["splits"]["test"]["accuracy"] >= 0.95
    assert [example["label"] for example in metrics["examples"]] == ["spam", "ham"]


def test_what_the_quickstart_prints(workplace: Path) -> None:
    """The README shows a real run of this preset: its sizes, its steps, its messages."""
    shown = README.split("```text\n", 1)[1].split("```", 1)[0]
    run = workplace / "outputs" / "quickstart"
    metrics, config = (json.loads((run / name).read_text()) for name in ("metrics.json", "config.json"))
    assert f"model  {config['n_layers']} layers × {config['emb_dim']} wide, " in shown
    assert f"trained {metrics['training']['steps']:,} steps in " in shown
    sizes = " / ".join(f"{counts['total']:,} {name}" for name, counts in metrics["data"]["counts"].items())
    assert f"data   642 ham + 642 spam: {sizes}; longest train text " in shown
    for example in metrics["examples"]:
        assert re.search(f"^{example['label']:5}[01]\\.\\d+  {re.escape(example['text'])}$", shown, re.MULTILINE)


def test_what_was_pushed(your_hub: LoopbackHub) -> None:
    """The three repositories that the README's commands fill."""
    for name, kind, file in (
        ("you/spam-filter", "model", "model.safetensors"),
        ("you/another-filter", "model", "model.safetensors"),
        ("you/sms-splits", "dataset", "data/test-00000-of-00001.parquet"),
    ):
        assert {"README.md", file} <= set(your_hub.files(name, kind))


def test_the_proofs_table(workplace: Path) -> None:
    """What `check_equivalence` found here passed, and the README's table has every line of it."""
    report = json.loads((workplace / "outputs" / "equivalence" / "equivalence.json").read_text())
    assert report["passed"]
    assert {path.name for path in (workplace / "outputs" / "equivalence").iterdir()} == {
        "equivalence.json",
        "loss-curves.pdf",
        "loss-curves.png",
    }
    for name in (comparison["what"] for comparison in report["comparisons"]):
        assert re.search(rf"{re.escape(name)} +[0-9,]+ .* passed$", README, re.MULTILINE), name


def test_ci_installs_and_tests_as_the_readme_says() -> None:
    steps = (ROOT / ".ci" / "run").read_text().splitlines()
    install = INSTALL.removeprefix("pip install ")
    assert any(step.startswith("python -m pip install") and step.endswith(install) for step in steps)
    assert "pytest" in steps
    assert COMMANDS[0] == ("sh", f"{INSTALL} && hf-spam train --preset quickstart")
    assert COMMANDS[1] == ("sh", "pytest")


def test_the_file_tree_is_complete() -> None:
    tree = README.split("## Where things are", 1)[1].split("## ", 1)[0]
    files = {path.name for path in (ROOT / "hf_spam").glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"\w+\.py", tree)) == files
    for command in (ROOT / "hf_spam" / "commands").glob("*.py"):
        assert command.stem in tree or command.stem == "__init__"
