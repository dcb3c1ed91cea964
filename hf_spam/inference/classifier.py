"""Classify texts with a saved checkpoint.

Neither torch nor transformers is imported here, which takes seconds: an export to ONNX does without both, and a
checkpoint of ours without transformers.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..checkpoint.opening import open_checkpoint
from ..checkpoint.operating_point import OperatingPoint
from ..data.labels import MULTI, REGRESSION, task_of_config
from ..engines.engine import Engine, Logits, sigmoid, softmax
from ..engines.loading import Precision, as_engine, find_model, load_engine
from ..errors import UserError
from ..tokens.batching import token_batches
from ..tokens.encoding import Encoder, encode, special_counts, to_encoder, truncate
from ..values.ranges import TOKENS
from .answers import Prediction
from .repeats import Repeats
from .texts import as_list, prefetch

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from ..engines.backend import Backend

_SHARE = 64  # positions of a batch that is worth a core of its own
_WINDOW = 16384  # texts that are tokenized and sorted by length together

# The chapter's two examples: spam, then ham.
EXAMPLES = (
    "You are a winner you have been specially selected to receive $1000 cash or a $2000 award.",
    "Hey, just wanted to check if we're still on for dinner tonight? Let me know!",
)


class SpamClassifier:
    """A model and its tokenizer. Texts are scored in batches of similar length, and results keep their order.

    What begins with an underscore may change. Calls from several threads at once give each its own results, as long as
    none changes `model` or `tokenizer`. Processes load one each.

    Args:
        model: The model, which stays on its device and is put in evaluation mode; or an `Engine` that runs it.
        tokenizer: The tokenizer of the same checkpoint.
        token_budget: The largest batch, in positions, padding included; the default suits the device. It changes the
            speed, not the scores.

    Raises:
        UserError: If `token_budget` is no whole number from 1 on.
        TypeError: If `tokenizer` is not a fast one.
    """

    def __init__(
        self,
        model: "Backend | Engine",
        tokenizer: "PreTrainedTokenizerBase | Encoder",
        token_budget: int | None = None,
    ) -> None:
        if token_budget is not None:
            TOKENS.check("token_budget", token_budget, whole=True)
        self.engine = as_engine(model)
        to_encoder(tokenizer)
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self.repeats = Repeats()
        self.token_budget = token_budget or self.engine.token_budget

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | os.PathLike[str],
        token_budget: int | None = None,
        precision: Precision = "fp32",
        device: "str | torch.device | None" = None,
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
        opened = open_checkpoint(find_model(checkpoint))
        assert opened.encoder is not None  # every classifier has one
        return cls(load_engine(opened, precision, device), opened.encoder, token_budget)

    @property
    def model(self) -> Any:
        """The model: a `SpamGPTForSequenceClassification`, which is built when it is first asked for, or an export."""
        return self.engine.model

    @model.setter
    def model(self, model: "Backend | Engine") -> None:
        self.engine = as_engine(model)

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The tokenizer of transformers, which is built when it is first asked for."""
        with self._lock:
            if isinstance(self._tokenizer, Encoder):
                self._tokenizer = self._tokenizer.tokenizer
            return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: "PreTrainedTokenizerBase | Encoder") -> None:
        to_encoder(tokenizer)
        self._tokenizer = tokenizer

    @property
    def encoder(self) -> Encoder:
        """What the tokenizer encodes with."""
        return to_encoder(self._tokenizer)

    @property
    def config(self) -> Any:
        """The model's sizes and labels: the fields of a `SpamGPTConfig`."""
        return self.engine.config

    @overload
    def __call__(self, texts: str) -> Prediction: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, texts: Iterable[str]) -> list[Prediction]: ...

    def __call__(self, texts: str | Iterable[str]) -> Prediction | list[Prediction]:
        """Return the likeliest label of each text of a list, a Series, an array or a generator; of a string, its own.

        Raises:
            TypeError: If `texts` is anything else.
        """
        found = self._predictions(self.raw_logits(as_list(texts)))
        return found[0] if isinstance(texts, str) else found

    def all_scores(self, texts: str | Iterable[str]) -> Any:
        """Return the score of every label, `{"ham": 0.9, "spam": 0.1}`, for each text; of a string its own.

        Raises:
            TypeError: See `__call__`.
        """
        found = [dict(zip(self.labels, row, strict=True)) for row in self.score(texts).tolist()]
        return found[0] if isinstance(texts, str) else found

    def decide(self, texts: str | Iterable[str]) -> Any:
        """Return `allow`, `unsure` or `block` for each text, as a model decides that `hf-spam calibrate` made.

        Raises:
            UserError: If the model is another.
            TypeError: See `__call__`.
        """
        if self.operating_point is None:
            raise UserError("expected a model that hf-spam calibrate made, found no operating point. Calibrate it.")
        found = self.operating_point.decide_all(self.score(texts).tolist(), self.labels)
        return found[0] if isinstance(texts, str) else found

    @property
    def operating_point(self) -> OperatingPoint | None:
        """What `hf-spam calibrate` folded into the model, if it did."""
        values = getattr(self.config, "operating_point", None)
        return None if values is None else OperatingPoint(**values)

    @property
    def labels(self) -> list[str]:
        """The labels' names in the order of their ids."""
        return list(task_of_config(self.config).names)

    @property
    def max_length(self) -> int:
        """The most tokens that are read of a text."""
        return int(min(self._tokenizer.model_max_length, self.config.max_text_length))

    def scores(self, logits: "Tensor") -> "Tensor":
        """Turn logits into scores, as the pipeline does: softmax, sigmoid with several labels, or as they are.

        Args:
            logits: *Shape:* `[N, num_labels]`.

        Returns:
            *Shape:* `[N, num_labels]`.
        """
        kind = task_of_config(self.config).problem_type
        return logits if kind == REGRESSION else logits.sigmoid() if kind == MULTI else logits.softmax(dim=1)

    def score(self, texts: str | Iterable[str]) -> Logits:
        """Return the score of every label for each text, as an array. *Shape:* `[N, num_labels]`.

        Raises:
            TypeError: See `__call__`.
        """
        return self.to_scores(self.raw_logits(as_list(texts)))

    def stream(self, chunks: Iterable[Sequence[str]]) -> Iterator[list[Prediction]]:
        """Yield the labels and scores of each chunk. The next chunk is read and tokenized in the meantime."""
        for ids in prefetch(self.tokenize(chunk) for chunk in chunks):
            yield self._predictions(self.score_ids(ids))

    def stream_scores(self, chunks: Iterable[Sequence[str]]) -> Iterator[Logits]:
        """Yield the scores of every label for each chunk; see `stream`.

        Yields:
            *Shape:* `[len(chunk), num_labels]`.
        """
        for ids in prefetch(self.tokenize(chunk) for chunk in chunks):
            yield self.to_scores(self.score_ids(ids))

    def logits(self, texts: str | Iterable[str]) -> "Tensor":
        """Return the class scores of each text before the softmax, in float32 on the CPU.

        Texts longer than the tokenizer's `model_max_length` are truncated, with one warning. Very many texts are
        processed in windows: one is tokenized while the one before it is scored.

        Returns:
            *Shape:* `[len(texts), num_labels]`; of a string `[num_labels]`.

        Raises:
            TypeError: If `texts` is neither a string nor strings in order.
        """
        import torch

        logits = torch.from_numpy(self.raw_logits(as_list(texts)))
        return logits[0] if isinstance(texts, str) else logits

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text as they are scored: with special tokens, and truncated."""
        if not texts:
            return []
        encoder = self.encoder
        _, after = special_counts(encoder)
        return truncate(encode(encoder, list(texts), self.max_length), self.max_length, after)

    def score_ids(self, ids: list[list[int]], max_padding: int | None = None) -> Logits:
        """Return what the head makes of N rows of ids, none longer than `max_length`; for `max_padding` see
        `token_batches`. Equal rows are scored once, here and in later calls. *Shape:* `[N, num_labels]`.
        """
        version = self.engine.version()
        return self.repeats.score(ids, version, lambda rows: self._score([ids[row] for row in rows], max_padding))

    def raw_logits(self, texts: list[str]) -> Logits:
        """Do what `logits` does, without torch."""
        if len(texts) <= _WINDOW:
            return self.score_ids(self.tokenize(texts))
        windows = (self.tokenize(texts[start : start + _WINDOW]) for start in range(0, len(texts), _WINDOW))
        return np.concatenate([self.score_ids(ids) for ids in prefetch(windows)])

    def _score(self, ids: list[list[int]], max_padding: int | None) -> Logits:
        lengths = [self.config.row_length or len(row) for row in ids]
        # Where cores score a batch each, a few texts are enough for all of them.
        share = max(_SHARE, -(-sum(lengths) // self.engine.lanes)) if self.engine.lanes > 1 else self.token_budget
        batches = list(token_batches(lengths, min(self.token_budget, share), None, max_padding))
        logits = np.empty((len(ids), self.config.num_labels), np.float32)
        for batch, found in zip(batches, self._score_batches(ids, batches), strict=True):
            if logits.shape[1] != found.shape[1]:  # another head is in place
                logits = np.empty((len(ids), found.shape[1]), np.float32)
            logits[batch] = found
        if not np.isfinite(logits).all():
            wrong = int((~np.isfinite(logits)).any(axis=1).sum())
            raise UserError(
                f"expected finite scores, found {wrong:,} of {len(ids):,} texts without: the model's weights are "
                f"damaged, or too large for this precision. Train or download it again, or use --precision fp32."
            )
        return logits

    def _score_batches(self, ids: list[list[int]], batches: list[list[int]]) -> Iterator[Logits]:
        rows = ([ids[text] for text in batch] for batch in batches)
        if self.engine.lanes == 1 or len(batches) == 1:
            yield from map(self.engine.score, rows)
        else:
            with ThreadPoolExecutor(self.engine.lanes) as pool:
                yield from pool.map(self.engine.score, rows)

    def to_scores(self, logits: Logits) -> Logits:
        """Do what `scores` does, in numpy."""
        kind = task_of_config(self.config).problem_type
        return logits if kind == REGRESSION else sigmoid(logits) if kind == MULTI else softmax(logits)

    def _predictions(self, logits: Logits) -> list[Prediction]:
        scores = self.to_scores(logits)
        ids, labels = scores.argmax(axis=1).tolist(), self.labels
        return [Prediction(labels[id_], row[id_]) for id_, row in zip(ids, scores.tolist(), strict=True)]
