"""A key-value cache as transformers' GPT-2 has one: every way of generating gives the same text as without it.

pytest tests/model/test_generation.py
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, GPT2LMHeadModel

from hf_spam import SpamGPTConfig, SpamGPTForCausalLM
from hf_spam.conversion.from_gpt2 import fill, load_checkpoint
from hf_spam.conversion.to_book import as_book
from hf_spam.equivalence import native_loop
from hf_spam.model.backbone_spam_gpt import CACHE

PROMPT = [6109, 3626, 6100, 345]  # Every effort moves you
BATCH = torch.tensor([PROMPT, [50256, 50256, 5211, 345]])
MASK = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
GREEDY: Any = {"attention_mask": MASK, "max_new_tokens": 20, "do_sample": False}
CLOSE: Any = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def models(gpt2_folder: Path) -> tuple[Any, Any]:
    """Ours and transformers', from the same weights."""
    checkpoint = load_checkpoint(str(gpt2_folder))
    ours = SpamGPTForCausalLM(SpamGPTConfig(**checkpoint.sizes)).eval()
    fill(as_book(ours), checkpoint)
    theirs = GPT2LMHeadModel.from_pretrained(gpt2_folder).eval()
    theirs.generation_config.pad_token_id = 50256
    return ours, theirs


def test_greedy_text_is_the_native_loops(models: tuple[Any, Any]) -> None:
    ours, _ = models
    expected = native_loop.generate(as_book(ours), PROMPT, 50)
    ids = torch.tensor([PROMPT])
    options: Any = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 50, "do_sample": False}
    options["eos_token_id"] = None
    assert ours.generate(ids, **options)[0].tolist() == expected
    assert ours.generate(ids, **options, use_cache=False)[0].tolist() == expected
    ours.set_attn_implementation("eager")
    try:
        assert ours.generate(ids, **options)[0].tolist() == expected
    finally:
        ours.set_attn_implementation("sdpa")


WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "sampled": {"do_sample": True, "top_k": 5},
    "a fixed size": {"cache_implementation": "static"},
    "a quarter of the positions at a time": {"prefill_chunk_size": 1},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_generates_what_gpt2_does(models: tuple[Any, Any], way: str) -> None:
    """A batch padded on the left."""
    found = []
    for model in models:
        torch.manual_seed(0)
        found.append(model.generate(BATCH, **{**GREEDY, **WAYS[way]}).tolist())
    assert found[0] == found[1]


def test_with_candidates(models: tuple[Any, Any]) -> None:
    """From the prompt, or by a smaller model: what is not accepted leaves the cache."""
    ours, _ = models
    ids = torch.tensor([PROMPT * 3])
    options: Any = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 20, "do_sample": False}
    expected = ours.generate(ids, **options)
    torch.manual_seed(1)
    small = SpamGPTForCausalLM(SpamGPTConfig(emb_dim=16, n_heads=2, n_layers=1, context_length=64)).eval()
    assert torch.equal(ours.generate(ids, **options, prompt_lookup_num_tokens=3), expected)
    assert torch.equal(ours.generate(ids, **options, assistant_model=small), expected)
    assert torch.equal(ours.generate(ids, **options, assistant_model=ours), expected)


def test_from_embeddings(models: tuple[Any, Any]) -> None:
    ours, _ = models
    embeds = ours.get_input_embeddings()(BATCH)
    expected = ours.generate(BATCH, **GREEDY)[:, 4:]
    assert torch.equal(ours.generate(inputs_embeds=embeds, **GREEDY), expected)


def test_a_cache_continues_a_text(models: tuple[Any, Any]) -> None:
    """Token by token and in pieces, under padding, and cut again."""
    ours, _ = models
    ids = torch.cat([BATCH, torch.tensor([[13, 11, 290], [5, 6, 7]])], dim=1)
    mask = torch.cat([MASK, torch.ones(2, 3, dtype=torch.long)], dim=1)
    expected = ours(ids, mask, use_cache=False).logits[mask.bool()]
    assert CACHE not in ours(ids, mask, use_cache=False)
    for pieces in ([4, 3], [1] * 7, [2, 5]):
        cache, found, done = DynamicCache(config=ours.config), [], 0
        for width in pieces:
            part: Tensor = ids[:, done : done + width]
            done += width
            output = ours(part, mask[:, :done], **{CACHE: cache})
            assert output[CACHE] is cache
            found.append(output.logits)
        torch.testing.assert_close(torch.cat(found, dim=1)[mask.bool()], expected, **CLOSE)
        assert cache.get_seq_length() == 7
    output = ours(ids[:, :4], mask[:, :4], use_cache=True)
    with nullcontext() if CACHE == "past_key_values" else pytest.warns(FutureWarning, match="is deprecated.*`cache`"):
        again = ours(ids[:, 4:], mask, past_key_values=output[CACHE]).logits
    torch.testing.assert_close(again, ours(ids, mask).logits[:, 4:], **CLOSE)


def test_beyond_the_context(models: tuple[Any, Any]) -> None:
    ours, _ = models
    cache = ours(torch.arange(64)[None], use_cache=True)[CACHE]
    for use_cache in (True, False):
        ids = torch.arange(65)[None]
        given = {"input_ids": ids[:, -1:], CACHE: cache} if use_cache else {"input_ids": ids, "use_cache": False}
        with pytest.raises(ValueError, match=r"at most 64 tokens \(the model's context\), found 65"):
            ours(**given)


def test_training_keeps_no_cache(models: tuple[Any, Any]) -> None:
    ours, _ = models
    ours.train()
    try:
        assert ours(BATCH).keys() == {"logits"}
    finally:
        ours.eval()
    assert ours(BATCH).keys() == {"logits", CACHE}
