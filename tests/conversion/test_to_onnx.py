"""The exported model: that it agrees with torch, that one which does not is refused, and what is said without the extra.

pip install -e ".[onnx]" && pytest tests/conversion/test_to_onnx.py -m "onnx or not onnx"
"""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from support.places import ROOT

from hf_spam import SpamClassifier, SpamGPTConfig, SpamGPTForSequenceClassification, UserError
from hf_spam.conversion import to_onnx as onnx_model
from hf_spam.conversion.agreement import measure_agreement
from hf_spam.conversion.onnx_gpt import build_graph
from hf_spam.conversion.to_onnx import to_onnx
from hf_spam.data import sources
from hf_spam.engines.onnx_engine import OnnxModel
from hf_spam.tokens.tokenization import build_tokenizer

Run = Callable[..., tuple[int, str, str]]
PAD = 99
TEXTS = [
    "You are a winner!",
    "",
    "see you at eight",
    "a long one, longer than the model reads: " + "word " * 300,
    "ok",
]


def classifier(**sizes: object) -> SpamGPTForSequenceClassification:
    """A model of random weights whose logits are far apart."""
    torch.manual_seed(0)
    ids = {"vocab_size": 100, "pad_token_id": PAD, "bos_token_id": PAD, "eos_token_id": PAD}
    shape = {"context_length": 32, "emb_dim": 16, "n_heads": 4, "n_layers": 2, "initializer_range": 0.2}
    return SpamGPTForSequenceClassification(SpamGPTConfig(**{**ids, **shape, **sizes})).eval()


