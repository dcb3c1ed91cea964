"""A run that is trained as `hf-spam train` would and leaves nothing: for what only needs its figures or its logits."""

import io
import shutil
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from transformers import PreTrainedTokenizerFast

from ..conversion.from_gpt2 import GPT2Checkpoint
from ..data.loading import Prepared
from ..data.splits import SPLITS
from ..options import build
from ..robustness.augmentation import add_copies
from ..tokens.encoding import longest_text
from ..tokens.tokenization import tokenize
from ..training.arguments import ModelArguments, SpamTrainingArguments
from ..training.fine_tuning import fine_tune
from ..training.initial_model import build_config, initialize_model, limit_length, special_ids
from ..training.run import Run


@dataclass
class UnsavedRuns:
    """Runs on the same splits from the same weights.

    Attributes:
        weights: What they start from; `None` for random weights.
        tokenizer: Of these weights.
        prepared: The messages.
        prior: The share of each label that the scores are corrected to.
        scratch: A folder for a run while it trains; removed after it.
    """

    weights: GPT2Checkpoint | None
    tokenizer: PreTrainedTokenizerFast
    prepared: Prepared
    prior: Mapping[str, float] | None
    scratch: Path
    _tokenized: dict[tuple[Any, ...], DatasetDict] = field(default_factory=dict)

    def train(self, options: Mapping[str, Any], judged: Sequence[str]) -> Run:
        """Train with the options of `hf-spam train`, and evaluate the splits named in `judged`.

        Raises:
            UserError: See `fine_tune`.
        """
        shutil.rmtree(self.scratch, ignore_errors=True)  # of one that was killed
        self.scratch.mkdir(parents=True)
        try:
            with redirect_stdout(io.StringIO()):  # the lines of a run are not those of the command
                return self._train(options, judged)
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _train(self, options: Mapping[str, Any], judged: Sequence[str]) -> Run:
        arguments: ModelArguments = build(ModelArguments, options)
        training = build_arguments(options, self.scratch)
        splits, task, max_length = self.prepared.splits, self.prepared.task, options.get("max_length")
        longest = longest_text(self.tokenizer, splits["train"]["text"][:])
        ids = special_ids(self.tokenizer)
        config = build_config(arguments, self.weights, len(self.tokenizer), max_length, longest, ids, task=task)
        limit_length(self.tokenizer, config, self.weights, max_length)
        names = tuple(name for name in SPLITS if name in ("train", "validation", *judged))
        key = (self.tokenizer.model_max_length, names, training.augment, training.seed)
        if key not in self._tokenized:
            seen = DatasetDict({name: splits[name] for name in names})
            tokenized = tokenize(seen, self.tokenizer, key[0])
            self._tokenized[key] = add_copies(tokenized, seen, self.tokenizer, training.augment, training.seed)
        return fine_tune(
            initialize_model(config, self.weights, training.seed),
            self.tokenizer,
            splits,
            self._tokenized[key],
            training,
            arguments.trainable,
            lora=arguments.lora,
            task=task,
            balance=self.prepared.balance,
            prior=self.prior,
            judged=judged,
        )


def build_arguments(options: Mapping[str, Any], scratch: Path) -> SpamTrainingArguments:
    """Return the Trainer's options of a run that saves nothing but what it needs itself.

    Raises:
        UserError: If they cannot be used.
    """
    own: dict[str, Any] = {"output_dir": str(scratch), "disable_tqdm": True, "report_to": "none"}
    if not options.get("load_best_model_at_end") and options.get("early_stopping_patience") is None:
        own["save_strategy"] = "no"
    training: SpamTrainingArguments = build(SpamTrainingArguments, {**options, **own})
    return training
