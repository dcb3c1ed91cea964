"""What trains and what does not.   pytest tests/training/test_freezing.py"""

import pytest
import torch

from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification
from hf_spam.training.freezing import Trainable, freeze

HEAD = {"out_head"}
LAST = HEAD | {"final_norm", "trf_blocks.2"}


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("last_layer", HEAD),
        ("last_block", LAST),
        ("last_two_blocks", LAST | {"trf_blocks.1"}),
        ("all", LAST | {"trf_blocks.0", "trf_blocks.1", "tok_emb", "pos_emb"}),
    ],
)
def test_what_trains(tiny_config: SpamGPTConfig, trainable: Trainable, expected: set[str]) -> None:
    tiny_config.n_layers = 3
    tiny_config._attn_implementation = "eager"  # elsewhere the bias of the keys has no gradient
    model = SpamGPTForSequenceClassification(tiny_config)
    freeze(model.model, "all" if trainable == "last_layer" else "last_layer")  # whatever was frozen before
    names = freeze(model.model, trainable)
    parts = {".".join(name.split(".")[: 2 if name.startswith("trf_blocks") else 1]) for name in names}
    assert parts == expected

    before = {name: parameter.clone() for name, parameter in model.model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    model(torch.randint(0, 99, (4, 8)), labels=torch.tensor([0, 1, 0, 1])).loss.backward()
    optimizer.step()
    moved = {name for name, parameter in model.model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == set(names)