def batch(rows: int, width: int, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Random rows of random lengths, the first as long as the batch is wide, the last without a token."""
    lengths = torch.randint(0, width + 1, (rows,))
    lengths[-1], lengths[0] = 0, width
    if side == "none":
        lengths[:] = width
    positions = torch.arange(width)
    mask = positions < lengths[:, None] if side != "left" else positions >= width - lengths[:, None]
    return torch.randint(0, PAD, (rows, width)), mask.long()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizer: transformers.GPT2Tokenizer) -> Path:
    """A checkpoint over the real vocabulary that calls half of its own test split spam, much of it only just."""
    folder = tmp_path_factory.mktemp("checkpoint")
    labels = {"id2label": {0: "ham", 1: "spam"}, "label2id": {"ham": 0, "spam": 1}}
    real = {"vocab_size": 50257, "pad_token_id": 50256, "bos_token_id": 50256, "eos_token_id": 50256}
    model = classifier(**real, **labels, context_length=256)
    messages = sources.read_sample()["Text"].head(200).tolist()
    logits = SpamClassifier(model, tokenizer).logits(messages)
    model.score.bias.data[1] -= (logits[:, 1] - logits[:, 0]).median()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "arguments.json").write_text(json.dumps({"data_source": "sample"}))
    return folder


@pytest.mark.onnx
@pytest.mark.parametrize(
    ("pooling", "causal", "attention"),
    [
        ("last_token", True, "sdpa"),
        ("last_token", True, "eager"),
        ("last_position", True, "sdpa"),
        ("last_position", True, "eager"),
        ("first_token", False, "sdpa"),
        ("mean", True, "sdpa"),
        ("mean", False, "eager"),
        ("mean_positions", False, "sdpa"),
    ],
)
def test_agrees_with_torch(tmp_path: Path, pooling: str, causal: bool, attention: str) -> None:
    """Whatever the shape of the batch and the side of the padding, also with the session alone."""
    model = classifier(pooling=pooling, causal=causal, pad_to_length=24, attn_implementation=attention)
    to_onnx(model, tmp_path)
    exported = OnnxModel(tmp_path, model.config)
    assert SpamGPTConfig.from_pretrained(tmp_path).pooling == pooling
    for rows in (1, 2, 5):
        for width in (1, 2, 9, 24):
            for side in ("left", "right", "none"):
                ids, mask = batch(rows, width, side)
                with torch.inference_mode():
                    expected = model(ids, mask).logits
                got = exported(ids, mask).logits
                assert got.dtype == torch.float32
                torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
                alone = exported._session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
                torch.testing.assert_close(torch.from_numpy(alone), expected, rtol=0, atol=1e-5)


@pytest.mark.onnx
@pytest.mark.parametrize("problem", ["single_label_classification", "multi_label_classification", "regression"])
def test_the_kind_of_problem_stays(tmp_path: Path, problem: str) -> None:
    ids = {"vocab_size": 50257, "pad_token_id": 50256, "bos_token_id": 50256, "eos_token_id": 50256}
    model = classifier(num_labels=1 if problem == "regression" else 3, problem_type=problem, **ids)
    to_onnx(model, tmp_path)
    build_tokenizer(max_length=32).save_pretrained(tmp_path)
    expected = SpamClassifier(model, build_tokenizer(max_length=32)).all_scores(TEXTS[0])
    assert json.loads((tmp_path / "config.json").read_text())["problem_type"] == problem
    assert SpamClassifier.from_pretrained(tmp_path).all_scores(TEXTS[0]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.onnx
@pytest.mark.parametrize("pooling", ["last_token", "last_position"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_wider_than_the_model(tmp_path: Path, pooling: str, side: str) -> None:
    model = classifier(pooling=pooling, context_length=24)
    to_onnx(model, tmp_path)
    ids, mask = batch(3, 40, side)
    columns = slice(0, 24) if side == "right" else slice(16, 40)
    narrow = torch.zeros_like(mask)
    narrow[:, columns] = mask[:, columns]
    with torch.inference_mode():
        torch.testing.assert_close(
            OnnxModel(tmp_path, model.config)(ids, narrow).logits, model(ids, narrow).logits, rtol=0, atol=1e-5
        )
    with pytest.raises(ValueError, match="expected texts of at most 24 tokens, found one of 40"):
        OnnxModel(tmp_path, model.config)(ids, mask)


@pytest.mark.onnx
@pytest.mark.parametrize("width", [0, 3])
def test_a_batch_of_empty_texts(tmp_path: Path, width: int) -> None:
    model = classifier()
    to_onnx(model, tmp_path)
    ids = torch.full((2, width), PAD)
    with torch.inference_mode():
        expected = model(torch.full((2, 1), PAD)).logits
    torch.testing.assert_close(
        OnnxModel(tmp_path, model.config)(ids, torch.zeros_like(ids)).logits, expected, rtol=0, atol=1e-5
    )


@pytest.mark.onnx
@pytest.mark.parametrize("int8", [False, True])
def test_large_models_keep_their_weights_beside(tmp_path: Path, int8: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those do that protobuf's 2 GiB cannot hold."""
    model = classifier(vocab_size=2000, emb_dim=64)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    to_onnx(model, tmp_path / "one", int8)
    monkeypatch.setattr(onnx_model, "_LARGEST_FILE", 0)
    to_onnx(model, tmp_path / "two", int8)
    assert {path.name for path in (tmp_path / "two").glob("model*")} == {"model.onnx", "model.onnx.data"}
    assert (tmp_path / "two" / "model.onnx.data").stat().st_size > (tmp_path / "two" / "model.onnx").stat().st_size
    ids, mask = batch(3, 9, "right")
    one, two = (OnnxModel(tmp_path / name, model.config)(ids, mask).logits for name in ("one", "two"))
    assert torch.equal(one, two)


@pytest.mark.onnx
def test_int8_is_small_and_near(tmp_path: Path) -> None:
    """A quarter of the bytes in what is multiplied for every token and looked up; the model stays as it was."""
    model = classifier(vocab_size=1000, emb_dim=128, initializer_range=0.05)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sizes, logits = {}, {}
    ids, mask = batch(8, 20, "right")
    for int8 in (False, True):
        folder = tmp_path / str(int8)
        folder.mkdir()
        to_onnx(model, folder, int8)
        sizes[int8] = (folder / "model.onnx").stat().st_size
        logits[int8] = OnnxModel(folder, model.config)(ids, mask).logits
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert sizes[True] < 0.4 * sizes[False]
    difference = (logits[True] - logits[False]).abs().max()
    assert 0 < difference < 0.06 * logits[False].abs().max()
    import onnx

    graph = onnx.load(tmp_path / "True" / "model.onnx").graph
    quantized = {name for node in graph.node if node.op_type == "MatMulIntegerToFloat" for name in node.input[1:2]}
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name in quantized]
    assert {abs(weight.astype(int)).max() for weight in weights} == {64}  # seven bits, for any CPU
    assert len(weights) == 10  # of twelve in two blocks: what the last one does without stays in float32


