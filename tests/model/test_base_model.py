"""A base model behind the heads, under names that the ecosystem knows; older checkpoints load all the same.

pytest tests/model/test_base_model.py
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from hf_spam import SpamGPTConfig, SpamGPTForCausalLM, SpamGPTForSequenceClassification, SpamGPTModel
from hf_spam.checkpoint.loading import load_model
from hf_spam.checkpoint.opening import open_checkpoint
from hf_spam.conversion.to_book import as_book

IDS = torch.arange(18).view(2, 9)
LABELS = {"id2label": {0: "ham", 1: "spam"}, "label2id": {"ham": 0, "spam": 1}}
HEADS: dict[type[Any], str] = {SpamGPTForSequenceClassification: "score", SpamGPTForCausalLM: "lm_head"}


@pytest.fixture
def make(tiny_config: SpamGPTConfig) -> Callable[..., Any]:
    """Build a model of a class, with options of its configuration."""

    def build(class_: type[Any], **options: Any) -> Any:
        torch.manual_seed(0)
        return class_(SpamGPTConfig(**tiny_config.to_dict() | LABELS | options)).eval()

    return build


def as_it_was(folder: Path, head: str) -> None:
    """Give the head of a saved model the name that our first version gave every head."""
    file = folder / "model.safetensors"
    state = {name.replace(f"{head}.", "model.out_head."): tensor for name, tensor in load_file(file).items()}
    save_file(state, file, metadata={"format": "pt"})


def test_names(make: Callable[..., Any]) -> None:
    classifier, language_model = make(SpamGPTForSequenceClassification), make(SpamGPTForCausalLM)
    names = list(classifier.state_dict())
    assert names[:2] == ["model.tok_emb.weight", "model.pos_emb.weight"]
    assert "model.trf_blocks.0.att.W_query.weight" in names
    assert names[-2:] == ["score.weight", "score.bias"]
    assert list(language_model.state_dict())[-1] == "lm_head.weight"
    assert list(make(SpamGPTModel).state_dict()) == [
        name.removeprefix("model.") for name in names if name.startswith("model.")
    ]
    for model in (classifier, language_model):
        assert type(model.base_model) is SpamGPTModel
        assert model.get_decoder() is model.base_model
        assert model.get_input_embeddings() is model.model.tok_emb
    assert make(SpamGPTModel).get_decoder().__class__ is SpamGPTModel
    assert (classifier.num_labels, classifier.get_output_embeddings()) == (2, None)
    assert language_model.get_output_embeddings() is language_model.lm_head
    assert language_model.lm_head.weight is language_model.model.tok_emb.weight


def test_the_books_model_shares_the_modules(make: Callable[..., Any]) -> None:
    for class_, head in HEADS.items():
        model = make(class_)
        book = as_book(model)
        assert as_book(book) is book
        assert book.out_head is getattr(model, head)
        assert book.trf_blocks is model.model.trf_blocks
        expected = model(IDS).logits
        assert torch.equal(book(IDS, torch.tensor([8, 8]) if head == "score" else None), expected)


@pytest.mark.parametrize("class_", HEADS)
def test_hidden_states_are_the_heads_input(make: Callable[..., Any], class_: type[Any]) -> None:
    model = make(class_)
    states = model.base_model(IDS).last_hidden_state
    assert states.shape == (2, 9, 16)
    logits = getattr(model, HEADS[class_])(states)
    expected = model(IDS).logits
    torch.testing.assert_close(logits[:, -1] if class_ is SpamGPTForSequenceClassification else logits, expected)


def test_each_class_loads_from_each(make: Callable[..., Any], tmp_path: Path) -> None:
    """With transformers' own report of what is missing and what is left over."""
    heads = {"score.weight", "score.bias"}
    make(SpamGPTForSequenceClassification).save_pretrained(tmp_path / "classifier")
    make(SpamGPTForCausalLM).save_pretrained(tmp_path / "language model")
    make(SpamGPTModel).save_pretrained(tmp_path / "base")
    cases: list[tuple[Any, str, set[str], set[str]]] = [
        (AutoModel, "classifier", set(), heads),
        (AutoModel, "language model", set(), set()),
        (AutoModelForCausalLM, "classifier", set(), heads),
        (AutoModelForCausalLM, "base", set(), set()),
        (AutoModelForSequenceClassification, "language model", heads, set()),
        (AutoModelForSequenceClassification, "base", heads, set()),
    ]
    for auto, folder, missing, unexpected in cases:
        model, report = auto.from_pretrained(tmp_path / folder, output_loading_info=True)
        assert (set(report["missing_keys"]), set(report["unexpected_keys"])) == (missing, unexpected), (auto, folder)
        saved = load_file(tmp_path / folder / "model.safetensors")
        expected = {name.removeprefix("model."): tensor for name, tensor in saved.items() if name not in heads}
        found = model.base_model.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("class_", HEADS)
