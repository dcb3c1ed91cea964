"""Labels that are probably wrong, by cleanlab: a model that has seen no text like this one is sure of another."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from ..data.labels import MULTI, Task
from .findings import Finding, one_by_one

FOLDS = 5
_SEED = 123
_MOST_FEATURES = 200_000
_MOST_CHARACTERS = 10_000  # of a text
_REMEDY_POSSIBLE = "Read them where every wrong label counts. Most of them are right."
_REMEDY = "Read them, and correct the labels that are wrong. Nothing here changes a label."

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


def find_label_errors(
    texts: Sequence[str], labels: Sequence[Any], groups: Sequence[int], task: Task
) -> tuple[list[Finding], list[str]] | None:
    """Return the rows whose labels are probably or possibly wrong, the surest first, and the labels too rare to judge.

    Probably: cleanlab's estimate of how many labels are wrong, and which. Possibly: of all others, those for which the
    model would give another label.

    A label is judged if its texts are in as many groups as there are folds. Of several labels of a text, each is
    judged by itself: whether the text has it.

    Args:
        texts: The texts.
        labels: The label of each, or its list of labels.
        groups: The group of each text; a text is judged by a model that has seen none of its group.
        task: The labels; no regression.

    Returns:
        `None` if cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        return None
    several = task.problem_type == MULTI
    of_label = {name: _groups_with(name, labels, groups) for name in task.names}
    common = [name for name, found in of_label.items() if len(found) >= FOLDS]
    rare = [name for name, found in of_label.items() if 0 < len(found) < FOLDS]
    chosen = [row for row, label in enumerate(labels) if several or label in common]
    of_row = np.array([groups[row] for row in chosen])
    questions: list[tuple[list[str], Ids]] = []  # the names of the answers, and the answer of each row
    if several:
        answers = ((name, np.array([name in labels[row] for row in chosen], dtype=np.int64)) for name in common)
        questions = [([f"not {name}", name], ids) for name, ids in answers if len(set(of_row[ids == 0])) >= FOLDS]
    elif len(common) > 1:
        number = {name: id_ for id_, name in enumerate(common)}
        questions = [(common, np.array([number[labels[row]] for row in chosen]))]
    found: dict[bool, list[tuple[float, int, str]]] = {True: [], False: []}  # probable, possible
    features = _features([texts[row] for row in chosen]) if questions else None
    for names, ids in questions:
        probabilities = out_of_fold(features, ids, of_row, len(names))
        probable = find_label_issues(ids, probabilities, n_jobs=1)
        for index in np.flatnonzero(probable | (probabilities.argmax(axis=1) != ids)):
            given = probabilities[index, ids[index]]
            what = _describe(names, ids[index], probabilities[index])
            found[bool(probable[index])].append((given, chosen[index] + 1, what))
    seen: dict[bool, dict[int, str]] = {True: {}, False: {}}
    for sure, rows in found.items():
        for _, row, what in sorted(rows):
            seen[sure][row] = f"{seen[sure][row]}; {what}" if row in seen[sure] else what
    possible = {row: what for row, what in seen[False].items() if row not in seen[True]}
    findings = [
        one_by_one("probable label errors", seen[True], _REMEDY),
        one_by_one("possible label errors", possible, _REMEDY_POSSIBLE),
    ]
    return findings, rare


def out_of_fold(features: Any, ids: Ids, groups: Ids, classes: int) -> Floats:
    """Return the probability of each class for each text by logistic regression on the other folds: [texts, classes].

    Args:
        features: A sparse matrix, [texts, features].
        ids: The class of each text.
        groups: The group of each text; no group is in two folds.
        classes: The number of classes.
    """
    probabilities = np.zeros((len(ids), classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for rest, own in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=_SEED).split(features, ids, groups):
            present = np.unique(ids[rest])
            if len(present) == 1:  # the other classes are all in one fold
                probabilities[own, present[0]] = 1.0
                continue
            model = LogisticRegression(C=10, max_iter=1000).fit(features[rest], ids[rest])
            probabilities[np.ix_(own, model.classes_)] = model.predict_proba(features[own])
    return probabilities


def _features(texts: list[str]) -> Any:
    vectorizer = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=_MOST_FEATURES, dtype=np.float32
    )
    return vectorizer.fit_transform([text[:_MOST_CHARACTERS] for text in texts])


def _groups_with(name: str, labels: Sequence[Any], groups: Sequence[int]) -> set[int]:
    """Return the groups of the texts that have a label."""
    rows = zip(labels, groups, strict=True)
    return {group for label, group in rows if label == name or (isinstance(label, list) and name in label)}


def _describe(names: Sequence[str], given: int, probabilities: Floats) -> str:
    """Say which label a text has, and which it probably has."""
    likely = int(np.argmax(probabilities))
    other = f", probably {names[likely]}" if likely != given else ""
    return f"labelled {names[given]} ({probabilities[given]:.1%} likely){other}"
