"""One trial: a run with its own options, judged on the validation split alone."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..options import merge
from ..starting.unsaved import UnsavedRuns
from ..training.trainer import NotFiniteLossError

SCRATCH = ".trial"  # the folder of the trial that trains


@dataclass
class Trials:
    """What all trials share.

    Attributes:
        options: Those that no trial changes, and the values of the others without a search.
        runs: Messages and weights.
    """

    options: Mapping[str, Any]
    runs: UnsavedRuns

    def __call__(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Train with the settings and return the figures of the validation split, seconds and steps.

        One whose loss is not finite has an infinite loss, and none of its messages right.
        """
        start = time.perf_counter()
        try:
            run = self.runs.train(merge(self.options, settings), judged=("validation",))
            figures = run.splits["validation"]
            record: dict[str, Any] = {name: figures[name] for name in ("loss", "accuracy") if name in figures}
            record["steps"] = run.training["steps"]
        except NotFiniteLossError:
            record = {"loss": math.inf, "accuracy": 0.0, "steps": 0}
        loss = record["loss"] if math.isfinite(record["loss"]) else math.inf
        return {**record, "loss": loss, "seconds": round(time.perf_counter() - start, 2)}
