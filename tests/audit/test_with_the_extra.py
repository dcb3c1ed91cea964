"""What the extra finds: labels that are probably wrong, languages, mojibake; all planted.

pytest -m audit tests/audit/test_with_the_extra.py
"""

import pandas as pd
import pytest

from hf_spam.audit.auditing import Audit, audit
from hf_spam.data.labels import MULTI, Task
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