@pytest.mark.onnx
def test_the_command(run: Run, checkpoint: Path) -> None:
    """Export, then predict and evaluate as with the checkpoint; long texts are cut, with the warning."""
    code, output, error = run("export", checkpoint, "--output_dir", "exported")
    assert (code, error) == (0, "")
    size = Path("exported", "model.onnx").stat().st_size / 2**20
    assert f"float32, {size:.1f} MiB\nthe test split: 0 of 258 labels changed (0.00%)" in output
    assert 'try: hf-spam predict exported "your text"' in output
    record = json.loads(Path("exported", "agreement.json").read_text())
    assert record["messages"] == 258
    assert record["changed"] == 0
    assert record["accuracy_before"] == record["accuracy_after"]
    expected = run("predict", checkpoint, *TEXTS)
    code, output, error = run("predict", "exported", *TEXTS)
    assert (code, output, error) == expected
    assert "1 of 5 texts have more than 256 tokens" in error
    expected = run("evaluate", checkpoint)
    assert run("evaluate", "exported")[1] == expected[1].replace(str(checkpoint), "exported")
    code, _, error = run("export", "exported", "--output_dir", "again")
    assert code == 2
    assert "exported: expected a checkpoint, found an export" in error


@pytest.mark.onnx
def test_int8_that_changes_too_much(run: Run, checkpoint: Path) -> None:
    """Refused with the figures, and nothing is left; an option accepts it."""
    options = ["export", checkpoint, "--int8", "--split", "all", "--output_dir", "small"]
    code, output, error = run(*options, "--max_changed", "0")
    assert (code, output) == (2, "")
    assert "expected at most 0.00% of the labels to change, found " in error
    assert "Leave out --int8, which --format web implies, or allow more with --max_changed." in error
    assert list(Path().iterdir()) == []
    code, output, error = run(*options, "--max_changed", "1")
    assert code == 0, error
    assert "int8, " in output
    assert json.loads(Path("small", "agreement.json").read_text())["changed"] > 0
    assert {path.name for path in Path().iterdir()} == {"small"}


@pytest.mark.onnx
def test_what_was_there_stays(run: Run, checkpoint: Path) -> None:
    assert run("export", checkpoint, "--output_dir", "kept")[0] == 0
    mine = Path("kept", "model.onnx").read_bytes() + b"edited"
    Path("kept", "model.onnx").write_bytes(mine)
    refused = run("export", checkpoint, "--output_dir", "kept")
    assert refused[0] == 2
    assert "kept: holds a run already" in refused[2]
    options = ["export", checkpoint, "--output_dir", "kept", "--overwrite_output_dir"]
    assert run(*options, "--int8", "--split", "all", "--max_changed", "0")[0] == 2
    assert Path("kept", "model.onnx").read_bytes() == mine
    assert {path.name for path in Path().iterdir()} == {"kept"}
    assert run(*options)[0] == 0
    assert Path("kept", "model.onnx").read_bytes() == mine.removesuffix(b"edited")
    code, _, error = run("export", checkpoint, "--output_dir", checkpoint, "--overwrite_output_dir")
    assert code == 2
    assert "found the model itself" in error


