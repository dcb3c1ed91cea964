"""Options: what `--help` shows, of which spellings there are, and what was given.   pytest tests/test_options.py"""

import importlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import strange_files as strange
from transformers import TrainingArguments

from hf_spam import errors
from hf_spam.commands import COMMANDS, module_name, train
from hf_spam.dataclass_options import DataclassParser
from hf_spam.errors import install_hint
from hf_spam.options import OptionParser, option, read_config, to_argv
from hf_spam.training.arguments import SpamTrainingArguments

SECTIONS = [
    "options", "the run", "which messages", "labels and balance", "which model", "training recipe", "evaluation during training",
    "checkpoints and resuming", "speed", "publishing",
]  # fmt: skip


@pytest.fixture(scope="module")
def parser() -> OptionParser:
    return train.make_parser()


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


@pytest.mark.parametrize(("name", "content", "message"), strange.OPTIONS.values(), ids=strange.OPTIONS)
def test_option_files_that_say_something_else(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.UserError) as error:
        train.parse(["--config", str(tmp_path / name)])
    assert message in str(error.value)
    assert str(error.value).count(str(tmp_path / name)) == 1
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data_file: --output_dir", {"data_file": ["--output_dir"]}),  # a text is only a text
        ('data_file: "-x y=z"', {"data_file": ["-x y=z"]}),
        ("max_steps: -1", {"max_steps": -1}),
        ("learning_rate: 1e-5", {"learning_rate": 1e-5}),
        ("used_rows: no", {"used_rows": False}),
        ("seed: '7'", {"seed": 7}),
        ("report_to: [tensorboard]", {"report_to": "tensorboard"}),
        ("max_length:", {}),
        ("deepspeed: {a: 1}", {"deepspeed": '{"a": 1}'}),
        ("{}", {}),
    ],
)
def test_values_as_they_are_meant(tmp_path: Path, text: str, expected: dict[str, object]) -> None:
    (tmp_path / "a.yaml").write_text(text)
    options = train.parse(["--config", str(tmp_path / "a.yaml")])
    assert options == {"preset": "default", "output_dir": "outputs/default", **expected}


def test_an_option_file_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(errors.UserError, match=r"a\.yaml: cannot be read as a configuration: expected a regular file"):
        train.parse(["--config", str(tmp_path / "a.yaml")])


yaml_pieces = st.sampled_from(
    ["seed", "data_file", "report_to", ": ", ":", "\n", "- ", "[", "]", "{", "}", "&a ", "*a", "!!int ", "1", "--x", "|", ">",
     "'", '"', "#", "---", "no", "~", "  ", ",", "? ", "2024-01-01", ".inf", "\t", "\x00", "%YAML 1.1\n", "<<"]
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=50) | st.lists(yaml_pieces, max_size=15).map(lambda all: "".join(all).encode()), kind=st.sampled_from(["yaml", "json"]))  # fmt: skip
def test_any_option_file(tmp_path_factory: pytest.TempPathFactory, content: bytes, kind: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"a.{kind}"
    path.write_bytes(content)
    with suppress(errors.UserError):
        assert all(isinstance(name, str) for name in read_config(path))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(options=st.dictionaries(st.sampled_from(["seed", "data_file", "report_to", "balance"]), st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2), max_leaves=4), max_size=2))  # fmt: skip
def test_no_value_becomes_another_option(parser: OptionParser, options: dict[str, object]) -> None:
    with suppress(errors.UserError):
        found = parser.given(to_argv(options, parser))
        assert set(found) <= set(options)
        for name in {"data_file"} & set(found):
            assert found[name] == options[name]


def test_help_of_train_is_two_screens_of_our_options() -> None:
    text = train.make_parser().format_help()
    assert len(text.splitlines()) <= 150
    assert re.findall(r"^(\w.*):$", text, re.MULTILINE) == SECTIONS
    shown = {name.removeprefix("--") for name in entries(text)}
    ours = {field.name for field in fields(SpamTrainingArguments) if "group" in field.metadata}
    assert ours - shown == {
        "hub_strategy",
        "cuda_graphs",
        "dataloader_pin_memory",
        "ddp_find_unused_parameters",
    }  # nobody has to choose these
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

    help = entries(DataclassParser(Arguments, prog="x", description="").format_help())
    assert help["--share"] == "How much (default: 5 %)."
    assert help["--sure"].endswith("Whether (default: true).")
    assert help["--rate"].endswith("How fast (default: as it comes).")
    assert help["--name"].endswith("What.")


def test_both_spellings_and_a_negation_are_accepted() -> None:
    for argv in (["--train_fraction", "0.5"], ["--train-fraction", "0.5"]):
        assert train.make_parser().given(argv) == {"train_fraction": 0.5}
    for argv in (["--no_used_rows"], ["--no-used-rows"], ["--used_rows", "false"]):
        assert train.make_parser().given(argv) == {"used_rows": False}
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
