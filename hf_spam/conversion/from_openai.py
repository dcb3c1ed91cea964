"""Read OpenAI's original GPT-2 checkpoints (TensorFlow), as the chapter does. Needs the extra `openai`."""

import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint.configuration import LARGEST, whole
from ..checkpoint.files import require_file
from ..checkpoint.tensors import require_finite
from ..errors import UserError, install_hint
from ..network.download import cache_folder, download
from ..system.reading import read_json

HPARAMS = "hparams.json"
FOLDERS = {"small": "124M", "medium": "355M", "large": "774M", "xl": "1558M"}
FILES = (
    "checkpoint",
    "encoder.json",
    HPARAMS,
    "model.ckpt.data-00000-of-00001",
    "model.ckpt.index",
    "model.ckpt.meta",
    "vocab.bpe",
)
_SIZES = {
    "vocab_size": "n_vocab",
    "context_length": "n_ctx",
    "emb_dim": "n_embd",
    "n_heads": "n_head",
    "n_layers": "n_layer",
}
BASE_URLS = (
    "https://openaipublic.blob.core.windows.net/gpt-2/models",
    "https://f001.backblazeb2.com/file/LLMs-from-scratch/gpt2",
)


def download_checkpoint(size: str, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Download the seven files of a checkpoint, unless they are there, and return their folder.

    Args:
        size: A key of `FOLDERS`.
        cache_dir: See `download.cache_folder`.

    Raises:
        UserError: If a file can be downloaded neither from OpenAI nor from the mirror.
    """
    folder = cache_folder(cache_dir) / "gpt2" / FOLDERS[size]
    for name in FILES:
        if not (folder / name).is_file():
            urls = [f"{base}/{FOLDERS[size]}/{name}" for base in BASE_URLS]
            remedy = "Other ways: --weights hub, --weights FOLDER (a local GPT-2 folder) or --weights random."
            download(urls, folder / name, Path.read_bytes, remedy)
    return folder


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the sizes (as `SpamGPTConfig` fields) and the tensors (under transformers' names) of a checkpoint.

    Raises:
        UserError: If TensorFlow is missing, or the checkpoint is incomplete or damaged.
    """
    try:
        import tensorflow as tf  # too large to be a dependency of everyone
    except ImportError:
        raise UserError(
            f"{folder}: reading a TensorFlow checkpoint needs the extra [openai]: {install_hint('openai')}"
        ) from None
    path = require_file(folder, HPARAMS, "Name a folder with OpenAI's files.")
    hparams = read_json(path)
    sizes = {ours: whole(hparams.get(theirs), theirs, path, 1, LARGEST[ours]) for ours, theirs in _SIZES.items()}
    for name in FILES:
        if name.startswith("model.ckpt."):
            require_file(folder, name, "OpenAI's TensorFlow checkpoint has model.ckpt.index, .meta and .data-*.")
    prefix = str(folder / "model.ckpt")
    try:
        variables = [name for name, _ in tf.train.list_variables(prefix)]
        state = {_transformers_name(name): _tensor(tf.train.load_variable(prefix, name)) for name in variables}
    except (tf.errors.OpError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{folder}: its TensorFlow checkpoint cannot be read: {str(error).splitlines()[0]}") from None
    for name, tensor in state.items():
        require_finite(tensor, f"{folder}: {name}")
    return sizes, state


def _tensor(array: Any) -> Tensor:
    # Conv1D weights are stored as convolution kernels of length one: [1, in, out].
    return torch.from_numpy(array.squeeze(0) if array.ndim == 3 else array)


def _transformers_name(variable: str) -> str:
    """Translate `model/h0/attn/c_attn/w` to `h.0.attn.c_attn.weight`. `to_book_names` refuses unknown names later."""
    name = re.sub(r"^h(\d+)/", r"h.\1.", variable.removeprefix("model/")).replace("/", ".")
    if name in ("wte", "wpe"):
        return f"{name}.weight"
    return re.sub(r"\.(w|g)$", ".weight", re.sub(r"\.b$", ".bias", name))
