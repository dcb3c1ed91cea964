"""GPT-2 checkpoints → our models: the same logits, and every fault named.   pytest tests/conversion/test_from_gpt2.py"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support.loopback_server import Answer, LoopbackServer, serve_repository
from support.warm_process import WarmProcess
from torch import Tensor

from hf_spam import SpamGPTConfig, SpamGPTForCausalLM, SpamGPTForSequenceClassification, UserError
from hf_spam.conversion import from_gpt2 as weights
from hf_spam.conversion.from_gpt2 import fill, is_published_small, load_checkpoint
from hf_spam.conversion.to_book import as_book

Load = Callable[..., subprocess.CompletedProcess[str]]
IDS = torch.tensor([[5211, 345, 423, 640], [6109, 3626, 6100, 345]])


def language_model(folder: Path, attn_implementation: str = "sdpa") -> SpamGPTForCausalLM:
    """Ours, filled from a folder; every parameter is NaN before."""
    checkpoint = load_checkpoint(str(folder))
    config = SpamGPTConfig(**checkpoint.sizes, attn_implementation=attn_implementation)
    model = SpamGPTForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    fill(as_book(model), checkpoint)
    return model


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2 small's full shape (124 M) with random weights, written by transformers."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("small")
    transformers.GPT2LMHeadModel(transformers.GPT2Config()).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("shape", ["gpt2_folder", pytest.param("small_folder", marks=pytest.mark.slow)])
def test_logits_are_transformers(shape: str, implementation: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(shape)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder, attn_implementation=implementation).eval()
    ours = language_model(folder, implementation)
    with torch.no_grad():
        torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits, rtol=0, atol=1e-4)


def write_shards(folder: Path, model: transformers.GPT2LMHeadModel) -> None:
    model.save_pretrained(folder, max_shard_size="2MB")
    assert (folder / "model.safetensors.index.json").is_file()


def write_bin(folder: Path, model: transformers.GPT2LMHeadModel) -> None:
    torch.save(model.state_dict(), folder / "pytorch_model.bin")  # with lm_head.weight, as transformers 4 wrote it


def write_published(folder: Path, model: transformers.GPT2LMHeadModel) -> None:
    """As openai-community/gpt2 is: no prefix, no head, and the causal masks beside the weights."""
    state = {name: tensor.clone() for name, tensor in model.transformer.state_dict().items()}
    for layer in range(2):
        state[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
        state[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(state, folder / "model.safetensors")


def write_half(folder: Path, model: transformers.GPT2LMHeadModel) -> None:
    model.half().save_pretrained(folder)


@pytest.mark.parametrize("write", [write_shards, write_bin, write_published, write_half])
def test_the_ways_a_checkpoint_is_written(
    gpt2_folder: Path, tmp_path: Path, write: Callable[[Path, transformers.GPT2LMHeadModel], None]
) -> None:
    theirs = transformers.GPT2LMHeadModel.from_pretrained(gpt2_folder).eval()
    write(tmp_path, theirs)
    theirs.config.save_pretrained(tmp_path)
    ours = language_model(tmp_path)
    torch.testing.assert_close(ours(IDS).logits, theirs.float()(IDS).logits, rtol=0, atol=1e-5)


def test_a_classifiers_head_is_left_alone(gpt2_folder: Path) -> None:
    checkpoint = load_checkpoint(str(gpt2_folder))
    model = SpamGPTForSequenceClassification(SpamGPTConfig(**checkpoint.sizes))
    head = model.score.weight.clone()
    fill(as_book(model), checkpoint)
    assert torch.equal(model.score.weight, head)
    assert torch.equal(model.model.tok_emb.weight, checkpoint.state["wte.weight"])


def drop(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.pop(name)


def put(name: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.update({name: tensor})


FAULTS = {
    "missing": (drop("transformer.h.1.mlp.c_fc.bias"), r"trf_blocks\.1\.ff\.layers\.0\.bias is missing"),
    "no embedding": (drop("transformer.wte.weight"), r"tok_emb\.weight is missing"),
    "left over": (put("transformer.h.2.ln_1.weight", torch.ones(32)), r"trf_blocks\.2\.norm1\.scale has no place"),
    "unknown": (put("score.weight", torch.ones(2, 32)), r"holds a tensor that GPT-2 does not have: score\.weight"),
    "unknown in a block": (put("transformer.h.0.attn.q.weight", torch.ones(2)), r"GPT-2 does not have: h\.0\.attn\.q\.weight"),
    "not transposed": (put("transformer.h.0.mlp.c_fc.weight", torch.ones(128, 32)), r"ff\.layers\.0\.weight should be \[128, 32\] and is \[32, 128\]"),
    "not fused": (put("transformer.h.0.attn.c_attn.weight", torch.ones(32, 32)), r"att\.W_query\.weight should be \[32, 32\] and is \[11, 32\]"),
    "other vocabulary": (put("transformer.wte.weight", torch.ones(50000, 32)), r"tok_emb\.weight should be \[50257, 32\] and is \[50000, 32\]"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_checkpoint_that_does_not_fit(
    gpt2_folder: Path, tmp_path: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    state = load_file(gpt2_folder / "model.safetensors")
    change(state)
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((gpt2_folder / "config.json").read_text())
    with pytest.raises(UserError, match=message):
        language_model(tmp_path)


def test_folders_that_hold_no_checkpoint(gpt2_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"expected weights hub, openai, random, gpt2, .* or a repository OWNER/NAME, found no folder .none.",
    ):
        load_checkpoint("none")
    with pytest.raises(UserError, match=r"expected config\.json in it, found none"):
        load_checkpoint(str(tmp_path))
    config = json.loads((gpt2_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        UserError,
        match=r"expected weights in pytorch_model\.bin, found none\. A GPT-2 folder has model\.safetensors or",
    ):
        load_checkpoint(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes((gpt2_folder / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(
        UserError, match=r"model\.safetensors: expected weights in the safetensors format, found a damaged file"
    ):
        load_checkpoint(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(config | {"activation_function": "relu"}))
    with pytest.raises(UserError, match="expected activation_function 'gelu_new', found 'relu'"):
        load_checkpoint(str(tmp_path))


def test_a_size_holds_the_folder_to_it(gpt2_folder: Path) -> None:
    with pytest.raises(UserError, match=r"expected emb_dim 768 \(size small\), found 32"):
        load_checkpoint(str(gpt2_folder), "small")
    with pytest.raises(UserError, match=r"expected a published size \(small, .*found 'mini'"):
        load_checkpoint("hub", "mini")


def test_the_published_small_is_recognised_by_its_first_values() -> None:
    state = {
        "wte.weight": torch.zeros(50257, 768),
        "wpe.weight": torch.zeros(1024, 768),
        "h.0.ln_1.weight": torch.zeros(768),
    }
    assert not is_published_small(state)
    state["wte.weight"][0, :5] = torch.tensor([-0.11010301, -0.03926672, 0.03310751, 0.13382645, -0.04847569])
    state["wpe.weight"][0, :5] = torch.tensor([-0.01882072, -0.19741860, 0.00402672, 0.01134686, 0.06382412])
    state["h.0.ln_1.weight"][:3] = torch.tensor([0.22322033, 0.18195866, 0.15343246])
    assert is_published_small(state)
    state["wpe.weight"][0, 4] += 1e-4
    assert not is_published_small(state)


# --- the Hub ------------------------------------------------------------------------------------------------------------


LOAD_FROM_HUB = """
import sys
from hf_spam import UserError
from hf_spam.conversion import from_gpt2 as weights
weights.HUB_REPOSITORIES["small"] = "somebody/tiny-gpt2"
weights.SIZES["small"] = {"emb_dim": 32, "n_layers": 2, "n_heads": 2}
if sys.argv[1:] == ["trust"]:
    weights.is_published_small = lambda state: True
