"""Everything that is wrong with labelled messages, as one `Audit`."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from ..data.labels import MULTI, REGRESSION
from ..data.messages import Messages
from ..data.near_duplicates import near_groups
from ..errors import install_hint
from ..tokens.encoding import encode
from .findings import Finding, by_labels, group_rows, one_by_one
from .label_errors import find_label_errors
from .languages import detect_languages, find_rare_languages
from .text_faults import find_text_faults, mojibake_detector

QUANTILES = {"shortest": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "longest": 1.0}
_CHUNK = 1000  # texts whose tokens are in memory


@dataclass(frozen=True)
class Audit:
    """What is known of labelled messages, and what is wrong with them.

    Attributes:
        texts: The texts; a row's number is its place here, from 1.
        labels: The label of each as it is shown.
        counts: The rows of each label.
        lengths: Quantiles of the lengths, by unit.
        languages: The rows of each language, the most frequent first.
        findings: What is wrong. Findings without rows are left out.
        left_out: What was not looked for, and why: a sentence each.
        sources: What was read from where, how many rows, and in which encoding.
    """

    texts: list[str]
    labels: list[str]
    counts: dict[str, int]
    lengths: dict[str, dict[str, int]]
    languages: dict[str, int]
    findings: list[Finding]
    left_out: list[str]
    sources: list[str] = field(default_factory=list)


def audit(messages: Messages, tokenizer: PreTrainedTokenizerBase | None = None, max_length: int = 1024) -> Audit:
    """Look for everything that this room knows of.

    Args:
        messages: Labelled messages.
        tokenizer: What counts tokens; without it they are not counted.
        max_length: Tokens that a model reads of a text.
    """
    task = messages.task
    texts: list[str] = messages.frame["Text"].tolist()
    given = messages.frame["Label"].tolist()
    keys = label_keys(given)
    left_out = []
    findings = []
    lengths = {"characters": _quantiles(list(map(len, texts)))}
    if tokenizer is None:
        left_out.append("lengths in tokens: no tokenizer was at hand")
    else:
        chunks = (texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK))
        tokens = [len(ids) for chunk in chunks for ids in encode(tokenizer, chunk)]
        lengths["tokens"] = _quantiles(tokens)
        long = {row: f"{number:,} tokens" for row, number in enumerate(tokens, start=1) if number > max_length}
        remedy = f"A model reads the first {max_length:,} tokens; divide a text whose end matters."
        findings.append(one_by_one(f"longer than {max_length:,} tokens", long, remedy))
    missing = []
    is_mojibake = mojibake_detector()
    findings += find_text_faults(texts, is_mojibake)
    if is_mojibake is None:
        missing.append("mojibake (ftfy)")
    groups = near_groups(texts)
    findings += _repeats(texts, keys, groups, task.problem_type == REGRESSION)
    if task.problem_type == REGRESSION:
        left_out.append("probable label errors: the labels are numbers")
    elif (errors := find_label_errors(texts, given, groups, task)) is None:
        missing.append("probable label errors (cleanlab)")
    else:
        doubtful, rare = errors
        findings += doubtful
        if rare:
            left_out.append(f"probable errors among labels with too few messages to judge: {', '.join(rare)}")
    if (codes := detect_languages(texts)) is None:
        missing.append("languages (py3langid)")
    else:
        findings.append(find_rare_languages(codes))
    if missing:
        left_out.append(f"{', '.join(missing)}: {install_hint('audit')}")
    shown = [show_label(label) for label in given]
    several = task.problem_type == MULTI
    counts = Counter(name for label in given for name in (label if several else [show_label(label)]))
    names = task.names if task.problem_type != REGRESSION else ()
    return Audit(
        texts,
        shown,
        {name: counts[name] for name in names},
        lengths,
        dict(Counter(codes or ()).most_common()),
        [finding.largest_first() for finding in findings if finding.count],
        left_out,
        messages.notes,
    )


def label_keys(labels: Sequence[Any]) -> list[Hashable]:
    """Return labels as keys: several of a text in no order."""
    return [tuple(sorted(label)) if isinstance(label, list) else label for label in labels]


def show_label(label: Any) -> str:
    """Return the label of a message, or its several labels, as a text."""
    return ", ".join(label) if isinstance(label, list) else str(label)


def _repeats(texts: list[str], keys: list[Hashable], groups: list[int], numbers: bool) -> list[Finding]:
    """Return duplicates and conflicts. Rows of a group are those of the same text, or of nearly the same."""
    same = group_rows(texts)
    first = {texts[group[0] - 1]: group[0] for group in same}
    near = [group for group in group_rows(groups) if len({first[texts[row - 1]] for row in group}) > 1]
    alike = [sorted({first[texts[row - 1]] for row in group}) for group in near]  # one row of each text
    findings = [
        Finding(
            "exact duplicates",
            by_labels(same, keys, several=False),
            "--cleaned FILE keeps the first of each; so does --deduplicate when a model is trained.",
        ),
        Finding(
            "the same text with different labels",
            by_labels(same, keys, several=True),
            "Decide which label is right. --cleaned FILE leaves all of them out; see --conflicts.",
        ),
    ]
    if numbers:  # nearly the same text may well have another number
        return [*findings, Finding("near duplicates", alike, _NEAR)]
    disputed = by_labels(near, keys, several=True)
    known = {row for group in disputed for row in group}
    findings.append(Finding("near duplicates", [group for group in alike if group[0] not in known], _NEAR))
    findings.append(
        Finding(
            "nearly the same text with different labels",
            [sorted({(texts[row - 1], keys[row - 1]): row for row in reversed(group)}.values()) for group in disputed],
            "Read them: one of the labels is often wrong. Nothing is left out of --cleaned FILE for this.",
        )
    )
    return findings


_NEAR = "Keep them in the same split: a model that has seen one has nearly seen the others."


def _quantiles(numbers: list[int]) -> dict[str, int]:
    values = np.quantile(numbers, list(QUANTILES.values()), method="lower") if numbers else [0] * len(QUANTILES)
    return dict(zip(QUANTILES, map(int, values), strict=True))
