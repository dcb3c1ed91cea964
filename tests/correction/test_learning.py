"""Corrections: all right afterwards, everything else as it was, or refused.   pytest tests/correction"""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hf_spam import SpamClassifier, UserError
from hf_spam.commands.learn import refuse_new_blocks
from hf_spam.correction.learning import learn, read_features
from hf_spam.data.labels import Task
from hf_spam.data.loading import Prepared
from hf_spam.data.splits import SPLITS, to_splits

Run = Callable[..., tuple[int, str, str]]


def draw(labels: int, number: int = 400, width: int = 128) -> tuple[nn.Linear, torch.Tensor]:
    """A head, and what it reads: messages that are clearly of a label."""
    torch.manual_seed(labels)
    head = nn.Linear(width, labels)
    features = torch.randn(number, width).double()
    features += 12 * head.weight.detach().double()[torch.arange(number) % labels]
    return head, features


@pytest.mark.parametrize("labels", [2, 5])
def test_all_right_and_the_rest_as_it_was(labels: int) -> None:
    head, features = draw(labels)
    before = F.linear(features.float(), head.weight, head.bias)
    wrong = [(int(label) + 1) % labels for label in before[:10].argmax(dim=1)]
    learned = learn(head, features[:10], wrong, features[10:])
    after = F.linear(features.float(), learned.weight, learned.bias)
    assert after[:10].argmax(dim=1).tolist() == wrong
    changed = (after[10:].argmax(dim=1) != before[10:].argmax(dim=1)).sum()
    assert changed == learned.changed
    assert changed <= 4
    again = learn(head, features[:10], wrong, features[10:])
    assert torch.equal(again.weight, learned.weight)


def test_what_is_right_changes_nearly_nothing() -> None:
    """Corrections that the model knows already: the smallest weight does."""
    head, features = draw(2)
    labels = F.linear(features[:10].float(), head.weight, head.bias).argmax(dim=1).tolist()
    learned = learn(head, features[:10], labels, features[10:])
    assert (learned.weight - head.weight).abs().max() < 0.05
    assert learned.changed == 0


def test_what_cannot_be_learned() -> None:
    head, features = draw(2)
    with pytest.raises(UserError, match=r"found \d of 2 that cannot"):
        learn(head, features[[0, 0]], [0, 1], features)


def test_by_the_command(
    run: Run, tiny_run: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy gets them right and records its figures; the model itself stays; a contradiction leaves nothing."""
    monkeypatch.chdir(tmp_path)
    folder = tiny_run("last_token")
    weights = (folder / "model.safetensors").read_bytes()
    classifier = SpamClassifier.from_pretrained(folder)
    texts = ["Your parcel is here", "WIN a prize now", "see you at eight then", "call 09061234567 now to claim"]
    head = classifier.model.score
    read = read_features(classifier, texts).float()
    assert torch.equal(F.linear(read, head.weight, head.bias), classifier.logits(texts))
    assert classifier.model.score is head
    labels = {"ham": "spam", "spam": "ham"}
    rows = [{"text": text, "label": labels[classifier(text).label]} for text in texts[:2]]
    Path("corrections.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = run("learn", folder, "corrections.jsonl", "--output_dir", "learned")
    assert code == 0, err
    assert "2 corrections, 2 of them new to the model: all are right now" in out
    learned = SpamClassifier.from_pretrained("learned")
    assert [learned(row["text"]).label for row in rows] == [row["label"] for row in rows]
    record = json.loads(Path("learned/metrics.json").read_text())
    assert record["corrections"] == 2
    assert f"accuracy {record['splits']['test']['accuracy']:.2%}" in run("evaluate", "learned")[1]
    assert (folder / "model.safetensors").read_bytes() == weights

    both = [rows[0], {**rows[0], "label": labels[rows[0]["label"]]}]
    Path("both.jsonl").write_text("".join(json.dumps(row) + "\n" for row in both))
    code, _, err = run("learn", folder, "both.jsonl", "--output_dir", "none")
    assert code == 2
    assert "both.jsonl: expected one label for each text, found two for" in err
    assert not Path("none").exists()


def test_no_message_is_newly_blocked() -> None:
    """Ham that passed may not be blocked now; ham that was blocked before, and spam, may."""
    frame = pd.DataFrame({"Label": ["ham", "ham", "spam", "spam"], "Text": ["a b c", "d e f", "g h i", "j k l"]})
    prepared = Prepared(to_splits(dict.fromkeys(SPLITS, frame), Task()), Task(), "none", {}, [])
    before = torch.tensor([0, 1, 0, 1])
    refuse_new_blocks(before, torch.tensor([0, 1, 1, 1]), prepared)
    refuse_new_blocks(before, torch.tensor([0, 0, 1, 0]), prepared)
    with pytest.raises(UserError, match="found 1 of 2 messages of the validation split that would be blocked now"):
        refuse_new_blocks(before, torch.tensor([1, 1, 0, 1]), prepared)
