"""Every README of the repository: its commands and programs run, its links resolve, what it lists is what is there.

pytest tests/test_readmes.py

The commands of a README run in its order, in a working folder of its own. What would download GPT-2 and the collection
runs on stand-ins (a GPT-2 of random weights, some of the sample's messages) for two steps; the whole quickstart is
slow. A command is a line of a `sh` block, a `python` block, or the first cell of a table row where that
is nothing but a command.
"""

import ast
import importlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from support.loopback_hub import LoopbackHub
from support.places import ROOT
from support.warm_process import WarmProcess

import hf_spam
from hf_spam import GPTModel, SpamGPTConfig
from hf_spam.cli import COMMANDS
from hf_spam.commands.serve import parse as parse_serve
from hf_spam.equivalence import native_loop
from hf_spam.training.presets import PRESETS

USERS, PACKAGE, EQUIVALENCE = "README.md", "hf_spam/README.md", "hf_spam/equivalence/README.md"
FOUND = sorted(
    str(path.relative_to(ROOT)) for top in ("hf_spam", "scripts", "tests") for path in (ROOT / top).rglob("README.md")
)
READMES = {name: (ROOT / name).read_text(encoding="utf-8") for name in [USERS, *FOUND]}
QUICKSTART = 'pip install ".[sample]" && hf-spam train --preset quickstart'
TESTS = 'pip install -e ".[sample,test]" && pytest'

# What is not run, and why. A key is the command's beginning.
NOT_RUN = {
    "pytest": "it is what runs this",
    "HF_SPAM_DATA=": "it is what runs this",
    "jupyter execute": "it would rewrite the notebook; commands/test_notebook.py runs it",
}

# What runs only with -m slow, and why. A key is a part of the command.
SLOW = {
    ".[sample]": "it trains a whole epoch; others use a checkpoint after two steps",
    "torchrun": "ten seconds each; `accelerate launch` starts its processes by torchrun, and test_processes.py launches",
    "accelerate launch": "ten seconds each; test_processes.py launches with it, test_install.py by its name",
    "uv run": "imports for seconds; the launched commands run the same script",
    "printf": "imports for seconds; test_commands.py has texts on standard input",
    'model="you/': "imports for seconds; test_hub_loading.py does it where hf_spam is not installed",
    "check-equivalence": "GPT-2 small's logits take most of a minute; test_equivalence.py has smaller ones",
    "hf-spam benchmark": "test_benchmark.py has its parts",
    "outputs/from-a-folder": "the stand-in for `hf-spam train` is the same",
    "outputs/best": "two more steps; test_resume.py has the best of the epochs",
    "outputs/variation": "two more steps; test_pooling.py has the rules",
    "hf-spam experiments": "imports for seconds; test_experiments.py has the command",
    "outputs/again": "two more steps, with the options of a file; test_commands.py has it",
    "german": "two more steps; test_any_gpt2.py has other GPT-2s",
    "outputs/tickets": "two more steps; test_tasks.py has three labels",
    "native --weights ./gpt2": "twenty steps; test_native_loop.py has them",
    "--preset book": "two more steps; the equivalence tests have the preset",
    "outputs/robust": "two more steps, and thousands of texts; tests/robustness/ has the options and the table",
    "outputs/filter": "test_calibrate.py and tests/correction have the commands",
    "outputs/grouped": "test_calibrate.py trains so",
    "outputs/folds": "test_calibrate.py has folds",
    "outputs/quickstart-folds": "the same",
    "outputs/chapter-split": "two more steps; test_calibrate.py and tests/reporting have the commands",
    "outputs/another-report": "tests/reporting has the report",
    "hf-spam pretrain": "two steps of a vocabulary's width; tests/pretraining has the command",
    "outputs/pretrained": "it starts from what the command before it leaves",
    "by-two.parquet": "it launches; test_batch_prediction.py has several processes",
    "outputs/mix": "two more steps; test_imbalance.py has priors",
}


class Step(NamedTuple):
    """One command or program of a README."""

    readme: str
    kind: str  # sh or python
    command: str


