"""Every pooling rule, with a causal mask and without: its definition, whatever way the scores are computed.

pytest tests/model/test_pooling.py
"""

from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_spam import SpamGPTConfig, SpamGPTForSequenceClassification
from hf_spam.conversion.to_book import as_book
from hf_spam.model.backbone_spam_gpt import CACHE
from hf_spam.model.fields_spam_gpt import READS_PADDING, Pooling

PAD, WIDTH = 99, 14
RULES = [(pooling, causal) for pooling in get_args(Pooling) for causal in (True, False)]
MODELS: dict[tuple[str, bool, str], SpamGPTForSequenceClassification] = {}


def build(pooling: str, causal: bool, attention: str = "sdpa", **options: object) -> SpamGPTForSequenceClassification:
    torch.manual_seed(0)
    given = {"vocab_size": 100, "context_length": 32, "emb_dim": 16, "n_heads": 4, "n_layers": 2, "pad_token_id": PAD}
    given["id2label"] = {0: "ham", 1: "spam"}
    given |= {"bos_token_id": PAD, "eos_token_id": PAD, "attn_implementation": attention, "initializer_range": 0.3}
    config = SpamGPTConfig(**given | {"pooling": pooling, "causal": causal, "pad_to_length": WIDTH} | options)
    return SpamGPTForSequenceClassification(config).eval()


@pytest.fixture(scope="module", params=[f"{pooling}{'' if causal else ', not causal'}" for pooling, causal in RULES])
def model(request: pytest.FixtureRequest) -> SpamGPTForSequenceClassification:
    """A classifier with random weights, of each rule."""
    pooling, _, rest = request.param.partition(",")
    return build(pooling, not rest)


def by_definition(model: SpamGPTForSequenceClassification, ids: list[int]) -> Tensor:
    """The scores of a text alone, from the book's model at every position of the text or the padded row."""
    rule = model.config.pooling
    row = ids + [PAD] * (WIDTH - len(ids)) if rule in READS_PADDING else ids or [PAD]
    logits = as_book(model)(torch.tensor([row]))[0]  # [T, num_labels]
    return {"first": logits[0], "last": logits[-1], "mean": logits.mean(dim=0)}[rule.partition("_")[0]]


@settings(max_examples=15)
@given(
    texts=st.lists(st.lists(st.integers(0, PAD), max_size=12), min_size=1, max_size=4),
    left=st.integers(0, 20),
    right=st.integers(0, 20),
    garbage=st.integers(0, PAD),
)
def test_padding_and_company(
    model: SpamGPTForSequenceClassification, texts: list[list[int]], left: int, right: int, garbage: int
) -> None:
    """Any text, also one with the pad id in it, among others and padded on both sides."""
    width = left + max(map(len, texts)) + right
    ids, mask = torch.full((len(texts), width), garbage), torch.zeros(len(texts), width, dtype=torch.long)
    for row, text in enumerate(texts):
        start = left + row % (max(map(len, texts)) - len(text) + 1)
        ids[row, start : start + len(text)] = torch.tensor(text, dtype=torch.long)
        mask[row, start : start + len(text)] = 1
    expected = torch.stack([by_definition(model, text) for text in texts])
    torch.testing.assert_close(model(ids, mask).logits, expected, rtol=0, atol=1e-5)


def test_the_long_way(model: SpamGPTForSequenceClassification) -> None:
    """Embeddings instead of ids, and weights that are asked for, without the lean last block; the gradients, too."""
    texts = [[5, 6, 7, 8, 9, 10], [11, 12, 13], [14]]
    ids = torch.tensor([[*text, *[PAD] * (6 - len(text))] for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (6 - len(text)) for text in texts])
    labels = torch.tensor([0, 1, 1])
    grads = []
    for asked in ({"input_ids": ids}, {"input_ids": ids, "output_attentions": True}, {"inputs_embeds": True}):
        given = {"inputs_embeds": model.model.tok_emb(ids)} if "inputs_embeds" in asked else asked
        model.zero_grad()
        output = model(attention_mask=mask, labels=labels, **given)
        torch.testing.assert_close(output.logits, model(ids).logits, rtol=0, atol=1e-5)  # the same padding, recognised
        output.loss.backward()
        grads.append({name: it.grad.clone() for name, it in model.named_parameters() if it.grad is not None})
    torch.testing.assert_close(grads[1], grads[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(grads[2], grads[0], rtol=0, atol=1e-5)
    eager = build(model.config.pooling, model.config.causal, "eager")
    torch.testing.assert_close(eager(ids, mask).logits, model(ids, mask).logits, rtol=0, atol=1e-5)


def test_rules_differ() -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    scores = {(pooling, causal): build(pooling, causal)(ids).logits for pooling, causal in RULES}
    for one in scores:
        assert [other for other in scores if torch.allclose(scores[one], scores[other], atol=1e-4)] == [one]


def test_saved_and_loaded(model: SpamGPTForSequenceClassification, tmp_path: Path) -> None:
    """Through transformers, and through our own door; `SpamClassifier` opens it, too."""
    from hf_spam.checkpoint.configuration import read_configuration

    model.save_pretrained(tmp_path)
    ids = torch.tensor([[5, 6, 7, 8, PAD], [1, 2, PAD, PAD, PAD]])
    again = SpamGPTForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(again(ids).logits, model(ids).logits)
    _, config = read_configuration(tmp_path)
    assert (config.pooling, config.causal) == (model.config.pooling, model.config.causal)


@pytest.mark.parametrize("pooling", ["first_token", "mean"])
def test_a_cache_of_the_beginning(pooling: str) -> None:
    model = build(pooling, True)
    cache = model(torch.tensor([[5, 6]]), use_cache=True)[CACHE]
    with pytest.raises(ValueError, match=f"pooling {pooling} reads the text's beginning: expected no cache of it"):
        model(torch.tensor([[7]]), **{CACHE: cache})


def test_a_cache_without_causality() -> None:
    with pytest.raises(ValueError, match="expected no cache: without a causal mask, later tokens change the earlier"):
        build("last_token", False)(torch.tensor([[5, 6]]), use_cache=True)


def test_ignored_labels() -> None:
    """A label with this id leaves its text out of the loss."""
    model = build("last_token", True, ignore_index=50256)
    ids = torch.tensor([[5, 6], [7, 8], [9, 10]])
    ignored = model(ids, labels=torch.tensor([1, 50256, 0])).loss
    assert torch.equal(ignored, model(ids[[0, 2]], labels=torch.tensor([1, 0])).loss)
