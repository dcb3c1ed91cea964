"""A saved checkpoint and texts → labels and scores."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ..conversion.to_gpt2 import GPT2Classifier, is_gpt2
from ..conversion.to_onnx import OnnxModel, is_onnx
from ..data.batching import token_batches
from ..data.encoding import encode, truncate
from ..errors import UserError
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..system.download import download_repository

Precision = Literal["fp32", "bf16"]
Classifier = SpamGPTForSequenceClassification | GPT2Classifier | OnnxModel
T = TypeVar("T")

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_CPU_BUDGET, _GPU_BUDGET = 2048, 65536
_WINDOW = 16384  # texts that are sorted by length together

CHECKPOINT_FILES = ["*.json", "model*.safetensors", "model.onnx*"]

# The chapter's two examples, the first spam, the second not.
EXAMPLES = (
    "You are a winner you have been specially selected to receive $1000 cash or a $2000 award.",
    "Hey, just wanted to check if we're still on for dinner tonight? Let me know!",
)


@dataclass(frozen=True)
class Prediction:
    """The likeliest label of a text and its probability (softmax), as `pipeline("text-classification")` gives them."""

    label: str
    score: float


class SpamClassifier:
    """Classifies texts, in batches of similar length, in the order they were given.

    Args:
        model: Used where it is; put in evaluation mode.
        tokenizer: The checkpoint's.
        token_budget: Positions of a batch at most, padding included; by default what fills a CPU, or a GPU. It
            changes the speed, not the scores.
    """

    def __init__(
        self,
        model: Classifier,
        tokenizer: PreTrainedTokenizerBase,
        token_budget: int | None = None,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.token_budget = token_budget or (_CPU_BUDGET if model.device.type == "cpu" else _GPU_BUDGET)

    @classmethod
    def from_pretrained(
        cls, checkpoint: str | os.PathLike[str], token_budget: int | None = None, precision: Precision = "fp32"
    ) -> "SpamClassifier":
        """Load a checkpoint that `hf-spam train` saved, or its export, onto a GPU if there is one.

        Args:
            checkpoint: A folder, or a repository on the Hub.
            token_budget: See the class.
            precision: Of the weights and of what is computed with them. bf16 takes half the memory, and a fraction of
                the time where the processor multiplies in it; scores then have two to three digits.

        Raises:
            UserError: If `checkpoint` is no such folder or repository, or needs the extra `onnx`, or if bf16 is asked
                of an export to ONNX, which has the precision that it was exported in.
        """
        folder = find_model(checkpoint)
        try:
            model = _load(folder, precision)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except UserError:
            raise
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{checkpoint}: expected a checkpoint saved by hf-spam train: {reason}") from None
        if torch.cuda.is_available() and not isinstance(model, OnnxModel):
            model = model.to("cuda")  # type: ignore[arg-type]
        return cls(model, tokenizer, token_budget)

    def __call__(self, texts: Sequence[str]) -> list[Prediction]:
        """The label and score of each text."""
        return self._predictions(self.logits(texts))

    def stream(self, chunks: Iterable[Sequence[str]]) -> Iterator[list[Prediction]]:
        """The labels and scores of one chunk after the other; the next is read and tokenized meanwhile."""
        for ids in prefetch(self._tokenize(chunk) for chunk in chunks):
            yield self._predictions(self._score(ids))

    def logits(self, texts: Sequence[str]) -> Tensor:
        """The class scores of each text, in float32 on the CPU.

        Texts longer than the tokenizer's `model_max_length` are cut, with one warning. Of very many texts, a window is
        tokenized while the one before is scored.

        Returns:
            *Shape:* `[len(texts), num_labels]`.
        """
        if len(texts) <= _WINDOW:
            return self._score(self._tokenize(texts))
        windows = (self._tokenize(texts[start : start + _WINDOW]) for start in range(0, len(texts), _WINDOW))
        return torch.cat([self._score(ids) for ids in prefetch(windows)])

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        max_length = min(self.tokenizer.model_max_length, self.model.config.max_text_length)
        return truncate(encode(self.tokenizer, list(texts)), max_length) if texts else []

    @torch.inference_mode()
    def _score(self, ids: list[list[int]]) -> Tensor:
        """Rows of ids → logits `[N, num_labels]`."""
        config, device = self.model.config, self.model.device
        width = config.pad_to_length if config.pooling == "last_position" else None
        logits = torch.empty(len(ids), config.num_labels)
        for batch in token_batches([width or len(row) for row in ids], self.token_budget):
            rows = [torch.tensor(ids[text], dtype=torch.long) for text in batch]
            input_ids = pad_sequence(rows, batch_first=True, padding_value=config.pad_token_id)  # [B, T]
            lengths = torch.tensor([[len(row)] for row in rows])
            attention_mask = torch.arange(input_ids.shape[1]) < lengths  # [B, T]
            output = self.model(input_ids.to(device), attention_mask.long().to(device))
            logits[batch] = output.logits.float().cpu()
        return logits

    def _predictions(self, logits: Tensor) -> list[Prediction]:
        scores, ids = logits.softmax(dim=1).max(dim=1)
        labels = self.model.config.id2label
        return [Prediction(labels[id_], score) for id_, score in zip(ids.tolist(), scores.tolist(), strict=True)]


def find_model(checkpoint: str | os.PathLike[str]) -> Path:
    """The folder of a checkpoint: itself, or that of the Hugging Face cache where a repository on the Hub is named.

    Raises:
        UserError: If there is neither.
    """
    if Path(checkpoint).is_dir():
        return Path(checkpoint)
    try:
        return download_repository(str(checkpoint), CHECKPOINT_FILES)
    except UserError as error:
        raise UserError(f"{checkpoint}: found no such folder, and {error}") from None


def _load(folder: Path, precision: Precision) -> Classifier:
    if is_onnx(folder):
        if precision != "fp32":
            raise UserError(f"{folder}: an export to ONNX has its own precision. Leave out {precision}.")
        return OnnxModel(folder)
    if is_gpt2(folder):
        return GPT2Classifier(folder, _DTYPES[precision])
    return SpamGPTForSequenceClassification.from_pretrained(folder, dtype=_DTYPES[precision])


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """Draw items one ahead, in a thread: the next is made while the caller works on one."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, iterator, end)
            yield cast(T, item)
