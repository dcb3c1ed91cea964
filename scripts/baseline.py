"""What a classical model reaches on the same splits: TF-IDF of words, logistic regression, scikit-learn's defaults.

python scripts/baseline.py --data_file SMSSpamCollection
"""

import sys
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from hf_spam.data.arguments import DataArguments
from hf_spam.data.loading import load_splits
from hf_spam.dataclass_options import DataclassParser
from hf_spam.options import build


def make_parser() -> DataclassParser:
    """The data options of `hf-spam train`."""
    return DataclassParser(DataArguments, prog="baseline.py", description=__doc__)


def main(options: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Fit on the training split; print and return accuracy and macro-averaged F1 on each split."""
    splits = load_splits(build(DataArguments, options))
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model.fit(splits["train"]["text"], splits["train"]["label"])
    found = {}
    for name, rows in splits.items():
        labels, predicted = rows["label"][:], model.predict(rows["text"][:])
        right = sum(one == other for one, other in zip(labels, predicted, strict=True))
        found[name] = right / len(labels), float(f1_score(labels, predicted, average="macro"))
        print("{:12}accuracy {:.2%}  macro-averaged F1 {:.2%}".format(name, *found[name]))
    return found


if __name__ == "__main__":
    main(make_parser().given(sys.argv[1:]))
