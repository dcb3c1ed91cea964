"""Quantized models: labels stay, the head stays as it is, and what is saved is loaded back.

pytest tests/model/test_quantization.py
pip install -e ".[quantize,peft]" && pytest -m quantize tests/model/test_quantization.py
"""

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.ao.quantization import quantize_dynamic
from transformers import BitsAndBytesConfig, TorchAoConfig

from hf_spam import SpamClassifier, SpamGPTConfig, SpamGPTForCausalLM, SpamGPTForSequenceClassification, UserError
from hf_spam.model.gpt import MultiHeadAttention, is_plain

CONFIG: dict[str, Any] = {"context_length": 64, "emb_dim": 64, "n_heads": 4, "n_layers": 2, "initializer_range": 0.1}
# A quantization, the type of its linear layers or of their weights, and how many labels of a hundred may change.
QUANTIZATIONS: dict[str, tuple[Callable[[], Any], str, int]] = {
    "8 bit": (lambda: BitsAndBytesConfig(load_in_8bit=True), "Int8Params", 3),
    "4 bit": (lambda: BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"), "Params4bit", 12),
    "int8": (lambda: torchao("Int8WeightOnlyConfig"), "Int8Tensor", 3),
    "int8 dynamic": (lambda: torchao("Int8DynamicActivationInt8WeightConfig"), "Int8Tensor", 3),
}


def torchao(name: str) -> TorchAoConfig:
    return TorchAoConfig(getattr(importlib.import_module("torchao.quantization"), name)())


@pytest.fixture(autouse=True)
def the_same_path_on_every_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On all CPUs alike: bitsandbytes 0.50 packs 4-bit weights when a CPU with AVX512-BF16 first evaluates them.

    What is saved after that is another model, also of transformers' own, so nothing here could be compared.
    """
    if importlib.util.find_spec("bitsandbytes"):
        monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)


@pytest.fixture(scope="module")
def texts(messages: pd.DataFrame) -> list[str]:
    return messages["Text"].tolist()[:100]


@pytest.fixture
def model(texts: list[str], tokenizer: transformers.GPT2Tokenizer) -> SpamGPTForSequenceClassification:
    """Random weights, and a head that gives each label to half of the messages."""
    torch.manual_seed(0)
    model = SpamGPTForSequenceClassification(SpamGPTConfig(**CONFIG)).eval()
    logits = SpamClassifier(model, tokenizer).logits(texts)
    with torch.no_grad():
        model.score.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    return model


@pytest.fixture
def no_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last block reads no weight of a quantized module."""

    def refuse(self: Any, *args: Tensor) -> Tensor:
        raise AssertionError("a quantized weight was read")

    monkeypatch.setattr(MultiHeadAttention, "_attend_from", refuse)


def changed(expected: Tensor, found: Tensor) -> int:
    print("changed", int((expected.argmax(dim=1) != found.argmax(dim=1)).sum()))
    return int((expected.argmax(dim=1) != found.argmax(dim=1)).sum())


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning", "ignore:TypedStorage:UserWarning")
def test_dynamic(
    model: SpamGPTForSequenceClassification,
    tokenizer: transformers.GPT2Tokenizer,
    texts: list[str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Torch's own, which needs no other package. What it replaces is the caller's choice: here all but the head."""
    expected = SpamClassifier(model, tokenizer).logits(texts)
    request.getfixturevalue("no_short_way")
    names = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)} - {"score"}
    spec: Any = dict.fromkeys(names, torch.ao.quantization.default_dynamic_qconfig)
    quantized = quantize_dynamic(model, spec)
    assert type(quantized.score) is nn.Linear
    assert not is_plain(quantized.model.trf_blocks[-1].att.W_key)
    found = SpamClassifier(quantized, tokenizer).logits(texts)
    assert changed(expected, found) <= 3
    assert not torch.equal(expected, found)

    torch.save(quantized.state_dict(), tmp_path / "weights.pt")
    loaded = quantize_dynamic(SpamGPTForSequenceClassification(SpamGPTConfig(**CONFIG)).eval(), spec)
    loaded.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(SpamClassifier(loaded, tokenizer).logits(texts), found)
    every = quantize_dynamic(model, {nn.Linear})  # the usual call, head and all
    assert changed(expected, SpamClassifier(every, tokenizer).logits(texts)) <= 3


@pytest.fixture(params=QUANTIZATIONS)
def quantization(request: pytest.FixtureRequest) -> tuple[Any, str, int]:
    make, kind, most = QUANTIZATIONS[request.param]
    return make(), kind, most


def kinds(model: nn.Module) -> dict[str, str]:
    """The type of the weight of each linear layer."""
    return {name: type(it.weight).__name__ for name, it in model.named_modules() if isinstance(it, nn.Linear)}


@pytest.mark.quantize
@pytest.mark.filterwarnings("ignore")
def test_a_classifier(
    model: SpamGPTForSequenceClassification,
    tokenizer: transformers.GPT2Tokenizer,
    texts: list[str],
    quantization: tuple[Any, str, int],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    options, kind, most = quantization
    model.save_pretrained(tmp_path / "float")
    expected = SpamClassifier(model, tokenizer).logits(texts)
    request.getfixturevalue("no_short_way")
    given = copy.deepcopy(options)
    for class_ in (SpamGPTForSequenceClassification, transformers.AutoModelForSequenceClassification):
        quantized = class_.from_pretrained(tmp_path / "float", quantization_config=options, device_map="cpu")
        assert vars(options) == vars(given)
        found = kinds(quantized)
        assert found.pop("score") == "Parameter"
        assert set(found.values()) == {kind}
        logits = SpamClassifier(quantized, tokenizer).logits(texts)
        assert changed(expected, logits) <= most
        assert not torch.equal(expected, logits)

    quantized.save_pretrained(tmp_path / "quantized")
    loaded = SpamGPTForSequenceClassification.from_pretrained(tmp_path / "quantized", device_map="cpu")
    assert kinds(loaded) == kinds(quantized)
    assert torch.equal(SpamClassifier(loaded, tokenizer).logits(texts), logits)
    with pytest.raises(UserError, match="quantization_config"):  # what is ours holds float weights
        SpamClassifier.from_pretrained(tmp_path / "quantized")


@pytest.mark.quantize
@pytest.mark.filterwarnings("ignore")
def test_a_language_model(quantization: tuple[Any, str, int], tmp_path: Path) -> None:
    """Its head is the token embedding, and no quantization parts them."""
    options, kind, _ = quantization
    torch.manual_seed(0)
    model = SpamGPTForCausalLM(SpamGPTConfig(**CONFIG)).eval()
    model.save_pretrained(tmp_path / "float")
    ids = torch.arange(12)[None]
    expected = model.generate(ids, max_new_tokens=8, do_sample=False)
    quantized = SpamGPTForCausalLM.from_pretrained(tmp_path / "float", quantization_config=options, device_map="cpu")
    assert kinds(quantized)["lm_head"] == "Parameter"
    assert kinds(quantized)["model.trf_blocks.1.ff.layers.0"] == kind
    assert quantized.lm_head.weight is quantized.model.tok_emb.weight
    assert quantized.generate(ids, max_new_tokens=8, do_sample=False).shape == expected.shape
    likeness = torch.cosine_similarity(quantized(ids).logits, model(ids).logits, dim=-1)
    assert likeness.min() > 0.95


@pytest.mark.quantize
@pytest.mark.filterwarnings("ignore")
def test_what_the_user_spares_is_what_is_spared(model: SpamGPTForSequenceClassification, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    options = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=["ff.layers.0"])
    found = kinds(SpamGPTForSequenceClassification.from_pretrained(tmp_path, quantization_config=options))
    assert {name for name, kind in found.items() if kind == "Parameter"} == {
        f"model.trf_blocks.{number}.ff.layers.0" for number in range(2)
    }
    found = kinds(
        SpamGPTForSequenceClassification.from_pretrained(tmp_path, quantization_config={"load_in_8bit": True})
    )
    assert {name for name, kind in found.items() if kind == "Parameter"} == {"score"}


@pytest.mark.quantize
@pytest.mark.filterwarnings("ignore")
def test_adapters_on_four_bits(model: SpamGPTForSequenceClassification, tmp_path: Path) -> None:
    """QLoRA as peft's documentation has it: the adapter and the head train, and are loaded back on the same base."""
    peft: Any = importlib.import_module("peft")
    model.save_pretrained(tmp_path / "float")
    ids = torch.randint(0, 50000, (6, 10), generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 0, 1, 1, 0])

    def base() -> Any:
        options = QUANTIZATIONS["4 bit"][0]()
        return SpamGPTForSequenceClassification.from_pretrained(tmp_path / "float", quantization_config=options)

    adapted = peft.get_peft_model(peft.prepare_model_for_kbit_training(base()), peft.LoraConfig(task_type="SEQ_CLS"))
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[-1] for name in trained if "lora" not in name} == {"weight", "bias"}
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(20):
        loss = adapted(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    adapted.save_pretrained(tmp_path / "adapter")
    loaded = peft.PeftModel.from_pretrained(base(), tmp_path / "adapter").eval()
    torch.testing.assert_close(loaded(input_ids=ids).logits, adapted.eval()(input_ids=ids).logits, rtol=0, atol=1e-5)