@pytest.mark.onnx
def test_other_messages(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    """Of a checkpoint that does not say what it was trained on."""
    folder = tmp_path / "bare"
    shutil.copytree(checkpoint, folder)
    (folder / "arguments.json").unlink()
    code, _, error = run("export", folder, "--output_dir", "exported")
    assert code == 2
    assert "Name --data_file" in error
    sources.read_sample().head(30).to_csv("messages.csv", index=False)
    code, output, _ = run("export", folder, "--output_dir", "exported", "--data_file", "messages.csv")
    assert code == 0
    assert "all messages: 0 of 30 labels changed" in output
    assert not Path("exported", "arguments.json").exists()


@pytest.mark.onnx
def test_a_damaged_file(run: Run, checkpoint: Path) -> None:
    assert run("export", checkpoint, "--output_dir", "exported")[0] == 0
    path = Path("exported", "model.onnx")
    path.write_bytes(path.read_bytes()[:1000])
    code, _, error = run("predict", "exported", "text")
    assert code == 2
    assert "hf-spam: error: exported/model.onnx: cannot be loaded: " in error
    assert "Export it again." in error


@pytest.mark.onnx
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize(("pooling", "causal"), [("last_token", True), ("mean", False), ("last_position", True)])
def test_a_score_does_not_depend_on_its_batch(tmp_path: Path, int8: bool, pooling: str, causal: bool) -> None:
    """Beside a text whose activations are far larger, in int8 too; nor does it on the width of the padding."""
    model = classifier(pooling=pooling, causal=causal, pad_to_length=24)
    model.model.tok_emb.weight.data[7] *= 50
    to_onnx(model, tmp_path, int8)
    exported = OnnxModel(tmp_path, model.config)
    ids, mask = batch(6, 20, "right")
    ids[0] = 7
    together = exported(ids, mask).logits
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        width = max(1, length)
        alone = exported(ids[row : row + 1, :width], mask[row : row + 1, :width]).logits
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=2e-6 * together.abs().max().item())


