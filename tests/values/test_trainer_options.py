"""The Trainer's own options: each works, or is refused with the reason.   pytest tests/values"""

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments
from transformers.training_args import OptimizerNames

from hf_spam import SpamTrainingArguments, UserError
from hf_spam.commands import train
from hf_spam.options import build
from hf_spam.values import trainer_checks
from hf_spam.values.trainer_options import FIXED, RANGES

OURS = {field.name: field for field in dataclasses.fields(SpamTrainingArguments)}


def built(*argv: str) -> SpamTrainingArguments:
    return build(SpamTrainingArguments, train.parse([*argv, "--output_dir", "new"]))


def test_every_number_of_the_trainer_has_a_range() -> None:
    """A release that adds a number fails here, by name."""
    for name, field in OURS.items():
        text = str(field.type)
        if field.init and ("int" in text or "float" in text) and "str" not in text:
            assert field.metadata.get("range") or name in RANGES or name in FIXED, name


def test_the_tables_name_fields() -> None:
    assert set(RANGES) - {"warmup_ratio"} <= set(OURS)
    theirs = {field.name: field for field in dataclasses.fields(TrainingArguments)}
    for name, (possible, _) in FIXED.items():
        field = theirs[name]
        default = field.default_factory() if field.default is dataclasses.MISSING else field.default  # type: ignore
        assert name in ("do_train", "do_eval", "do_predict", "hub_strategy") or possible == default, name


FIXED_GIVEN = [
    ["--do_train", "false"], ["--do_eval", "false"], ["--do_predict", "false"], ["--hub_strategy", "every_save"],
    ["--hub_always_push"], ["--prediction_loss_only"], ["--batch_eval_metrics"], ["--no_eval_do_concat_batches"],
    ["--eval_use_gather_object"], ["--include_for_metrics", "inputs"], ["--label_names", "y"],
    ["--length_column_name", "n"], ["--auto_find_batch_size"], ["--fp16_full_eval"], ["--bf16_full_eval"],
    ["--torch_compile"], ["--torch_compile_backend", "eager"], ["--torch_compile_mode", "default"],
    ["--use_liger_kernel"], ["--use_cache"], ["--neftune_noise_alpha", "5"], ["--save_only_model"],
    ["--enable_jit_checkpoint"], ["--ddp_backend", "gloo"], ["--ddp_timeout", "0"], ["--local_rank", "0"],
]  # fmt: skip


@pytest.mark.parametrize("argv", FIXED_GIVEN, ids=lambda argv: argv[0])
def test_options_without_a_choice(argv: list[str]) -> None:
    name = argv[0].removeprefix("--no_").removeprefix("--")
    with pytest.raises(UserError, match=rf"^--{name}: expected .*, found .*: {FIXED[name][1]}\.$"):
        train.parse(argv)


