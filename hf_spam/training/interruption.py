"""Signals during training: SIGTERM and Ctrl-C save a checkpoint and end the run."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class OrderlyStop(TrainerCallback):
    """Finishes the step after a signal, saves a checkpoint and stops; a second Ctrl-C stops at once.

    It catches signals while it is entered as a context manager. If one of several processes gets the signal, all stop
    after the same step.

    Attributes:
        signal: Number of the signal that came.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._agreed = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "OrderlyStop":
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            self._before = {number: signal.signal(number, self._remember) for number in SIGNALS}
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for a checkpoint if any process got a signal."""
        agreed = self.signal
        if args.world_size > 1:
            highest = torch.tensor(agreed or 0, device=args.device)
            torch.distributed.all_reduce(highest, torch.distributed.ReduceOp.MAX)
            agreed = int(highest) or None  # one that came meanwhile counts at the next step
        if agreed is not None:
            self.signal = agreed
        self._agreed = agreed is not None
        control.should_save = control.should_save or self._agreed

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """End the run before anything happens that is not in the checkpoint.

        Raises:
            Interrupted: If a signal asked for the checkpoint.
        """
        if self._agreed and self.signal is not None:
            raise Interrupted(self.signal, describe_stop(self.signal, state.global_step, state.max_steps))


def describe_stop(number: int, step: int, steps: int) -> str:
    """Return what happened, in a few words."""
    return f"stopped by {signal.Signals(number).name} after step {step} of {steps}, a checkpoint is saved"