@pytest.mark.onnx
@pytest.mark.parametrize("pooling", ["first_token", "last_token", "mean", "last_position", "mean_positions"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_int8_under_every_rule(tmp_path: Path, pooling: str, causal: bool, bias: bool) -> None:
    model = classifier(pooling=pooling, causal=causal, qkv_bias=bias, emb_dim=64, pad_to_length=24)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    to_onnx(model, tmp_path, int8=True)
    ids, mask = batch(16, 20, "right")
    with torch.inference_mode():
        expected = model(ids, mask).logits
    got = OnnxModel(tmp_path, model.config)(ids, mask).logits
    assert 0 < (got - expected).std() < 0.1 * expected.std()


@pytest.mark.onnx
@pytest.mark.parametrize("pooling", ["last_token", "mean", "last_position"])
def test_examples_fix_the_scales_after_norms(tmp_path: Path, pooling: str) -> None:
    """A column fifty times as large as the others takes nothing from them; a score still has no neighbours."""
    model = classifier(pooling=pooling, emb_dim=64, pad_to_length=24)
    for block in model.model.trf_blocks:
        for norm, layer in ((block.norm1, block.att.W_query), (block.norm2, block.ff.layers[0])):
            norm.scale.data[3] *= 50
            layer.weight.data[:, 3] /= 50
        for other in (block.att.W_key, block.att.W_value):
            other.weight.data[:, 3] /= 50
    ids, mask = batch(16, 20, "right")
    for name in ("examples", "none"):
        (tmp_path / name).mkdir()
    to_onnx(model, tmp_path / "none", int8=True)
    to_onnx(model, tmp_path / "examples", int8=True, examples=torch.randint(0, PAD, (30, 20)).tolist())
    assert not any(norm._forward_hooks for norm in model.modules())
    none, examples = (OnnxModel(tmp_path / name, model.config) for name in ("none", "examples"))
    with torch.inference_mode():
        expected = model(ids, mask).logits
    logits = examples(ids, mask).logits
    assert 0 < (logits - expected).std() < 0.1 * expected.std()
    assert (logits - expected).std() < 0.6 * (none(ids, mask).logits - expected).std()
    torch.testing.assert_close(examples(ids[:1], mask[:1]).logits, logits[:1], rtol=0, atol=1e-5)
    import onnx

    rows = {}
    for name in ("none", "examples"):
        nodes = onnx.load(tmp_path / name / "model.onnx").graph.node
        rows[name] = sum(node.op_type == "ReduceMax" for node in nodes)
    assert rows["examples"] < 0.8 * rows["none"]


@pytest.mark.onnx
def test_any_runtime_can_run_float32(tmp_path: Path) -> None:
    """Its operators are ONNX's own, and the checker accepts the file."""
    import onnx

    to_onnx(classifier(), tmp_path)
    file = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(file, full_check=True)
    assert {node.domain for node in file.graph.node} == {""}
    assert [opset.domain for opset in file.opset_import] == [""]


@pytest.mark.onnx
def test_other_weights_are_refused() -> None:
    """Nothing of a model is left out silently."""
    model = classifier()
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"expected the weights of a classifier, found others: model\.lora"):
        build_graph(model.config, {**weights, "model.lora": weights["score.bias"]})


# What needs no extra.


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_without_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    code, _, error = run("export", "any", "--output_dir", "exported")
    assert code == 2
    assert error.endswith('is missing: ONNX needs the extra [onnx]: pip install -e ".[onnx]"\n')
    assert error.count("\n") == 1


def test_an_exported_folder_without_the_extra(run: Run, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    shutil.copytree(checkpoint, "exported")
    Path("exported", "model.onnx").write_bytes(b"")
    assert run("predict", "exported", "text")[0] == 0  # torch's weights come first
    Path("exported", "model.safetensors").unlink()
    code, _, error = run("predict", "exported", "text")
    assert code == 2
    assert error.startswith("hf-spam: error: onnx")
    assert error.endswith('is missing: ONNX needs the extra [onnx]: pip install -e ".[onnx]"\n')


@pytest.mark.parametrize("share", ["-0.1", "1.5", "nan"])
def test_a_share_that_is_none(run: Run, share: str) -> None:
    code, _, error = run("export", "any", "--output_dir", "exported", "--max_changed", share)
    assert code == 2
    assert "--max_changed: expected a number from 0 to 1, found" in error


def test_agreement() -> None:
    """Four messages: one changed its label, another lost its numbers, two are as they were."""
    before = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0], [2.0, 0.0]])
    after = torch.tensor([[2.0, 0.0], [0.1, 0.0], [0.0, 2.0], [torch.nan, 0.0]])
    found = measure_agreement(before, after, [0, 1, 1, 0])
    assert (found.messages, found.changed, found.changed_share) == (4, 2, 0.5)
    assert (found.accuracy_before, found.accuracy_after) == (1.0, 0.5)
    assert found.score_difference == 1.0  # of what is no number
    found = measure_agreement(before[:3], after[:3], [0, 1, 0])
    assert found.score_difference == pytest.approx(torch.tensor(2.0).sigmoid() - torch.tensor(-0.1).sigmoid())
    assert (found.accuracy_before, found.accuracy_after) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert "1 of 3 labels changed (33.33%), largest score difference 0.41" in str(found)
    assert measure_agreement(before, before, [0, 0, 0, 0]).changed == 0
    with pytest.raises(UserError, match="expected messages to compare the converted model on, found none"):
        measure_agreement(before[:0], after[:0], [])


def test_the_limit_is_a_share() -> None:
    before = torch.tensor([[1.0, 0.0]]).repeat(200, 1)
    after = before.clone()
    after[0] = torch.tensor([0.0, 1.0])
    one = measure_agreement(before, after, [0] * 200)
    one.require(0.005)
    with pytest.raises(UserError, match=r"expected at most 0\.40% of the labels to change, found 1 of 200"):
        one.require(0.004)
    measure_agreement(before, before, [0] * 200).require(0.0)


def test_ci_runs_these() -> None:
    steps = (ROOT / ".ci" / "run").read_text()
    (extras,) = re.findall(r"\.\[(openai,.*)\]", steps)
    (markers,) = re.findall(r'-m "\((openai or .*)\)', steps)
    assert set(extras.split(",")) - {"tensorboard", "trackio"} == set(markers.split(" or ")) - {"trackers"}
    assert "onnx" in markers.split(" or ")
    assert steps.index('-e ".[quantize]"') < steps.index('pytest -m "quantize and')
