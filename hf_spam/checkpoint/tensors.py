"""Read the tensors of a folder: exactly the expected names, shapes and types, and finite values.

Nothing is allocated before the files' headers have been compared with what is expected. Models are in the safetensors
format, which holds numbers and no code. GPT-2's older files and the book's are pickles, whose tensors alone are read.
"""

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ..errors import UserError
from ..system.reading import check_regular, describe
from .files import find_weights

State = dict[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]

# Older versions of transformers saved GPT-2's causal masks beside its weights.
OLD_MASKS = (".attn.bias", ".attn.masked_bias")
# The names of today's tensors by those of our first version, for each kind of model.
OLD_NAMES: dict[str, dict[str, str]] = {
    "checkpoint": {"model.out_head.weight": "score.weight", "model.out_head.bias": "score.bias"},
    "language model": {"model.out_head.weight": "lm_head.weight"},
    "gpt2": {},
}
_FLOATS = {"F32", "F16", "BF16", "F64"}
_SHOWN = 5  # problems in a message


def read_state(
    folder: Path, expected: Shapes, optional: Collection[str] = (), renamed: Mapping[str, str] | None = None
) -> State:
    """Return the tensors of a folder, on the CPU and in the types in which they are stored.

    Args:
        folder: It holds `model.safetensors`, or the parts that `model.safetensors.index.json` lists.
        expected: Every tensor's name and shape.
        optional: Those that may be missing, as another one stands for them.
        renamed: Today's names of tensors by those that they had before.

    Raises:
        UserError: If a tensor is missing, left over, not of its shape, not of floating point, or not finite, or a file
            is damaged.
    """
    renamed = renamed or {}
    files = find_weights(folder, "Train or export again, or download it again.")
    check_headers(files, folder, expected, optional, renamed)
    state: State = {}
    for file in files:
        state |= load_tensors(file)
    return {renamed.get(name, name): tensor for name, tensor in state.items() if not name.endswith(OLD_MASKS)}


def check_headers(
    files: list[Path],
    folder: Path,
    expected: Shapes,
    optional: Collection[str] = (),
    renamed: Mapping[str, str] | None = None,
    of: str = "config.json",
) -> None:
    """Compare the names, shapes and types that files announce with the expected ones, without reading a tensor.

    Args:
        files: The files.
        folder: Where they are, for messages.
        expected: Every tensor's name and shape.
        optional: Those that may be missing.
        renamed: Today's names of tensors by those that they had before.
        of: The file that asks for them, for messages.

    Raises:
        UserError: If they differ; the message names the first few tensors.
    """
    found: dict[str, tuple[int, ...]] = {}
    problems: list[str] = []
    for file in files:
        for name, (shape, type_) in _read_header(file).items():
            if name.endswith(OLD_MASKS):
                continue
            name = (renamed or {}).get(name, name)
            if name in found:
                problems.append(f"{name} is there twice")
            if type_ not in _FLOATS:
                problems.append(f"{name} should be of floating point and is {type_}")
            found[name] = shape
    problems += [f"{name} is missing" for name in expected if name not in found and name not in optional]
    problems += [f"{name} has no place in the model" for name in found if name not in expected]
    problems += [
        f"{name} should be {list(expected[name])} and is {list(shape)}"
        for name, shape in found.items()
        if name in expected and shape != tuple(expected[name])
    ]
    if problems:
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        raise UserError(f"{folder}: its weights do not fit {of}: {'; '.join(problems[:_SHOWN])}{more}.")


def load_tensors(file: Path) -> State:
    """Return the tensors of a safetensors file.

    Raises:
        UserError: If the file is damaged, or a value is not finite.
    """
    try:
        state = load_file(file)
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise _damaged(file, error) from None
    for name, tensor in state.items():
        if not name.endswith(OLD_MASKS):
            require_finite(tensor, f"{file}: {name}")
    return state


def unpickle_tensors(file: Path) -> State:
    """Return the tensors of a file that `torch.save` wrote. No code in it runs.

    Raises:
        UserError: If the file is damaged or holds anything else, or a value is not finite.
    """
    check_regular(file)
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                    raise ValueError("it is compressed, and torch.save compresses nothing")
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in dozens of ways
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file}: cannot be read as tensors: {reason}.") from None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise UserError(f"{file}: expected tensors by their names, found {describe(state)}.")
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.is_quantized:
            raise UserError(f"{file}: expected a plain tensor as {name}, found {type(tensor).__name__}.")
        if not name.endswith(OLD_MASKS):
            require_finite(tensor, f"{file}: {name}")
    return state


def is_finite(tensor: Tensor) -> bool:
    """Tell whether every value of a tensor is a number."""
    if not tensor.is_floating_point():
        return True
    # The sum of finite values is finite, short of an overflow: one pass, without a mask of the tensor's size.
    return bool(torch.isfinite(tensor.sum(dtype=torch.float32))) or bool(torch.isfinite(tensor).all())


def require_finite(tensor: Tensor, name: str) -> None:
    """Check that every value of a tensor is a number.

    Raises:
        UserError: If one is infinite or not a number.
    """
    if not is_finite(tensor):
        wrong = int((~torch.isfinite(tensor)).sum())
        raise UserError(f"{name}: expected finite values, found {wrong:,} of {tensor.numel():,} that are not.")


def _read_header(file: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the shape and the type of each tensor of a safetensors file."""
    try:
        with safe_open(file, "pt") as opened:
            slices: dict[str, Any] = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            return {name: (tuple(part.get_shape()), str(part.get_dtype())) for name, part in slices.items()}
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(f"{file}: expected weights in the safetensors format, found a damaged file: {reason}.")
