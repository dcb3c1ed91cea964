"""Record a training step on a GPU as a CUDA graph, and replay it for every batch of the same shape.

Behind the prefix cache a step is some hundred kernels of a few microseconds each, and Python needs longer to start
them than the GPU to run them. A graph starts them all at once. Its shapes are fixed, so rows are widened to a multiple
of `MULTIPLE` tokens, and there is a graph for each width that occurs. Wider rows change sums by rounding alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..model.configuration_spam_gpt import SpamGPTConfig

MULTIPLE = 32  # tokens: the chapter's messages need seven widths
_WARM_UP = 3  # steps before the recording, in which libraries choose and load their kernels

Batch = dict[str, Any]
Step = Callable[[Batch, Any], Tensor]


def widen(config: SpamGPTConfig, batch: Batch, pooled_alone: bool) -> Batch:
    """Pad a batch on the right to one of few widths, where the model sees none of it.

    Args:
        config: The model's.
        batch: `input_ids` and `attention_mask` of *shape* `[B, T]`, `prefix_states` of *shape* `[B, T, C]` or those of
            one position or of rows of a fixed width; whatever else stays as it is.
        pooled_alone: Whether `prefix_states` holds one position of each text.
    """
    T = batch["input_ids"].shape[1]
    width = max(T, config.row_length or min(-(-T // MULTIPLE) * MULTIPLE, config.context_length))
    more = {"input_ids": F.pad(batch["input_ids"], (0, width - T), value=config.pad_token_id or 0)}
    more["attention_mask"] = F.pad(batch["attention_mask"], (0, width - T))
    if not pooled_alone and config.row_length is None:
        more["prefix_states"] = F.pad(batch["prefix_states"], (0, 0, 0, width - T))
    return batch | more


@dataclass
class _Recorded:
    """A graph, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: dict[str, Tensor]
    loss: Tensor
    gradients: list[Tensor | None]


class StepGraphs:
    """The recorded steps of one training, each for its own shapes.

    Args:
        model: What trains.
        config: The classifier's.
        pooled_alone: See `widen`.
    """

    def __init__(self, model: nn.Module, config: SpamGPTConfig, pooled_alone: bool) -> None:
        self._config = config
        self._pooled_alone = pooled_alone
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._recorded: dict[tuple[Any, ...], _Recorded] = {}
        self._pool = torch.cuda.graph_pool_handle()  # one for all: no two replay at once

    def __call__(self, step: Step, batch: Batch, items: Any) -> Tensor:
        """Return the loss of a batch, and leave the gradients in the parameters, as `step` does.

        Args:
            step: Computes loss and gradients of a batch on the GPU, without reading any of its values.
            batch: The batch, on the GPU.
            items: What else `step` takes; it may be a tensor.
        """
        given = {**widen(self._config, batch, self._pooled_alone), "": items}
        tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
        others = {name: value for name, value in given.items() if name not in tensors}
        key = (*((name, value.shape, value.dtype) for name, value in tensors.items()), *others.items())
        if key not in self._recorded:
            self._recorded[key] = self._record(step, {name: it.clone() for name, it in tensors.items()}, others)
        recorded = self._recorded[key]
        for name, value in tensors.items():
            recorded.inputs[name].copy_(value)
        recorded.graph.replay()
        for parameter, gradient in zip(self._parameters, recorded.gradients, strict=True):
            parameter.grad = gradient
        return recorded.loss.clone()

    def _record(self, step: Step, inputs: dict[str, Tensor], others: Batch) -> _Recorded:
        def run() -> Tensor:
            given = {**inputs, **others}
            _forget(self._parameters)
            return step({name: value for name, value in given.items() if name}, given[""])

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        _forget(self._parameters)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            loss = run()
        return _Recorded(graph, inputs, loss, [parameter.grad for parameter in self._parameters])


def _forget(parameters: Sequence[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None