def find_steps(readme: str) -> Iterator[Step]:
    """The commands of a README, in its order."""
    block = r"^```(?P<kind>sh|python)\n(?P<block>.*?)^```$"
    cell = r"^\| `(?P<cell>(?:hf-spam|python|accelerate|torchrun|uv|pytest) [^`]*)` \|"
    for match in re.finditer(f"{block}|{cell}", READMES[readme], re.MULTILINE | re.DOTALL):
        if match["kind"] == "python":
            yield Step(readme, "python", match["block"])
        else:
            for command in (match["cell"] or match["block"]).strip().splitlines():
                yield Step(readme, "sh", command)


STEPS = [step for readme in READMES for step in find_steps(readme)]
RUN = [step for step in STEPS if not step.command.startswith(tuple(NOT_RUN)) and step.command != TESTS]


def marks(step: Step) -> list[pytest.MarkDecorator]:
    """What a command needs, or how long it takes."""
    if "outputs/onnx" in step.command:
        return [pytest.mark.onnx]
    if "--format web" in step.command:
        return [pytest.mark.browser]
    if any(part in step.command for part in ("outputs/lora", "outputs/on-top")):
        return [pytest.mark.peft]
    if "hf-spam search" in step.command:
        return [pytest.mark.search]
    if "--engine ray" in step.command:
        return [pytest.mark.ray]
    if "pyspark" in step.command:
        return [pytest.mark.spark]
    if "hf-spam serve" in step.command or "127.0.0.1:8000" in step.command:
        return [pytest.mark.serve]
    again = any(step.command == other.command for other in RUN[: RUN.index(step)])
    return [pytest.mark.slow] if again or any(part in step.command for part in SLOW) else []


def shorten(step: Step) -> str:
    """A command or program as it runs here: installed already, on stand-ins, for two steps."""
    command = step.command
    if step.kind == "python":
        command = command.replace("num_train_epochs=1", "max_steps=2").replace('"mini"', '"tiny"')
        return command.replace("SpamGPTConfig(", "SpamGPTConfig(emb_dim=48, n_layers=1, ")
    command = command.removeprefix("pip install").split(" && ")[-1].replace("uv run", "python")
    command = command.replace("SMSSpamCollection", "messages.csv")
    if "check-equivalence" in command:
        command = command.replace(" --model_size small", "").replace(" --steps 5", "")
        return f"{command} --model_size tiny --steps 5"  # the whole is a slow test
    if command == "hf-spam benchmark":
        return f"{command} --model_size tiny --some 10 --parts inference"  # the whole is a slow test
    if command.startswith("hf-spam experiments --list"):
        return f"{command} --model_size tiny"
    if command.startswith("hf-spam experiments") and "--show" not in command:
        few = command.replace(
            "experiments --weights", "experiments row-01 row-18 --weights"
        )  # the whole is a slow test
        return f"{few.replace('mini', 'tiny')} --max_steps 2 --max_length 60 --data_file messages.csv"
    if "hf-spam search" in command:
        return f"{command} --max_steps 2 --model_size tiny --data_file messages.csv --trials 2".replace(
            "--trials 50 ", ""
        )
    if "hf-spam pretrain" in command:
        return f"{command} --max_steps 2 --model_size tiny"
    if "hf-spam cross-validate" in command:
        few = re.sub(r"--folds 5|--seeds( \d)+", "", command)
        return f"{few} --folds 2 --max_steps 2 --model_size tiny"
    if "hf-spam calibrate" in command:
        few = command.replace(" --budget 0.01", "")  # there are too few messages for it
        return f"{few} --budget {0.05 if 'outputs/grouped' in command else 0.5}"
    if not re.search(r"hf-spam train|hf_spam train|scripts/train.py|hf-spam native", command):
        return command
    if "--help" in command or "--resume_from_checkpoint" in command:
        return command
    command = command.replace("--weights dbmdz/german-gpt2", "--weights ./gpt2")
    extra = ["--max_steps 60 --learning_rate 3e-3" if "outputs/grouped" in command else "--max_steps 2"]
    if "quickstart" in command:
        extra += ["--model_size tiny"]
    elif "--weights" not in command:
        extra += ["--weights ./gpt2"]
    if "quickstart" not in command:
        extra += ["--max_length 60"]
    if not re.search(r"--data_(file|dir)", command):
        extra += ["--data_file messages.csv"]
    return " ".join([command, *extra])


# --- the commands run ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory, warm: WarmProcess) -> Path:
    """The folder of a whole quickstart, with what it printed in `log`."""
    folder = tmp_path_factory.mktemp("quickstart")
    warm.run(shlex.split(QUICKSTART.split(" && ")[1])[1:], folder)
    return folder


