"""fastText, and static vectors as model2vec has them. Needs the extra `benchmark`.

Libraries are imported where they are used: the memory of a process with only one of the two is measured.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .contest import Contest, Label

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_FAST_TEXT, _HEAD = "model.bin", "head.joblib"
_PREFIX = "__label__"
_START_FAST_TEXT = "import sys, fasttext; print(fasttext.load_model(sys.argv[1]).predict(sys.argv[2])[0][0])"
_START_STATIC = """
import sys, joblib
from model2vec import StaticModel
vectors = StaticModel.from_pretrained(sys.argv[1]).encode(sys.argv[2:])
print(joblib.load(sys.argv[1] + "/head.joblib").predict(vectors)[0])
"""
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def word_pieces(texts: list[str], size: int = 30_522) -> "Tokenizer":
    """Return a tokenizer as BERT's, trained on these texts; few texts give a smaller vocabulary."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.trainers import WordPieceTrainer

    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts, WordPieceTrainer(vocab_size=size, special_tokens=list(_SPECIAL), show_progress=False)
    )
    return tokenizer


@dataclass(frozen=True)
class FastText:
    """fastText with words, pairs of words and runs of 2 to 5 characters, in 200,000 buckets instead of 2 million."""

    name: str = "fastText, words and characters 2-5"
    folder: str = "fasttext"
    needs = {"fasttext": "benchmark"}

    def prepare(self, contest: Contest) -> dict[str, Any]:
        """Fit it on the training split, with one thread: only then the result is always the same."""
        import fasttext

        folder = contest.place / self.folder
        lines = [f"{_PREFIX}{label} {' '.join(text.split())}\n" for text, label in zip(*contest.train, strict=True)]
        (folder / "train.txt").write_text("".join(lines), encoding="utf-8")
        options = {"epoch": 25, "lr": 0.5, "wordNgrams": 2, "minn": 2, "maxn": 5, "bucket": 200_000}
        start = time.perf_counter()
        model = fasttext.train_supervised(str(folder / "train.txt"), thread=1, seed=123, verbose=0, **options)
        taken = time.perf_counter() - start
        model.save_model(str(folder / _FAST_TEXT))
        (folder / "train.txt").unlink()
        return {"fit": taken}

    def load(self, folder: Path) -> Label:
        """Return `predict` of the saved model; it reads a text up to its first line break, so there are none."""
        import fasttext

        model = fasttext.load_model(str(folder / _FAST_TEXT))

        def label(texts: list[str]) -> list[str]:
            return [found[0].removeprefix(_PREFIX) for found in model.predict([" ".join(t.split()) for t in texts])[0]]

        return label

    def start(self, folder: Path) -> list[str]:
        """Return a command that loads it."""
        return [sys.executable, "-c", _START_FAST_TEXT, str(folder / _FAST_TEXT)]


@dataclass(frozen=True)
class StaticVectors:
    """A vector for each word piece, averaged, and a logistic regression: the shape of model2vec's potion-base-8M.

    The vectors are random, so its labels mean nothing.
    """

    name: str = "model2vec, 29,528 × 256 + LR"
    folder: str = "model2vec"
    needs = {"model2vec": "benchmark"}
    rows: int = 29_528
    width: int = 256

    def prepare(self, contest: Contest) -> dict[str, Any]:
        """Build it."""
        import joblib
        import numpy as np
        from model2vec import StaticModel
        from sklearn.linear_model import LogisticRegression

        folder = contest.place / self.folder
        tokenizer = word_pieces(contest.texts, self.rows)
        vectors = np.random.default_rng(123).normal(size=(self.rows, self.width)).astype(np.float32)
        model = StaticModel(vectors[: tokenizer.get_vocab_size()], tokenizer)
        model.save_pretrained(str(folder))
        head = LogisticRegression(max_iter=1000).fit(model.encode(contest.train[0]), contest.train[1])
        joblib.dump(head, folder / _HEAD)
        return {}

    def load(self, folder: Path) -> Label:
        """Return its vectors' labels by the saved head."""
        import joblib
        from model2vec import StaticModel

        model, head = StaticModel.from_pretrained(str(folder)), joblib.load(folder / _HEAD)
        return lambda texts: head.predict(model.encode(texts)).tolist()

    def start(self, folder: Path) -> list[str]:
        """Return a command that loads both."""
        return [sys.executable, "-c", _START_STATIC, str(folder)]


CONTENDERS = (FastText(), StaticVectors())
