"""Export the classifier to ONNX, in float32 or int8, and run it with ONNX Runtime. Needs the extra `onnx`.

In int8, weights are rounded once, with a scale for each column of a matrix and each row of the
token embedding; activations are rounded at run time, with a scale for each token or, after a norm, one that examples
have fixed. A score therefore does not depend on the other texts in its batch. `agreement` measures the effect of the
rounding. Files of earlier versions, whose activations had one scale for the whole batch, still run.
"""

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ..checkpoint.opening import ONNX as MODEL
from ..errors import UserError, install_hint
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.gpt import LayerNorm
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from .backend import mask_after, trim
from .onnx_gpt import INPUTS, build_graph
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


class Scores(NamedTuple):
    """The output of `OnnxModel`: `logits` of *shape* `[B, num_labels]`, in float32."""

    logits: Tensor


class OnnxModel:
    """A `Backend` that runs the `model.onnx` in a folder with ONNX Runtime, on the CPU, with as many threads as torch.

    Args:
        folder: A folder written by `to_onnx`.
        config: The sizes and labels of the model.

    Raises:
        UserError: If the extra is missing, the file is damaged, or it is not a classifier of these labels.
    """

    device = torch.device("cpu")

    def __init__(self, folder: Path, config: SpamGPTConfig) -> None:
        require_extra()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        path = folder / MODEL
        self.config: Any = config
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors share no base class
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: cannot be loaded: {reason}. Export it again.") from None
        inputs = [(node.name, node.type, len(node.shape)) for node in self._session.get_inputs()]
        outputs = [(node.name, node.type, node.shape[-1:]) for node in self._session.get_outputs()]
        if inputs != [(name, "tensor(int64)", 2) for name in INPUTS] or outputs != [
            ("logits", "tensor(float)", [config.num_labels])
        ]:
            raise UserError(
                f"{path}: expected the inputs {' and '.join(INPUTS)} and logits of {config.num_labels} labels, found "
                f"{inputs} and {outputs}. Export it again."
            )

    def eval(self) -> "OnnxModel":
        """Return self: ONNX Runtime always runs in evaluation mode."""
        return self

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Scores:
        """Score a batch of texts. Columns that hold only padding are not computed.

        Args:
            input_ids: Token ids. *Shape:* `[B, T]`.
            attention_mask: 1 for real tokens, 0 for padding, on either side. *Shape:* `[B, T]`.

        Returns:
            `logits` of *shape* `[B, num_labels]`.

        Raises:
            ValueError: If a text is longer than the model reads.
        """
        input_ids, lengths = trim(input_ids.long(), attention_mask, self.config.pad_token_id)
        longest = input_ids.shape[1]
        if longest > self.config.max_text_length:
            raise ValueError(
                f"expected texts of at most {self.config.max_text_length} tokens, found one of {longest}: "
                f"pass truncation=True to the tokenizer"
            )
        attention_mask = mask_after(lengths, longest)
        arrays = dict(zip(INPUTS, (input_ids.numpy(), attention_mask.numpy()), strict=True))
        (logits,) = self._session.run(["logits"], arrays)
        return Scores(torch.from_numpy(logits))
