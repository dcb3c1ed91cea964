"""One trial: a run with its own options, trained as `hf-spam train` would, judged on the validation split alone."""

import io
import math
import shutil
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from transformers import PreTrainedTokenizerFast

from ..conversion.from_gpt2 import GPT2Checkpoint
from ..data.encoding import longest_text
from ..data.loading import Prepared
from ..data.tokenization import tokenize
from ..options import build, merge
from ..training.arguments import ModelArguments, SpamTrainingArguments
from ..training.fine_tuning import fine_tune
from ..training.initial_model import build_config, initialize_model, limit_length, special_ids
from ..training.trainer import NotFiniteLossError

SCRATCH = ".trial"  # the folder of the trial that trains


@dataclass
class Trials:
    """What all trials share.

    Attributes:
        options: Those that no trial changes, and the values of the others without a search.
        weights: What they start from; `None` for random weights.
        tokenizer: Of these weights.
        prepared: The messages.
        prior: The share of each label that the scores are corrected to.
        folder: Where a trial may write; it leaves nothing there.
    """

    options: Mapping[str, Any]
    weights: GPT2Checkpoint | None
    tokenizer: PreTrainedTokenizerFast
    prepared: Prepared
    prior: Mapping[str, float] | None
    folder: Path
    _tokenized: dict[int, DatasetDict] = field(default_factory=dict)

    def __call__(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Train with the settings and return the figures of the validation split, seconds and steps.

        One whose loss is not finite has an infinite loss, and none of its messages right.
        """
        start = time.perf_counter()
        scratch = self.folder / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)  # of one that was killed
        try:
            with redirect_stdout(io.StringIO()):  # the lines of a run are not those of a search
                record = self._train(merge(self.options, settings), scratch)
        except NotFiniteLossError:
            record = {"loss": math.inf, "accuracy": 0.0, "steps": 0}
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        loss = record["loss"] if math.isfinite(record["loss"]) else math.inf
        return {**record, "loss": loss, "seconds": round(time.perf_counter() - start, 2)}

    def _train(self, options: Mapping[str, Any], scratch: Path) -> dict[str, Any]:
        arguments: ModelArguments = build(ModelArguments, options)
        training = build_arguments(options, scratch)
        splits, task, max_length = self.prepared.splits, self.prepared.task, options.get("max_length")
        longest = longest_text(self.tokenizer, splits["train"]["text"][:])
        ids = special_ids(self.tokenizer)
        config = build_config(arguments, self.weights, len(self.tokenizer), max_length, longest, ids, task=task)
        limit_length(self.tokenizer, config, self.weights, max_length)
        length = self.tokenizer.model_max_length
        if length not in self._tokenized:
            seen = DatasetDict({name: splits[name] for name in ("train", "validation")})
            self._tokenized[length] = tokenize(seen, self.tokenizer, length)
        scratch.mkdir(parents=True)
        run = fine_tune(
            initialize_model(config, self.weights, training.seed),
            self.tokenizer,
            splits,
            self._tokenized[length],
            training,
            arguments.trainable,
            lora=arguments.lora,
            task=task,
            balance=self.prepared.balance,
            prior=self.prior,
            judged=("validation",),
        )
        figures = run.splits["validation"]
        kept: dict[str, Any] = {name: figures[name] for name in ("loss", "accuracy") if name in figures}
        return {**kept, "steps": run.training["steps"]}


def build_arguments(options: Mapping[str, Any], scratch: Path) -> SpamTrainingArguments:
    """Return the Trainer's options of a trial: those of a run that saves nothing but what it needs itself.

    Raises:
        UserError: If they cannot be used.
    """
    own: dict[str, Any] = {"output_dir": str(scratch), "disable_tqdm": True, "report_to": "none"}
    if not options.get("load_best_model_at_end") and options.get("early_stopping_patience") is None:
        own["save_strategy"] = "no"
    training: SpamTrainingArguments = build(SpamTrainingArguments, {**options, **own})
    return training
