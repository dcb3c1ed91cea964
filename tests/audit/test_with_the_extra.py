"""What the extra finds: labels that are probably wrong, languages, mojibake; all planted.

pytest -m audit tests/audit/test_with_the_extra.py
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hf_spam.audit.auditing import Audit, audit
from hf_spam.data.arguments import DataArguments
from hf_spam.data.labels import MULTI, Task
from hf_spam.data.loading import read_messages
from hf_spam.data.messages import Messages


def rows_of(found: Audit, name: str) -> list[list[int]]:
    return next((finding.groups for finding in found.findings if finding.name == name), [])


@pytest.mark.audit
def test_with_the_extra(sound: pd.DataFrame) -> None:
    """Wrong labels, other languages and mojibake, all planted; the same twice."""
    frame = sound.copy()
    wrong = [7, 60, 133, 210, 280, 339]
    for row in wrong:
        frame.loc[row, "Label"] = "spam" if frame.loc[row, "Label"] == "ham" else "ham"
    more = [
        ("ham", "Ruf mich bitte an, wenn du wieder zu Hause bist"),
        ("spam", "Votre colis n'a pas pu être livré, confirmez votre adresse"),
        ("ham", "See you at the cafÃ© later, itâ€™s close"),
    ]
    frame = pd.concat([frame, pd.DataFrame(more, columns=["Label", "Text"])], ignore_index=True)
    found = audit(Messages(frame, Task()))
    assert rows_of(found, "damaged encoding") == [[343]]
    assert rows_of(found, "rare languages") == [[341], [342]]
    assert next(iter(found.languages)) == "en"
    doubtful = [row for [row] in rows_of(found, "probable label errors")]
    assert len(set(doubtful) & {row + 1 for row in wrong}) >= 5
    assert len(doubtful) <= 12
    possible = [row for [row] in rows_of(found, "possible label errors")]
    assert not set(doubtful) & set(possible)
    [shown] = [finding for finding in found.findings if finding.name == "probable label errors"]
    assert shown.seen[doubtful[0]].startswith("labelled ")
    assert found == audit(Messages(frame, Task()))


@pytest.mark.audit
def test_label_errors_of_several_labels(sound: pd.DataFrame) -> None:
    """A label that a text lacks is found as well as one too many; one that is too rare is not judged, and said."""
    labels = [["spam"] if label == "spam" else [] for label in sound["Label"]]
    wrong = {5: ["spam"], 150: ["spam"], 250: [], 320: []}
    for row, label in wrong.items():
        labels[row] = label
    labels[0], labels[1] = ["rare"], ["rare"]
    frame = pd.DataFrame({"Label": labels, "Text": sound["Text"]})
    found = audit(Messages(frame, Task(("rare", "spam"), MULTI)))
    doubtful = [row for [row] in rows_of(found, "probable label errors")]
    assert len({row + 1 for row in wrong} & set(doubtful)) >= 3
    assert len(doubtful) <= 10
    assert "probable errors among labels with too few messages to judge: rare" in found.left_out


@pytest.mark.audit
def test_labels_too_rare_to_judge(sound: pd.DataFrame) -> None:
    """Of a label whose texts are all alike, no text can be judged by the others."""
    copies = pd.DataFrame({"Label": "fraud", "Text": ["Send me the code that you were sent", "send me the code!"] * 5})
    frame = pd.concat([sound, copies], ignore_index=True)
    found = audit(Messages(frame, Task(("fraud", "ham", "spam"))))
    assert "probable errors among labels with too few messages to judge: fraud" in found.left_out
    alone = audit(Messages(copies, Task(("fraud", "ham"))))
    assert rows_of(alone, "probable label errors") == []


@pytest.mark.audit
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_faults_planted_in_the_collection(collection: Path, seed: int) -> None:
    """At least 95 % of 56 wrong labels, 50 copies and 50 texts with another label beside their own."""
    frame = read_messages(DataArguments(data_file=[str(collection)])).frame.reset_index(drop=True)
    random, other = np.random.default_rng(seed), {"ham": "spam", "spam": "ham"}
    alone = frame["Text"].map(frame["Text"].value_counts()) == 1  # its copies would show the right label
    rows = random.permutation(np.flatnonzero(alone))
    wrong, copied, twice = rows[:56], rows[56:106], rows[106:156]
    frame.loc[wrong, "Label"] = frame.loc[wrong, "Label"].map(other)
    contradicted = frame.loc[twice].assign(Label=frame.loc[twice, "Label"].map(other))
    number = len(frame)
    frame = pd.concat([frame, frame.loc[copied], contradicted], ignore_index=True)
    found = audit(Messages(frame, Task()))
    named = {
        name: {row for group in rows_of(found, name) for row in group}
        for name in (
            "probable label errors",
            "possible label errors",
            "exact duplicates",
            "the same text with different labels",
        )
    }
    doubtful = named["probable label errors"] | named["possible label errors"]
    assert len(doubtful & {row + 1 for row in wrong}) >= 0.95 * 56
    assert len(named["probable label errors"]) <= 200  # and both sides of a contradiction
    assert named["exact duplicates"] >= {number + 1 + row for row in range(50)}
    assert named["the same text with different labels"] >= {number + 51 + row for row in range(50)}
