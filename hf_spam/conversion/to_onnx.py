"""Export the classifier to ONNX, in float32 or int8. Needs the extra `onnx`; `engines.onnx_engine` runs it.

In int8, weights are rounded once, with a scale for each column of a matrix and each row of the token embedding;
activations are rounded at run time, with a scale for each token or, after a norm, one that examples
have fixed. A score therefore does not depend on the other texts in its batch. `agreement` measures the effect of the
rounding. Files of earlier versions, whose activations had one scale for the whole batch, still run.
"""

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ..checkpoint.opening import ONNX as MODEL
from ..errors import UserError, install_hint
from ..model.gpt import LayerNorm
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from .onnx_gpt import build_graph
from .onnx_graph import Array

_LARGEST_FILE = 2**31 - 2**27  # bytes; protobuf ends at 2 GiB, the rest is for the graph


def require_extra() -> None:
    """Check before any work that ONNX Runtime and the file format are installed.

    Raises:
        UserError: If one of them is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        missing = error.name or "onnx"
        raise UserError(f"{missing} is missing: ONNX needs the extra [onnx]: {install_hint('onnx')}") from None


def to_onnx(
    model: SpamGPTForSequenceClassification, folder: Path, int8: bool = False, examples: Iterable[Sequence[int]] = ()
) -> None:
    """Write `model.onnx` and `config.json`.

    The model's inputs are `input_ids` and `attention_mask` (int64, `[batch, length]`, padding on either side, length
    at most `config.max_text_length`), its output is `logits` (`[batch, num_labels]`). The weights of a model that
    exceeds protobuf's 2 GiB are written to `model.onnx.data`.

    Args:
        model: A model on the CPU in float32; it is not changed.
        folder: An existing folder.
        int8: Store the large matrices and the token embedding in int8; the rest stays in float32.
        examples: Token ids of texts like those that will be classified. With some, the int8 activations after a norm
            have a scale that is fixed by them, which is faster; without, one that is found for each token, as the
            other activations have.

    Raises:
        UserError: If the extra is missing.
    """
    require_extra()
    import onnx

    config: Any = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]  # as save_pretrained sets it beside torch's weights
    config.save_pretrained(folder)
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    graph = build_graph(config, weights, int8, _largest_after_norms(model, examples) if int8 else None)
    large = sum(len(tensor.raw_data) for tensor in graph.graph.initializer) > _LARGEST_FILE
    beside: dict[str, Any] = {"save_as_external_data": True, "location": f"{MODEL}.data"}
    onnx.save(graph, folder / MODEL, **beside if large else {})


@torch.inference_mode()
def _largest_after_norms(
    model: SpamGPTForSequenceClassification, examples: Iterable[Sequence[int]]
) -> dict[str, Array]:
    """Return the largest absolute value in each column of what the blocks' norms return, by their names: `[C]`."""
    found: dict[str, Tensor] = {}

    def watch(name: str, norm: LayerNorm) -> RemovableHandle:
        def keep(_module: Any, _inputs: Any, output: Tensor) -> None:
            largest = output.abs().flatten(0, -2).amax(dim=0)
            found[name] = torch.maximum(found.get(name, largest), largest)

        return norm.register_forward_hook(keep)

    norms = [(name, it) for name, it in model.named_modules() if isinstance(it, LayerNorm) and ".trf_blocks." in name]
    handles = [watch(*named) for named in norms]
    try:
        for ids in examples:
            model(torch.tensor([list(ids)], dtype=torch.long))
    finally:
        for handle in handles:
            handle.remove()
    return {name: largest.numpy() for name, largest in found.items()}
