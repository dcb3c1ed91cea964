"""Options: what `--help` shows, of which spellings there are, and what was given.   pytest tests/test_options.py"""

import importlib
import re
from dataclasses import dataclass, fields

import pytest
from transformers import TrainingArguments

from hf_spam import errors
from hf_spam.commands import COMMANDS, module_name, train
from hf_spam.errors import install_hint
from hf_spam.options import OptionParser, option, to_argv
from hf_spam.training.arguments import SpamTrainingArguments

SECTIONS = [
    "options", "the run", "which messages", "which model", "training recipe", "evaluation during training",
    "checkpoints and resuming", "speed", "publishing",
]  # fmt: skip


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def entries(text: str) -> dict[str, str]:
    """The options of a help text and what is said of each, in one line."""
    found: dict[str, str] = {}
    for block in re.split(r"^  (?=-)", text, flags=re.MULTILINE)[1:]:
        flags, _, help = re.sub(r"\n\n.*", "", block, flags=re.DOTALL).replace("\n", "  ", 1).partition("  ")
        found[flags.split()[0]] = " ".join(help.split())
    return found


def test_a_files_options_as_they_would_be_typed() -> None:
    """An option that a file leaves empty is not given."""
    options = {"seed": None, "report_to": ["tensorboard", "trackio"], "bf16": True, "accelerator_config": {"a": 1}}
    assert to_argv(options) == [
        "--report_to", "tensorboard", "trackio", "--bf16", "true", "--accelerator_config", '{"a": 1}',
    ]  # fmt: skip


def test_help_of_train_is_two_screens_of_our_options() -> None:
    text = train.make_parser().format_help()
    assert len(text.splitlines()) <= 110
    assert re.findall(r"^(\w.*):$", text, re.MULTILINE) == SECTIONS
    shown = {name.removeprefix("--") for name in entries(text)}
    ours = {field.name for field in fields(SpamTrainingArguments) if "group" in field.metadata}
    assert ours - shown == {"hub_strategy", "ddp_find_unused_parameters"}  # nobody has to choose these
    assert {"preset", "config", "weights", "data_file"} <= shown
    assert "adam_beta1" not in shown


def test_help_all_shows_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.parse(["--help_all"])
    text = capsys.readouterr().out
    assert re.findall(r"^(\w.*):$", text, re.MULTILINE) == [*SECTIONS, "the Trainer's own options"]
    shown = {name.removeprefix("--") for name in entries(text)}
    assert {field.name for field in fields(TrainingArguments) if field.init} <= shown
    assert "(default: None)" not in text
    assert [name for name, help in entries(text).items() if help.count("(default") > 1] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_defaults_stand_in_the_help_once(command: str) -> None:
    parser = importlib.import_module(module_name(command)).make_parser()
    text = parser.format_help()
    assert "(default: None)" not in text
    assert text.startswith(f"usage: hf-spam {command} [OPTION ...]")
    for name, help in entries(text).items():
        assert help.count("(default") <= 1, (name, help)
        if name != "-h,":
            default = parser.get_default(name.removeprefix("--"))
            assert default in (None, False) or "(default" in help, (name, default)


def test_what_a_default_looks_like() -> None:
    @dataclass
    class Arguments:
        share: str = option("5 %", "How much.")
        sure: bool = option(True, "Whether.")
        rate: float = option(0.1, "How fast (default: as it comes).")
        name: str | None = option(None, "What.", metavar="NAME")

    help = entries(OptionParser(Arguments, prog="x", description="").format_help())
    assert help["--share"] == "How much (default: 5 %)."
    assert help["--sure"].endswith("Whether (default: true).")
    assert help["--rate"].endswith("How fast (default: as it comes).")
    assert help["--name"].endswith("What.")


def test_both_spellings_and_a_negation_are_accepted() -> None:
    for argv in (["--train_fraction", "0.5"], ["--train-fraction", "0.5"]):
        assert train.make_parser().given(argv) == {"train_fraction": 0.5}
    for argv in (["--no_balance"], ["--no-balance"], ["--balance", "false"]):
        assert train.make_parser().given(argv) == {"balance": False}
    assert train.make_parser().given(["--adam_beta1", "0.8", "--adam-beta2", "0.9"]) == {
        "adam_beta1": 0.8,
        "adam_beta2": 0.9,
    }
    with pytest.raises(errors.UserError, match="argument --train_fraction: invalid float value: 'x'"):
        train.make_parser().given(["--train_fraction", "x"])


def test_the_trainers_defaults_are_repeated_exactly() -> None:
    """Options shown in our help, with the Trainer's own default."""
    theirs = {field.name: field.default for field in fields(TrainingArguments)}
    ours = {field.name: field.default for field in fields(SpamTrainingArguments)}
    documented = set(re.findall(r"`(\w+)`", SpamTrainingArguments.__doc__ or ""))
    assert {name for name in theirs if theirs[name] != ours[name]} <= documented


def test_how_an_extra_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install_hint("onnx") == 'pip install -e ".[onnx]"'  # the tests run in a checkout
    monkeypatch.setattr(errors, "__file__", "/nowhere/site-packages/hf_spam/errors.py")
    assert install_hint("onnx") == 'pip install "hf-spam[onnx]"'
