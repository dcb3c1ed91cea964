"""Classify texts with a saved checkpoint."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import GPT2ForSequenceClassification, PreTrainedTokenizerBase

from ..checkpoint.opening import Checkpoint, load_model, open_checkpoint
from ..checkpoint.operating_point import OperatingPoint
from ..conversion.backend import Backend, mask_after
from ..conversion.to_gpt2 import GPT2Classifier
from ..conversion.to_onnx import OnnxModel
from ..data.labels import MULTI, REGRESSION, task_of_config
from ..errors import UserError
from ..network.hub_download import download_repository
from ..system.reading import is_folder
from ..tokens.batching import token_batches
from ..tokens.encoding import encode, special_counts, truncate
from ..values.ranges import TOKENS
from .repeats import Repeats
from .texts import as_list, prefetch

Precision = Literal["fp32", "bf16"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_CPU_BUDGET, _GPU_BUDGET = 2048, 16384
_WINDOW = 16384  # texts that are tokenized and sorted by length together

CHECKPOINT_FILES = ["*.json", "model*.safetensors", "model.onnx*", "adapter_model.safetensors"]

# The chapter's two examples: spam, then ham.
EXAMPLES = (
    "You are a winner you have been specially selected to receive $1000 cash or a $2000 award.",
    "Hey, just wanted to check if we're still on for dinner tonight? Let me know!",
)


@dataclass(frozen=True)
class Prediction:
    """A label of a text and its score, as in `pipeline("text-classification")`.

    The score is the label's probability: softmax where a text has one label, sigmoid where it may have several. With
    regression it is the number itself.
    """

    label: str
    score: float

    def to_dict(self) -> dict[str, str | float]:
        """Return label and score as the pipeline returns them."""
        return asdict(self)


class SpamClassifier:
    """A model and its tokenizer. Texts are scored in batches of similar length, and results keep their order.

    Public are `from_pretrained`, a call, `all_scores`, `decide`, `logits`, `score_ids`, `scores`, `stream`, `labels`,
    `max_length`, `operating_point`, `model`, `tokenizer` and `repeats`; what begins with an underscore may change.
    Calls from several threads at once give each its own results, as long as none changes `model` or `tokenizer`.
    Processes load one each.

    Args:
        model: The model, which stays on its device and is put in evaluation mode.
        tokenizer: The tokenizer of the same checkpoint.
        token_budget: The largest batch, in positions, padding included; the default suits the device. It changes the
            speed, not the scores.

    Raises:
        UserError: If `token_budget` is no whole number from 1 on.
    """

    def __init__(
        self,
        model: Backend,
        tokenizer: PreTrainedTokenizerBase,
        token_budget: int | None = None,
    ) -> None:
        if token_budget is not None:
            TOKENS.check("token_budget", token_budget, whole=True)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.repeats = Repeats()
        self.token_budget = token_budget or (_CPU_BUDGET if model.device.type == "cpu" else _GPU_BUDGET)

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | os.PathLike[str],
        token_budget: int | None = None,
        precision: Precision = "fp32",
        device: str | torch.device | None = None,
    ) -> "SpamClassifier":
        """Load a checkpoint that `hf-spam train` or `hf-spam export` saved, onto a CUDA device if there is one.

        Args:
            checkpoint: A folder, or a repository on the Hub.
            token_budget: See the class.
            precision: The type of the weights and of the computation. bf16 needs half the memory, and less time if
                the processor supports it; scores are then exact to two or three digits.
            device: Where the model runs: `cpu`, `cuda`, `cuda:1`, ... An ONNX export runs on the CPU alone.

        Raises:
            UserError: If `checkpoint` is not such a folder or repository, or anything in it is missing, damaged or of
                another model; if it needs the extra `onnx`; or if bf16 is requested of an ONNX export, whose precision
                was fixed when it was exported; or if an option has no such value.
            TypeError: If `checkpoint` is neither a string nor a path.
        """
        if not isinstance(checkpoint, str | os.PathLike):
            raise TypeError(f"expected a folder or the name of a repository, found {type(checkpoint).__name__}.")
        if precision not in _DTYPES:
            raise UserError(f"--precision: expected {' or '.join(_DTYPES)}, found {precision!r}.")
        opened = open_checkpoint(find_model(checkpoint))
        assert opened.tokenizer is not None  # every classifier has one
        return cls(_load(opened, precision, _choose_device(device)), opened.tokenizer, token_budget)

    @overload
    def __call__(self, texts: str) -> Prediction: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, texts: Iterable[str]) -> list[Prediction]: ...

    def __call__(self, texts: str | Iterable[str]) -> Prediction | list[Prediction]:
        """Return the likeliest label of each text of a list, a Series, an array or a generator; of a string, its own.

        Raises:
            TypeError: If `texts` is anything else.
        """
        found = self._predictions(self.logits(as_list(texts)))
        return found[0] if isinstance(texts, str) else found

    def all_scores(self, texts: str | Iterable[str]) -> Any:
        """Return the score of every label, `{"ham": 0.9, "spam": 0.1}`, for each text; of a string its own.

        Raises:
            TypeError: See `__call__`.
        """
        found = [dict(zip(self.labels, row, strict=True)) for row in self.scores(self.logits(as_list(texts))).tolist()]
        return found[0] if isinstance(texts, str) else found

    def decide(self, texts: str | Iterable[str]) -> Any:
        """Return `allow`, `unsure` or `block` for each text, as a model decides that `hf-spam calibrate` made.

        Raises:
            UserError: If the model is another.
            TypeError: See `__call__`.
        """
        if self.operating_point is None:
            raise UserError("expected a model that hf-spam calibrate made, found no operating point. Calibrate it.")
        found = self.operating_point.decide_all(self.scores(self.logits(as_list(texts))).tolist(), self.labels)
        return found[0] if isinstance(texts, str) else found

    @property
    def operating_point(self) -> OperatingPoint | None:
        """What `hf-spam calibrate` folded into the model, if it did."""
        values = getattr(self.model.config, "operating_point", None)
        return None if values is None else OperatingPoint(**values)

    @property
    def labels(self) -> list[str]:
        """The labels' names in the order of their ids."""
        return list(task_of_config(self.model.config).names)

    @property
    def max_length(self) -> int:
        """The most tokens that are read of a text."""
        return int(min(self.tokenizer.model_max_length, self.model.config.max_text_length))

    def scores(self, logits: Tensor) -> Tensor:
        """Turn logits into scores, as the pipeline does: softmax, sigmoid with several labels, or as they are.

        Args:
            logits: *Shape:* `[N, num_labels]`.

        Returns:
            *Shape:* `[N, num_labels]`.
        """
        kind = task_of_config(self.model.config).problem_type
        return logits if kind == REGRESSION else logits.sigmoid() if kind == MULTI else logits.softmax(dim=1)

    def stream(self, chunks: Iterable[Sequence[str]]) -> Iterator[list[Prediction]]:
        """Yield the labels and scores of each chunk. The next chunk is read and tokenized in the meantime."""
        for ids in prefetch(self.tokenize(chunk) for chunk in chunks):
            yield self._predictions(self.score_ids(ids))

    def stream_scores(self, chunks: Iterable[Sequence[str]]) -> Iterator[Tensor]:
        """Yield the scores of every label for each chunk; see `stream`.

        Yields:
            *Shape:* `[len(chunk), num_labels]`.
        """
        for ids in prefetch(self.tokenize(chunk) for chunk in chunks):
            yield self.scores(self.score_ids(ids))

    def logits(self, texts: str | Iterable[str]) -> Tensor:
        """Return the class scores of each text before the softmax, in float32 on the CPU.

        Texts longer than the tokenizer's `model_max_length` are truncated, with one warning. Very many texts are
        processed in windows: one is tokenized while the one before it is scored.

        Returns:
            *Shape:* `[len(texts), num_labels]`; of a string `[num_labels]`.

        Raises:
            TypeError: If `texts` is neither a string nor strings in order.
        """
        if isinstance(texts, str):
            return self.logits([texts])[0]
        texts = as_list(texts)
        if len(texts) <= _WINDOW:
            return self.score_ids(self.tokenize(texts))
        windows = (self.tokenize(texts[start : start + _WINDOW]) for start in range(0, len(texts), _WINDOW))
        return torch.cat([self.score_ids(ids) for ids in prefetch(windows)])

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text as they are scored: with special tokens, and truncated."""
        if not texts:
            return []
        _, after = special_counts(self.tokenizer)
        return truncate(encode(self.tokenizer, list(texts), self.max_length), self.max_length, after)

    def score_ids(self, ids: list[list[int]], max_padding: int | None = None) -> Tensor:
        """Return what the head makes of N rows of ids, none longer than `max_length`; for `max_padding` see
        `token_batches`. Equal rows are scored once, here and in later calls. *Shape:* `[N, num_labels]`.
        """
        return self.repeats.score(ids, self.model, lambda rows: self._score([ids[row] for row in rows], max_padding))

    @torch.inference_mode()
    def _score(self, ids: list[list[int]], max_padding: int | None) -> Tensor:
        config, device = self.model.config, self.model.device
        length = config.row_length
        logits = torch.empty(len(ids), config.num_labels)
        for batch in token_batches([length or len(row) for row in ids], self.token_budget, None, max_padding):
            rows = [torch.tensor(ids[text], dtype=torch.long) for text in batch]
            input_ids = pad_sequence(rows, batch_first=True, padding_value=config.pad_token_id)  # [B, T]
            attention_mask = mask_after(torch.tensor([len(row) for row in rows]), input_ids.shape[1])  # [B, T]
            output = self.model(input_ids.to(device), attention_mask.to(device))
            found = output.logits.float().cpu()
            if logits.shape[1] != found.shape[1]:  # another head is in place
                logits = logits.new_empty(len(ids), found.shape[1])
            logits[batch] = found
        if not torch.isfinite(logits).all():
            wrong = int((~torch.isfinite(logits)).any(dim=1).sum())
            raise UserError(
                f"expected finite scores, found {wrong:,} of {len(ids):,} texts without: the model's weights are "
                f"damaged, or too large for this precision. Train or download it again, or use --precision fp32."
            )
        return logits

    def _predictions(self, logits: Tensor) -> list[Prediction]:
        scores, ids = self.scores(logits).max(dim=1)
        labels = self.labels
        return [Prediction(labels[id_], score) for id_, score in zip(ids.tolist(), scores.tolist(), strict=True)]


def find_model(checkpoint: str | os.PathLike[str]) -> Path:
    """Return the folder of a checkpoint: `checkpoint` itself, or the download of that repository on the Hub.

    Raises:
        UserError: If there is neither such a folder nor such a repository.
    """
    if is_folder(checkpoint):
        return Path(checkpoint)
    try:
        return download_repository(str(checkpoint), CHECKPOINT_FILES)
    except UserError as error:
        raise UserError(f"{checkpoint}: found no such folder, and {error}") from None


def _choose_device(device: str | torch.device | None) -> torch.device | None:
    try:
        chosen = None if device is None else torch.device(device)
        if chosen is not None:
            torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError):
        raise UserError(f"device: expected a device of this machine, such as cpu, found {device!r}.") from None
    return chosen


def _load(checkpoint: Checkpoint, precision: Precision, device: torch.device | None = None) -> Backend:
    folder, config = checkpoint.folder, checkpoint.config
    if checkpoint.kind == "onnx":
        if precision != "fp32":
            raise UserError(f"{folder}: an ONNX export has the precision it was exported in. Leave out {precision}.")
        if device is not None and device.type != "cpu":
            raise UserError(f"{folder}: an ONNX export runs on the CPU. Leave out the device {device}.")
        return OnnxModel(folder, config)
    loaded = load_model(checkpoint, _DTYPES[precision])
    model = GPT2Classifier(loaded, config) if isinstance(loaded, GPT2ForSequenceClassification) else loaded
    if device is not None:
        return model.to(device)  # type: ignore[arg-type]
    # CUDA alone, not every `torch.accelerator`: on Apple's MPS an operator may be missing or inexact, and no test of
    # ours runs there. A Mac gets the CPU, which is slower and right.
    return model.to("cuda") if torch.cuda.is_available() else model  # type: ignore[arg-type]
