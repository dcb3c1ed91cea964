"""Nothing is swallowed: each argument of transformers' models is honoured, as GPT-2 honours it, or refused by name.

pytest tests/model/test_arguments.py
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel
from transformers.utils import output_capturing

from hf_spam import SpamGPTConfig, SpamGPTForCausalLM, SpamGPTForSequenceClassification, SpamGPTModel
from hf_spam.conversion.to_gpt2 import to_gpt2

PAD = 99
IDS = torch.randint(0, PAD, (3, 9), generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[1] * 9, [0] * 3 + [1] * 6, [1] * 5 + [0] * 4])
CLOSE: Any = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(params=["sdpa", "eager"])
def classifier(tiny_config: SpamGPTConfig, request: pytest.FixtureRequest) -> SpamGPTForSequenceClassification:
    torch.manual_seed(0)
    tiny_config._attn_implementation = request.param
    return SpamGPTForSequenceClassification(tiny_config).eval()


@pytest.fixture
def language_model(classifier: SpamGPTForSequenceClassification) -> SpamGPTForCausalLM:
    model = SpamGPTForCausalLM(classifier.config).eval()  # type: ignore[arg-type]
    model.model = classifier.model
    model.lm_head.weight = classifier.model.tok_emb.weight
    return model


@pytest.fixture
def gpt2(classifier: SpamGPTForSequenceClassification) -> GPT2LMHeadModel:
    """Transformers' own, with the classifier's weights; eager, which gives attention weights."""
    theirs: GPT2ForSequenceClassification = to_gpt2(classifier)
    config = GPT2Config.from_dict(theirs.config.to_dict() | {"bos_token_id": PAD})
    config._attn_implementation = "eager"
    model = GPT2LMHeadModel(config).eval()
    model.transformer = theirs.transformer
    model.transformer.config = config
    for block in model.transformer.h:
        block.attn.config = config
    model.transformer.ln_f.bias = torch.nn.Parameter(classifier.model.final_norm.shift)
    model.lm_head.weight = theirs.transformer.wte.weight
    return model


def test_states_and_attentions_are_gpt2s(
    classifier: SpamGPTForSequenceClassification, language_model: SpamGPTForCausalLM, gpt2: GPT2LMHeadModel
) -> None:
    asked: Any = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}
    expected = gpt2(IDS, **asked)
    for model in (language_model, classifier):
        found = model(IDS, **asked)
        torch.testing.assert_close(found.hidden_states, expected.hidden_states, **CLOSE)
        torch.testing.assert_close(found.attentions, expected.attentions, **CLOSE)
    torch.testing.assert_close(language_model(IDS, **asked).logits, expected.logits, **CLOSE)
    torch.testing.assert_close(classifier(IDS, **asked).logits, classifier(IDS).logits, **CLOSE)
    assert classifier(IDS).keys() == {"logits"}

    states = classifier(IDS, MASK, output_hidden_states=True).hidden_states  # in the places of their tokens
    alone = classifier(IDS[1:2, 3:], output_hidden_states=True).hidden_states
    for one, other in zip(states, alone, strict=True):
        torch.testing.assert_close(one[1:2, 3:], other, **CLOSE)
    weights = classifier(IDS, MASK, output_attentions=True).attentions
    assert all(layer[1, :, 3:, :3].abs().max() == 0 for layer in weights)  # nothing sees padding
    assert all(torch.isfinite(layer).all() for layer in weights)


def test_asked_for_by_the_configuration(
    classifier: SpamGPTForSequenceClassification, language_model: SpamGPTForCausalLM
) -> None:
    classifier.config.output_hidden_states = True
    for model in (classifier, language_model, classifier.model):
        assert len(model(IDS).hidden_states) == 3
        assert "hidden_states" not in model(IDS, output_hidden_states=False)
    classifier.config.output_hidden_states = False
    classifier.config.return_dict = False
    assert torch.equal(classifier(IDS)[0], classifier(IDS, return_dict=True).logits)
    assert isinstance(classifier(IDS), tuple)
    assert isinstance(language_model(IDS, use_cache=False), tuple)
    labels = torch.tensor([0, 1, 0])
    loss, logits = classifier(IDS, labels=labels)
    assert torch.equal(loss, torch.nn.functional.cross_entropy(logits, labels))


@pytest.mark.skipif(
    not hasattr(output_capturing, "selected_hidden_states"), reason="this transformers gives all states or none"
)
def test_states_of_some_blocks(
    classifier: SpamGPTForSequenceClassification, language_model: SpamGPTForCausalLM
) -> None:
    for model in (classifier, language_model, classifier.model):
        every = model(IDS, output_hidden_states=True).hidden_states
        first, none, last = model(IDS, output_hidden_states=[0, -1]).hidden_states
        assert none is None
        torch.testing.assert_close((first, last), (every[0], every[2]))


def test_return_dict(classifier: SpamGPTForSequenceClassification, language_model: SpamGPTForCausalLM) -> None:
    for model in (classifier, language_model, classifier.model):
        as_tuple = model(IDS, use_cache=False, return_dict=False)
        assert isinstance(as_tuple, tuple)
        assert torch.equal(as_tuple[0], model(IDS, use_cache=False)[0])


def test_embeddings_instead_of_ids(
    classifier: SpamGPTForSequenceClassification, language_model: SpamGPTForCausalLM
) -> None:
    embeds = classifier.get_input_embeddings()(IDS)
    for model in (classifier, language_model):
        for mask in (None, MASK):
            found, expected = model(inputs_embeds=embeds, attention_mask=mask).logits, model(IDS, mask).logits
            real = slice(None) if mask is None or found.dim() == 2 else mask.bool()
            torch.testing.assert_close(found[real], expected[real], **CLOSE)
        for wrong in ({}, {"input_ids": IDS, "inputs_embeds": embeds}):
            with pytest.raises(ValueError, match="expected either input_ids or inputs_embeds"):
                model(**wrong)


def test_embeddings_where_the_last_position_is_read(tiny_config: SpamGPTConfig) -> None:
    config = SpamGPTConfig(**tiny_config.to_dict() | {"pooling": "last_position", "pad_to_length": 12})
    model = SpamGPTForSequenceClassification(config).eval()
    embeds = model.get_input_embeddings()(IDS)
    for mask in (None, MASK):
        expected = model(IDS, mask).logits
        torch.testing.assert_close(model(inputs_embeds=embeds, attention_mask=mask).logits, expected, **CLOSE)
        asked = model(IDS, mask, output_hidden_states=True)
        torch.testing.assert_close(asked.logits, expected, **CLOSE)
        assert asked.hidden_states[0].shape == (3, 12, 16)
    four: dict[str, Any] = {"attention_mask": torch.ones(3, 1, 9, 9)}
    for given in (four, {"position_ids": torch.arange(9)[None]}, {"cache": model.model(IDS, use_cache=True)[1]}):
        with pytest.raises(ValueError, match="last_position reads rows of a fixed width: expected no position_ids"):
            model(IDS, **given)


def test_positions(language_model: SpamGPTForCausalLM, gpt2: GPT2LMHeadModel) -> None:
    positions = torch.arange(9)[None].expand(3, 9) + torch.tensor([[0], [4], [7]])
    found = language_model(IDS, position_ids=positions).logits
    expected = gpt2(IDS, position_ids=positions, use_cache=False).logits
    torch.testing.assert_close(found, expected, **CLOSE)
    with pytest.raises(ValueError, match=r"expected position_ids of 9 tokens, found \[1, 4\]"):
        language_model(IDS, position_ids=torch.arange(4)[None])


def test_packed_texts_do_not_see_each_other(language_model: SpamGPTForCausalLM) -> None:
    packed = torch.cat([IDS[0, :5], IDS[1, :4]])[None]
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 3]])
    found = language_model(packed, position_ids=positions, use_cache=False).logits[0]
    torch.testing.assert_close(found[:5], language_model(IDS[:1, :5]).logits[0], **CLOSE)
    torch.testing.assert_close(found[5:], language_model(IDS[1:2, :4]).logits[0], **CLOSE)


def test_masks_of_what_each_position_sees(
    classifier: SpamGPTForSequenceClassification, language_model: SpamGPTForCausalLM
) -> None:
    """As truth values, or as what is added to the scores."""
    blocks = torch.zeros(9, 9, dtype=torch.bool)
    blocks[:5, :5], blocks[5:, 5:] = True, True
    sees = (blocks & torch.ones(9, 9, dtype=torch.bool).tril()).expand(3, 1, 9, 9)
    added = torch.zeros(sees.shape).masked_fill(~sees, torch.finfo(torch.float32).min)
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 3]])
    expected = classifier(IDS[:, 5:]).logits
    for mask in (sees, added):
        found = language_model(IDS, mask, position_ids=positions).logits
        torch.testing.assert_close(found[:, 5:], language_model(IDS[:, 5:]).logits, **CLOSE)
        torch.testing.assert_close(classifier(IDS, mask, position_ids=positions).logits, expected, **CLOSE)
    for model in (classifier, language_model):
        with pytest.raises(ValueError, match="attention_mask of 2 or 4 dimensions, found 3"):
            model(IDS, torch.ones(3, 9, 9))


def test_logits_to_keep(language_model: SpamGPTForCausalLM) -> None:
    whole = language_model(IDS).logits
    places = torch.tensor([1, 8])
    torch.testing.assert_close(language_model(IDS, logits_to_keep=2).logits, whole[:, -2:])
    torch.testing.assert_close(language_model(IDS, logits_to_keep=places).logits, whole[:, places])
    with pytest.raises(ValueError, match="expected no logits_to_keep with labels"):
        language_model(IDS, labels=IDS, logits_to_keep=1)


def test_labels_that_are_shifted_already(language_model: SpamGPTForCausalLM) -> None:
    """They are the targets, whatever the labels say, and every position of a part of a sequence has one."""
    shifted = torch.nn.functional.pad(IDS[:, 1:], (0, 1), value=-100)
    expected = language_model(IDS, labels=IDS).loss
    for labels in (None, IDS, IDS.flip(0)):
        torch.testing.assert_close(language_model(IDS, labels=labels, shift_labels=shifted).loss, expected, **CLOSE)
    part = shifted[:, :5].contiguous()
    found = language_model(IDS[:, :5], MASK[:, :5], shift_labels=part, num_items_in_batch=24).loss
    logits = language_model(IDS[:, :5], MASK[:, :5]).logits.flatten(0, 1)
    whole = torch.nn.functional.cross_entropy(logits, part.flatten(), reduction="sum")
    torch.testing.assert_close(found, whole / 24, **CLOSE)


@pytest.mark.parametrize("name", ["token_type_ids", "head_mask", "encoder_hidden_states", "maks"])
def test_unknown_keywords_are_refused(
    classifier: SpamGPTForSequenceClassification, language_model: SpamGPTForCausalLM, name: str
) -> None:
    for model in (classifier, language_model, classifier.model):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            model(IDS, **{name: IDS})


def test_a_base_model_under_padding(classifier: SpamGPTForSequenceClassification) -> None:
    base: SpamGPTModel = classifier.model
    states: Tensor = base(IDS, MASK).last_hidden_state
    torch.testing.assert_close(states[1:2, 3:], base(IDS[1:2, 3:]).last_hidden_state, **CLOSE)
    torch.testing.assert_close(states[2:, :5], base(IDS[2:, :5]).last_hidden_state, **CLOSE)
    with pytest.raises(ValueError, match=r"mask with the shape of the ids, \[3, 9\], found \[3, 8\]"):
        base(IDS, MASK[:, :8])
