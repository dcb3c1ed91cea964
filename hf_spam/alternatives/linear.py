"""Linear models of scikit-learn, which users would pick instead."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from .contest import Contest, Label

_FILE = "model.joblib"
_START = "import sys, joblib; print(joblib.load(sys.argv[1]).predict(sys.argv[2:])[0])"


def words() -> Pipeline:
    """Return TF-IDF of words and logistic regression, with scikit-learn's defaults."""
    return make_pipeline(TfidfVectorizer(), LogisticRegression())


def characters() -> Pipeline:
    """Return TF-IDF of runs of 2 to 5 characters within words, and a logistic regression with C = 10."""
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return make_pipeline(vectorizer, LogisticRegression(C=10, max_iter=1000))


def hashing() -> Pipeline:
    """Return hashed words and a linear model by stochastic gradient descent: no vocabulary, fits piece by piece."""
    return make_pipeline(HashingVectorizer(n_features=2**18), SGDClassifier(loss="log_loss", random_state=123))


@dataclass(frozen=True)
class Linear:
    """A pipeline of scikit-learn, saved by joblib."""

    name: str
    folder: str
    build: Callable[[], Pipeline]
    needs = dict[str, str]()

    def prepare(self, contest: Contest) -> dict[str, Any]:
        """Fit it on the training split."""
        model = self.build()
        start = time.perf_counter()
        model.fit(*contest.train)
        taken = time.perf_counter() - start
        joblib.dump(model, contest.place / self.folder / _FILE)
        return {"fit": taken}

    def load(self, folder: Path) -> Label:
        """Return `predict` of the saved pipeline."""
        model = joblib.load(folder / _FILE)
        return lambda texts: model.predict(texts).tolist()

    def start(self, folder: Path) -> list[str]:
        """Return a command that loads it with joblib."""
        return [sys.executable, "-c", _START, str(folder / _FILE)]


CONTENDERS = (
    Linear("word TF-IDF + LR", "words", words),
    Linear("char_wb 2-5 TF-IDF + LR, C = 10", "characters", characters),
    Linear("hashing + SGD", "hashing", hashing),
)