def test_checkpoints_of_the_first_version(
    make: Callable[..., Any], tmp_path: Path, class_: type[Any], tied: bool
) -> None:
    """By transformers, by our own reader, and by torch; what is saved again has today's names."""
    model = make(class_, tie_word_embeddings=tied)
    expected = model(IDS).logits
    model.save_pretrained(tmp_path / "old")
    as_it_was(tmp_path / "old", HEADS[class_])
    loaded, report = class_.from_pretrained(tmp_path / "old", output_loading_info=True)
    assert (set(report["missing_keys"]), set(report["unexpected_keys"])) == (set(), set())
    assert torch.equal(loaded(IDS).logits, expected)
    loaded.save_pretrained(tmp_path / "new")
    assert load_file(tmp_path / "new" / "model.safetensors").keys() <= model.state_dict().keys()
    assert torch.equal(class_.from_pretrained(tmp_path / "new")(IDS).logits, expected)

    if class_ is SpamGPTForCausalLM:
        opened: Any = load_model(open_checkpoint(tmp_path / "old", ["language model"]))
        assert torch.equal(opened(IDS).logits, expected)
    other = make(class_, tie_word_embeddings=tied)
    with torch.no_grad():
        getattr(other, HEADS[class_]).weight.zero_()
    state: dict[str, Tensor] = {
        name.replace(f"{HEADS[class_]}.", "model.out_head."): tensor for name, tensor in model.state_dict().items()
    }
    other.load_state_dict(state)
    assert torch.equal(other(IDS).logits, expected)
    assert "model.out_head.weight" in state  # the caller's own is not changed


def test_the_code_serves_every_auto_class(make: Callable[..., Any], tmp_path: Path) -> None:
    for class_ in (*HEADS, SpamGPTModel):
        make(class_).save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        assert config["architectures"] == [class_.__name__]
        assert set(config["auto_map"]) == {
            "AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoModelForSequenceClassification"
        }  # fmt: skip
        for target in config["auto_map"].values():
            module, name = target.split(".")
            assert f"class {name}(" in (tmp_path / f"{module}.py").read_text()


@pytest.mark.parametrize("class_", [*HEADS, SpamGPTModel])
def test_embeddings_are_resized(make: Callable[..., Any], tmp_path: Path, class_: type[Any]) -> None:
    model = make(class_)
    before = model(IDS)[0]
    model.resize_token_embeddings(110)
    assert model.config.vocab_size == 110
    after = model(IDS)[0]
    torch.testing.assert_close(after[..., :100] if class_ is SpamGPTForCausalLM else after, before)
    if class_ is SpamGPTForCausalLM:
        assert model.lm_head.weight is model.model.tok_emb.weight
    model.save_pretrained(tmp_path)
    assert torch.equal(class_.from_pretrained(tmp_path)(IDS)[0], after)


# --- the configuration ------------------------------------------------------------------------------------------------


def test_it_answers_to_gpt2s_names(tiny_config: SpamGPTConfig) -> None:
    values: Any = tiny_config
    assert (values.n_embd, values.n_layer, values.n_head, values.n_positions) == (16, 2, 4, 32)
    assert SpamGPTConfig(n_embd=32, n_layer=3, n_head=2, n_positions=64).to_dict().items() >= {
        "emb_dim": 32, "n_layers": 3, "n_heads": 2, "context_length": 64
    }.items()  # fmt: skip


def test_a_small_vocabulary_needs_no_padding(tmp_path: Path) -> None:
    sizes = {"vocab_size": 50, "context_length": 16, "emb_dim": 8, "n_heads": 2, "n_layers": 1, **LABELS}
    config = SpamGPTConfig(**sizes)
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (None, None, None)
    model = SpamGPTForSequenceClassification(config).eval()
    ids, mask = torch.arange(10).view(2, 5), torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
    alone = torch.cat([model(ids[:1]).logits, model(ids[1:, 2:]).logits])
    torch.testing.assert_close(model(ids, mask).logits, alone)
    with pytest.raises(ValueError, match="expected an attention_mask: padding in a batch is not recognised without"):
        model(ids)
    with pytest.raises(ValueError, match="a text without any, and the model has no pad_token_id"):
        model(torch.empty(1, 0))
    with pytest.raises(ValueError, match="last_position pads every row: it needs a pad_token_id, got None"):
        SpamGPTConfig(**sizes, pooling="last_position")
    model.save_pretrained(tmp_path)
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path).config.pad_token_id is None
    language_model = SpamGPTForCausalLM(config).eval()
    assert language_model.generate(ids, attention_mask=mask, max_new_tokens=3, do_sample=False).shape == (2, 8)
