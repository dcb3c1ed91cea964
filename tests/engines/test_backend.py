"""Every way to run a classifier is a `Backend`, and pads as the others do.   pytest tests/conversion/test_backend.py"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_spam import SpamClassifier, SpamGPTForSequenceClassification
from hf_spam.engines.backend import mask_after, trim
from hf_spam.engines.gpt2 import GPT2Classifier
from hf_spam.engines.onnx_engine import OnnxModel

PAD = 99


@given(
    rows=st.lists(st.lists(st.integers(0, 98), max_size=6), min_size=1, max_size=5),
    extra=st.integers(0, 3),
    left=st.booleans(),
)
def test_only_real_tokens_are_kept(rows: list[list[int]], extra: int, left: bool) -> None:
    width = max(map(len, rows)) + extra
    padded = [[7] * (width - len(row)) + row if left else row + [7] * (width - len(row)) for row in rows]
    mask = [
        [0] * (width - len(row)) + [1] * len(row) if left else [1] * len(row) + [0] * (width - len(row))
        for row in rows
    ]
    shape = (len(rows), width)
    ids, lengths = trim(torch.tensor(padded).reshape(shape).long(), torch.tensor(mask).reshape(shape).long(), PAD)
    longest = max(1, *map(len, rows))
    assert ids.tolist() == [row + [PAD] * (longest - len(row)) for row in rows]
    assert lengths.tolist() == [len(row) for row in rows]
    assert mask_after(lengths, longest).tolist() == [[1] * len(row) + [0] * (longest - len(row)) for row in rows]


@pytest.mark.parametrize("backend", [SpamGPTForSequenceClassification, GPT2Classifier, OnnxModel])
def test_the_backends(backend: type) -> None:
    """The type checker holds ours to the protocol; this says that there are three."""
    for name in ("eval", "__call__", "device"):
        assert hasattr(backend, name)


def test_anything_else_that_scores(tokenizer: object) -> None:
    """A backend needs no more than the protocol names."""

    class Config:
        pooling, num_labels, pad_token_id, max_text_length = "last_token", 2, 50256, 1024
        id2label, row_length = {0: "ham", 1: "spam"}, None

    class Output:
        def __init__(self, logits: torch.Tensor) -> None:
            self.logits = logits

    class ByLength:
        """Spam is what has more than two tokens."""

        config, device = Config(), torch.device("cpu")

        def eval(self) -> "ByLength":
            return self

        def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Output:
            many = (attention_mask.sum(dim=1) > 2).float()
            return Output(torch.stack([1 - many, many], dim=1))

    classifier = SpamClassifier(ByLength(), tokenizer)  # type: ignore[arg-type]
    assert [prediction.label for prediction in classifier(["Do you have time", "Hi", ""])] == ["spam", "ham", "ham"]
