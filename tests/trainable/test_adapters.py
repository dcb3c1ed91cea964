"""What LoRA is asked for, and what makes no sense with it: refused in one line before anything is read.

pytest tests/trainable/test_adapters.py; the trainings are in tests/training/test_lora.py
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from hf_spam import ModelArguments, SpamGPTConfig, SpamGPTForSequenceClassification, UserError
from hf_spam.checkpoint import adapter, opening
from hf_spam.trainable.adapters import LINEAR_LAYERS, Lora, own_base, wrap_classifier

Run = Callable[..., tuple[int, str, str]]
LORA = ["--trainable", "lora"]
REFUSED = {
    "a rank without": (["--lora_rank", "4"], "--lora_rank: expected with --trainable lora, found --trainable last_block"),
    "layers without": (["--trainable", "all", "--lora_target_modules", "W_key"], "--lora_target_modules: expected with"),
    "rank 0": ([*LORA, "--lora_rank", "0"], "--lora_rank: expected a whole number from 1 to 32,768, found 0"),
    "alpha 0": ([*LORA, "--lora_alpha", "0"], "--lora_alpha: expected a whole number from 1"),
    "dropout 1": ([*LORA, "--lora_dropout", "1"], "--lora_dropout: expected a number of at least 0 and below 1"),
    "no layer": ([*LORA, "--lora_target_modules", "c_attn"], "--lora_target_modules: expected all-linear, or names of"),
    "the head": ([*LORA, "--lora_target_modules", "score"], "found 'score'"),
    "a layer twice": ([*LORA, "--lora_target_modules", "W_key, W_key"], "--lora_target_modules: expected each name once"),
    "a cache": ([*LORA, "--prefix_cache", "on"], "--prefix_cache on: cannot be made: adapters train in every block"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense(run: Run, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(adapter, "has_peft", lambda: True)
    options, message = REFUSED[case]
    code, output, error = run("train", "--data_file", "nowhere.csv", "--weights", "nowhere", *options)
    assert (code, output) == (2, "")
    assert message in error
    assert error.count("\n") == 1
    assert not list(Path.cwd().iterdir())


def test_peft_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "has_peft", lambda: False)
    code, _, error = run("train", "--data_file", "nowhere.csv", *LORA)
    assert code == 2
    assert error == (
        'hf-spam: error: --trainable lora: expected the package peft, found none. Install it: pip install ".[peft]"\n'
    )


def test_sharded_weights(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "has_peft", lambda: True)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    code, _, error = run("train", "--data_file", "nowhere.csv", *LORA)
    assert (code, "expected whole weights on each process, found FSDP or DeepSpeed" in error) == (2, True)


def test_the_native_loop_has_none(run: Run) -> None:
    code, _, error = run("native", "--data_file", "nowhere.csv", *LORA)
    assert (code, "--trainable lora: the chapter's program has no adapters. Use hf-spam train" in error) == (2, True)


def test_names(monkeypatch: pytest.MonkeyPatch, tiny_config: SpamGPTConfig) -> None:
    monkeypatch.setattr(adapter, "has_peft", lambda: True)
    assert ModelArguments().lora is None
    lora = ModelArguments(trainable="lora", lora_rank=16).lora
    assert lora == Lora(rank=16)
    assert Lora().targets == LINEAR_LAYERS
    assert Lora(target_modules="W_key,trf_blocks.1.layers.0, trf_blocks.11.att.out_proj").targets == (
        "W_key",
        "trf_blocks.1.ff.layers.0",
        "trf_blocks.11.att.out_proj",
    )
    model = SpamGPTForSequenceClassification(tiny_config)
    with pytest.raises(UserError, match=r"expected layers of 2 blocks, from 0, found trf_blocks\.2\.att\.W_key"):
        wrap_classifier(model, Lora(target_modules="trf_blocks.2.W_key"), 1)


def test_which_start_is_a_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier of ours with the run's labels and pooling rule, and nothing else."""
    folder = tmp_path / "base"
    labels = {"id2label": {0: "ham", 1: "spam"}, "label2id": {"ham": 0, "spam": 1}}
    config = SpamGPTConfig(
        vocab_size=100, context_length=32, emb_dim=8, n_heads=2, n_layers=2, pad_token_id=99, **labels
    )
    SpamGPTForSequenceClassification(config).save_pretrained(folder)
    monkeypatch.setattr(opening, "read_encoder", lambda folder, config: None)
    config.drop_rate, config.problem_type = 0.1, "single_label_classification"
    found = own_base(str(folder), None, config)
    assert found is not None
    assert (found.name, found.folder) == (str(folder), folder)
    assert own_base(str(folder), "you/base", config).name == "you/base"  # type: ignore[union-attr]
    for changed in ({"pooling": "last_position"}, {"id2label": {0: "spam", 1: "ham"}}, {"pad_token_id": 5}):
        assert own_base(str(folder), None, SpamGPTConfig(**config.to_dict() | changed)) is None
    assert own_base(str(tmp_path), None, config) is None
