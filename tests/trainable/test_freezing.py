"""What trains and what does not.   pytest tests/trainable/test_freezing.py"""

import pytest
import torch

from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification
from hf_spam.conversion.to_book import as_book
from hf_spam.trainable.freezing import freeze

HEAD = {"out_head"}
LAST = HEAD | {"final_norm", "trf_blocks.2"}


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("last_layer", HEAD),
        ("last_block", LAST),
        ("last_two_blocks", LAST | {"trf_blocks.1"}),
        ("last_3_blocks", LAST | {"trf_blocks.1", "trf_blocks.0"}),
        ("all", LAST | {"trf_blocks.0", "trf_blocks.1", "tok_emb", "pos_emb"}),
    ],
)
def test_what_trains(tiny_config: SpamGPTConfig, trainable: str, expected: set[str]) -> None:
    tiny_config.n_layers = 3
    tiny_config._attn_implementation = "eager"  # with any other attention the key biases do not move by a gradient
    model = SpamGPTForSequenceClassification(tiny_config)
    freeze(model, "all" if trainable == "last_layer" else "last_layer")  # whatever was frozen before
    names = freeze(model, trainable)
    parts = {".".join(name.split(".")[: 2 if name.startswith("trf_blocks") else 1]) for name in names}
    assert parts == expected

    before = {name: parameter.clone() for name, parameter in as_book(model).named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    model(torch.randint(0, 99, (4, 8)), labels=torch.tensor([0, 1, 0, 1])).loss.backward()
    optimizer.step()
    moved = {name for name, parameter in as_book(model).named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == set(names)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning")  # the name in older releases
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_key_biases_train_on_no_rounding(tiny_config: SpamGPTConfig, attention: str, checkpointing: bool) -> None:
    """Their gradient is exactly zero, and there (DDP and the optimizer need it); the book's way has its noise."""
    tiny_config.n_layers, tiny_config._attn_implementation = 3, attention
    torch.manual_seed(0)
    model = SpamGPTForSequenceClassification(tiny_config).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    for _ in range(2):  # a second call changes nothing
        freeze(model, "all")
    ids, labels = torch.randint(0, 99, (4, 8)), torch.tensor([0, 1, 0, 1])
    for _ in range(2):  # accumulated
        model(ids, labels=labels).loss.backward()
    gradients = {name: parameter.grad for name, parameter in as_book(model).named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    zero = {name for name, gradient in gradients.items() if not torch.any(gradient)}  # type: ignore[arg-type]
    biases = {name for name in gradients if name.endswith("W_key.bias")}
    assert len(biases) == 3
    assert zero == (set() if attention == "eager" else biases)


def test_a_frozen_key_bias_has_no_gradient(tiny_config: SpamGPTConfig) -> None:
    """`freeze` leaves those of frozen blocks alone, also when they trained before."""
    model = SpamGPTForSequenceClassification(tiny_config)
    for trainable in ("all", "last_block"):
        freeze(model, trainable)
    model(torch.randint(0, 99, (4, 8)), labels=torch.tensor([0, 1, 0, 1])).loss.backward()
    first, *_, last = (block.att.W_key.bias.grad for block in model.model.trf_blocks)
    assert first is None
    assert not last.any()
