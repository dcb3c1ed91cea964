"""The model: equal to GPT-2, blind to padding, loadable by anyone.   pytest tests/model/test_modeling.py"""

import importlib.util
import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from support.warm_process import WarmProcess
from torch import Tensor

import hf_spam
from hf_spam import SpamGPTConfig, SpamGPTForCausalLM, SpamGPTForSequenceClassification
from hf_spam.conversion.from_gpt2 import fill, load_checkpoint
from hf_spam.conversion.to_book import as_book
from hf_spam.model.gpt import GPTModel
from hf_spam.model.layers_spam_gpt import SpamGPTBlock
from hf_spam.model.pooling_spam_gpt import align_left

PAD = 99


@pytest.fixture
def classifier(tiny_config: SpamGPTConfig) -> SpamGPTForSequenceClassification:
    """A tiny classifier with random weights whose scores differ clearly from text to text."""
    torch.manual_seed(0)
    return SpamGPTForSequenceClassification(tiny_config).eval()


@pytest.fixture
def book_classifier(tiny_config: SpamGPTConfig) -> SpamGPTForSequenceClassification:
    """The same, read at the last of 12 positions."""
    torch.manual_seed(0)
    config = SpamGPTConfig(**tiny_config.to_dict() | {"pooling": "last_position", "pad_to_length": 12})
    return SpamGPTForSequenceClassification(config).eval()


def rows_of_ids(batch: int, width: int, seed: int = 0) -> Tensor:
    """Random ids, none of them padding."""
    return torch.randint(0, PAD, (batch, width), generator=torch.Generator().manual_seed(seed))


# --- the architecture -------------------------------------------------------------------------------------------------


def test_the_books_module_names(tiny_config: SpamGPTConfig) -> None:
    names = {name.replace("trf_blocks.1", "trf_blocks.N") for name, _ in GPTModel(tiny_config).named_parameters()}
    block = "trf_blocks.N."
    assert {name for name in names if "trf_blocks.0" not in name} == {
        "tok_emb.weight", "pos_emb.weight", "final_norm.scale", "final_norm.shift", "out_head.weight",
        *(f"{block}norm{n}.{kind}" for n in (1, 2) for kind in ("scale", "shift")),
        *(f"{block}att.{name}.{kind}" for name in ("W_query", "W_key", "W_value", "out_proj") for kind in ("weight", "bias")),
        *(f"{block}ff.layers.{n}.{kind}" for n in (0, 2) for kind in ("weight", "bias")),
    }  # fmt: skip


def test_parameters_of_gpt2_small() -> None:
    with torch.device("meta"):
        model = GPTModel(SpamGPTConfig())
    tied = sum(parameter.numel() for name, parameter in model.named_parameters() if name != "out_head.weight")
    assert tied == 124_439_808


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_eager_and_sdpa_agree(classifier: SpamGPTForSequenceClassification, dtype: torch.dtype) -> None:
    ids = rows_of_ids(4, 20)
    classifier.to(dtype)
    assert classifier.config._attn_implementation == "sdpa"
    fused = classifier(ids).logits
    classifier.set_attn_implementation("eager")
    assert classifier.config._attn_implementation == "eager"
    torch.testing.assert_close(classifier(ids).logits, fused, rtol=0, atol=1e-6)


def test_a_position_does_not_see_its_future(tiny_config: SpamGPTConfig) -> None:
    for implementation in ("eager", "sdpa"):
        tiny_config._attn_implementation = implementation
        model = GPTModel(tiny_config).eval()
        ids, other = rows_of_ids(1, 10), rows_of_ids(1, 10)
        other[0, 6:] = rows_of_ids(1, 4, seed=5)
        assert torch.equal(model(ids)[:, :6], model(other)[:, :6])
        assert not torch.allclose(model(ids)[:, 6:], model(other)[:, 6:])


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_dropout_only_in_training(tiny_config: SpamGPTConfig, implementation: str) -> None:
    tiny_config._attn_implementation = implementation
    tiny_config.drop_rate = 0.5
    model = SpamGPTForSequenceClassification(tiny_config)
    ids = rows_of_ids(2, 8)
    assert torch.equal(model.eval()(ids).logits, model(ids).logits)
    assert not torch.equal(model.train()(ids).logits, model(ids).logits)
    attention = model.model.trf_blocks[0].att.train()
    x = torch.randn(1, 8, tiny_config.emb_dim)
    assert not torch.equal(attention(x), attention(x))  # also on the attention weights


