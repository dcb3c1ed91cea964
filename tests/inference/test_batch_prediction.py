"""Files of texts → files of predictions: in order, nothing lost or repeated, whatever happens.

pytest tests/inference/test_batch_prediction.py
"""

import csv
import gzip
import io
import json
import lzma
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from support import strange_files as strange
from support.warm_process import WarmProcess

from hf_spam import UserError
from hf_spam.commands.predict import arriving
from hf_spam.inference.answers import Answer
from hf_spam.inference.batch_prediction import open_texts, predict_file
from hf_spam.inference.parts import Parts, fingerprint_model
from hf_spam.inference.texts import prefetch
from hf_spam.system.files import hash_file

Run = Callable[..., tuple[int, str, str]]


def by_length(chunks: Iterable[list[str]]) -> Iterator[list[Answer]]:
    """A classifier whose score tells its text, and which reads ahead as ours does."""
    for texts in prefetch(chunks):
        yield [{"label": "spam" if len(text) % 2 else "ham", "score": len(text) / 100} for text in texts]


def read_predictions(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=20)


@given(texts=texts, chunk_size=st.integers(1, 7), kind=st.sampled_from(["csv", "jsonl"]))
def test_every_text_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], chunk_size: int, kind: str
) -> None:
    if kind == "csv":
        texts = [text.replace("\0", "") for text in texts]  # a CSV cannot hold one
    texts = texts or {"csv": [], "jsonl": [""]}[kind]  # an empty file is refused
    folder = tmp_path_factory.mktemp("any")
    source, target = folder / f"in.{kind}", folder / "out.jsonl"
    with source.open("w", encoding="utf-8", newline="") as file:
        if kind == "csv":
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows(
                [["id", "Text"], *([n, text] for n, text in enumerate(texts))]
            )
        else:
            file.writelines(json.dumps({"id": n, "Text": text}) + "\n" for n, text in enumerate(texts))
    assert predict_file(by_length, source, target, model="m", chunk_size=chunk_size) == len(texts)
    found = [json.loads(line) for line in target.read_text(encoding="utf-8").split("\n") if line]
    expected = [prediction for predictions in by_length([[text] for text in texts]) for prediction in predictions]
    assert [row["Text"] for row in found] == texts
    assert [int(row["id"]) for row in found] == list(range(len(texts)))
    assert [{"label": row["label"], "score": row["score"]} for row in found] == expected
    assert sorted(path.name for path in folder.iterdir()) == [source.name, "out.jsonl"]


def test_lines_of_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(
        "\ufeffone\r\n\nthree \x0b\x85 still three\nbad \udcff".encode("utf-8", "surrogateescape")
    )
    table = open_texts(tmp_path / "in.txt")
    assert [table.text(*row) for row in table.rows()] == ["one", "", "three \x0b\x85 still three", "bad \ufffd"]


@pytest.mark.parametrize(("name", "content"), strange.LABELLED_TEXTS.values(), ids=strange.LABELLED_TEXTS)
def test_the_texts_of_labelled_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    predict_file(by_length, tmp_path / name, tmp_path / "out.jsonl", model="m")
    for row, text in zip(read_predictions(tmp_path / "out.jsonl"), ["See you", "Win a prize"], strict=True):
        assert text in row.values()
        score = {"score": len(text) / 100, "label": "spam" if len(text) % 2 else "ham"}
        assert score.items() <= {name.removeprefix("predicted_"): value for name, value in row.items()}.items()