def test_what_happens_anyway_may_be_asked_for() -> None:
    assert built("--do_train", "--do_eval", "--do_predict", "--use_cache", "false").do_eval


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--report_to wandb", "--report_to wandb: cannot be used here: .*wandb"),
        ("--report_to banana", "--report_to: expected none, all, or some of azure_ml, .*found 'banana'"),
        ("--optim adamw_bnb_8bit", "--optim adamw_bnb_8bit: cannot be used here: .*bitsandbytes"),
        ("--optim adam", "--optim: expected one of adamw_torch, .*found 'adam'"),
        ("--optim_args a", "--optim adamw_torch_fused, --optim_args a: cannot be used here"),
        ("--optim_args momentum=0.9", "--optim_args momentum=0.9: this optimizer does not read momentum"),
        ("--optim sgd --optim_args momentum=0.9,rank=3", "this optimizer does not read rank"),
        ("--optim sgd --optim_args momentum=x", "--optim sgd, --optim_args momentum=x: cannot be used here"),
        ("--optim sgd --optim_args nesterov=true", "cannot be used here: Nesterov momentum requires"),
        ("--optim_target_modules all-linear", "--optim_target_modules all-linear: this optimizer does not read mod"),
        ("--lr_scheduler_type zigzag", "--lr_scheduler_type: expected one of linear"),
        ("--lr_scheduler_kwargs {", "--lr_scheduler_kwargs: .*expected JSON"),
        ("--lr_scheduler_kwargs []", r"--lr_scheduler_kwargs: .*expected a JSON object, found a list"),
        ('--lr_scheduler_kwargs {"a":1}', "this schedule reads no --lr_scheduler_kwargs"),
        ('--lr_scheduler_type cosine --lr_scheduler_kwargs {"a":1}', "--lr_scheduler_kwargs .*cannot be used here"),
        ('--lr_scheduler_type cosine --lr_scheduler_kwargs {"num_cycles":"x"}', "--lr_scheduler_kwargs .*cannot be"),
        ("--lr_scheduler_type warmup_stable_decay", "--lr_scheduler_type warmup_stable_decay: cannot be used here"),
        ("--lr_scheduler_type greedy --eval_strategy no", "--lr_scheduler_type greedy: expected --eval_strategy"),
        ("--accelerator_config [1]", r"--accelerator_config: \[1\]: expected a file"),
        ('--accelerator_config {"a":1}', "--accelerator_config: expected some of split_batches, .*found 'a'"),
        ('--accelerator_config {"even_batches":7}', "expected true or false for even_batches, found 7"),
        ('--accelerator_config {"gradient_accumulation_kwargs":{"num_steps":2}}', "without num_steps"),
        ('--accelerator_config {"use_configured_state":true}', "expected use_configured_state false"),
        ("--fsdp full_shard", "--fsdp: expected several processes"),
        ('--fsdp_config {"a":1}', "--fsdp_config: expected --fsdp beside it"),
        ("--dataloader_prefetch_factor 2", "--dataloader_prefetch_factor: expected --dataloader_num_workers above 0"),
        ("--dataloader_persistent_workers true", "--dataloader_persistent_workers: expected --dataloader_num_workers"),
        ("--fp16 true --bf16 true", "--fp16 and --bf16: expected one of them"),
        ("--eval_strategy no --early_stopping_patience 2", "--load_best_model_at_end: expected --eval_strategy"),
        ("--eval_strategy no --save_strategy best", "--save_strategy best: expected --eval_strategy"),
        ("--load_best_model_at_end true --save_strategy no", "expected the save and eval strategy to match"),
        ("--metric_for_best_model auc", "--metric_for_best_model: expected accuracy, .* or loss, found 'auc'"),
        ("--hub_model_id a/b/c", "--hub_model_id: expected a repository as OWNER/NAME"),
        ("--hub_revision a..b", "--hub_revision: expected the name of a branch"),
        ("--logging_steps 1.5", "--logging_steps: .*whole from 1 on, found 1.5"),
    ],
)  # fmt: skip
def test_combinations(argv: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        built(*argv.split())


@pytest.mark.parametrize("name", [name.value for name in OptimizerNames])
def test_every_optimizer_works_or_says_what_it_lacks(name: str) -> None:
    try:
        built("--optim", name)
    except UserError as error:
        assert f"--optim {name}: cannot be used here" in str(error)  # noqa: PT017


@pytest.mark.skipif(torch.accelerator.is_available(), reason="a GPU can do it")
@pytest.mark.parametrize("argv", [["--fp16"], ["--tf32", "true"]])
def test_what_a_cpu_cannot(argv: list[str]) -> None:
    with pytest.raises(UserError, match=rf"^{argv[0]}: expected "):
        built(*argv)


def test_a_missing_deepspeed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--deepspeed: needs the library deepspeed"):
        built("--deepspeed", '{"a": 1}')


def test_configurations_in_files(tmp_path: Path) -> None:
    path = tmp_path / "accelerator.json"
    path.write_text(json.dumps({"use_seedable_sampler": False}))
    assert built("--accelerator_config", str(path)).accelerator_config.use_seedable_sampler is False
    path.write_text("[]")
    with pytest.raises(UserError, match=r"--accelerator_config: .*expected a JSON object, found a list"):
        built("--accelerator_config", str(path))


def test_saving_the_best_needs_no_metric() -> None:
    assert built("--save_strategy", "best").metric_for_best_model == "loss"


def test_trying_draws_nothing() -> None:
    """What is tried before leaves the random stream of the run alone."""
    state = torch.random.get_rng_state()
    built("--lr_scheduler_type", "cosine", "--optim", "sgd")
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("error", "text"), [(ValueError("a\nb"), "a"), (KeyError(), "KeyError"), (OSError(" "), "OSError")]
)
def test_reasons(error: Any, text: str) -> None:
    assert trainer_checks.reason(error) == text