def test_longer_than_the_context(classifier: SpamGPTForSequenceClassification) -> None:
    for mask in (None, torch.ones(1, 33)):
        with pytest.raises(ValueError, match="at most 32 tokens, found one of 33: pass truncation=True"):
            classifier(rows_of_ids(1, 33), mask)
    with pytest.raises(ValueError, match=r"at most 32 tokens \(the model's context\), found 33: pass truncation=True"):
        classifier.model(rows_of_ids(1, 33))


# --- pooling and padding ----------------------------------------------------------------------------------------------

lengths = st.lists(st.integers(0, 12), min_size=1, max_size=5)


@settings(max_examples=60)
@given(lengths=lengths, left=st.integers(0, 40), right=st.integers(0, 40), garbage=st.integers(0, PAD))
@pytest.mark.parametrize("which", ["classifier", "book_classifier"])
def test_padding_and_company_never_change_a_score(
    which: str, request: pytest.FixtureRequest, lengths: list[int], left: int, right: int, garbage: int
) -> None:
    """Every text alone and unpadded, and all together under any padding on both sides, holes in it included."""
    model = request.getfixturevalue(which)
    width = left + max([*lengths, 1]) + right
    input_ids = torch.full((len(lengths), width), garbage)  # what stands under the mask must not matter
    mask = torch.zeros_like(input_ids)
    alone = []
    for row, length in enumerate(lengths):
        ids = rows_of_ids(1, length, seed=row)
        where = left + (row % (max([*lengths, 1]) - length + 1))
        input_ids[row, where : where + length] = ids
        mask[row, where : where + length] = 1
        alone.append(model(ids, torch.ones_like(ids)).logits)
    together = model(input_ids, mask).logits
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-5)


def test_last_token_reads_the_last_token(classifier: SpamGPTForSequenceClassification) -> None:
    ids = rows_of_ids(3, 9)
    every_position = as_book(classifier)(ids)
    torch.testing.assert_close(classifier(ids).logits, every_position[:, -1], rtol=0, atol=1e-6)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    ids[1, 5:] = PAD
    torch.testing.assert_close(classifier(ids, mask).logits[1], every_position[1, 4])
    torch.testing.assert_close(classifier(ids).logits[1], every_position[1, 4])  # recognised by the pad id


@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("qkv_bias", [True, False])
def test_one_position_alone_is_the_same_function(tiny_config: SpamGPTConfig, n_layers: int, qkv_bias: bool) -> None:
    """Scores and every gradient of the last block at one position, against those of every position."""
    tiny_config.n_layers, tiny_config.qkv_bias = n_layers, qkv_bias
    torch.manual_seed(0)
    gpt = GPTModel(tiny_config, num_labels=2).double()
    for parameter in gpt.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # biases, too
    ids, at, labels = rows_of_ids(5, 9), torch.tensor([8, 0, 3, 5, 8]), torch.tensor([0, 1, 1, 0, 1])

    def gradients(logits: Tensor) -> dict[str, Tensor]:
        gpt.zero_grad()
        torch.nn.functional.cross_entropy(logits, labels).backward()
        return {
            name: parameter.grad.clone() for name, parameter in gpt.named_parameters() if parameter.grad is not None
        }

    whole = gpt(ids)[torch.arange(5), at]
    alone = gpt(ids, at)
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-12)
    expected, found = gradients(whole), gradients(alone)
    assert found.keys() == expected.keys() == dict(gpt.named_parameters()).keys()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_one_position_has_the_keys_bias(tiny_config: SpamGPTConfig) -> None:
    """It never changes a score, but DDP waits for the gradient of everything that trains."""
    attention = GPTModel(tiny_config).trf_blocks[0].att
    attention(torch.randn(2, 6, 16), torch.tensor([4, 2])).sum().backward()
    gradient = attention.W_key.bias.grad
    assert gradient is not None
    assert gradient.abs().max() < 1e-6