def test_several_files_and_folders(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text(f"{name}\nx\n")
    for number, source in enumerate(([tmp_path / "in" / "a.txt", tmp_path / "in" / "b.txt"], tmp_path / "in")):
        target = tmp_path / f"{number}.jsonl"
        assert predict_file(by_length, source, target, model="m") == 4
        assert [row["text"] for row in read_predictions(target)] == ["a.txt", "x", "b.txt", "x"]


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        (
            "a.csv",
            "id,kind\n1,x\n",
            None,
            "expected a column of texts, found columns: id, kind. Name it with --text_column.",
        ),
        ("a.csv", "text,Text\n1,x\n", None, "expected a column of texts (which of text, Text?)"),
        ("a.csv", "", None, "expected messages, found an empty file"),
        ("a.csv", "id,text\n1,x\n2\n", None, "row 2 has 1 field, expected 2"),
        ("a.csv", "id,text\n1,x\n", "body", "expected a column 'body', found columns: id, text"),
        (
            "a.csv",
            "id,text\n1,x, y\n",
            None,
            "row 1 has 3 fields, expected 2. Put quotes around texts that contain ','.",
        ),
        ("a.jsonl", '{"text": "x"}\nnot json\n', None, "line 2: expected a JSON object, found 'not json'"),
        ("a.jsonl", '{"text": "x"}\n{"text": 5}\n', None, "row 2: expected a text, found 5"),
        ("a.jsonl", '{"text": "x"}\n{"body": "y"}\n', None, "row 2: expected a text, found None"),
    ],
)
def test_files_without_texts(tmp_path: Path, name: str, content: str, column: str | None, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as error:
        predict_file(by_length, tmp_path / name, tmp_path / "out.jsonl", model="m", text_column=column)
    assert message in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing stands in the way of the corrected file


def test_nothing_is_overwritten_or_mixed_up(tmp_path: Path) -> None:
    source, target = tmp_path / "in.txt", tmp_path / "out.jsonl"
    with pytest.raises(UserError, match=r"in\.txt: no such file"):
        predict_file(by_length, source, target, model="m")
    source.write_text("a\nb\nc\n")

    def fail_at_c(chunks: Iterable[list[str]]) -> Iterator[list[Answer]]:
        for chunk in chunks:
            if "c" in chunk:
                raise RuntimeError("out of memory")
            yield from by_length([chunk])

    with pytest.raises(RuntimeError, match="out of memory"):
        predict_file(fail_at_c, source, target, model="m", chunk_size=2)
    parts = tmp_path / "out.jsonl.parts"
    assert sorted(path.name for path in parts.iterdir()) == ["000000000.jsonl", "plan.json"]
    for changed in ({"model": "n"}, {"chunk_size": 3}):
        with pytest.raises(UserError, match=r"out\.jsonl\.parts: holds the parts of another input, model or option"):
            predict_file(by_length, source, target, **{"model": "m", "chunk_size": 2, **changed})  # type: ignore[arg-type]
    seen: list[str] = []

    def note(chunks: Iterable[list[str]]) -> Iterator[list[Answer]]:
        return by_length(seen.extend(chunk) or chunk for chunk in chunks)  # type: ignore[func-returns-value]

    predict_file(note, source, target, model="m", chunk_size=2)
    assert seen == ["c"]  # what was done is not done again
    assert [row["text"] for row in read_predictions(target)] == ["a", "b", "c"]
    with pytest.raises(UserError, match=r"out\.jsonl: exists already, and nothing is overwritten"):
        predict_file(by_length, source, target, model="m")


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, messages: pd.DataFrame, warm: WarmProcess) -> Path:
    """A trained tiny model."""
    folder = tmp_path_factory.mktemp("predictions")
    messages.head(300).to_csv(folder / "messages.csv", index=False)
    recipe = ["--data_file", "messages.csv", "--weights", "random", "--model_size", "tiny", "--max_steps", "1"]
    warm.run(["train", *recipe, "--context_length", "64", "--output_dir", "model"], folder)
    return folder


def write_numbered(path: Path, count: int) -> None:
    """A CSV of so many texts, each beginning with its number."""
    words = [
        "free",
        "win",
        "cash",
        "call",
        "me",
        "later",
        "ok",
        "dinner",
        "prize",
        "claim",
        "txt",
        "now",
        "love",
        "see",
        "you",
        "tonight",
        "urgent",
    ]
    dice = random.Random(count)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        for number in range(count):
            writer.writerow([number, f"{number} {' '.join(dice.choices(words, k=dice.randint(1, 20)))}"])


def assert_complete(path: Path, count: int) -> None:
    with path.open(encoding="utf-8") as file:
        numbers = [int(json.loads(line)["text"].split()[0]) for line in file]
    assert numbers == list(range(count))


