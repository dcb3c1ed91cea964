"""Models without a network, fitted on the same training rows: what the GPT must beat to be worth its cost.

Words: TF-IDF and logistic regression. Characters: TF-IDF of runs of 2 to 5 and a linear SVM, whose regularisation is
chosen and whose scores are calibrated (a sigmoid) on folds over groups of near duplicates. Majority: the shares of the
labels. A regression has ridge regression in their place, and the mean.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.svm import LinearSVC

from ..data.grouping import APART
from ..data.labels import MULTI, REGRESSION, Task
from ..data.loading import Prepared
from ..data.near_duplicates import near_groups

CHARACTERS, WORDS, MAJORITY = "character SVM", "word TF-IDF + LR", "majority"
_FOLDS = 5
_REGULARISATION = (0.3, 1.0, 3.0)
_MANY = 100  # texts: then a run that only one has is left out
_MOST_CHARACTERS = 10_000  # of a text that are read
_LOWEST = 1e-7  # score that becomes a logit

Scores = NDArray[np.float64]


class Baseline(Protocol):
    """A fitted baseline."""

    def scores(self, texts: Sequence[str]) -> Scores:
        """Return the score of every label, as `SpamClassifier.scores` does. *Shape:* `[len(texts), num_labels]`."""


def as_logits(scores: Scores, task: Task) -> Scores:
    """Return scores as the logits that give them; of a regression, the number itself. *Shape:* as `scores`."""
    if task.problem_type == REGRESSION:
        return scores
    clipped = np.clip(scores, _LOWEST, 1 - _LOWEST)
    return np.log(clipped) - np.log1p(-clipped) if task.problem_type == MULTI else np.log(clipped)


class _Fitted:
    """One model of all labels, or one of each.

    Args:
        vectorizer: From texts to features.
        models: One, or one for each label.
        task: The labels.
    """

    def __init__(self, vectorizer: Any, models: Sequence[Any], task: Task) -> None:
        self.vectorizer, self.models, self.task = vectorizer, models, task

    def scores(self, texts: Sequence[str]) -> Scores:
        features = self.vectorizer.transform([text[:_MOST_CHARACTERS] for text in texts])
        if self.task.problem_type == REGRESSION:
            return np.asarray(self.models[0].predict(features), dtype=np.float64).reshape(-1, 1)
        if self.task.problem_type == MULTI:
            columns = [_full(model, features, 2)[:, 1] for model in self.models]
            return np.stack(columns, axis=1)
        return _full(self.models[0], features, len(self.task.names))


def _full(model: Any, features: Any, num_labels: int) -> Scores:
    """Return a score of every label, 0 of one that was not in training."""
    if hasattr(model, "predict_proba"):
        found = model.predict_proba(features)
    else:  # too few messages of a label to calibrate its scores
        margins = model.decision_function(features)
        found = np.stack([expit(-margins), expit(margins)], 1) if margins.ndim == 1 else softmax(margins, axis=1)
    scores = np.zeros((features.shape[0], num_labels))
    scores[:, model.classes_.astype(np.int64)] = found
    return scores


def fit_baselines(
    texts: Sequence[str], labels: Sequence[Any], groups: Sequence[int], task: Task, seed: int = 123
) -> dict[str, Baseline]:
    """Fit the baselines on training rows.

    Args:
        texts: N texts.
        labels: Their labels, as `Task.targets` returns them.
        groups: The group of near duplicates of each; see `data.near_duplicates.near_groups`.
        task: What the labels are.
        seed: Of the folds.

    Returns:
        By name, the strongest first.
    """
    targets, short = np.asarray(labels), [text[:_MOST_CHARACTERS] for text in texts]
    rare = 2 if len(texts) >= _MANY else 1
    characters, of_characters = _features(
        TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True, min_df=rare, lowercase=False), short
    )
    words, of_words = _features(TfidfVectorizer(sublinear_tf=True), short)
    grouped = np.asarray(groups)
    fits: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
        CHARACTERS: (characters, lambda features, target: _fit_svm(features, target, grouped, seed)),
        WORDS: (words, lambda features, target: LogisticRegression(max_iter=1000).fit(features, target)),
        MAJORITY: (words, lambda features, target: DummyClassifier(strategy="prior").fit(features, target)),
    }
    if task.problem_type == REGRESSION:
        fits = {
            "character ridge": (characters, lambda features, target: Ridge().fit(features, target)),
            "word ridge": (words, lambda features, target: Ridge().fit(features, target)),
            "mean": (words, lambda features, target: DummyRegressor().fit(features, target)),
        }
    found: dict[str, Baseline] = {}
    features = {id(characters): of_characters, id(words): of_words}
    for name, (vectorizer, fit) in fits.items():
        columns = list(targets.T) if task.problem_type == MULTI else [targets]
        models = [_fit(fit, features[id(vectorizer)], column, task) for column in columns]
        found[name] = _Fitted(vectorizer, models, task)
    return found


def baseline_logits(prepared: Prepared, seed: int) -> dict[str, Scores]:
    """Return what baselines that are fitted on the training split say of the test split.

    Args:
        prepared: The splits.
        seed: Of their folds.

    Returns:
        Logits by name. *Shape:* `[len(test), num_labels]` each.
    """
    task, train = prepared.task, prepared.splits["train"]
    texts, targets = train["text"][:], task.targets(train["label"][:])
    fitted = fit_baselines(texts, targets, near_groups(texts, APART), task, seed)
    tested = prepared.splits["test"]["text"][:]
    return {name: as_logits(baseline.scores(tested), task) for name, baseline in fitted.items()}


def _features(vectorizer: Any, texts: Sequence[str]) -> tuple[Any, Any]:
    """Return a fitted vectorizer and its features; single characters where the texts have nothing longer."""
    try:
        return vectorizer, vectorizer.fit_transform(texts)
    except ValueError:
        vectorizer = TfidfVectorizer(analyzer="char")
        return vectorizer, vectorizer.fit_transform(texts)


def _fit(fit: Callable[[Any, Any], Any], features: Any, target: NDArray[Any], task: Task) -> Any:
    if task.problem_type == REGRESSION:
        return fit(features, target)
    target = target.astype(np.int64)
    one = len(np.unique(target)) < 2  # nothing to tell apart
    return DummyClassifier(strategy="prior").fit(features, target) if one else fit(features, target)


def _fit_svm(features: Any, target: NDArray[np.int64], groups: NDArray[np.int64], seed: int) -> Any:
    """Return a linear SVM, tuned and calibrated where each label has enough groups for the folds."""
    fewest = min(len(np.unique(groups[target == label])) for label in np.unique(target))
    if fewest < 2:
        return LinearSVC().fit(features, target)
    splitter = StratifiedGroupKFold(min(_FOLDS, fewest), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fold without a rare label
        folds = [
            (train, held)
            for train, held in splitter.split(features, target, groups)
            if len(held) and len(np.unique(target[train])) == len(np.unique(target))
        ]
        if sum(len(held) for _, held in folds) < len(target):
            return LinearSVC().fit(features, target)
        search = GridSearchCV(LinearSVC(), {"C": _REGULARISATION}, scoring="matthews_corrcoef", cv=folds, refit=False)
        chosen = LinearSVC(**search.fit(features, target).best_params_)
        return CalibratedClassifierCV(chosen, method="sigmoid", cv=folds, ensemble=False).fit(features, target)