def test_an_adapter_in_the_place_of_a_projection(tiny_config: SpamGPTConfig) -> None:
    """What is put in a projection's place is used at one position, too."""
    torch.manual_seed(0)
    gpt = GPTModel(tiny_config, num_labels=2)
    ids, at = rows_of_ids(2, 5), torch.tensor([4, 2])
    attention = gpt.trf_blocks[-1].att
    attention.W_key = torch.nn.Sequential(attention.W_key, torch.nn.Linear(16, 16))
    torch.testing.assert_close(gpt(ids, at), gpt(ids)[torch.arange(2), at], rtol=0, atol=1e-6)


def test_dropout_at_one_position(tiny_config: SpamGPTConfig) -> None:
    """On the attention weights, the value's bias with them, and on the shortcuts; the mean is what it is without."""
    tiny_config.drop_rate = 0.5
    torch.manual_seed(0)
    attention = GPTModel(tiny_config).trf_blocks[0].att.double()
    torch.nn.init.normal_(attention.W_value.bias)
    torch.nn.init.zeros_(attention.W_value.weight)  # what varies is the bias, dropped with the weights
    x, at = torch.randn(1, 6, 16, dtype=torch.double), torch.tensor([4])
    with torch.no_grad():
        many = torch.stack([attention(x, at)[0, 0] for _ in range(4000)])
        mean = attention.eval()(x)[0, 4]
    assert many.std(dim=0).min() > 0.01
    torch.testing.assert_close(many.mean(dim=0), mean, rtol=0, atol=0.08)


@pytest.mark.parametrize("frozen", [1, 2, 3])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_states_of_the_frozen_blocks(tiny_config: SpamGPTConfig, frozen: int, attention: str) -> None:
    tiny_config.n_layers, tiny_config._attn_implementation = 3, attention
    torch.manual_seed(0)
    gpt = GPTModel(tiny_config, num_labels=2)
    gpt.requires_grad_(False).out_head.requires_grad_(True)
    for block in gpt.trf_blocks[frozen:]:
        block.requires_grad_(True)
    assert gpt.frozen_blocks == frozen
    ids, at = rows_of_ids(4, 7), torch.tensor([6, 2, 0, 4])
    states = gpt.states(ids, frozen)
    if frozen == 3:  # nothing but the head trains: the pooled position's alone
        states = states[torch.arange(4), at][:, None]
    torch.testing.assert_close(gpt(ids, at, states, frozen), gpt(ids)[torch.arange(4), at], rtol=0, atol=1e-6)


def test_last_position_is_the_books(book_classifier: SpamGPTForSequenceClassification) -> None:
    ids = rows_of_ids(2, 7)
    padded = torch.nn.functional.pad(ids, (0, 5), value=PAD)
    expected = as_book(book_classifier)(padded)[:, -1]
    for rows in (ids, padded, torch.nn.functional.pad(padded, (0, 30), value=PAD)):
        torch.testing.assert_close(book_classifier(rows).logits, expected, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="at most 12 tokens, found one of 13"):
        book_classifier(rows_of_ids(1, 13))


def test_without_a_mask_as_transformers_does(classifier: SpamGPTForSequenceClassification) -> None:
    """The rightmost id that does not pad: a marker inside is text, one at the end is skipped, a row of it reads 0."""
    ids = rows_of_ids(3, 6)
    ids[0, 2] = PAD
    ids[1, 4:] = PAD
    ids[2] = PAD
    every_position = as_book(classifier)(ids)
    expected = torch.stack([every_position[0, 5], every_position[1, 3], every_position[2, 0]])
    torch.testing.assert_close(classifier(ids).logits, expected, rtol=0, atol=1e-6)


def test_under_a_mask_a_final_marker_is_text(classifier: SpamGPTForSequenceClassification) -> None:
    ids = rows_of_ids(1, 6)
    ids[0, -1] = PAD
    expected = as_book(classifier)(ids)[:, -1]
    torch.testing.assert_close(classifier(ids, torch.ones_like(ids)).logits, expected, rtol=0, atol=1e-6)


