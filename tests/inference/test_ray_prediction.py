"""Parquet to Parquet on a Ray cluster: every row once, in order, whoever dies.   pytest -m ray

What needs no cluster runs by default: the process that scores, the options, the files.
"""

import importlib.util
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.warm_process import WarmProcess

from hf_spam import SpamClassifier, UserError
from hf_spam.data.labels import task_of_config
from hf_spam.inference import ray_prediction
from hf_spam.inference.answers import Wish
from hf_spam.inference.ray_prediction import Request, RowScorer, list_parquet, name_fields, read_columns

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rows(messages: pd.DataFrame, tmp_path: Path) -> Path:
    """A folder of two Parquet files of real messages, with a number and a label that the model has not seen."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for number, name in enumerate(("a", "b")):
        part = messages.iloc[number * 40 : number * 40 + 40]
        table = pa.table(
            {"number": [*range(len(part))], "text": part["Text"].tolist(), "label": part["Label"].tolist()}
        )
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


WISHES = {
    "plain": (Wish(), ["predicted_label", "score"], []),
    "all scores": (Wish(all_scores=True), ["predicted_label", "score", "score_ham", "score_spam"], ["--all_scores"]),
    "top": (Wish(top_k=1), ["predicted_label", "score", "scores"], ["--top_k", "1"]),
    "threshold": (Wish(threshold=0.9), ["predicted_label", "score"], ["--threshold", "0.9"]),
}


@pytest.mark.parametrize("name", WISHES)
def test_the_columns_are_those_of_predict(rows: Path, tiny_run: Callable[[str], Path], run: Run, name: str) -> None:
    """Rows and columns, names and values, types too, as the own engine writes them."""
    wish, added, options = WISHES[name]
    model = tiny_run("sample")
    code, _, error = run("predict", model, "--input", rows, "--output", "own.parquet", *options)
    assert code == 0, error
    table = read_columns(list_parquet(rows), None)
    names = name_fields(table, task_of_config(SpamClassifier.from_pretrained(model).model.config), wish)
    scorer = RowScorer(Request(str(model), "fp32", None, wish, None, table.text_columns, names))
    found = pa.concat_tables([scorer(pq.read_table(rows / f"{part}.parquet")) for part in "ab"])
    own = pq.read_table("own.parquet")
    assert found.column_names == own.column_names == ["number", "text", "label", *added]
    assert found.schema.remove_metadata() == own.schema.remove_metadata()
    for column in found.column_names:
        if found[column].type == pa.float64():
            assert found[column].to_pylist() == pytest.approx(own[column].to_pylist(), abs=2e-6)
        elif column != "scores":
            assert found[column] == own[column]


def test_a_row_without_a_text(rows: Path, tiny_run: Callable[[str], Path]) -> None:
    scorer = RowScorer(Request(str(tiny_run("sample")), "fp32", None, Wish(), None, ["text"], {"label": "label"}))
    with pytest.raises(
        UserError, match=r"^the input: expected a text, found None\. .*Without --engine ray its number"
    ):
        scorer(pa.table({"text": ["one", None]}))


REFUSED = {
    "no input": (["text", "--engine", "ray"], "--engine ray: expected --input and --output, found none."),
    "without the engine": (["--num_processes", "2"], "--num_processes: expected --engine ray beside it, found none."),
    "an encoding": (
        ["--input", "rows", "--output", "out", "--engine", "ray", "--encoding", "utf-8"],
        "--encoding: expected",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_that_do_not_fit(run: Run, name: str) -> None:
    options, message = REFUSED[name]
    code, _, error = run("predict", "model", *options)
    assert code == 2
    assert error.startswith(f"hf-spam: error: {message}")
    assert error.count("\n") == 1


def test_without_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    code, _, error = run("predict", "model", "--input", "rows", "--output", "out", "--engine", "ray")
    assert (code, error) == (2, 'hf-spam: error: --engine ray needs Ray. Install it: pip install -e ".[ray]"\n')


def test_under_a_launcher(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, error = run("predict", "model", "--input", "rows", "--output", "out", "--engine", "ray")
    assert code == 2
    assert "--engine ray: expected one process, found 2" in error


def test_which_files(rows: Path, tmp_path: Path) -> None:
    both = [str(rows / "a.parquet"), str(rows / "b.parquet")]
    assert list_parquet(rows) == list_parquet(str(rows / "*.parquet")) == list_parquet([*map(Path, both)]) == both
    (rows / "c.csv").write_text("text\none\n")
    assert list_parquet(rows) == both
    with pytest.raises(UserError, match=r"c\.csv: expected a Parquet file, found another\. Leave out --engine ray\."):
        list_parquet(rows / "c.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: expected a folder of Parquet files, found none in it\."):
        list_parquet(tmp_path / "empty")
    pq.write_table(pa.table({"text": ["one"], "label": ["ham"], "more": [1]}), rows / "d.parquet")
    with pytest.raises(UserError, match=r"d\.parquet: expected the columns .* Give files of the same columns\."):
        read_columns(list_parquet(rows), None)


def test_no_rows_and_what_is_in_the_way(tiny_run: Callable[[str], Path], tmp_path: Path) -> None:
    """An input without rows needs no cluster, and gives the columns."""
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "none.parquet")
    model = tiny_run("sample")
    task = task_of_config(SpamClassifier.from_pretrained(model).model.config)
    request = Request(str(model), "fp32", None, Wish(), None, ["text"], {"label": "label", "score": "score"})
    files, target, partial = [str(tmp_path / "none.parquet")], tmp_path / "out", tmp_path / "out.partial"
    partial.mkdir()
    (partial / "notes.txt").touch()
    with pytest.raises(UserError, match=r"out\.partial: is in the way and not ours\."):
        ray_prediction.predict_on_ray(request, files, target, task)
    (partial / "notes.txt").rename(partial / "0_1-0.parquet")  # of a run that was killed
    assert ray_prediction.predict_on_ray(request, files, target, task) == 0
    assert pq.read_table(target).column_names == ["text", "label", "score"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["none.parquet", "out"]
    with pytest.raises(UserError, match=r"--output .*out: exists already, and nothing is overwritten\."):
        ray_prediction.predict_on_ray(request, files, target, task)


# --- with a cluster -----------------------------------------------------------------------------------------------------


@pytest.mark.ray
def test_a_process_dies(
    messages: pd.DataFrame, tiny_run: Callable[[str], Path], warm: WarmProcess, tmp_path: Path
) -> None:
    """Two processes share three files of real messages, one is killed: each row is there once, with its own answer."""
    model, numbers = tiny_run("sample"), range(6000)
    texts = [f"{messages['Text'].iloc[number % len(messages)]} {number}" for number in numbers]
    (tmp_path / "in").mkdir()
    for part in range(3):
        own = slice(part * 2000, part * 2000 + 2000)
        table = pa.table({"id": [*numbers][own], "text": texts[own]})
        pq.write_table(table, tmp_path / "in" / f"{part}.parquet")
    argv = ["predict", model, "--input", "in", "--output", "out", "--engine", "ray", "--num_processes", "2"]
    driver = psutil.Process(warm.start(argv, tmp_path))
    log, partial = tmp_path / "log", tmp_path / "out.partial"
    while not list(partial.glob("*.parquet")):
        assert driver.status() != psutil.STATUS_ZOMBIE, log.read_text()
        time.sleep(0.01)
    working = [each for each in driver.children(recursive=True) if "RowScorer" in "".join(each.cmdline())]
    assert len(working) == 2
    working[0].send_signal(signal.SIGKILL)
    assert not (tmp_path / "out").exists()
    assert warm.wait(driver.pid) == 0, log.read_text()
    first, *told, last = log.read_text().splitlines()
    assert first == "note   in/0.parquet and 2 more: columns: texts text"
    assert all("(raylet)" in line for line in told), told  # Ray's own, which count the tries
    assert last == "6,000 texts classified: out"
    found = pq.read_table(tmp_path / "out")
    assert found["id"].to_pylist() == [*numbers]
    assert found["text"].to_pylist() == texts
    expected = SpamClassifier.from_pretrained(model)(texts)
    assert found["label"].to_pylist() == [prediction.label for prediction in expected]
    assert found["score"].to_pylist() == pytest.approx([prediction.score for prediction in expected], abs=2e-6)
    assert len(list((tmp_path / "out").iterdir())) > 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "log", "out"]


@pytest.mark.ray
def test_a_row_is_refused(tiny_run: Callable[[str], Path], warm: WarmProcess, tmp_path: Path) -> None:
    """In a line, as the process says it; the output is absent."""
    pq.write_table(pa.table({"text": ["one", None]}), tmp_path / "in.parquet")
    argv = ["predict", tiny_run("sample"), "--input", "in.parquet", "--output", "out", "--engine", "ray"]
    assert warm.wait(warm.start([*argv, "--num_processes", "1"], tmp_path)) == 2
    assert (tmp_path / "log").read_text().splitlines()[1:] == [
        "hf-spam: error: the input: expected a text, found None. Fill or remove the row. Without --engine ray its number "
        "is said."
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "log"]
