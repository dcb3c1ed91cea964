"""A saved checkpoint and texts → labels and scores."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .download import download_repository
from .errors import UserError
from .modeling_spam_gpt import SpamGPTForSequenceClassification
from .onnx_model import OnnxModel, is_exported
from .tokenization import encode, truncate

CHECKPOINT_FILES = ["config.json", "model*.safetensors*", "model.onnx*", "tokenizer*.json"]

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
        batch_size: Texts scored at once. It changes the speed, not the scores.
    """

    def __init__(
        self,
        model: SpamGPTForSequenceClassification | OnnxModel,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int = 32,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.batch_size = batch_size

    @classmethod
    def from_pretrained(cls, checkpoint: str | os.PathLike[str], batch_size: int = 32) -> "SpamClassifier":
        """Load a checkpoint that `hf-spam train` saved, onto a GPU if there is one, or its export to ONNX.

        Raises:
            UserError: If `checkpoint` is no such folder (or repository on the Hub), or needs the extra `onnx`.
        """
        folder = Path(checkpoint)
        if not folder.is_dir():
            try:
                folder = download_repository(str(checkpoint), CHECKPOINT_FILES)
            except UserError as error:
                raise UserError(f"{checkpoint}: found no such folder, and {error}") from None
        try:
            model = None if is_exported(folder) else SpamGPTForSequenceClassification.from_pretrained(folder)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{checkpoint}: expected a checkpoint saved by hf-spam train: {reason}") from None
        if model is None:
            return cls(OnnxModel(folder), tokenizer, batch_size)
        if torch.cuda.is_available():
            model = model.to("cuda")  # type: ignore[arg-type]
        return cls(model, tokenizer, batch_size)

    def __call__(self, texts: Sequence[str]) -> list[Prediction]:
        """The label and score of each text."""
        probabilities = self.logits(texts).softmax(dim=1)
        scores, ids = probabilities.max(dim=1)
        labels = self.model.config.id2label
        return [Prediction(labels[id_], score) for id_, score in zip(ids.tolist(), scores.tolist(), strict=True)]

    @torch.inference_mode()
    def logits(self, texts: Sequence[str]) -> Tensor:
        """The class scores of each text, in float32 on the CPU.

        Texts longer than the tokenizer's `model_max_length` are cut, with one warning.

        Returns:
            *Shape:* `[len(texts), num_labels]`.
        """
        config = self.model.config
        max_length = min(self.tokenizer.model_max_length, config.max_text_length)
        ids = truncate(encode(self.tokenizer, list(texts)), max_length) if texts else []
        by_length = sorted(range(len(ids)), key=lambda text: len(ids[text]))
        logits = torch.empty(len(ids), config.num_labels)
        for start in range(0, len(ids), self.batch_size):
            batch = by_length[start : start + self.batch_size]
            width = max(1, *(len(ids[text]) for text in batch))
            input_ids = torch.full((len(batch), width), config.pad_token_id)
            attention_mask = torch.zeros_like(input_ids)
            for row, text in enumerate(batch):
                input_ids[row, : len(ids[text])] = torch.tensor(ids[text], dtype=torch.long)
                attention_mask[row, : len(ids[text])] = 1
            device = self.model.device
            output = self.model(input_ids.to(device), attention_mask.to(device))
            logits[batch] = output.logits.float().cpu()
        return logits