def test_a_text_without_tokens_is_one_marker(classifier: SpamGPTForSequenceClassification) -> None:
    marker = classifier(torch.tensor([[PAD]])).logits
    assert torch.equal(classifier(torch.empty(1, 0), torch.empty(1, 0)).logits, marker)  # floats, as tokenizers give
    torch.testing.assert_close(classifier(rows_of_ids(1, 4), torch.zeros(1, 4)).logits, marker)


def test_a_mask_of_another_shape(classifier: SpamGPTForSequenceClassification) -> None:
    with pytest.raises(ValueError, match=r"mask with the shape of the ids, \[2, 6\], found \[2, 5\]"):
        classifier(rows_of_ids(2, 6), torch.ones(2, 5))


def test_align_left() -> None:
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    mask = torch.tensor([[0, 1, 0, 1], [1, 1, 1, 1]])
    aligned, lengths, order = align_left(ids, mask, PAD)
    assert aligned.tolist() == [[2, 4, PAD, PAD], [5, 6, 7, 8]]
    assert lengths.tolist() == [2, 4]
    assert order.tolist() == [[1, 3, 0, 2], [0, 1, 2, 3]]


def test_loss_of_labels(classifier: SpamGPTForSequenceClassification) -> None:
    ids, labels = rows_of_ids(4, 6), torch.tensor([0, 1, 1, 0])
    output = classifier(ids, labels=labels)
    torch.testing.assert_close(output.loss, torch.nn.functional.cross_entropy(output.logits, labels))
    summed = classifier(ids, labels=labels, num_items_in_batch=8).loss  # the Trainer's, over two accumulated batches
    torch.testing.assert_close(summed, output.loss / 2)


@pytest.mark.parametrize("num_labels", [1, 2, 3, 77])
def test_any_number_of_labels(tiny_config: SpamGPTConfig, num_labels: int, tmp_path: Path) -> None:
    config = SpamGPTConfig(**tiny_config.to_dict() | {"id2label": {n: f"class {n}" for n in range(num_labels)}})
    model = SpamGPTForSequenceClassification(config).eval()
    ids = rows_of_ids(3, 5)
    labels = torch.rand(3) if num_labels == 1 else torch.tensor([0, num_labels - 1, 0])
    output = model(ids, labels=labels)
    assert output.logits.shape == (3, num_labels)
    output.loss.backward()
    model.save_pretrained(tmp_path)
    again = SpamGPTForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.id2label == config.id2label
    assert torch.equal(again(ids).logits, output.logits)