@pytest.mark.parametrize(
    ("count", "processes"),
    [pytest.param(20_000, 2, marks=pytest.mark.slow), pytest.param(1_000_000, 2, marks=pytest.mark.long)],
)
def test_killed_and_started_again(workplace: Path, warm: WarmProcess, count: int, processes: int) -> None:
    """Killed on one process, finished by two: the whole file, in order; the memory does not grow with it."""
    write_numbered(workplace / "many.csv", count)
    target, parts = workplace / f"{count}.jsonl", workplace / f"{count}.jsonl.parts"
    argv = ["predict", "model", "--input", "many.csv", "--output", target]
    first = warm.start(argv, workplace)
    peaks = []
    for number in range(4, count // 1024 // 2, max(1, count // 1024 // 10)):
        while not (parts / f"{number:09d}.jsonl").exists():
            assert "zombie" not in Path(f"/proc/{first}/status").read_text(), (workplace / "log").read_text()
            time.sleep(0.01)
        status = Path(f"/proc/{first}/status")
        peaks += [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    os.kill(first, signal.SIGKILL)
    assert warm.wait(first) == -signal.SIGKILL
    assert max(peaks) < min(peaks) * 1.1
    assert not target.exists()
    done = len(list(parts.glob("*.jsonl")))
    assert 4 < done < count // 1024
    assert f"{count:,} texts classified: {target}" in warm.run(argv, workplace, processes)
    assert_complete(target, count)
    assert not parts.exists()


def test_the_same_predictions_as_one_by_one(workplace: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    Path("few.txt").write_text("Win a prize now\nSee you at dinner\n\nürgent: 5 €\n", encoding="utf-8")
    assert run("predict", "model", "--input", "few.txt", "--output", "few.jsonl")[:2] == (
        0,
        "4 texts classified: few.jsonl\n",
    )
    rows = read_predictions(Path("few.jsonl"))
    code, out, _ = run("predict", "model", *[str(row["text"]) for row in rows])
    assert code == 0
    assert out.splitlines() == [f"{row['label']}\t{row['score']:.4f}\t{row['text']}" for row in rows]


def test_json_on_standard_output(workplace: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    texts = ["Win a prize", "a\tb\u2028c\x1b[31m", "ürgent \ud800"]
    code, out, _ = run("predict", "model", "--json", *texts)
    assert code == 0
    rows = [json.loads(line) for line in out.split("\n") if line]
    assert [row["text"] for row in rows] == texts
    assert all(set(row) == {"text", "label", "score"} for row in rows)
    code, out, _ = run("predict", "model", *texts)
    assert code == 0
    assert [line.split("\t")[2] for line in out.split("\n") if line] == [
        "Win a prize",
        "a b\\u2028c\\x1b[31m",
        "ürgent \\ud800",
    ]


def test_other_weights_between_kill_and_restart(workplace: Path, run: Run, tmp_path: Path) -> None:
    """Under the same name: one line, and nothing is mixed."""
    shutil.copytree(workplace / "model", tmp_path / "model")
    (tmp_path / "in.txt").write_text("a\nb\n")
    argv = ["predict", tmp_path / "model", "--input", tmp_path / "in.txt", "--output", tmp_path / "out.jsonl"]
    parts = Parts(tmp_path / "out.jsonl", f"{fingerprint_model(tmp_path / 'model')} in fp32")
    parts.prepare({"chunk_size": 1024, "input": hash_file(tmp_path / "in.txt")})
    parts.write(0, ["a", "b"], ["{}\n", "{}\n"])
    weights = load_file(tmp_path / "model" / "model.safetensors")
    save_file(
        {name: weight * 1.01 for name, weight in weights.items()},
        tmp_path / "model" / "model.safetensors",
        {"format": "pt"},
    )
    code, _, error = run(*argv)
    assert code == 2
    assert "out.jsonl.parts: holds the parts of another input, model or option" in error
    shutil.copy(workplace / "model" / "model.safetensors", tmp_path / "model")
    assert run(*argv)[0] == 0


def test_a_live_pipe_is_answered_at_once() -> None:
    read, written = os.pipe()
    with open(read, encoding="utf-8") as stream, open(written, "wb", buffering=0) as pipe:  # noqa: PTH123
        batches = arriving(stream)
        pipe.write("\ufeffone\ntwö\r\nthr".encode())
        assert next(batches) == ["one", "twö"]
        pipe.write(b"e\0e\n\n")
        assert next(batches) == ["thre\0e", ""]
        pipe.write(b"x\n" * 2000 + b"no end \xff")
        assert [len(next(batches)) for _ in range(2)] == [1024, 976]
        pipe.close()
        assert list(batches) == [["no end \ufffd"]]


def test_standard_input_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="found standard input closed"):
        next(arriving(None))
    monkeypatch.setattr("hf_spam.commands.predict.LARGEST_ROW", 1000)
    (tmp_path / "a").write_bytes(b"short\n" + b"x" * 600_000)
    with (tmp_path / "a").open(encoding="utf-8") as stream:
        batches = arriving(stream)
        with pytest.raises(UserError, match="expected lines of at most 1,000 bytes, found a longer one"):
            list(batches)

    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(UserError, match="standard input: cannot be read: Input/output error"):
        next(arriving(io.TextIOWrapper(Broken())))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (gzip.compress(b"one\n", mtime=0), "lines of text, found gzip data. Give it by --input -"),
        (lzma.compress(b"one\n"), "lines of text, found xz data"),
        ("one\n".encode("utf-16"), "UTF-8, found UTF-16 or NUL bytes"),
        (b"PK\x03\x04 and so on", "lines of text, found zip data"),
        (b"o\0n\0e\0\n\0", "UTF-8, found UTF-16 or NUL bytes"),
    ],
)
def test_standard_input_that_is_no_text(data: bytes, found: str) -> None:
    with pytest.raises(UserError, match=f"^standard input: expected {re.escape(found)}"):
        next(arriving(io.TextIOWrapper(io.BytesIO(data))))


@pytest.mark.parametrize("data", [b"\0", b"a\0\n", b"hi\0\n", b"\xff\n"])
def test_a_short_message_that_is_odd_ends_no_filter(data: bytes) -> None:
    (texts,) = arriving(io.TextIOWrapper(io.BytesIO(data)))
    assert texts == [data.decode(errors="replace").rstrip("\n")]


@pytest.mark.parametrize(
    "argv", [["--input", "x.csv"], ["--output", "y.jsonl"], ["text", "--input", "x.csv", "--output", "y.jsonl"]]
)
def test_half_a_request(run: Run, argv: list[str]) -> None:
    code, _, error = run("predict", "model", *argv)
    assert code == 2
    assert "expected --input and --output together and no TEXT, or neither" in error
