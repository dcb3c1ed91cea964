"""Options: presets, files and the command line, and what overrides what.   pytest tests/training/test_arguments.py"""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from hf_spam import UserError
from hf_spam.commands.train import make_parser, parse
from hf_spam.data.arguments import DataArguments
from hf_spam.options import build
from hf_spam.training.arguments import ModelArguments, SpamTrainingArguments
from hf_spam.training.presets import PRESETS


def training_arguments(tmp_path: Path, *argv: str) -> SpamTrainingArguments:
    return build(SpamTrainingArguments, parse([*argv, "--output_dir", str(tmp_path)]))


def test_every_changed_default_is_listed(tmp_path: Path) -> None:
    """The docstring names each default that differs from TrainingArguments, and no other."""
    theirs = {field.name: field.default for field in dataclasses.fields(TrainingArguments)}
    ours = {field.name: field.default for field in dataclasses.fields(SpamTrainingArguments)}
    changed = {name for name, default in theirs.items() if ours[name] != default}
    changed |= {"output_dir", "use_cpu"}  # decided when they are built
    docstring = SpamTrainingArguments.__doc__ or ""
    assert set(re.findall(r"`([a-z_0-9]+)` ", docstring)) - {"TrainingArguments"} == changed
    assert set(ours) - set(theirs) == {
        "eval_freq",
        "eval_iter",
        "overwrite_output_dir",
        "global_batch_size",
        "early_stopping_patience",
        "early_stopping_threshold",
        "prefix_cache",
        "prefix_cache_limit",
        "prefix_cache_dir",
        "cuda_graphs",
        "used_rows",
        "keep_checkpoints",
        "augment",
    }


def test_the_book_is_the_chapter(tmp_path: Path) -> None:
    options = parse(["--preset", "book"])
    training = training_arguments(tmp_path, "--preset", "book")
    model = build(ModelArguments, options)
    data = build(DataArguments, options)
    assert (model.weights, model.pooling, model.trainable, model.drop_rate) == (
        "hub",
        "last_position",
        "last_block",
        0.0,
    )
    assert model.attn_implementation == "eager"
    assert (data.balance, data.split_seed, data.train_fraction, data.validation_fraction) == (None, 123, 0.7, 0.1)
    assert (data.max_length, data.data_source, data.data_file) == (None, None, None)
    assert (training.learning_rate, training.weight_decay, training.num_train_epochs) == (5e-5, 0.1, 5)
    assert (training.train_batch_size, training.seed, training.max_grad_norm) == (8, 123, 0.0)
    assert (training.optim, training.lr_scheduler_type, training.warmup_steps) == ("adamw_torch", "constant", 0)
    assert (training.dataloader_drop_last, training.eval_freq, training.eval_iter) == (True, 50, 5)
    assert training.accelerator_config.use_seedable_sampler is False
    assert not training.bf16
    assert not training.fp16


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_are_options_that_any_option_overrides(preset: str, tmp_path: Path) -> None:
    names = {
        field.name
        for type_ in (DataArguments, ModelArguments, SpamTrainingArguments)
        for field in dataclasses.fields(type_)
    }
    assert set(PRESETS[preset]) <= names
    for type_ in (DataArguments, ModelArguments):
        build(type_, parse(["--preset", preset]))
    training_arguments(tmp_path, "--preset", preset)
    overridden = parse(["--preset", preset, "--learning_rate", "0.25", "--pooling", "last_token"])
    assert (overridden["learning_rate"], overridden["pooling"]) == (0.25, "last_token")
    assert overridden["output_dir"] == f"outputs/{preset}"


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_the_command_line_overrides_the_file_overrides_the_preset(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "preset: quickstart\nlearning_rate: 3e-4\nseed: 7\nbalance: false\n")
    options = parse(["--config", path, "--seed", "8"])
    assert options["preset"] == "quickstart"
    assert options["model_size"] == "mini"
    assert (options["learning_rate"], options["seed"], options["balance"]) == (3e-4, 8, "false")
    assert options["output_dir"] == "outputs/quickstart"
    assert parse(["--config", path, "--preset", "book"])["preset"] == "book"


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "weight_decay": 0.0,
        "accelerator_config": {"use_seedable_sampler": False},
        "report_to": ["none"],
        "data_file": "a b.csv",
        "max_length": None,
    }
    options = parse(["--config", write(tmp_path / "a.json", json.dumps(values))])
    assert options == parse(["--config", write(tmp_path / "a.yaml", json.dumps(values))])
    assert options["weight_decay"] == 0.0
    assert options["data_file"] == ["a b.csv"]
    assert "max_length" not in options
    assert build(SpamTrainingArguments, options).accelerator_config.use_seedable_sampler is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat: 1\n", r"a\.yaml: unrecognized arguments: --learning_rat 1. See: hf-spam train --help"),
        ("learning_rate: fast\n", r"a\.yaml: argument --learning_rate: invalid float value: 'fast'"),
        ("pooling: middle\n", r"a\.yaml: argument --pooling: invalid choice: 'middle'"),
        ("preset: slowstart\n", r"a\.yaml: argument --preset: invalid choice: 'slowstart'"),
        ("- a\n", r"a\.yaml: expected a mapping of options to values, found list"),
        ("a: [\n", r"a\.yaml: cannot be read as a configuration"),
        ("data_file: a\ndata_source: sample\n", "expected one of --data_source, --data_file, --data_dir, --train_file, --dataset_name, found --data_source and --data_file"),
    ],
)  # fmt: skip
def test_files_with_mistakes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(["--config", write(tmp_path / "a.yaml", text)])


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read as a configuration"):
        parse(["--config", "none.yaml"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--no-such-option"], "unrecognized arguments: --no-such-option. See: hf-spam train --help"),
        (["--learning_rate"], "argument --learning_rate: expected one argument"),
        (["--preset", "x"], "argument --preset: invalid choice: 'x'"),
        (["--data_file", "a", "--data_dir", "b"], "found --data_file and --data_dir"),
        (["--global_batch_size", "7", "--gradient_accumulation_steps", "2"], "in 2 accumulated batches, found 7"),
        (["--global_batch_size", "8", "--per_device_train_batch_size", "8"], "found --global_batch_size and --per_"),
        (["--max_length", "0"], "--max_length: expected a whole number from 1 to 131,072, found 0"),
        (["--train_fraction", "0.95"], "found 0.95 and 0.1"),
        (["--eval_iter", "0"], "--eval_iter: expected a whole number from 1 to 1,000,000,000, found 0"),
        (["--lr_scheduler_type", "zigzag"], "--lr_scheduler_type: expected one of linear, .*, found 'zigzag'"),
        (["--load_best_model_at_end", "true", "--save_strategy", "no"], "save and eval strategy to match"),
    ],
)
def test_command_lines_with_mistakes(tmp_path: Path, argv: list[str], message: str) -> None:
    def build_all() -> None:
        options = parse([*argv, "--output_dir", str(tmp_path)])
        build(DataArguments, options)
        build(SpamTrainingArguments, options)

    with pytest.raises(UserError, match=message):
        build_all()


def test_another_source_replaces_the_presets() -> None:
    options = parse(["--preset", "quickstart", "--data_file", "mine.csv"])
    assert options["data_file"] == ["mine.csv"]
    assert "data_source" not in options
    assert options["model_size"] == "mini"


def test_all_training_arguments_are_accepted() -> None:
    options = {action.dest for action in make_parser()._actions}
    assert {field.name for field in dataclasses.fields(TrainingArguments) if field.init} <= options
