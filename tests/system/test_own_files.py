"""Which files are ours: nothing else is deleted.   pytest tests/system/test_own_files.py"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_spam import UserError
from hf_spam.system.manifest import write_manifest
from hf_spam.system.own_files import is_empty, lasting_files, list_strange, remove_ours, remove_passing, require_ours

OURS = [
    "config.json", "generation_config.json", "model.safetensors", "model-00001-of-00002.safetensors",
    "model.safetensors.index.json", "model.onnx", "model.onnx.data", "tokenizer.json", "tokenizer_config.json",
    "configuration_spam_gpt.py", "fields_spam_gpt.py", "gpt.py", "layers_spam_gpt.py", "pooling_spam_gpt.py", "backbone_spam_gpt.py", "modeling_spam_gpt.py", "loss-plot.png", "accuracy-plot.pdf",
    "prefix-0123456789abcdef.bin", "prefix-0123456789abcdef.lock", ".arguments.json.0123abcd.partial",
    "checkpoint-5/model.safetensors", "superseded-checkpoint-7/x", ".run-abc_1234/config.json",
    "runs/Nov26_host/events.out.tfevents.1.host.2.0",
]  # fmt: skip
STRANGE = [
    "thesis.tex", "README.md", "notes", "model.bin", "model.safetensors.bak", "Model.safetensors", "metrics.json~",
    "my-plot.png", "data.csv", ".DS_Store", ".git/config", "other/metrics.json", "quickstart/model.safetensors",
    "checkpoint-best/model.safetensors", "checkpoint-²/seal.json", "checkpoint-٣/seal.json", f"checkpoint-{'9' * 200}/x",
    "checkpoint-/x", "checkpoint--5/x", "config.json/thesis.tex", "runs/thesis.tex", "prefix-x.bin", "tokenizers.json",
    "model.safetensors\n", "checkpoint-5\n/x", ".hf-spam/x", "gpt.py/x",
]  # fmt: skip
EVIDENCE = ["manifest.json", "metrics.json", "arguments.json", "agreement.json", "review_classifier.pth", ".hf-spam"]


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("content")


@pytest.mark.parametrize("evidence", [*EVIDENCE, "checkpoint-3/seal.json"])
def test_a_run_of_ours(tmp_path: Path, evidence: str) -> None:
    folder = tmp_path / "run"
    put(folder, *OURS, evidence)
    require_ours(folder)
    remove_ours(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", STRANGE)
def test_anything_else_is_left_alone(tmp_path: Path, name: str) -> None:
    evidence = EVIDENCE[:-1] if name == "README.md" else EVIDENCE
    put(tmp_path, *(ours for ours in [*OURS, *evidence] if ours.split("/")[0] != name.split("/")[0]), name)
    before = sorted(tmp_path.rglob("*"))
    assert list_strange(tmp_path) == [name.split("/")[0]]
    with pytest.raises(
        UserError, match=r": holds .*, which hf-spam did not write there\. Choose another --output_dir"
    ):
        remove_ours(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    remove_passing(tmp_path)
    assert (tmp_path / name).read_text() == "content"


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, lambda path: path.symlink_to("config.json"), lambda path: path.symlink_to("/tmp"), Path.mkdir],
    ids=["pipe", "link", "link to a folder", "folder"],
)
@pytest.mark.parametrize("name", ["metrics.json", "model.safetensors", "prefix-0123456789abcdef.bin", "runs"])
def test_a_name_of_ours_on_another_kind_of_entry(tmp_path: Path, name: str, make: Callable[[Path], object]) -> None:
    put(tmp_path, "config.json", "arguments.json")
    make(tmp_path / name)
    empty_logs = name == "runs" and make is Path.mkdir
    assert list_strange(tmp_path) == ([] if empty_logs else [name])


def test_a_message_names_three(tmp_path: Path) -> None:
    put(tmp_path, "metrics.json", "a", "b", "c", "d", "e")
    with pytest.raises(UserError, match="holds a, b, c and 2 more, which hf-spam did not write"):
        require_ours(tmp_path)


def test_somebody_elses_model(tmp_path: Path) -> None:
    """All its names could be ours, but nothing says that we wrote it."""
    put(tmp_path, "config.json", "model.safetensors", "tokenizer.json", "vocab.json", "merges.txt")
    with pytest.raises(UserError, match="nothing shows that hf-spam wrote them"):
        require_ours(tmp_path)


def test_a_card_that_was_edited(tmp_path: Path) -> None:
    put(tmp_path, "config.json", "README.md")
    write_manifest(tmp_path, lasting_files(tmp_path))
    assert list_strange(tmp_path) == []
    (tmp_path / "README.md").write_text("edited by hand")
    assert list_strange(tmp_path) == ["README.md"]
    put(tmp_path, ".hf-spam")  # of a push that was killed while it wrote the card
    assert list_strange(tmp_path) == []


def test_nothing_there(tmp_path: Path) -> None:
    assert is_empty(tmp_path)
    put(tmp_path, ".arguments.json.0123abcd.partial")
    assert is_empty(tmp_path)
    require_ours(tmp_path)
    put(tmp_path, "config.json")
    assert not is_empty(tmp_path)


@pytest.mark.parametrize(("options", "kept"), [("{}", False), ('{"keep_checkpoints": true}', True), ("[", False)])
def test_what_a_finished_run_no_longer_needs(tmp_path: Path, options: str, kept: bool) -> None:
    lasting = ["config.json", "model.safetensors", "metrics.json", "loss-plot.png"]
    put(tmp_path, *lasting, *(name for name in OURS if name.startswith((".", "prefix"))), ".hf-spam")
    put(tmp_path, "checkpoint-5/seal.json", "superseded-checkpoint-7/seal.json")
    (tmp_path / "arguments.json").write_text(options)
    assert {path.name for path in lasting_files(tmp_path)} == {*lasting, "arguments.json"}
    remove_passing(tmp_path)
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {*lasting, "arguments.json"} | ({"checkpoint-5", "superseded-checkpoint-7"} if kept else set())
