"""OpenAI's TensorFlow checkpoints, written by TensorFlow itself.

pip install -e ".[openai]" && pytest tests/conversion/test_from_openai.py -m openai
"""

import json
import sys
from pathlib import Path

import pytest
import torch
import transformers
from support.loopback_server import Answer, LoopbackServer

from hf_spam import SpamGPTConfig, SpamGPTForCausalLM, UserError
from hf_spam.conversion import from_openai as openai_checkpoint
from hf_spam.conversion.from_gpt2 import fill, load_checkpoint
from hf_spam.conversion.to_book import as_book

IDS = torch.tensor([[5211, 345, 423, 640]])


@pytest.fixture(scope="module")
def tensorflow_folder(gpt2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny GPT-2, in the names and layout of OpenAI's release."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("124M")
    state = transformers.GPT2LMHeadModel.from_pretrained(gpt2_folder).transformer.state_dict()
    variables = {}
    for name, tensor in state.items():
        parts = name.split(".")
        parts = [f"h{parts[1]}", *parts[2:]] if parts[0] == "h" else parts
        if parts[0] in ("wte", "wpe"):
            parts = parts[:1]
        else:
            norm = parts[-2].startswith("ln")
            parts[-1] = {"weight": "g" if norm else "w", "bias": "b"}[parts[-1]]
        array = tensor.numpy()
        variables["/".join(["model", *parts])] = array[None] if parts[-1] == "w" else array
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session() as session:
        for name, array in variables.items():
            tf.compat.v1.get_variable(name, initializer=tf.constant(array))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(folder / "model.ckpt"))
    hparams = {"n_vocab": 50257, "n_ctx": 64, "n_embd": 32, "n_head": 2, "n_layer": 2}
    (folder / "hparams.json").write_text(json.dumps(hparams))
    assert {path.name for path in folder.iterdir()} == set(openai_checkpoint.FILES) - {"encoder.json", "vocab.bpe"}
    return folder


@pytest.mark.openai
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_logits_are_transformers(tensorflow_folder: Path, gpt2_folder: Path) -> None:
    checkpoint = load_checkpoint(str(tensorflow_folder))
    ours = SpamGPTForCausalLM(SpamGPTConfig(**checkpoint.sizes)).eval()
    fill(as_book(ours), checkpoint)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(gpt2_folder).eval()
    torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits, rtol=0, atol=1e-5)


@pytest.mark.openai
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_damaged_checkpoint(tensorflow_folder: Path, tmp_path: Path) -> None:
    for path in tensorflow_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.ckpt.index").write_bytes(b"junk")
    with pytest.raises(UserError, match="its TensorFlow checkpoint cannot be read"):
        load_checkpoint(str(tmp_path))
    (tmp_path / "model.ckpt.index").unlink()
    with pytest.raises(UserError, match=r"expected model\.ckpt\.index in it, found none"):
        load_checkpoint(str(tmp_path))
    (tmp_path / "hparams.json").write_text("{}")
    with pytest.raises(UserError, match="expected n_vocab from 1 to 1,048,576, found None"):
        load_checkpoint(str(tmp_path))


def test_without_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    (tmp_path / "hparams.json").write_text("{}")
    with pytest.raises(UserError, match=r'needs the extra \[openai\]: pip install -e "\.\[openai\]"'):
        load_checkpoint(str(tmp_path))


def test_the_download(server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven files, each once; where OpenAI fails, the mirror."""
    monkeypatch.setattr(openai_checkpoint, "BASE_URLS", (f"{server.url}/openai", f"{server.url}/mirror"))
    server.answers = {f"/openai/124M/{name}": Answer(name.encode()) for name in openai_checkpoint.FILES}
    server.answers["/mirror/124M/vocab.bpe"] = server.answers.pop("/openai/124M/vocab.bpe")
    folder = openai_checkpoint.download_checkpoint("small", tmp_path)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        name: name for name in openai_checkpoint.FILES
    }
    assert len(server.requests) == 8
    openai_checkpoint.download_checkpoint("small", tmp_path)
    assert len(server.requests) == 8


def test_the_download_fails(server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_checkpoint, "BASE_URLS", (f"{server.url}/openai",))
    server.answers = {"/openai/355M/checkpoint": Answer(b"x")}
    with pytest.raises(UserError, match=r"could not download encoder\.json .*HTTP status 404"):
        load_checkpoint("openai", "medium", tmp_path)


@pytest.mark.network
@pytest.mark.openai
def test_the_published_small() -> None:
    assert load_checkpoint("openai", "small").sizes["emb_dim"] == 768
