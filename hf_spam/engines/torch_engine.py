"""Models that torch runs: those of transformers, and our checkpoints in plain torch, as the book has them.

The latter score as the former do, to the last bit, and start in a third of the time: nothing of transformers is
imported before somebody asks for the model.
"""

import threading
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..checkpoint.opening import Checkpoint
from ..checkpoint.tensors import OLD_NAMES, read_state
from ..errors import UserError
from ..model.fields_spam_gpt import SpamGPTFields
from ..model.gpt import GPTModel, score_at
from ..model.pooling_spam_gpt import find_position, mean_logits, to_rows
from .engine import Logits, Rows, Version, pad

if TYPE_CHECKING:
    from .backend import Backend

CPU_BUDGET, GPU_BUDGET = 2048, 16384
_ALIGNMENT = 64  # bytes, as torch allocates on a CPU


class TorchEngine:
    """Any model that is called like `SpamGPTForSequenceClassification`, on its device.

    Args:
        model: The model. It is put in evaluation mode.
    """

    lanes = 1

    def __init__(self, model: "Backend") -> None:
        self._model: Any = model.eval()

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self._model.config

    @property
    def model(self) -> Any:
        """The model."""
        return self._model

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the processor."""
        return bool(self._model.device.type == "cpu")

    @property
    def token_budget(self) -> int:
        """The largest batch by default."""
        return CPU_BUDGET if self.on_cpu else GPU_BUDGET

    @torch.inference_mode()
    def score(self, rows: Rows) -> Logits:
        """Return the logits of a batch of texts; see `Engine`."""
        ids, mask = (torch.from_numpy(array) for array in pad(rows, self.config.pad_token_id))
        device = self._model.device
        logits: Tensor = self._model(ids.to(device), mask.to(device)).logits
        return logits.float().cpu().numpy()

    def version(self) -> Version | None:
        """Return the model's tensors, and how often each was changed; see `Engine`."""
        if getattr(self._model, "training", False):
            return None  # dropout
        return _version(self._model)


class PlainEngine:
    """A checkpoint of ours in plain torch, until its model is asked for.

    Args:
        checkpoint: Of the kind "checkpoint".
        dtype: Of the weights, and of the computation.
        device: Where it runs.

    Raises:
        UserError: If its weights are not those of its configuration.
    """

    lanes = 1

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> None:
        self.config: Any = checkpoint.config
        self._checkpoint = checkpoint
        self._dtype = dtype
        self._plain: GPTModel | None = load_plain(checkpoint, dtype).to(device)
        self._device = device
        self._lock = threading.Lock()
        self._whole: TorchEngine | None = None

    @property
    def model(self) -> Any:
        """The same as a model of transformers, which scores from then on."""
        from ..checkpoint.loading import load_model

        with self._lock:
            if self._whole is None:
                assert self._plain is not None
                state = {_outer(name): tensor.cpu() for name, tensor in self._plain.state_dict().items()}
                model: Any = load_model(self._checkpoint, self._dtype, state).to(self._device)  # type: ignore[arg-type]
                self._whole = TorchEngine(model)
                self.config = model.config
                self._plain = None
        return self._whole.model

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the processor."""
        return self._device.type == "cpu"

    @property
    def token_budget(self) -> int:
        """The largest batch by default."""
        return CPU_BUDGET if self.on_cpu else GPU_BUDGET

    @torch.inference_mode()
    def score(self, rows: Rows) -> Logits:
        """Return the logits of a batch of texts; see `Engine`."""
        plain = self._plain
        if plain is None:
            return self._taken_over.score(rows)
        ids, mask = (torch.from_numpy(array).to(self._device) for array in pad(rows, self.config.pad_token_id))
        return score_plain(plain, ids, mask).float().cpu().numpy()

    def version(self) -> Version | None:
        """Return the model's tensors, and how often each was changed; see `Engine`."""
        plain = self._plain
        return self._taken_over.version() if plain is None else _version(plain)

    @property
    def _taken_over(self) -> TorchEngine:
        assert self._whole is not None  # it is there before the plain model goes
        return self._whole


def score_plain(model: GPTModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Return what `SpamGPTForSequenceClassification` makes of a batch of texts.

    Args:
        model: The same in plain torch, with the head of a classifier.
        input_ids: Token ids. *Shape:* `[B, T]`.
        attention_mask: 1 for real tokens, 0 for padding. *Shape:* `[B, T]`.

    Returns:
        The logits. *Shape:* `[B, num_labels]`.
    """
    config: Any = model.config
    input_ids, real = to_rows(config, input_ids, attention_mask)
    at = find_position(config, real)
    lengths = None if config.causal or config.row_length else real.sum(dim=1)
    states = model.hidden(input_ids, at, lengths=lengths)
    return mean_logits(model.out_head(states), real) if at is None else score_at(model.out_head, states, at)


def load_plain(checkpoint: Checkpoint, dtype: torch.dtype) -> GPTModel:
    """Return the classifier of a checkpoint in plain torch, on the CPU, in evaluation mode.

    Raises:
        UserError: If its weights are not those of its configuration.
    """
    config: SpamGPTFields = checkpoint.config
    with torch.device("meta"), _Empty():
        model = GPTModel(config, config.num_labels)
    names = {_outer(name): name for name in model.state_dict()}
    shapes = {outer: tuple(model.state_dict()[name].shape) for outer, name in names.items()}
    state = read_state(checkpoint.folder, shapes, (), OLD_NAMES["checkpoint"])
    model.load_state_dict({names[outer]: _aligned(tensor.to(dtype)) for outer, tensor in state.items()}, assign=True)
    return model.eval()


class _Empty(TorchFunctionMode):
    """Leave out the first values of parameters, which are read from a file anyway.

    On the meta device torch would import its compiler for them, which takes as long as torch itself.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def _outer(name: str) -> str:
    """Return the name that a tensor of the book's model has in a checkpoint."""
    head = "out_head."
    return f"score.{name.removeprefix(head)}" if name.startswith(head) else f"model.{name}"


def _aligned(tensor: Tensor) -> Tensor:
    """Return a tensor in memory as torch allocates it; see `SpamGPTPreTrainedModel.from_pretrained`."""
    return tensor.clone() if tensor.data_ptr() % _ALIGNMENT else tensor


def _version(model: object) -> Version:
    if not isinstance(model, nn.Module):
        return []
    return [(tensor, -1 if tensor.is_inference() else tensor._version) for tensor in model.parameters()]


def choose_device(device: Any = None) -> torch.device:
    """Return the device that is named, by default a CUDA device if there is one, else the CPU.

    CUDA alone, not every `torch.accelerator`: on Apple's MPS an operator may be missing or inexact, and no test of
    ours runs there. A Mac gets the CPU, which is slower and right.

    Raises:
        UserError: If this machine has no such device.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError):
        raise UserError(f"device: expected a device of this machine, such as cpu, found {device!r}.") from None
    return chosen
