"""An audit: faults planted among real messages are found, in their rows, and nothing else is.

pytest tests/audit/test_auditing.py
"""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Tokenizer

from hf_spam.audit.auditing import Audit, audit
from hf_spam.audit.reporting import describe, to_json, to_markdown
from hf_spam.data.labels import MULTI, REGRESSION, SCORE, Task
from hf_spam.data.messages import Messages
from hf_spam.errors import UNPRINTABLE


def rows_of(found: Audit, name: str) -> list[list[int]]:
    return next((finding.groups for finding in found.findings if finding.name == name), [])


def plant(sound: pd.DataFrame) -> pd.DataFrame:
    """Rows 301 and on are faulty."""
    texts, labels = sound["Text"].tolist(), sound["Label"].tolist()
    faults = [
        ("ham", texts[0]),
        ("ham", texts[0]),  # 301, 302: row 1 again
        ("spam", texts[1]),  # 303: row 2 as spam
        ("ham", texts[2] + "!!"),  # 304: nearly row 3
        ("spam", texts[3].upper()),  # 305: nearly row 4, as spam
        ("ham", " :-) "),  # 306
        ("ham", "Where are\u200byou on this fine day"),  # 307
        ("ham", "It\x92s raining cats and dogs again"),  # 308
        ("ham", "Lunch at the caf\ufffd near the lake?"),  # 309
        ("ham", "zebra quilt " * 600),  # 310: more than 1,024 tokens
    ]
    more_labels, more_texts = zip(*faults, strict=True)
    rows = [*range(170), *range(200, 330)]
    return pd.DataFrame(
        {"Label": [labels[row] for row in rows] + [*more_labels], "Text": [texts[row] for row in rows] + [*more_texts]}
    )


@pytest.mark.usefixtures("without_extra")
def test_planted_faults(sound: pd.DataFrame, tokenizer: GPT2Tokenizer) -> None:
    found = audit(Messages(plant(sound), Task()), tokenizer)
    assert {finding.name: finding.groups for finding in found.findings} == {
        "longer than 1,024 tokens": [[310]],
        "almost empty": [[306]],
        "control characters": [[307]],
        "damaged encoding": [[308], [309]],
        "exact duplicates": [[1, 301, 302]],
        "the same text with different labels": [[2, 303]],
        "near duplicates": [[3, 304]],
        "nearly the same text with different labels": [[4, 305]],
    }
    assert found.counts == {"ham": 178, "spam": 132}
    assert found.lengths["characters"]["longest"] == 7200
    assert found.lengths["tokens"]["shortest"] == len(tokenizer(" :-) ")["input_ids"])
    [left_out] = found.left_out
    assert left_out.startswith(
        "mojibake (ftfy), probable label errors (cleanlab), languages (py3langid): pip install "
    )


@pytest.mark.usefixtures("without_extra")
def test_nothing_is_wrong(sound: pd.DataFrame) -> None:
    found = audit(Messages(sound, Task()))
    assert found.findings == []
    assert "nothing was found" in describe(found)
    assert found.left_out[0] == "lengths in tokens: no tokenizer was at hand"


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize(
    ("labels", "task", "conflicts"),
    [
        ([["a", "b"], ["b", "a"], ["a"], []], Task(("a", "b"), MULTI), []),
        ([["a", "b"], ["b"], [], ["a"]], Task(("a", "b"), MULTI), [[1, 2]]),
        ([1.5, 2.5, 3.0, 3.0], Task((SCORE,), REGRESSION), [[1, 2]]),
        ([1.5, 1.5, 3.0, 4.0], Task((SCORE,), REGRESSION), []),
    ],
    ids=["several, in another order", "several", "numbers", "the same number"],
)
def test_labels_of_other_tasks(labels: list[Any], task: Task, conflicts: list[list[int]]) -> None:
    """The order of several labels means nothing; near duplicates may have different numbers."""
    frame = pd.DataFrame({"Label": labels, "Text": ["Call me", "Call me", "See you tonight", "See you tonight!"]})
    found = audit(Messages(frame, task))
    assert rows_of(found, "the same text with different labels") == conflicts
    assert rows_of(found, "exact duplicates") == ([] if conflicts else [[1, 2]])
    alike = "near duplicates" if task.problem_type == REGRESSION else "nearly the same text with different labels"
    assert rows_of(found, alike) == [[3, 4]]
    assert describe(found)


@pytest.mark.usefixtures("without_extra")
@settings(max_examples=30)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=30), st.sampled_from(["ham", "`spam`\n# x"])), min_size=1))
def test_a_text_cannot_leave_its_line(rows: list[tuple[str, str]]) -> None:
    """On a terminal and in Markdown, whatever texts and labels are."""
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    found = audit(Messages(pd.DataFrame({"Label": labels, "Text": texts}), Task(("ham", "`spam`\n# x"))))
    assert not UNPRINTABLE.search("".join(describe(found)))
    inside = False
    for line in to_markdown(found).split("\n"):
        assert not UNPRINTABLE.search(line)
        inside ^= line.startswith("```")
        if inside and not line.startswith("```"):
            assert line.lstrip()[:1].isdigit() or line.startswith(("row ", "rows ", "- "))
        elif not inside:
            assert not line.startswith("# ") or line.startswith("# Audit of ")
    assert to_json(found).isascii()