# --- the Hugging Face side --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"n_heads": 5}, "emb_dim must be a multiple of n_heads, got 16 and 5"),
        ({"n_layers": 0}, "n_layers must be at least 1, got 0"),
        ({"drop_rate": 1.0}, r"drop_rate must be in \[0, 1\), got 1.0"),
        (
            {"pooling": "cls"},
            "pooling must be one of first_token, last_token, last_position, mean, mean_positions, got 'cls'",
        ),
        (
            {"pooling": "mean_positions", "pad_token_id": None},
            "pooling mean_positions pads every row: it needs a pad_token_id",
        ),
        ({"causal": 0}, "causal must be true or false, got 0"),
        ({"ignore_index": 1}, "ignore_index must be an integer that is no label's id, got 1"),
        ({"pad_to_length": 33}, r"pad_to_length must be between 1 and context_length \(32\), got 33"),
        ({"pad_token_id": 100}, "pad_token_id must be an id below 100, got 100"),
    ],
)
def test_configurations_that_make_no_sense(
    tiny_config: SpamGPTConfig, option: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SpamGPTConfig(**tiny_config.to_dict() | option)


def test_configuration_answers_to_both_names(tiny_config: SpamGPTConfig, tmp_path: Path) -> None:
    assert (tiny_config.hidden_size, tiny_config.num_hidden_layers, tiny_config.num_attention_heads) == (16, 2, 4)
    assert tiny_config.max_position_embeddings == 32
    tiny_config.save_pretrained(tmp_path)
    assert transformers.AutoConfig.from_pretrained(tmp_path).to_diff_dict() == tiny_config.to_diff_dict()


def test_initialisation(tiny_config: SpamGPTConfig) -> None:
    model = SpamGPTForSequenceClassification(tiny_config)
    for name, parameter in model.named_parameters():
        if name.endswith("scale"):
            assert torch.equal(parameter, torch.ones_like(parameter))
        elif name.endswith(("shift", "bias")):
            assert torch.equal(parameter, torch.zeros_like(parameter))
    assert model.model.tok_emb.weight.std().item() == pytest.approx(tiny_config.initializer_range, rel=0.1)


def test_what_a_checkpoint_lacks_is_initialised(classifier: SpamGPTForSequenceClassification, tmp_path: Path) -> None:
    """Without care of ours a norm that is missing would come back as whatever lay in memory."""
    torch.nn.init.constant_(classifier.model.final_norm.scale, 7.0)
    classifier.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    for name in ("model.final_norm.scale", "model.final_norm.shift", "model.trf_blocks.1.norm2.scale"):
        del state[name]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = SpamGPTForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(loaded.model.final_norm.scale, torch.ones(16))
    assert torch.equal(loaded.model.final_norm.shift, torch.zeros(16))
    assert torch.equal(loaded.model.trf_blocks[1].norm2.scale, torch.ones(16))


def test_saved_and_loaded_to_the_last_bit(classifier: SpamGPTForSequenceClassification, tmp_path: Path) -> None:
    ids = rows_of_ids(3, 9)
    classifier.save_pretrained(tmp_path)
    for loaded in (
        SpamGPTForSequenceClassification.from_pretrained(tmp_path),
        transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path),
    ):
        assert isinstance(loaded, SpamGPTForSequenceClassification)
        assert torch.equal(loaded(ids).logits, classifier(ids).logits)


@pytest.mark.slow  # a fresh process imports for seconds; test_hub_loading.py has the classifier in one
@pytest.mark.parametrize("kind", ["ForSequenceClassification", "ForCausalLM", ""])
def test_loaded_where_the_package_is_not_installed(
    tiny_config: SpamGPTConfig, warm_bare: WarmProcess, tmp_path: Path, kind: str
) -> None:
    """The code travels flat with the weights; others run it as remote code."""
    saved = (
        SpamGPTForSequenceClassification(tiny_config)
        if kind == ""
        else getattr(hf_spam, f"SpamGPT{kind}")(tiny_config)
    )
    model = saved.eval() if kind else saved.model.eval()  # AutoModel reads the base model of a classifier
    saved.save_pretrained(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").glob("*.py")} == {
        "configuration_spam_gpt.py",
        "fields_spam_gpt.py",
        "gpt.py",
        "layers_spam_gpt.py",
        "pooling_spam_gpt.py",
        "backbone_spam_gpt.py",
        "modeling_spam_gpt.py",
    }
    program = (
        "import json, sys, torch, transformers\n"
        "auto = getattr(transformers, f'AutoModel{sys.argv[2]}')\n"
        "model = auto.from_pretrained(sys.argv[1], trust_remote_code=True)\n"
        "assert 'hf_spam' not in sys.modules\n"
        "print(json.dumps(model(torch.arange(18).view(2, 9))[0].tolist()))\n"
    )
    found = warm_bare.call([tmp_path / "model", kind], tmp_path, program, HF_HUB_OFFLINE="1")
    assert found.returncode == 0, found.stderr
    expected = model(torch.arange(18).view(2, 9))[0]
    assert torch.equal(torch.tensor(json.loads(found.stdout)), expected)


