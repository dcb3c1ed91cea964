"""From the name of a model to the engine that runs it: a folder or a repository on the Hub, of any kind of ours."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ..checkpoint.opening import Checkpoint
from ..errors import UserError
from ..system.reading import is_folder
from .engine import Engine

if TYPE_CHECKING:
    import torch

    from .backend import Backend

Precision = Literal["fp32", "bf16"]
_TYPES = {"fp32": "float32", "bf16": "bfloat16"}  # torch's names
CHECKPOINT_FILES = ["*.json", "model*.safetensors", "model.onnx*", "adapter_model.safetensors"]


def find_model(checkpoint: str | os.PathLike[str]) -> Path:
    """Return the folder of a checkpoint: `checkpoint` itself, or the download of that repository on the Hub.

    Raises:
        UserError: If there is neither such a folder nor such a repository.
    """
    if is_folder(checkpoint):
        return Path(checkpoint)
    from ..network.hub_download import download_repository

    try:
        return download_repository(str(checkpoint), CHECKPOINT_FILES)
    except UserError as error:
        raise UserError(f"{checkpoint}: found no such folder, and {error}") from None


def as_engine(model: "Backend | Engine") -> Engine:
    """Return the engine of a model that is called like `SpamGPTForSequenceClassification`, or an engine itself."""
    if callable(getattr(model, "version", None)):
        return cast(Engine, model)
    from .torch_engine import TorchEngine

    return TorchEngine(cast("Backend", model))


def load_engine(
    checkpoint: Checkpoint, precision: Precision = "fp32", device: "str | torch.device | None" = None
) -> Engine:
    """Return what runs the classifier in a folder.

    Args:
        checkpoint: The folder, checked.
        precision: The type of the weights and of the computation.
        device: Where it runs; by default a CUDA device if there is one.

    Raises:
        UserError: If a file is damaged, an extra is missing, or an option does not suit the kind of model.
    """
    if precision not in _TYPES:
        raise UserError(f"--precision: expected {' or '.join(_TYPES)}, found {precision!r}.")
    folder, config = checkpoint.folder, checkpoint.config
    if checkpoint.kind == "onnx":
        from .onnx_engine import OnnxModel

        if precision != "fp32":
            raise UserError(f"{folder}: an ONNX export has the precision it was exported in. Leave out {precision}.")
        if device is not None and str(device) != "cpu":
            raise UserError(f"{folder}: an ONNX export runs on the CPU. Leave out the device {device}.")
        return OnnxModel(folder, config)
    import torch

    from .torch_engine import PlainEngine, TorchEngine, choose_device

    place, dtype = choose_device(device), getattr(torch, _TYPES[precision])
    if checkpoint.kind == "checkpoint":
        return PlainEngine(checkpoint, dtype, place)
    from ..checkpoint.loading import load_model
    from .gpt2 import GPT2Classifier

    loaded: Any = load_model(checkpoint, dtype)
    return TorchEngine((GPT2Classifier(loaded, config) if checkpoint.kind == "gpt2" else loaded).to(place))