@pytest.fixture(scope="module")
def template(
    tmp_path_factory: pytest.TempPathFactory, messages: pd.DataFrame, gpt2_folder: Path, warm: WarmProcess
) -> Path:
    """A folder with what the READMEs take for granted."""
    folder = tmp_path_factory.mktemp("readmes") / "template"
    shutil.copytree(gpt2_folder, folder / "gpt2")
    some = pd.concat([messages[messages["Label"] == label].head(100) for label in ("ham", "spam")])
    some.to_csv(folder / "messages.csv", index=False)
    tickets = some.assign(Label=["ham", "service", "fraud", "ham"] * (len(some) // 4))
    tickets.to_csv(folder / "tickets.csv", index=False)
    (listed,) = re.findall(r"```yaml\n(.*?)```", READMES["hf_spam/experiments/README.md"], re.DOTALL)
    (folder / "my-list.yaml").write_text(listed)
    (folder / "corrections.csv").write_text("Text,Label\nSee you at the station at seven,ham\nIs dinner ready?,ham\n")
    argv = "train --preset quickstart --model_size tiny --data_file messages.csv --max_steps 2 --keep_checkpoints true"
    warm.run(argv.split(), folder)
    stock = "--pooling last_token --causal true --output_dir outputs/stopped"  # what transformers' own GPT-2 can do
    warm.run([*argv.split(), *stock.split()], folder)
    (folder / "outputs" / "stopped").rename(folder / "outputs" / "long.partial")  # as if killed at the end
    small = GPTModel(SpamGPTConfig(emb_dim=48, n_layers=1), num_labels=2)
    native_loop.save_state(small, folder / "review_classifier.pth")
    (folder / "scripts").symlink_to(ROOT / "scripts")
    return folder


@pytest.fixture(scope="module")
def workplaces(template: Path) -> Callable[[str], Path]:
    """The working folder of a README."""

    def workplace(readme: str) -> Path:
        folder = template.parent / readme.replace("/", "-")
        if not folder.is_dir():
            shutil.copytree(template, folder, symlinks=True)
            if readme not in (USERS, PACKAGE):  # what these train for themselves
                shutil.rmtree(folder / "outputs" / "quickstart")
        return folder

    return workplace


@pytest.fixture(scope="module")
def your_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    """A Hub where `you` are a user."""
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as running:
        running.tokens = {"hf_you": "you"}
        yield running


@pytest.fixture(scope="module")
def your_server(template: Path, warm: WarmProcess) -> Iterator[int]:
    """The port of a server with the checkpoint that the READMEs take for granted; it is stopped as a user would."""
    (folder := template.parent / "server").mkdir()
    server = warm.start(["serve", template / "outputs" / "quickstart", "--port", "0"], folder)
    deadline = time.monotonic() + 60
    while not (found := re.search(r"127\.0\.0\.1:(\d+);", read_text(folder / "log"))):
        assert time.monotonic() < deadline, read_text(folder / "log")
        time.sleep(0.05)
    yield int(found[1])
    os.kill(server, signal.SIGTERM)
    assert warm.wait(server) == 0


def read_text(path: Path) -> str:
    """What a file holds, if it is there."""
    return path.read_text() if path.is_file() else ""


@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=marks(step)) for step in RUN],
    ids=[f"{step.readme}: {step.command.splitlines()[0][:60]}" for step in RUN],
)
def test_command(
    step: Step, workplaces: Callable[[str], Path], warm: WarmProcess, request: pytest.FixtureRequest
) -> None:
    """Each succeeds and prints something."""
    workplace, command = workplaces(step.readme), shorten(step)
    if step.command == QUICKSTART:
        assert (request.getfixturevalue("quickstart") / "log").read_text()
        return
    environment: dict[str, str] = {}
    if "messages.parquet --output" in command and not (workplace / "messages.parquet").exists():  # run by itself
        template = request.getfixturevalue("template")
        shutil.copytree(template / "outputs" / "quickstart", workplace / "outputs" / "quickstart", dirs_exist_ok=True)
        pd.read_csv(workplace / "messages.csv").to_parquet(workplace / "messages.parquet")
    if step.command.startswith("hf-spam serve"):  # it would not end
        parse_serve(shlex.split(command)[2:])
        command = "curl -s http://127.0.0.1:8000/health"
    if "127.0.0.1:8000" in command:
        command = command.replace("127.0.0.1:8000", f"127.0.0.1:{request.getfixturevalue('your_server')}")
    if "you/" in command:
        hub: LoopbackHub = request.getfixturevalue("your_hub")
        environment = hub.environment("hf_you", workplace / "home")
        if step.kind == "python" and not hub.exists("you/spam-filter"):  # where this runs by itself, with -m slow
            assert not warm.call(
                ["push", "outputs/quickstart", "you/spam-filter"], workplace, **environment
            ).returncode
    plain = step.kind == "sh" and not re.search(r"[|<>$;]", re.sub(r"'[^']*'", "", command))
    words = shlex.split(command) if plain else ["a shell"]
    if words[:3] == ["python", "-m", "hf_spam"]:
        words[:3] = ["hf-spam"]
    if words[0] == "hf-spam":
        result = warm.call(words[1:], workplace, **environment)
    elif words[0] == "python" and "--preset" not in words:
        script = f"import runpy, sys; sys.argv[0] = {words[1]!r}; runpy.run_path({words[1]!r}, run_name='__main__')"
        result = warm.call(words[2:], workplace, program=script)
    elif step.kind == "python" and not environment:
        result = warm.call([], workplace, program=command)
    else:
        environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        argv = (
            [sys.executable, "-c", command] if step.kind == "python" else ["bash", "-euo", "pipefail", "-c", command]
        )
        result = subprocess.run(argv, cwd=workplace, capture_output=True, text=True, env=os.environ | environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_what_is_left_out_is_in_a_readme() -> None:
    """The two lists above name nothing that has gone."""
    for start in NOT_RUN:
        assert any(step.command.startswith(start) for step in STEPS), start
    for part in SLOW:
        assert any(part in step.command for step in RUN), part


@pytest.mark.slow  # as the command
def test_the_quickstart_learns(quickstart: Path) -> None:
    """What the first command promises, with room for other machines' rounding."""
    metrics = json.loads((quickstart / "outputs" / "quickstart" / "metrics.json").read_text())
    assert metrics["splits"]["test"]["messages"] == 973
    assert metrics["splits"]["test"]["accuracy"] >= 0.95
    assert [example["label"] for example in metrics["examples"]] == ["spam", "ham"]


@pytest.mark.slow
def test_what_the_quickstart_prints(quickstart: Path) -> None:
    """The README shows a real run of this preset: line by line the same, but for figures that rounding changes."""
    [shown] = re.findall(r"^```text\n(labels .*?)^```$", READMES[USERS], re.MULTILINE | re.DOTALL)

    def without_figures(text: str) -> list[str]:
        return [re.sub(r"\d+\.\d+", "#", line.removeprefix("\x1b[A")) for line in text.splitlines()]  # up, past bars

    printed = iter(without_figures((quickstart / "log").read_text()))
    for line in without_figures(shown):
        assert line == "..." or line in printed, line  # in this order


def test_what_was_pushed(your_hub: LoopbackHub) -> None:
    """The three repositories that the READMEs' commands fill."""
    for name, kind, file in (
        ("you/spam-filter", "model", "model.safetensors"),
        ("you/another-filter", "model", "model.safetensors"),
        ("you/sms-splits", "dataset", "data/test-00000-of-00001.parquet"),
    ):
        assert {"README.md", file} <= set(your_hub.files(name, kind))


@pytest.mark.slow  # as the command that it looks at
def test_the_proofs_table(workplaces: Callable[[str], Path]) -> None:
    """What `check-equivalence` found here passed, and the README's table has every line of it."""
    folder = workplaces(EQUIVALENCE) / "outputs" / "equivalence"
    report = json.loads((folder / "equivalence.json").read_text())
    assert report["passed"]
    assert {path.name for path in folder.iterdir()} == {"equivalence.json", "loss-curves.pdf", "loss-curves.png"}
    for name in (comparison["what"] for comparison in report["comparisons"]):
        assert re.search(rf"{re.escape(name)} +[0-9,]+ .* passed$", READMES[EQUIVALENCE], re.MULTILINE), name


# --- what they say is what is there ----------------------------------------------------------------------------------


def test_the_users_readme_is_short() -> None:
    assert len(READMES[USERS].encode()) <= 10_240
    [picture] = re.findall(r"!\[[^]]+\]\(([^)]+)\)", READMES[USERS])
    assert (ROOT / picture).stat().st_size <= 60_000


def test_ci_installs_and_tests_as_the_readme_says() -> None:
    steps = (ROOT / ".ci" / "run").read_text().splitlines()
    install, test = TESTS.removeprefix("pip install ").split(" && ")
    assert any(step.startswith("python -m pip install") and step.endswith(install) for step in steps)
    assert test in steps
    assert [step.command for step in find_steps(USERS)][:2] == [QUICKSTART, TESTS]


def slugs(text: str) -> set[str]:
    """The anchors of a Markdown text's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("readme", READMES)
def test_links_resolve(readme: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", READMES[readme]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / readme).parent / path).resolve() if path else ROOT / readme
        assert file.exists(), target
        if anchor:
            text = (file / "README.md" if file.is_dir() else file).read_text(encoding="utf-8")
            assert anchor in slugs(text), target


@pytest.mark.parametrize("readme", READMES)
def test_programs_import_public_names_only(readme: str) -> None:
    programs = [step.command for step in find_steps(readme) if step.kind == "python"]
    for node in (node for program in programs for node in ast.walk(ast.parse(program))):
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] in (
                *("hf_spam", "transformers", "datasets", "torch", "huggingface_hub", "gradio_client", "pyspark"),
            )
            assert node.module != "hf_spam" or {alias.name for alias in node.names} <= set(hf_spam.__all__)
        elif isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= {"hf_spam", "transformers", "datasets", "torch"}


ROOMS = sorted(path.parent.name for path in (ROOT / "hf_spam").glob("*/__init__.py"))


def test_every_room_is_on_the_users_map() -> None:
    section = READMES[USERS].split("\n## Where things are\n")[1].split("\n## ")[0]
    assert sorted(re.findall(r"`(\w+)/`", section)) == sorted([*ROOMS, "hf_spam", "scripts", "tests", "outputs"])


def test_every_module_is_in_its_room() -> None:
    section = READMES[PACKAGE].split("\n## Rooms and modules\n")[1].split("\n## ")[0]
    _, *parts = re.split(r"^\*\*`(\w+)/`\*\*", section, flags=re.MULTILINE)
    listed = {
        room: set(re.findall(r"`(\w+\.(?:py|md))`", text)) for room, text in zip(parts[::2], parts[1::2], strict=True)
    }
    assert sorted(listed) == sorted([*ROOMS, "hf_spam"])
    for room, names in listed.items():
        folder = ROOT / "hf_spam" / ("" if room == "hf_spam" else room)
        found = {path.name for path in folder.iterdir() if path.suffix in (".py", ".md")} - {"README.md"}
        assert names == (found if room == "hf_spam" else found - {"__init__.py"}), room


def test_every_preset_command_and_configuration_is_described() -> None:
    everything = "\n".join(READMES.values())
    assert set(re.findall(r"^\| `(\w+)` \|", READMES[USERS], re.MULTILINE)) == set(PRESETS)
    for command in COMMANDS:
        assert f"hf-spam {command}" in everything, command
    files = {path.name for path in (ROOT / "scripts" / "accelerate").glob("*.yaml")}
    assert set(re.findall(r"^\| `(\w+\.yaml)` \|", READMES["scripts/README.md"], re.MULTILINE)) == files


def test_every_marker_is_described() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {line.split(":")[0] for line in pyproject["tool"]["pytest"]["ini_options"]["markers"]}
    table = READMES["tests/README.md"].split("\n## Markers\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == declared


def test_every_option_exists() -> None:
    """Whatever the READMEs call `--name` is an option of ours, of a script, or of a launcher."""
    known = {"--help", "--help_all", "--version", "--cpu", "--num_processes", "--config_file", "--nproc_per_node"}
    known |= {"--inplace", "--no-deps", "--rows", "--workers"}  # of jupyter execute, pip and growth.py
    known |= {"--nnodes", "--node_rank", "--master_addr", "--master_port", "--machine_rank", "--main_process_ip"}
    known |= {"--dynamo_backend"}  # of accelerate launch
    for command in COMMANDS:
        module = importlib.import_module(f"hf_spam.commands.{command.replace('-', '_')}")
        if hasattr(module, "make_parser"):
            known |= set(module.make_parser()._option_string_actions)
    for readme, text in READMES.items():
        assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text)) <= known, readme