try:
    checkpoint = weights.load_checkpoint("hub")
except UserError as error:
    sys.exit(str(error))
print(checkpoint.sizes["emb_dim"], checkpoint.state["wte.weight"].sum().item())
"""


@pytest.fixture
def load_from_hub(warm: WarmProcess, tmp_path: Path) -> Load:
    """The real client in a process of its own: HF_ENDPOINT counts when it is imported."""
    switches = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    return lambda endpoint, *argv: warm.call(argv, tmp_path, LOAD_FROM_HUB, HF_ENDPOINT=endpoint, **switches)


def test_from_the_hub_once(load_from_hub: Load, server: LoopbackServer, gpt2_folder: Path) -> None:
    serve_repository(server, "somebody/tiny-gpt2", gpt2_folder)
    found = load_from_hub(server.url, "trust")
    expected = load_file(gpt2_folder / "model.safetensors")["transformer.wte.weight"].sum().item()
    assert found.stdout.split() == ["32", str(expected)], found.stderr
    served = len([line for line in server.requests if line.startswith("GET") and "/resolve/" in line])
    assert load_from_hub(server.url, "trust").returncode == 0
    assert len([line for line in server.requests if line.startswith("GET") and "/resolve/" in line]) == served == 2


def test_weights_that_are_not_the_published_ones(
    load_from_hub: Load, server: LoopbackServer, gpt2_folder: Path
) -> None:
    serve_repository(server, "somebody/tiny-gpt2", gpt2_folder)
    found = load_from_hub(server.url)
    assert found.returncode == 1
    assert "its first values are not those of the published GPT-2 small" in found.stderr


@pytest.mark.parametrize("fault", ["unreachable", "server error", "no such repository"])
def test_the_hub_fails(load_from_hub: Load, server: LoopbackServer, fault: str) -> None:
    if fault == "server error":
        server.answers["/api/models/somebody/tiny-gpt2/revision/main"] = Answer(status=500)
    found = load_from_hub("http://127.0.0.1:9" if fault == "unreachable" else server.url)
    assert found.returncode == 1
    first, second = found.stderr.strip().splitlines()[-2:]
    assert first.startswith("could not download somebody/tiny-gpt2 from the Hugging Face Hub: ")
    assert second == (
        "Alternatives: --weights FOLDER (a local GPT-2 folder), --weights random (train from scratch), "
        "or --preset quickstart (no download at all)."
    )


@pytest.mark.network
@pytest.mark.parametrize("size", list(weights.HUB_REPOSITORIES))
def test_the_published_sizes(size: str) -> None:
    checkpoint = load_checkpoint("hub", size)
    ids = torch.tensor([[6109, 3626, 6100, 345]])  # Every effort moves you
    model = SpamGPTForCausalLM(SpamGPTConfig(**checkpoint.sizes)).eval()
    fill(as_book(model), checkpoint)
    if size == "small":
        assert model.num_parameters() == 124_439_808
        found = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=15, do_sample=False)
        text = transformers.AutoTokenizer.from_pretrained("openai-community/gpt2").decode(found[0])
        assert text.replace("\n", " ").split() == [
            "Every",
            "effort",
            "moves",
            "you",
            "forward.",
            "The",
            "first",
            "step",
            "is",
            "to",
            "understand",
            "the",
            "importance",
            "of",
            "your",
            "work",
        ]
