"""The options beside a checkpoint: of its own run, or of a stranger's.   pytest tests/starting"""

import json
from pathlib import Path
from typing import Any

import pytest

from hf_spam import UserError
from hf_spam.commands.train import parse


def stranger(folder: Path, **options: Any) -> str:
    (folder / "checkpoint-4").mkdir(parents=True)
    (folder / "arguments.json").write_text(json.dumps(options))
    return str(folder / "checkpoint-4")


def test_a_strangers_options_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    places = dict.fromkeys(("output_dir", "cache_dir", "bpe_dir", "prefix_cache_dir", "run_name"), "/elsewhere")
    services = {
        "report_to": "wandb",
        "push_to_hub": True,
        "hub_model_id": "a/b",
        "hub_token": "x",
        "hub_revision": "y",
    }
    more = {"trackio_space_id": "x/y", "overwrite_output_dir": True, "keep_checkpoints": True, "learning_rate": 0.5}
    which = stranger(tmp_path / "their", **places, **services, **more)
    options = parse(["--output_dir", "mine", "--resume_from_checkpoint", which])
    assert options == {
        "output_dir": "mine", "resume_from_checkpoint": which, "keep_checkpoints": True, "learning_rate": 0.5,
    }  # fmt: skip
    own = stranger(tmp_path / "mine.partial", **places, learning_rate=0.25)
    for asked in ("last", own):
        options = parse(["--output_dir", "mine", "--resume_from_checkpoint", asked])
        assert options["cache_dir"] == "/elsewhere"
        assert options["output_dir"] == "mine"


@pytest.mark.parametrize("name", ["data_file", "data_dir", "test_file", "dataset_name"])
def test_a_strangers_data_are_named_again(tmp_path: Path, name: str) -> None:
    which = stranger(tmp_path / "their", **{name: "/etc" if name == "data_dir" else "/etc/passwd"})
    argv = ["--output_dir", str(tmp_path / "mine"), "--resume_from_checkpoint", which]
    with pytest.raises(
        UserError, match=rf"names --{name}, which is not taken from another run's folder\. Give --{name} again"
    ):
        parse(argv)
    assert parse([*argv, "--data_file", "mine.csv"]).get("data_file") == ["mine.csv"]
    assert "data_dir" not in parse([*argv, "--data_file", "mine.csv"])


@pytest.mark.parametrize("content", ["[1]", "{", '{"unknown": 1}', '{"seed": "x"}', '{"seed": [1, 2]}', '{"bf16": 5}'])
def test_options_that_are_none(tmp_path: Path, content: str) -> None:
    which = stranger(tmp_path / "their")
    (tmp_path / "their" / "arguments.json").write_text(content)
    with pytest.raises(UserError, match=r"their/arguments\.json: "):
        parse(["--output_dir", str(tmp_path / "mine"), "--resume_from_checkpoint", which])