@pytest.mark.parametrize(
    ("release", "fits"), [("4.57.6", False), ("5.1.0", False), ("5.2.0", True), ("5.10.0.dev0", True)]
)
def test_the_code_says_which_transformers_it_needs(monkeypatch: pytest.MonkeyPatch, release: str, fits: bool) -> None:
    """Before it imports what older releases lack."""
    monkeypatch.setattr("transformers.__version__", release)
    with (
        nullcontext()
        if fits
        else pytest.raises(
            RuntimeError,
            match=rf"^this model needs transformers 5.2 or newer, found {release}: pip install -U transformers$",
        )
    ):
        spec = importlib.util.find_spec("hf_spam.model.configuration_spam_gpt")
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_:FutureWarning")  # the names in older releases
def test_activation_checkpointing_changes_memory_alone(tiny_config: SpamGPTConfig) -> None:
    tiny_config.drop_rate = 0.1
    model = SpamGPTForSequenceClassification(tiny_config).train()
    ids, labels = rows_of_ids(4, 8), torch.tensor([0, 1, 1, 0])

    def gradients() -> tuple[list[Tensor], int]:
        calls = 0

        def count(*args: object) -> None:
            nonlocal calls
            calls += 1

        hooks = [block.att.register_forward_hook(count) for block in model.model.trf_blocks]
        torch.manual_seed(1)
        model.zero_grad()
        model(ids, labels=labels).loss.backward()
        for hook in hooks:
            hook.remove()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None], calls

    plain, calls = gradients()
    model.gradient_checkpointing_enable()
    checkpointed, calls_checkpointed = gradients()
    assert (calls, calls_checkpointed) == (2, 4)  # each block once more, in the backward pass
    for one, other in zip(plain, checkpointed, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7)
    model.gradient_checkpointing_disable()
    assert gradients()[1] == 2


def test_no_split_modules_name_the_block() -> None:
    assert SpamGPTForSequenceClassification._no_split_modules == [SpamGPTBlock.__name__]


# --- the language model -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def language_models(gpt2_folder: Path) -> tuple[SpamGPTForCausalLM, transformers.GPT2LMHeadModel]:
    """Ours and transformers', from the same weights."""
    checkpoint = load_checkpoint(str(gpt2_folder))
    ours = SpamGPTForCausalLM(SpamGPTConfig(**checkpoint.sizes)).eval()
    fill(as_book(ours), checkpoint)
    return ours, transformers.GPT2LMHeadModel.from_pretrained(gpt2_folder).eval()


def test_greedy_generation_is_gpt2s(
    language_models: tuple[SpamGPTForCausalLM, transformers.GPT2LMHeadModel],
) -> None:
    ours, theirs = language_models
    ids = torch.tensor([[6109, 3626, 6100, 345]])  # Every effort moves you
    for options in ({}, {"use_cache": True}, {"use_cache": False}):
        found = ours.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=50, do_sample=False, **options)
        expected = theirs.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=50, do_sample=False, pad_token_id=50256
        )
        assert found.tolist() == expected.tolist()
        assert found.shape == (1, 54)


def test_generation_in_a_padded_batch(
    language_models: tuple[SpamGPTForCausalLM, transformers.GPT2LMHeadModel],
) -> None:
    ours, _ = language_models
    prompts = [[6109, 3626, 6100, 345], [5211, 345]]
    alone = [
        ours.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=10, do_sample=False)[
            0, len(ids) :
        ].tolist()
        for ids in prompts
    ]
    batch = torch.tensor([prompts[0], [50256, 50256, *prompts[1]]])
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
    together = ours.generate(batch, attention_mask=mask, max_new_tokens=10, do_sample=False)
    assert together[:, 4:].tolist() == alone


def test_language_model_ties_its_head(tiny_config: SpamGPTConfig, tmp_path: Path) -> None:
    model = SpamGPTForCausalLM(tiny_config).eval()
    assert model.lm_head.weight is model.model.tok_emb.weight
    model.save_pretrained(tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(again, SpamGPTForCausalLM)
    ids = rows_of_ids(2, 7)
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_language_model_loss_under_padding(
    language_models: tuple[SpamGPTForCausalLM, transformers.GPT2LMHeadModel],
) -> None:
    ours, theirs = language_models
    ids = torch.tensor([[6109, 3626, 6100, 345]])
    torch.testing.assert_close(ours(ids, labels=ids).loss, theirs(ids, labels=ids).loss)
    padded = torch.tensor([[50256, 50256, 6109, 3626, 6100, 345]])
    mask = torch.tensor([[0, 0, 1, 1, 1, 1]])
    labels = padded.masked_fill(mask == 0, -100)
    torch.testing.assert_close(ours(padded, mask, labels=labels).loss, ours(ids, labels=ids).loss)
