"""Transformers of others with random weights: BERT's kin through `pipeline()`, and GPT-2 small with CTranslate2.

Their labels mean nothing; speed does not depend on the weights.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    pipeline,
)

from ..data.labels import HAM_SPAM
from ..tokens.tokenization import build_tokenizer
from .contest import Contest, Label
from .word_vectors import word_pieces

_SETTINGS = "benchmark.json"
_BATCH_SIZES = (1, 8, 32)
_START_PIPELINE = """
import sys
from transformers import pipeline
print(pipeline("text-classification", model=sys.argv[1])(sys.argv[2])[0]["label"])
"""
_START_COMPILED = """
import sys, ctranslate2, numpy
from tokenizers import Tokenizer
ids = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json").encode(sys.argv[2]).ids
ham, spam = numpy.array(ctranslate2.Generator(sys.argv[1]).forward_batch([ids]))[0, -1]
print("spam" if spam > ham else "ham")
"""


@dataclass(frozen=True)
class Encoder:
    """BERT or DistilBERT through `pipeline()`, at the fastest of three batch sizes.

    Attributes:
        sizes: Layers, width and heads.
    """

    name: str
    folder: str
    sizes: tuple[int, int, int]
    distilled: bool = False
    needs = dict[str, str]()

    def prepare(self, contest: Contest) -> dict[str, Any]:
        """Build it with a tokenizer of the messages' own word pieces, in a vocabulary of BERT's size."""
        folder = contest.place / self.folder
        pieces = word_pieces(contest.texts)
        names = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
        PreTrainedTokenizerFast(tokenizer_object=pieces, model_max_length=512, **names).save_pretrained(folder)
        torch.manual_seed(123)
        self._build().save_pretrained(folder)
        classify = pipeline("text-classification", model=str(folder))
        some = contest.texts[:: max(1, len(contest.texts) // 64)][:64]
        taken = {}
        for size in _BATCH_SIZES:
            classify(some[:size], batch_size=size, truncation=True)
            start = time.perf_counter()
            classify(some, batch_size=size, truncation=True)
            taken[size] = time.perf_counter() - start
        (folder / _SETTINGS).write_text(json.dumps({"batch_size": min(taken, key=lambda size: taken[size])}))
        return {}

    def _build(self) -> PreTrainedModel:
        layers, width, heads = self.sizes
        labels: dict[str, Any] = {
            "id2label": dict(enumerate(HAM_SPAM)),
            "label2id": {name: number for number, name in enumerate(HAM_SPAM)},
        }
        if self.distilled:
            config = DistilBertConfig(n_layers=layers, dim=width, n_heads=heads, hidden_dim=4 * width, **labels)
            return DistilBertForSequenceClassification(config)
        shape: dict[str, Any] = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads}
        return BertForSequenceClassification(BertConfig(**shape, intermediate_size=4 * width, **labels))

    def load(self, folder: Path) -> Label:
        """Return the pipeline."""
        classify = pipeline("text-classification", model=str(folder))
        batch_size = json.loads((folder / _SETTINGS).read_text())["batch_size"]

        def label(texts: list[str]) -> list[str]:
            return [found["label"] for found in classify(texts, batch_size=batch_size, truncation=True)]

        return label

    def start(self, folder: Path) -> list[str]:
        """Return a command that makes the pipeline."""
        return [sys.executable, "-c", _START_PIPELINE, str(folder)]


@dataclass(frozen=True)
class Compiled:
    """GPT-2 with CTranslate2, whose projection to the vocabulary is one to two labels, read at the last token.

    Attributes:
        sizes: Layers, width and heads.
    """

    name: str = "CTranslate2 int8, GPT-2 small"
    folder: str = "ctranslate2"
    sizes: tuple[int, int, int] = (12, 768, 12)
    quantization: str = "int8"
    needs = {"ctranslate2": "benchmark"}

    def prepare(self, contest: Contest) -> dict[str, Any]:
        """Convert it."""
        convert(self.build(), contest.place / self.folder, self.quantization)
        return {}

    def build(self) -> GPT2LMHeadModel:
        """Return transformers' GPT-2 with a head of two rows."""
        torch.manual_seed(123)
        layers, width, heads = self.sizes
        model = GPT2LMHeadModel(GPT2Config(n_layer=layers, n_embd=width, n_head=heads, tie_word_embeddings=False))
        model.lm_head = torch.nn.Linear(width, len(HAM_SPAM), bias=False)
        return model.eval()

    def load(self, folder: Path) -> Label:
        """Return tokenizing, scoring in batches of texts of similar length, and the larger score's label."""
        import ctranslate2

        tokenizer = AutoTokenizer.from_pretrained(folder)
        generator = ctranslate2.Generator(str(folder), intra_threads=torch.get_num_threads())

        def label(texts: list[str]) -> list[str]:
            ids = tokenizer(texts, truncation=True, max_length=1024)["input_ids"]
            return [HAM_SPAM[row] for row in scores_of(ids, generator).argmax(axis=1)]

        return label

    def start(self, folder: Path) -> list[str]:
        """Return a command that needs CTranslate2 and tokenizers alone."""
        return [sys.executable, "-c", _START_COMPILED, str(folder)]


def convert(model: GPT2LMHeadModel, folder: Path, quantization: str) -> None:
    """Convert GPT-2 for CTranslate2 and save our tokenizer beside it. The model's weights are changed by that.

    Raises:
        ImportError: If CTranslate2 is missing.
    """
    from ctranslate2.converters import TransformersConverter

    tokenizer = build_tokenizer()

    class Converter(TransformersConverter):
        def load_model(self, model_class: Any, path: str, **options: Any) -> GPT2LMHeadModel:
            return model

        def load_tokenizer(self, tokenizer_class: Any, path: str, **options: Any) -> Any:
            return tokenizer

    source = folder / "config-only"
    model.config.save_pretrained(source)  # from which it knows what it converts
    Converter(str(source)).convert(str(folder), quantization=quantization, force=True)
    tokenizer.save_pretrained(folder)


def scores_of(ids: list[list[int]], generator: Any, batch_size: int = 32) -> np.ndarray[Any, Any]:
    """Return the scores at the last token of each row. *Shape:* `[len(ids), 2]`."""
    scores = np.empty((len(ids), len(HAM_SPAM)), dtype=np.float32)
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        found = np.asarray(generator.forward_batch([ids[row] for row in rows]))
        scores[rows] = found[range(len(rows)), [len(ids[row]) - 1 for row in rows]]
    return scores


CONTENDERS = (
    Encoder("BERT-tiny, pipeline()", "bert-tiny", (2, 128, 2)),
    Encoder("MiniLM-L6, pipeline()", "minilm", (6, 384, 12)),
    Encoder("DistilBERT, pipeline()", "distilbert", (6, 768, 12), distilled=True),
    Compiled(),
)
