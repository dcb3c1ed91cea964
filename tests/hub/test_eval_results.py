"""A report's figures in `.eval_results` of the pushed model: those of this model on its own test split alone.

pytest tests/hub/test_eval_results.py
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from support.loopback_hub import LoopbackHub

from hf_spam import UserError
from hf_spam.checkpoint.files import hash_model
from hf_spam.checkpoint.opening import open_checkpoint
from hf_spam.evaluation.report import choose_messages
from hf_spam.hub.contents import model_contents

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

Run = Callable[..., tuple[int, str, str]]
REPOSITORY = "alice/spam"
RESULTS = ".eval_results/hf-spam.yaml"


@pytest.fixture(scope="module")
def trained(tiny_run: Callable[[str], Path]) -> Path:
    return tiny_run("sample")


@pytest.fixture(scope="module")
def report(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report as the command writes it, of which only the file for the Hub matters here."""
    folder = tmp_path_factory.mktemp("report") / "report"
    (folder / RESULTS).parent.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"model_sha256": hash_model(trained)}))
    (folder / RESULTS).write_text("- dataset: {id: ucirvine/sms_spam, task_id: accuracy}\n  value: 0.5\n")
    return folder


def test_they_are_listed_and_sent(hub: LoopbackHub, run: Run, trained: Path, report: Path) -> None:
    code, output, error = run("push", trained, REPOSITORY, "--report", report, "--dry_run", "true")
    assert (code, hub.requests) == (0, []), error
    assert RESULTS in output
    assert run("push", trained, REPOSITORY, "--report", report)[0] == 0
    stored = hub.files(REPOSITORY)
    assert stored[RESULTS] == (report / RESULTS).read_bytes()
    assert RESULTS in json.loads(stored["manifest.json"])["files"]
    assert "report.json" not in stored


@pytest.mark.slow
def test_from_the_report_to_the_hub(hub: LoopbackHub, run: Run, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    assert run("evaluate", trained, "--report", folder)[0] == 0
    assert run("push", trained, REPOSITORY, "--report", folder)[0] == 0
    stored = hub.files(REPOSITORY)
    record = json.loads((folder / "report.json").read_text())
    entries = parse_eval_result_entries(yaml.safe_load(stored[RESULTS]))
    assert {entry.task_id for entry in entries} == {"accuracy", "recall", "blocked", "mcc", "log_loss"}
    for entry in entries:
        assert entry.dataset_id == "ucirvine/sms_spam"
        assert entry.value == pytest.approx(record["figures"]["model"][entry.task_id]["value"], abs=1e-4)
        assert entry.notes is not None
        assert entry.notes.startswith(f"{record['messages']:,} test messages")
    assert str(trained).encode() not in stored[RESULTS]


def test_without_a_report_there_are_none(run: Run, trained: Path) -> None:
    code, output, error = run("push", trained, REPOSITORY, "--dry_run", "true")
    assert code == 0, error
    assert ".eval_results" not in output


def test_they_are_read_before_they_are_pushed(
    hub: LoopbackHub, run: Run, trained: Path, report: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "to-read"
    assert run("push", trained, REPOSITORY, "--report", report, "--output_dir", folder)[0] == 0
    assert (folder / RESULTS).read_bytes() == (report / RESULTS).read_bytes()
    assert hash_model(folder) == hash_model(trained)  # the report is also one of this copy
    assert run("push", folder, REPOSITORY)[0] == 0
    assert hub.files(REPOSITORY)[RESULTS] == (report / RESULTS).read_bytes()


def test_reports_that_do_not_belong_to_the_model(run: Run, trained: Path, report: Path, tmp_path: Path) -> None:
    other, own = tmp_path / "other", tmp_path / "own"
    shutil.copytree(trained, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"drop_rate": 0.25}))
    shutil.copytree(report, own)
    (own / RESULTS).unlink()
    for model, folder, message in (
        (other, report, f"--report {report}: expected a report of {other}, found one of other files."),
        (trained, tmp_path, f"--report {tmp_path}: expected a folder with a report.json, found none."),
        (trained, own, f"--report {own}: expected figures for the Hub in {RESULTS}, found none:"),
    ):
        code, output, error = run("push", model, REPOSITORY, "--report", folder, "--dry_run", "true")
        assert (code, output) == (2, "")
        assert message in " ".join(error.split())


def test_what_must_not_get_out(trained: Path, report: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    (folder / ".eval_results").symlink_to((report / RESULTS).parent, target_is_directory=True)
    with pytest.raises(UserError, match="refused, expected a folder of the run itself, found a link"):
        model_contents(folder, REPOSITORY)
    (folder / ".eval_results").unlink()
    (folder / ".eval_results").mkdir()
    (folder / RESULTS).write_text(f"- notes: {folder}\n")
    with pytest.raises(UserError, match=r"hf-spam\.yaml: refused, it names a folder of this machine"):
        model_contents(folder, REPOSITORY)


def test_only_the_models_own_test_split_is_held_out(trained: Path) -> None:
    """The figures of rows that the model was trained on, or may have been, are nobody's result."""
    config = open_checkpoint(trained).config
    own = {split: choose_messages("m", trained, config, {}, split).held_out for split in ("test", "train", "all")}
    assert own == {"test": True, "train": False, "all": False}
    assert not choose_messages("m", trained, config, {"data_source": "sample"}, "test").held_out
