"""Files as they are published: from the file to a model that is trained, evaluated, used and pushed, a command each.

pytest tests/commands/test_any_file.py
"""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from support import public_shapes
from support.loopback_hub import LoopbackHub
from support.public_shapes import SHAPES, Shape

from hf_spam import SpamClassifier
from hf_spam.inference.batch_prediction import open_texts

Run = Callable[..., tuple[int, str, str]]

# The client's upload; what is tested is ours.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")

TINY = ["--weights", "random", "--model_size", "tiny", "--context_length", "64", "--max_steps", "2"]
PLAN = ["--balance", "none", "--split", "stratified"]
MORE = {
    "jigsaw": ["--split", "chapter"],
    "feather": ["--label_map", "smishing=spam"],  # of which there is one message
}


def columns(shape: Shape) -> list[str]:
    return [word for name, value in shape.columns.items() for word in (f"--{name}", value)]


@pytest.fixture
def more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times as many messages as the readers' tests need."""
    for name in ("MESSAGES", "OF_LINES"):
        rows = getattr(public_shapes, name)
        monkeypatch.setattr(
            public_shapes, name, [(label, f"{text} {n}") for n in range(5) for label, text in rows if text != "NA"]
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_from_a_file_to_a_model(name: str, more_rows: None, tmp_path: Path, run: Run, hub: LoopbackHub) -> None:
    (tmp_path / "data").mkdir()
    shape = SHAPES[name](tmp_path / "data")
    source = ["--data_dir" if shape.splits else "--data_file", shape.path, *columns(shape)]
    plan = [*PLAN, *MORE.get(name, [])] if name != "jigsaw" else MORE[name]
    code, out, err = run("train", *source, *plan, *TINY, "--output_dir", tmp_path / "model")
    assert code == 0, err
    assert out.startswith("labels ")
    assert " rows; columns: texts " in out or "labels are the names of folders or files" in out
    code, out, err = run("evaluate", tmp_path / "model", "--output", tmp_path / "test.csv")
    assert code == 0, err
    assert "on the test split" in out
    mistakes = pd.read_csv(tmp_path / "test.csv", keep_default_na=False)
    assert list(mistakes)[:3] == ["row", "text", "label"]
    wrong = [not right for right in mistakes["correct"]]
    assert wrong == sorted(wrong, reverse=True)

    texts = [*([] if "text_column" not in shape.columns else ["--text_column", shape.columns["text_column"]])]
    argv = ["predict", tmp_path / "model", "--input", shape.path, *texts, "--all_scores"]
    assert run(*argv, "--output", tmp_path / "out.jsonl")[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    table = open_texts(str(shape.path), shape.columns.get("text_column"))
    found = [{key: row[key] for key in original} for row, (_, original) in zip(rows, table.rows(), strict=True)]
    assert found == [json.loads(json.dumps(original)) for _, original in table.rows()]
    classifier = SpamClassifier.from_pretrained(tmp_path / "model")
    assert [label for row in rows for label in row["scores"]] == classifier.labels * len(rows)
    expected = classifier([table.text(*each) for each in table.rows()])
    labels = [row.get("predicted_label", row.get("label")) for row in rows]
    assert labels == [one.label for one in expected]

    code, out, err = run("push", tmp_path / "model", "alice/model")
    assert code == 0, err
    assert run("predict", "alice/model", "hello")[0] == 0


# --- what comes out -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, warm: object) -> Path:
    """A model of three labels, and a CSV with ids and a column `label`."""
    folder = tmp_path_factory.mktemp("three")
    rows = [(f"{n:03}", ("ham", "service", "fraud")[n % 3], f'text "{n}", and\nmore') for n in range(30)]
    pd.DataFrame(rows, columns=["id", "label", "text"]).to_csv(folder / "in.csv", index=False)
    warm.run(["train", "--data_file", "in.csv", *TINY, "--output_dir", "model"], folder)  # type: ignore[attr-defined]
    return folder


def read(path: Path) -> list[dict[str, object]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    return pd.read_csv(path, dtype=str, sep="\t" if path.suffix == ".tsv" else ",").to_dict("records")  # type: ignore[return-value]


def test_every_format_holds_the_same(three: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns and ids of the input, then the prediction, beside what has its name already."""
    monkeypatch.chdir(three)
    expected = pd.read_csv("in.csv", dtype=str).to_dict("records")
    wanted = SpamClassifier.from_pretrained("model").all_scores([str(row["text"]) for row in expected])
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        argv = ["predict", "model", "--input", "in.csv", "--output", f"out.{suffix}", "--all_scores"]
        code, out, err = run(*argv)
        assert (code, out) == (0, f"30 texts classified: out.{suffix}\n"), err
        assert "the input has columns label; predictions are in predicted_label" in err
        rows = read(Path(f"out.{suffix}"))
        assert [{name: row[name] for name in ("id", "label", "text")} for row in rows] == expected
        for row, scores in zip(rows, wanted, strict=True):
            assert row["predicted_label"] == max(scores, key=scores.get)
            assert float(str(row["score"])) == pytest.approx(max(scores.values()), abs=1e-5)
            found = row["scores"] if suffix == "jsonl" else {name: float(str(row[f"score_{name}"])) for name in scores}
            assert found == pytest.approx(scores, abs=1e-5)
    assert not list(three.glob("*.parts"))


@pytest.mark.slow
def test_what_is_asked_for(three: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(three)
    scores = SpamClassifier.from_pretrained("model").all_scores("hello")
    order = sorted(scores, key=lambda name: -scores[name])

    def ask(*argv: str) -> dict[str, object]:
        code, out, err = run("predict", "model", "hello", "--json", *argv)
        assert code == 0, err
        return dict(json.loads(out))

    assert list(ask("--all_scores")["scores"]) == list(scores)  # type: ignore[call-overload]
    assert list(ask("--top_k", "2")["scores"]) == order[:2]  # type: ignore[call-overload]
    assert ask("--threshold", "0.01")["label"] == list(scores)
    assert ask("--threshold", "0.99")["label"] == []
    line = run("predict", "model", "hello", "--top_k", "1")[1].rstrip("\n").split("\t")
    assert line == [order[0], f"{scores[order[0]]:.4f}", f"{order[0]}={scores[order[0]]:.4f}", "hello"]
    for argv, message in (
        (["hello", "--top_k", "2", "--all_scores"], "expected one of --top_k, --all_scores"),
        (["hello", "--threshold", "1.5"], "--threshold: expected a number from 0 to 1"),
        (["--input", "in.csv", "--output", "out.xlsx"], "expected a name that ends in .csv, .tsv, .jsonl or .parquet"),
        (["--input", "in.csv", "--output", "in.csv"], "in.csv: exists already"),
        (["hello", "--positive_label", "other"], "--positive_label: expected "),
    ):
        code, _, err = run("predict", "model", *argv)
        assert code == 2
        assert message in err


def test_the_mistakes_come_first(three: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most certain one at the top; and a file of one label is fine."""
    monkeypatch.chdir(three)
    one = pd.read_csv("in.csv", dtype=str).query("label == 'fraud'")
    one.to_csv("fraud.csv", index=False)
    for source, count in (("in.csv", 30), ("fraud.csv", 10)):
        code, _, err = run("evaluate", "--data_file", source, "model", "--output", f"mistakes-{source}")
        assert code == 0, err
        rows = pd.read_csv(f"mistakes-{source}")
        texts = pd.read_csv(source, dtype=str)["text"]
        assert len(rows) == count
        assert rows["text"].tolist() == [texts[number - 1] for number in rows["row"]]
        certain = [score if right else -score for score, right in zip(rows["score"], rows["correct"], strict=True)]
        wrong = [row for row in certain if row < 0]
        assert wrong == sorted(wrong) == certain[: len(wrong)]
        assert (rows["label"] == rows["predicted_label"]).tolist() == rows["correct"].tolist()


@pytest.mark.slow
def test_a_number(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a regression the score alone."""
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"text": [f"text {n}" for n in range(20)], "label": [n / 10 for n in range(20)]}).to_csv("in.csv")
    argv = ["train", "--data_file", "in.csv", "--problem_type", "regression", *TINY, "--output_dir", "model"]
    assert run(*argv)[0] == 0
    assert len(run("predict", "model", "hello")[1].rstrip("\n").split("\t")) == 2
    assert run("predict", "model", "--input", "in.csv", "--output", "out.csv")[0] == 0
    assert list(pd.read_csv("out.csv"))[-2:] == ["label", "score"]
    assert pd.read_csv("out.csv")["label"].tolist() == [n / 10 for n in range(20)]
    assert run("evaluate", "model", "--data_file", "in.csv", "--output", "test.csv")[0] == 0
    found = pd.read_csv("test.csv")
    errors = (found["score"] - found["label"]).abs().tolist()
    assert errors == sorted(errors, reverse=True)
    code, _, err = run("predict", "model", "hello", "--threshold", "0.5")
    assert code == 2
    assert "--threshold: expected a model of labels, found one that returns a number" in err
