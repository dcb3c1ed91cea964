"""An adapter's folder may be a stranger's: what is no plain LoRA of its base is refused in one line, without peft.

pytest tests/checkpoint/test_adapter.py
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification, UserError
from hf_spam.checkpoint import adapter as module
from hf_spam.checkpoint import opening
from hf_spam.checkpoint.adapter import Adapter, adapter_shapes
from hf_spam.checkpoint.adapter_base import BASE_HASH, hash_weights
from hf_spam.checkpoint.loading import load_model, read_weights
from hf_spam.checkpoint.opening import open_checkpoint

SIZES = {"context_length": 32, "emb_dim": 8, "n_heads": 2, "n_layers": 2, "vocab_size": 100}
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture(autouse=True)
def without_tokenizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read like those of other checkpoints, which takes most of the time."""
    monkeypatch.setattr(opening, "read_encoder", lambda folder, config: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter as peft writes it, with its base inside."""
    folder = tmp_path_factory.mktemp("adapter") / "run"
    torch.manual_seed(0)
    model = SpamGPTForSequenceClassification(SpamGPTConfig(**SIZES, id2label={0: "ham", 1: "spam"}))
    model.save_pretrained(folder / "base")
    values = {
        "peft_type": "LORA", "task_type": "SEQ_CLS", "bias": "none", "r": 2, "lora_alpha": 4, "use_dora": False,
        "target_modules": ["W_key", "layers.0"], "modules_to_save": ["score", "classifier"], "rank_pattern": {},
        "base_model_name_or_path": "/nowhere/base", "megatron_core": "megatron.core", "lora_dropout": 0.1,
    }  # fmt: skip
    (folder / CONFIG).write_text(json.dumps(values))
    shapes = adapter_shapes(model, Adapter(2, 4, ("W_key", "layers.0"), ""), folder)
    save_file({name: torch.randn(shape) for name, shape in shapes.items()}, folder / WEIGHTS)
    return folder


def told(**changes: Any) -> Callable[[Path], None]:
    """Change fields of the configuration."""

    def change(folder: Path) -> None:
        values = json.loads((folder / CONFIG).read_text()) | changes
        (folder / CONFIG).write_text(json.dumps(values))

    return change


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def change_file(folder: Path) -> None:
        state = load_file(folder / WEIGHTS)
        change(state)
        save_file(state, folder / WEIGHTS)

    return change_file


HEAD = "base_model.model.score.weight"
FIRST = "base_model.model.model.trf_blocks.0.att.W_key.lora_A.weight"
STRANGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no LoRA": (told(peft_type="IA3"), "expected peft_type LORA, found 'IA3'"),
    "another task": (told(task_type="CAUSAL_LM"), "expected task_type SEQ_CLS, found 'CAUSAL_LM'"),
    "biases": (told(bias="all"), "expected bias none, found 'all'"),
    "no rank": (told(r=0), "expected r from 1 to 32,768, found 0"),
    "a rank of another type": (told(r=True), "expected r from 1 to 32,768, found True"),
    "an endless alpha": (told(lora_alpha=1e400), "expected lora_alpha above 0, at most 1,048,576, found inf"),
    "a pattern of layers": (told(target_modules=".*"), "expected target_modules, a list of different names"),
    "a layer twice": (told(target_modules=["W_key", "W_key"]), "a list of different names"),
    "a name of no layer": (told(target_modules=["W_key", "../x"]), "expected names of layers in target_modules"),
    "the head as layer": (told(target_modules=["score"]), "expected layers of the base in target_modules, found 'score'"),
    "no head": (told(modules_to_save=None), "expected modules_to_save, a list with score"),
    "more than the head": (told(modules_to_save=["score", "tok_emb"]), "expected score alone in modules_to_save"),
    "DoRA": (told(use_dora=True), "expected a plain LoRA, found 'use_dora': True"),
    "ranks by layer": (told(rank_pattern={"W_key": 3}), "expected a plain LoRA, found 'rank_pattern'"),
    "something new": (told(runs="code"), "expected a plain LoRA, found 'runs': 'code'"),
    "no base": (told(base_model_name_or_path=7), "expected a folder or repository as base_model_name_or_path, found 7"),
    "another rank": (told(r=3), "its weights do not fit adapter_config.json"),
    "no JSON": (lambda folder: (folder / CONFIG).write_text("{"), "adapter_config.json"),
    "a pickle": (lambda folder: (folder / "adapter_model.bin").touch(), "found adapter_model.bin, a pickle. Delete it."),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), f"expected {WEIGHTS} in it, found none"),
    "torn weights": (lambda folder: (folder / WEIGHTS).write_bytes(b"\0" * 9), "found a damaged file"),
    "a tensor missing": (tensors(lambda state: state.pop(HEAD)), f"{HEAD} is missing"),
    "a tensor more": (tensors(lambda state: state.update(x=state[HEAD] + 0)), "x has no place in the model"),
    "another shape": (tensors(lambda state: state.update({FIRST: torch.ones(2, 9)})), "should be [2, 8] and is [2, 9]"),
    "no number": (tensors(lambda state: state[FIRST].fill_(torch.nan)), "expected finite values"),
    "a base that is a link": (
        lambda folder: ((folder / "base").rename(folder / "b"), (folder / "base").symlink_to("b")),
        "expected the folder of the adapter's base, found a link",
    ),
    "a base of another kind": (
        lambda folder: (shutil.copy(folder / CONFIG, folder / "base"), (folder / "base/config.json").unlink()),
        "expected a classifier, found an adapter",
    ),
    "a folder of this machine": (
        lambda folder: ((folder / "base").rename(folder.parent / "own"), told(base_model_name_or_path=str(folder.parent / "own"))(folder)),
        "found none at base_model_name_or_path",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_a_strange_adapter_is_refused_in_a_line(made: Path, tmp_path: Path, case: str) -> None:
    change, message = STRANGE[case]
    folder = tmp_path / "run"
    shutil.copytree(made, folder)
    change(folder)
    with pytest.raises(UserError, match=re.escape(message)) as refusal:
        read_weights(open_checkpoint(folder))
    assert "\n" not in str(refusal.value)


def test_a_whole_adapter_is_read_without_peft(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only merging needs the library, and says so in a line."""
    opened = open_checkpoint(made)
    assert (opened.kind, opened.adapter) == ("adapter", Adapter(2, 4.0, ("W_key", "layers.0"), "/nowhere/base"))
    assert set(read_weights(opened)) == set(load_file(made / WEIGHTS))
    monkeypatch.setattr(module, "has_peft", lambda: False)
    with pytest.raises(UserError, match=r"an adapter: expected the package peft, found none. Install it: pip install"):
        load_model(opened)


def test_a_base_elsewhere_is_known_by_its_hash(made: Path, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(made, folder)
    (folder / "base").rename(elsewhere)
    told(base_model_name_or_path=str(elsewhere))(folder)
    record = {"training": {BASE_HASH: hash_weights(elsewhere)}}
    (folder / "metrics.json").write_text(json.dumps(record))
    assert open_checkpoint(folder).base.folder == elsewhere  # type: ignore[union-attr]
    (folder / "metrics.json").write_text(json.dumps({"training": {BASE_HASH: "0" * 64}}))
    with pytest.raises(UserError, match="expected the base that this adapter was trained on, found other weights"):
        open_checkpoint(folder)
