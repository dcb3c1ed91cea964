"""Record every optimizer step of the Trainer in the form of the native loop's records."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from .records import Step, digest, gradient_norm


class StepRecorder(TrainerCallback):
    """A callback that records every optimizer step through hooks on the model, without changing anything.

    A step over several accumulated batches is recorded as one batch.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._ids: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._losses: list[float] = []
        self._hooks: list[RemovableHandle] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Register hooks on the input of the GPT and the output of the classifier."""
        model: SpamGPTForSequenceClassification = kwargs["model"]
        self._hooks = [
            model.model.register_forward_pre_hook(self._see_ids),
            model.register_forward_hook(self._see_loss, with_kwargs=True),
        ]

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record the step whose gradients are complete."""
        self.steps.append(
            Step(
                ids=digest(torch.cat(self._ids)),
                labels=digest(torch.cat(self._labels)),
                loss=sum(self._losses),
                gradient_norm=gradient_norm(kwargs["model"].parameters()),
                learning_rate=kwargs["optimizer"].param_groups[0]["lr"],
            )
        )
        for seen in (self._ids, self._labels, self._losses):
            seen.clear()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()

    def _see_ids(self, gpt: nn.Module, inputs: tuple[Tensor]) -> None:
        if gpt.training:
            self._ids.append(inputs[0])

    def _see_loss(
        self, model: nn.Module, inputs: tuple[Tensor], kwargs: dict[str, Any], output: SequenceClassifierOutput
    ) -> None:
        if model.training and output.loss is not None:
            self._labels.append(kwargs["labels"])
            self._losses.append(output.loss.item())
