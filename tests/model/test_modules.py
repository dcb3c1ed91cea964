"""Modules are called, not read: whatever others put into a module's forward takes part.

pytest tests/model/test_modules.py
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification
from hf_spam.model.gpt import MultiHeadAttention, is_plain

IDS = torch.arange(18).view(2, 9)
MASK = torch.tensor([[1] * 9, [0] * 3 + [1] * 6])


@pytest.fixture
def model(tiny_config: SpamGPTConfig) -> SpamGPTForSequenceClassification:
    torch.manual_seed(0)
    model = SpamGPTForSequenceClassification(tiny_config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)  # biases too
    return model


def last_projection(model: SpamGPTForSequenceClassification, name: str) -> nn.Linear:
    projection: nn.Linear = getattr(model.model.trf_blocks[-1].att, name)
    return projection


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


ACTORS: dict[str, Callable[[nn.Linear], object]] = {
    "a hook": lambda module: module.register_forward_hook(lambda module, inputs, output: 2 * output),
    "a hook before": lambda module: module.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],)),
    "a forward of its own": lambda module: setattr(module, "forward", lambda x: 2 * nn.Linear.forward(module, x)),
    "pruning": lambda module: prune.l1_unstructured(module, "weight", amount=0.5),
    "a parametrization": lambda module: parametrize.register_parametrization(module, "weight", Doubled()),
}


@pytest.mark.parametrize("name", ["W_key", "W_value"])
@pytest.mark.parametrize("act", ACTORS)
def test_what_acts_in_a_forward_takes_part(
    model: SpamGPTForSequenceClassification, act: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the one position that the last block computes as well as at all, and it changes the score."""
    before = model(IDS, MASK).logits
    projection = last_projection(model, name)
    assert is_plain(projection)
    ACTORS[act](projection)
    assert not is_plain(projection)
    found = model(IDS, MASK).logits
    expected = model(IDS, MASK, output_hidden_states=True).logits  # every position of every block
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert not torch.allclose(found, before, rtol=0, atol=1e-3)


def test_without_them_the_short_way_is_taken(
    model: SpamGPTForSequenceClassification, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    short = MultiHeadAttention._attend_from

    def count(self: Any, *args: Tensor) -> Tensor:
        calls.append(self)
        return short(self, *args)

    monkeypatch.setattr(MultiHeadAttention, "_attend_from", count)
    model(IDS, MASK)
    assert calls == [model.model.trf_blocks[-1].att]
    last_projection(model, "W_key").register_full_backward_hook(lambda *args: None)
    model(IDS, MASK)
    assert len(calls) == 1


@pytest.mark.parametrize("how", ["cpu", "disk", "device map"])
def test_offloaded_weights(model: SpamGPTForSequenceClassification, tmp_path: Path, how: str) -> None:
    """They are on the meta device but for the moment in which their own module runs."""
    expected = model(IDS, MASK, output_hidden_states=True)
    if how == "cpu":
        accelerate.cpu_offload(model)
    elif how == "disk":
        accelerate.disk_offload(model, str(tmp_path / "offloaded"))
    else:
        model.save_pretrained(tmp_path)
        places = {"model.tok_emb": "cpu", "model.pos_emb": "cpu", "model.drop_emb": "cpu", "model.final_norm": "disk"}
        places |= {"model.trf_blocks.0": "cpu", "model.trf_blocks.1": "disk", "score": "disk"}
        model = SpamGPTForSequenceClassification.from_pretrained(
            tmp_path, device_map=places, offload_folder=str(tmp_path / "offloaded")
        )
    assert last_projection(model, "W_key").weight.device.type == "meta"
    found = model(IDS, MASK)
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=1e-5)
    states = model(IDS, MASK, output_hidden_states=True).hidden_states
    torch.testing.assert_close(states, expected.hidden_states, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_an_exported_model_takes_the_short_way(model: SpamGPTForSequenceClassification) -> None:
    """torch.export puts other tensors in the place of parameters; the last block is not exported whole for that."""
    sizes = (torch.export.Dim("batch"), torch.export.Dim("length", max=32))
    program = torch.export.export(model, (IDS, MASK), dynamic_shapes={"input_ids": sizes, "attention_mask": sizes})
    names = [str(node.target) for node in program.graph.nodes]
    assert sum("einsum" in name for name in names) == 2
    torch.testing.assert_close(program.module()(IDS, MASK).logits, model(IDS, MASK).logits, rtol=0, atol=1e-5)
