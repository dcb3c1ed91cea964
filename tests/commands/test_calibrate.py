"""From folds to a promise to every client's decision, by the real commands.   pytest tests/commands/test_calibrate.py"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from transformers import pipeline

from hf_spam import SpamClassifier
from hf_spam.checkpoint.operating_point import OperatingPoint
from hf_spam.data.arguments import DataArguments
from hf_spam.data.loading import read_messages

Run = Callable[..., tuple[int, str, str]]
RECIPE = ["--learning_rate", "1e-3", "--max_steps", "12", "--trainable", "all", "--disable_tqdm", "true"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibrate")


@pytest.fixture
def recipe(few_messages: Path, gpt2_folder: Path) -> list[str]:
    return [*RECIPE, "--data_file", str(few_messages), "--weights", str(gpt2_folder)]


def test_every_message_once(run: Run, recipe: list[str], place: Path, few_messages: Path) -> None:
    """Each message has a score of a fold that held it out; further seeds only train what is missing."""
    command = ["cross-validate", *recipe, "--folds", "2", "--output_dir", place / "cv"]
    code, out, err = run(*command, "--seeds", "4")
    assert code == 0, err
    assert "groups of near duplicates among 130 messages stay together" in out
    assert "[1/2] seed 4, fold 1: accuracy" in out
    table = pq.read_table(place / "cv" / "out-of-fold.parquet").to_pandas()
    assert sorted(table["row"]) == list(range(130))
    labels = pd.read_csv(few_messages)["Label"].map({"ham": 0, "spam": 1})
    assert (table.sort_values("row")["label"].to_numpy() == labels.to_numpy()).all()
    assert table.groupby("group")["fold"].nunique().max() == 1
    figures = json.loads((place / "cv" / "report" / "report.json").read_text())["figures"]["model"]
    spam = table["model: spam"] > table["model: ham"]
    assert figures["accuracy"]["value"] == pytest.approx((spam == table["label"]).mean())
    assert {path.name for path in (place / "cv").iterdir()} == {
        "folds", "out-of-fold.parquet", "cross-validation.json", "report",
    }  # fmt: skip

    before = {path: path.stat().st_mtime_ns for path in (place / "cv" / "folds").iterdir()}
    code, out, _ = run(*command, "--seeds", "4")
    assert code == 0
    assert "fold 1" not in out
    assert before == {path: path.stat().st_mtime_ns for path in (place / "cv" / "folds").iterdir()}
    code, _, err = run(*command, "--seeds", "4", "--learning_rate", "2e-3")
    assert code == 2
    assert "holds a cross-validation with another learning_rate" in err


def test_every_client_decides_alike(
    run: Run, recipe: list[str], place: Path, few_messages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line, the pipeline and the classifier, at 0.5; the record says what was promised."""
    monkeypatch.chdir(place)
    assert run("train", *recipe, "--split", "grouped", "--output_dir", "run")[0] == 0
    code, out, err = run("calibrate", "run", "--scores", "cv", "--budget", "0.1", "--unsure_budget", "0.3", "--output_dir", "filter")  # fmt: skip
    assert code == 0, err
    assert (
        "chosen on 130 messages out of fold: at most 10.00% of messages other than spam are blocked, with 95%" in out
    )
    texts = pd.read_csv(few_messages)["Text"].tolist()
    classifier, before = SpamClassifier.from_pretrained("filter"), SpamClassifier.from_pretrained("run")
    point = classifier.operating_point
    assert point is not None
    values = json.loads(Path("filter/config.json").read_text())["operating_point"]
    assert OperatingPoint(**values) == point
    lead = before.logits(texts).double()
    lead = (lead[:, 1] - lead[:, 0]) / point.temperature - point.threshold
    expected = ["block" if one >= 0 else "unsure" if one >= (point.unsure or 0) else "allow" for one in lead.tolist()]
    assert classifier.decide(texts) == expected
    labels = ["spam" if decision == "block" else "ham" for decision in expected]
    assert [prediction.label for prediction in classifier(texts)] == labels
    piped = pipeline("text-classification", "filter", trust_remote_code=False)(texts)
    assert [found["label"] for found in piped] == labels
    code, out, _ = run("predict", "filter", texts[0], texts[-1], "--decision", "--json")
    assert [json.loads(line)["decision"] for line in out.splitlines()] == [expected[0], expected[-1]]
    record = json.loads(Path("filter/metrics.json").read_text())
    assert record["operating_point"] == {**values, "on": "130 messages out of fold"}
    code, out, _ = run("evaluate", "filter")
    assert f"accuracy {record['splits']['test']['accuracy']:.2%}" in out
    assert run("verify", "filter")[0] == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["filter", "--output_dir", "again"], "filter: is calibrated already"),
        (["run", "--output_dir", "run"], "run: expected a new folder, found the model itself"),
        (["run", "--output_dir", "new"], r"--budget 0\.005 with --confidence 0\.95: expected at least 598 messages other"),
        (["run", "--output_dir", "new", "--scores", "run"], "expected the scores of hf-spam cross-validate for ham, spam"),
        (["run", "--output_dir", "new", "--unsure_budget", "0.001"], r"--unsure_budget: expected more than --budget"),
        (["run", "--output_dir", "new", "--budget", "2"], "--budget: expected"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_what_cannot_be(run: Run, place: Path, argv: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and nothing new."""
    monkeypatch.chdir(place)
    before = sorted(path.name for path in place.iterdir())
    code, _, err = run("calibrate", *argv)
    assert code == 2
    assert re.search(message, err), err
    assert sorted(path.name for path in place.iterdir()) == before


def test_no_decision_without_a_point(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    code, _, err = run("predict", "run", "hello", "--decision")
    assert code == 2
    assert "--decision: expected a model that hf-spam calibrate made" in err


@pytest.mark.onnx
def test_every_client_on_the_whole_collection(
    run: Run, recipe: list[str], tmp_path: Path, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline's label, the classifier's decision and ONNX Runtime's label are the same for every message."""
    monkeypatch.chdir(tmp_path)
    assert run("train", *recipe, "--split", "grouped", "--output_dir", "run")[0] == 0
    assert run("calibrate", "run", "--budget", "0.5", "--output_dir", "filter")[0] == 0
    code, _, err = run("export", "filter", "--output_dir", "onnx", "--data_file", str(collection))
    assert code == 0, err
    texts = read_messages(DataArguments(data_file=[str(collection)])).frame["Text"].tolist()
    assert len(texts) == 5572
    decided = [
        "spam" if decision == "block" else "ham" for decision in SpamClassifier.from_pretrained("filter").decide(texts)
    ]
    assert 100 < decided.count("spam") < 5472
    piped = pipeline("text-classification", "filter", trust_remote_code=False)(texts, truncation=True, batch_size=64)
    assert [found["label"] for found in piped] == decided
    assert [found.label for found in SpamClassifier.from_pretrained("onnx")(texts)] == decided
    assert SpamClassifier.from_pretrained("onnx").decide(texts).count("block") == decided.count("spam")
