"""What is caught and blocked before and after: `hf-spam evaluate --robustness`.

pytest tests/robustness/test_measuring.py
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hf_spam import UserError
from hf_spam.data.labels import Task
from hf_spam.inference.classifier import SpamClassifier
from hf_spam.robustness.measuring import describe_robustness, measure
from hf_spam.robustness.perturbations import PERTURBATIONS

TEXTS = ["win a free prize now", "free entry to the draw", "free for lunch?", "see you at eight then", "ok"]
LABELS = [1, 1, 0, 0, 0]


class CountsWords:
    """A filter whose spam is what has `free` in it."""

    def logits(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([[0.5, float("free" in text)] for text in texts])


def figures(task: Task) -> dict[str, tuple[int, int, int, int]]:
    found = measure(CountsWords(), TEXTS, LABELS, task)  # type: ignore[arg-type]
    return {row["disguise"]: (row["caught"], row["positives"], row["blocked"], row["others"]) for row in found["rows"]}


def test_both_sides_are_counted() -> None:
    rows = figures(Task(("ham", "spam")))
    assert list(rows) == ["none", *PERTURBATIONS, "attack"]
    assert rows["none"] == (2, 2, 1, 3)
    assert rows["spacing"] == rows["upper_case"] == (0, 2, 0, 3)
    assert rows["attack"] == (0, 2, 1, 3)  # its twin finds no word that makes ham look like spam


def test_any_two_labels() -> None:
    """The positive one may be the first."""
    rows = figures(Task(("offer", "other"), positive="offer"))
    assert rows["none"] == (2, 3, 0, 2)
    assert rows["spacing"] == (3, 3, 2, 2)


def test_other_tasks_are_refused() -> None:
    with pytest.raises(UserError, match=r"--robustness: expected a model of two labels, .* found 3 labels"):
        figures(Task(("a", "b", "c")))


def test_the_command(
    run: Callable[..., tuple[int, str, str]], tiny_run: Callable[[str], Path], tmp_path: Path
) -> None:
    """It prints what it writes, beside the report as it was."""
    model, file = tiny_run("last_token"), tmp_path / "robustness.json"
    messages = tmp_path / "some.csv"
    messages.write_text("label,text\n" + "".join(f"{'ham' if n % 2 else 'spam'},free {n} call\n" for n in range(6)))
    code, plain, _ = run("evaluate", model, "--data_file", messages)
    code, out, _ = run("evaluate", model, "--data_file", messages, "--robustness", "--robustness_output", file)
    assert code == 0
    assert out.startswith(plain)
    found = json.loads(file.read_text())
    assert describe_robustness(found) in out
    assert found["rows"][0] | {"caught": 0, "blocked": 0} == {
        "disguise": "none",
        "caught": 0,
        "positives": 3,
        "blocked": 0,
        "others": 3,
    }
    labels = [
        prediction.label for prediction in SpamClassifier.from_pretrained(model)([f"free {n} call" for n in (0, 2, 4)])
    ]
    assert found["rows"][0]["caught"] == labels.count("spam")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--robustness_output", "new.json"], "--robustness_output: expected --robustness beside it"),
        (["--robustness", "--robustness_output", "new.txt"], "expected a name that ends in .json"),
    ],
)
def test_slips_are_refused(run: Callable[..., tuple[int, str, str]], argv: list[str], message: str) -> None:
    code, out, err = run("evaluate", "nowhere", *argv)
    assert (code, out) == (2, "")
    assert message in err
