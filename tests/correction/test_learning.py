"""Corrections: all right afterwards, everything else as it was, or refused.   pytest tests/correction"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from hf_spam import SpamClassifier, UserError
from hf_spam.commands.learn import refuse_new_blocks
from hf_spam.correction.embeddings import learn_by_embeddings
from hf_spam.correction.head import learn_by_head, read_features
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
    weight, bias = learn_by_head(head, features[:10], wrong, features[10:])
    after = F.linear(features.float(), weight, bias)
    assert after[:10].argmax(dim=1).tolist() == wrong
    assert (after[10:].argmax(dim=1) != before[10:].argmax(dim=1)).sum() <= 4
    again = learn_by_head(head, features[:10], wrong, features[10:])
    assert torch.equal(again[0], weight)


def test_what_is_right_changes_nearly_nothing() -> None:
    """Corrections that the model knows already: the smallest weight does."""
    head, features = draw(2)
    labels = F.linear(features[:10].float(), head.weight, head.bias).argmax(dim=1).tolist()
    weight, bias = learn_by_head(head, features[:10], labels, features[10:])
    assert (weight - head.weight).abs().max() < 0.05
    after = F.linear(features.float(), weight, bias)
    assert torch.equal(after.argmax(dim=1), F.linear(features.float(), head.weight, head.bias).argmax(dim=1))


def test_what_cannot_be_learned() -> None:
    head, features = draw(2)
    with pytest.raises(UserError, match=r"found \d of 2 that cannot"):
        learn_by_head(head, features[[0, 0]], [0, 1], features)


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


def test_by_the_embeddings(tiny_run: Callable[[str], Path]) -> None:
    """Nothing but embeddings of tokens changes; the scores of other messages hardly do; the same each time."""
    changed = []
    for _ in range(2):
        classifier = SpamClassifier.from_pretrained(tiny_run("last_token"))
        model: Any = classifier.model
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        kept = [f"see you at {number}, I will call you when your train is here now" for number in range(40)]
        texts = ["Your parcel is here", "WIN a prize now", "call 09061234567 now to claim"]
        logits, wrong = classifier.logits(kept), (1 - classifier.logits(texts).argmax(dim=1)).tolist()
        learn_by_embeddings(classifier, model, texts, wrong, kept)
        assert classifier.logits(texts).argmax(dim=1).tolist() == wrong
        assert (classifier.logits(kept).softmax(dim=1) - logits.softmax(dim=1)).abs().mean() < 2e-3  # else 1e-2
        after = model.state_dict()
        assert {name for name in after if not torch.equal(after[name], before[name])} == {"model.tok_emb.weight"}
        changed.append(after["model.tok_emb.weight"])
    assert torch.equal(*changed)


def test_rare_tokens_carry_a_correction(tiny_run: Callable[[str], Path]) -> None:
    """What every training message has stays; what none has moves; what no correction has does not move at all."""
    classifier = SpamClassifier.from_pretrained(tiny_run("last_token"))
    model: Any = classifier.model
    before = model.model.tok_emb.weight.detach().clone()
    training = [f"see you at {number}" for number in range(40)]
    text = "see you at zebra"
    wrong = [1 - int(classifier.logits([text]).argmax())]
    learn_by_embeddings(classifier, model, [text], wrong, training)
    moved = (model.model.tok_emb.weight - before).norm(dim=1)
    found = moved[classifier.tokenize([text])[0]]
    assert found[3:].min() > 10 * found[:3].max() > 0
    assert (moved > 0).sum() == len(found)


def test_what_embeddings_cannot_learn(tiny_run: Callable[[str], Path]) -> None:
    classifier = SpamClassifier.from_pretrained(tiny_run("last_token"))
    model: Any = classifier.model
    texts = ["See you", "See you"]
    with pytest.raises(UserError, match=r"found [12] of 2 that cannot in 200 steps"):
        learn_by_embeddings(classifier, model, texts, [0, 1], texts)


def test_the_head_alone_where_little_trained(
    run: Run, tiny_run: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tiny_run("own")
    label = SpamClassifier.from_pretrained(folder)("Your parcel is here").label
    Path("corrections.csv").write_text(f"Text,Label\nYour parcel is here,{label}\n")
    assert run("learn", folder, "corrections.csv", "--output_dir", "learned")[0] == 0
    before, after = (load_file(path / "model.safetensors") for path in (folder, Path("learned")))
    assert {name for name in after if not torch.equal(after[name], before[name])} <= {"score.weight", "score.bias"}
