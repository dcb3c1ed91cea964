"""What a classical model reaches on the same splits: TF-IDF of words, logistic regression, scikit-learn's defaults.

python scripts/baseline.py --data_file SMSSpamCollection
"""

import sys
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from hf_spam.data.arguments import DataArguments
from hf_spam.data.loading import load_splits
from hf_spam.options import OptionParser, build


def make_parser() -> OptionParser:
    """The data options of `hf-spam train`."""
    return OptionParser(DataArguments, prog="baseline.py", description=__doc__)


def main(options: dict[str, Any]) -> dict[str, float]:
    """Fit on the training split; print and return the accuracy on each split."""
    splits = load_splits(build(DataArguments, options))
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model.fit(splits["train"]["text"], splits["train"]["label"])
    accuracies = {name: float(model.score(rows["text"], rows["label"])) for name, rows in splits.items()}
    for name, accuracy in accuracies.items():
        print(f"{name:12}{accuracy:.2%}")
    return accuracies


if __name__ == "__main__":
    main(make_parser().given(sys.argv[1:]))
