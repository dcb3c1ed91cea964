"""Adapters of peft, without naming a module: each trains, its head too, and is saved and loaded.

pytest -m peft tests/model/test_adapters.py
"""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from hf_spam import SpamGPTConfig, SpamGPTForCausalLM, SpamGPTForSequenceClassification

pytestmark = [pytest.mark.peft, pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")]

IDS = torch.randint(0, 99, (6, 10), generator=torch.Generator().manual_seed(0))
MASK = torch.ones_like(IDS)
MASK[1, :4], MASK[2, 6:] = 0, 0
LABELS = torch.tensor([0, 1, 0, 1, 1, 0])

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "LoRA": ("LoraConfig", {}),
    "LoRA of every projection": ("LoraConfig", {"target_modules": "all-linear"}),
    "DoRA": ("LoraConfig", {"use_dora": True}),
    "AdaLoRA": ("AdaLoraConfig", {"total_step": 100}),
    "IA3": ("IA3Config", {}),
    "VeRA": ("VeraConfig", {}),
    "prompt tuning": ("PromptTuningConfig", {"num_virtual_tokens": 4}),
    "prefix tuning": ("PrefixTuningConfig", {"num_virtual_tokens": 4}),
    "p-tuning": ("PromptEncoderConfig", {"num_virtual_tokens": 4, "encoder_hidden_size": 16}),
}


@pytest.fixture
def peft() -> Any:
    """The library, which is missing in a default run and must not be where its marker is asked for."""
    return importlib.import_module("peft")


def build(config: SpamGPTConfig, class_: type[Any] = SpamGPTForSequenceClassification) -> Any:
    torch.manual_seed(1)
    return class_(config)


@pytest.mark.parametrize("pooling", ["last_token", "last_position"])
@pytest.mark.parametrize("method", METHODS)
def test_a_classifier(peft: Any, tiny_config: SpamGPTConfig, tmp_path: Path, method: str, pooling: str) -> None:
    config = SpamGPTConfig(**tiny_config.to_dict() | {"pooling": pooling, "pad_to_length": 16})
    if (method, pooling) == ("prefix tuning", "last_position"):
        model = peft.get_peft_model(build(config), peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4))
        with pytest.raises(ValueError, match="last_position reads rows of a fixed width: expected no position_ids"):
            model(input_ids=IDS, attention_mask=MASK)
        return
    name, options = METHODS[method]
    adapted = peft.get_peft_model(build(config), getattr(peft, name)(task_type="SEQ_CLS", **options))
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert {name.rpartition(".")[2] for name in trained if ".score." in name} == {"weight", "bias"}
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=3e-2)
    losses = []
    for _ in range(40):
        loss = adapted(input_ids=IDS, attention_mask=MASK, labels=LABELS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    expected = adapted.eval()(input_ids=IDS, attention_mask=MASK).logits
    adapted.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(build(config), tmp_path).eval()
    assert torch.equal(loaded(input_ids=IDS, attention_mask=MASK).logits, expected)
    if hasattr(loaded.base_model, "merge_and_unload") and method != "AdaLoRA":
        merged = loaded.merge_and_unload()
        torch.testing.assert_close(merged(IDS, MASK).logits, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_language_model(peft: Any, tiny_config: SpamGPTConfig, method: str) -> None:
    """The loss has a gradient, and a text is generated with the adapter."""
    name, options = METHODS[method]
    adapted = peft.get_peft_model(
        build(tiny_config, SpamGPTForCausalLM), getattr(peft, name)(task_type="CAUSAL_LM", **options)
    )
    adapted(input_ids=IDS, attention_mask=MASK, labels=IDS).loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in adapted.parameters() if p.requires_grad)
    adapted.eval()
    text = adapted.generate(input_ids=IDS[:2], attention_mask=MASK[:2], max_new_tokens=4, do_sample=False)
    assert text.shape == (2, 14)
