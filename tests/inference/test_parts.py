"""Parts that prove themselves: what does not fit is scored again, what others wrote is never joined.

pytest tests/inference/test_parts.py
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from hf_spam import UserError
from hf_spam.inference.answers import Answer
from hf_spam.inference.batch_prediction import predict_file
from hf_spam.inference.parts import Parts, fingerprint_model
from hf_spam.inference.texts import _CHARACTERS, chunked

TEXTS = [f"text number {number}" for number in range(10)]


def by_length(chunks: Iterable[list[str]]) -> Iterator[list[Answer]]:
    for texts in chunks:
        yield [{"label": "spam" if len(text) % 2 else "ham", "score": len(text) / 100} for text in texts]


class Scorer:
    """Notes what it scores, and fails at a text."""

    def __init__(self, fail_at: str | None = None) -> None:
        self.seen: list[str] = []
        self.fail_at = fail_at

    def __call__(self, chunks: Iterable[list[str]]) -> Iterator[list[Answer]]:
        for chunk in chunks:
            if self.fail_at in chunk:
                raise KeyboardInterrupt
            self.seen += chunk
            yield from by_length([chunk])


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """A prediction that was interrupted before its last chunk; the input is `in.txt`, the output `out.jsonl`."""
    (tmp_path / "in.txt").write_text("\n".join(TEXTS) + "\n")
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path, Scorer(TEXTS[9]))
    return tmp_path


def finish(
    folder: Path, scorer: Scorer | None = None, model: str = "m", source: str = "in.txt", **options: str
) -> list[str]:
    """Finish the prediction and return the texts that were scored for it."""
    scorer = scorer or Scorer()
    predict_file(scorer, folder / source, folder / "out.jsonl", model=model, chunk_size=2, **options)
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    expected = [prediction for predictions in by_length([TEXTS]) for prediction in predictions]
    assert [row["words" if "words" in row else "text"] for row in rows] == TEXTS
    assert [{"label": row["label"], "score": row["score"]} for row in rows] == expected
    assert sorted(path.name for path in folder.iterdir()) == sorted(["out.jsonl", source])
    return scorer.seen


def test_what_fits_is_kept(started: Path) -> None:
    assert finish(started) == TEXTS[8:]


def _swap(folder: Path) -> None:
    one, other = folder / "000000000.jsonl", folder / "000000001.jsonl"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "an empty part": (lambda parts: (parts / "000000001.jsonl").write_bytes(b""), TEXTS[2:4]),
    "half a part": (lambda parts: (parts / "000000001.jsonl").write_bytes((parts / "000000001.jsonl").read_bytes()[:-9]), TEXTS[2:4]),
    "a row too few": (lambda parts: (parts / "000000001.jsonl").write_bytes(b"".join((parts / "000000001.jsonl").read_bytes().splitlines(keepends=True)[:-1])), TEXTS[2:4]),
    "a row too many": (lambda parts: (parts / "000000001.jsonl").write_bytes((parts / "000000001.jsonl").read_bytes() + b"{}\n"), TEXTS[2:4]),
    "another score": (lambda parts: (parts / "000000001.jsonl").write_bytes((parts / "000000001.jsonl").read_bytes().replace(b"0.13", b"0.99")), TEXTS[2:4]),
    "nonsense": (lambda parts: (parts / "000000001.jsonl").write_bytes(b"\xff\0" * 5000), TEXTS[2:4]),
    "rows alone": (lambda parts: (parts / "000000001.jsonl").write_bytes(b'{"text": "a", "label": "ham", "score": 1.0}\n' * 2), TEXTS[2:4]),
    "a part of other texts": (_swap, TEXTS[:4]),
    "a missing part": (lambda parts: (parts / "000000001.jsonl").unlink(), TEXTS[2:4]),
    "an empty plan": (lambda parts: (parts / "plan.json").write_bytes(b""), []),
    "half a plan": (lambda parts: (parts / "plan.json").write_bytes((parts / "plan.json").read_bytes()[:20]), []),
    "a nonsense plan": (lambda parts: (parts / "plan.json").write_bytes(b"\xff\0[1]"), []),
    "no plan": (lambda parts: (parts / "plan.json").unlink(), []),
    "what a killed one left": (lambda parts: (parts / ".000000004.jsonl.0a.partial").write_bytes(b"x"), []),
    "a whole of another time": (lambda parts: (parts / "whole").write_bytes(b"x" * 10_000), []),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "again"), DAMAGES.values(), ids=DAMAGES)
def test_what_does_not_fit_is_scored_again(started: Path, damage: Callable[[Path], object], again: list[str]) -> None:
    damage(started / "out.jsonl.parts")
    assert finish(started) == [*again, *TEXTS[8:]]


def test_parts_of_other_weights_are_not_believed(started: Path) -> None:
    parts = started / "out.jsonl.parts"
    with pytest.raises(UserError, match=r"holds the parts of another input, model or option\. Remove it, or choose"):
        finish(started, model="other")
    (parts / "plan.json").unlink()
    assert finish(started, model="other") == TEXTS


def test_other_weights_under_the_same_name(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors", "metrics.json"):
        (tmp_path / name).write_text(name)
    first = fingerprint_model(tmp_path)
    (tmp_path / "metrics.json").write_text("other")
    assert fingerprint_model(tmp_path) == first
    seen = {first}
    for name in ("config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json", "model.onnx"):
        (tmp_path / name).write_text("other")
        seen.add(fingerprint_model(tmp_path))
    assert len(seen) == 6


def test_a_column_that_had_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,words\n" + "".join(f"{n},{text}\n" for n, text in enumerate(TEXTS)))
    with pytest.raises(UserError, match="Name it with --text_column"):
        finish(tmp_path, source="in.csv")
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path, Scorer("3"), source="in.csv", text_column="id")
    assert finish(tmp_path, source="in.csv", text_column="words") == TEXTS


def test_an_input_that_changes_meanwhile(tmp_path: Path) -> None:
    for change in (
        lambda path: path.write_text("x\n" * 10),
        lambda path: path.write_text("\n".join(TEXTS[:4]) + "\n"),
    ):
        (tmp_path / "in.txt").write_text("\n".join(TEXTS) + "\n")

        def scorer(chunks: Iterable[list[str]], change: Callable[[Path], int] = change) -> Iterator[list[Answer]]:
            yield from by_length(chunks)
            change(tmp_path / "in.txt")

        with pytest.raises(UserError, match=r"changed meanwhile. Run the same command again"):
            predict_file(scorer, tmp_path / "in.txt", tmp_path / "out.jsonl", model="m", chunk_size=2)
        assert not (tmp_path / "out.jsonl").exists()
        for path in (tmp_path / "out.jsonl.parts").iterdir():
            path.unlink()


def test_one_writer(started: Path) -> None:
    with (
        Parts(started / "out.jsonl", "m").one_writer(),
        pytest.raises(UserError, match=r"another process writes it\. Wait for that one, or choose another --output"),
    ):
        finish(started)
    assert finish(started) == TEXTS[8:]


def test_the_files_of_others_stay(started: Path) -> None:
    (started / "out.jsonl.parts" / "mine.txt").write_text("precious")
    predict_file(by_length, started / "in.txt", started / "out.jsonl", model="m", chunk_size=2)
    assert [path.name for path in (started / "out.jsonl.parts").iterdir()] == ["mine.txt"]


def test_lone_surrogates_and_line_ends_in_json(tmp_path: Path) -> None:
    texts = ["a \ud800 b", "\u2028\x85", "\0"]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    predict_file(by_length, tmp_path / "in.jsonl", tmp_path / "out.jsonl", model="m")
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["text"] for line in lines if line] == texts


@pytest.mark.parametrize(
    "place", [f"{'x' * 300}.jsonl", "file/out.jsonl", "in.txt", "folder", "/proc/out.jsonl", "dangling"]
)
def test_places_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"cannot be written|exists already"):
        predict_file(by_length, tmp_path / "in.txt", tmp_path / place, model="m")
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hf_spam.inference.parts.sync", full)
        with pytest.raises(UserError, match=r"the disk is full\. Make room, then run the same command again"):
            finish(started)
    assert finish(started) == TEXTS[8:]


def test_long_texts_make_small_chunks() -> None:
    long = "x" * (_CHARACTERS // 2)
    assert [len(chunk) for chunk in chunked(["a", long, long, "b", long, "c"], 3)] == [3, 3]
    assert [len(chunk) for chunk in chunked([long, long, long, "a"], 1000)] == [2, 2]
    assert list(chunked([], 3)) == []
