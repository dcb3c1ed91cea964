"""Export the classifier to ONNX, in float32 or int8. Needs the extra `onnx`; `engines.onnx_engine` runs it.

int8 quantization is dynamic: weights are rounded once, with a scale for each column of a matrix and each row of the
token embedding; activations are rounded at run time, with one scale for the whole batch. A score can therefore vary
slightly with the other texts in its batch. `agreement` measures the effect of the rounding.
"""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoint.opening import ONNX as MODEL
from ..checkpoint.opening import ONNX_INPUTS as INPUTS
from ..errors import UserError, install_hint
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification

OPSET = 20  # the first with GPT-2's tanh-approximated GELU as one operator
_LARGEST_FILE = 2**31 - 2**27  # bytes; protobuf ends at 2 GiB, the rest is for the graph


def require_extra() -> None:
    """Check before any work that ONNX Runtime and the exporter are installed.

    Raises:
        UserError: If one of them is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        missing = error.name or "onnx"
        raise UserError(f"{missing} is missing: ONNX needs the extra [onnx]: {install_hint('onnx')}") from None


def to_onnx(model: SpamGPTForSequenceClassification, folder: Path, int8: bool = False) -> None:
    """Write `model.onnx` and `config.json`.

    The model's inputs are `input_ids` and `attention_mask` (int64, `[batch, length]`, padding on either side, length
    at most `config.max_text_length`), its output is `logits` (`[batch, num_labels]`). The weights of a model that
    exceeds protobuf's 2 GiB are written to `model.onnx.data`.

    Args:
        model: A model on the CPU in float32; it is not changed.
        folder: An existing folder.
        int8: Store the large matrices and the token embedding in int8; the rest stays in float32.

    Raises:
        UserError: If the extra is missing.
    """
    require_extra()
    model = copy.deepcopy(model)
    model.config.architectures = [type(model).__name__]  # as save_pretrained sets it beside torch's weights
    model.config.save_pretrained(folder)
    if int8:
        model.model.tok_emb = _Int8Embedding(model.model.tok_emb)
    held = [*model.parameters(), *model.buffers()]
    large = sum(tensor.numel() * tensor.element_size() for tensor in held) > _LARGEST_FILE
    with _silence_exporter():
        program = _export(model)
        if int8:
            _quantize(program.model_proto, folder / MODEL, large)
        else:
            program.save(folder / MODEL, external_data=large)


def _export(model: SpamGPTForSequenceClassification) -> torch.onnx.ONNXProgram:
    ids = torch.zeros(2, 8, dtype=torch.long)  # an example: both of its sizes are variable
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=model.config.max_text_length)}
    shapes = dict.fromkeys(INPUTS, sizes)
    # In two steps: if the model turned out to fix a size, torch.onnx.export alone would fix it silently.
    exported = torch.export.export(_LogitsOnly(model).eval(), (ids, torch.ones_like(ids)), dynamic_shapes=shapes)
    program = torch.onnx.export(
        exported,
        input_names=INPUTS,
        output_names=("logits",),
        dynamic_shapes=shapes,  # for the names
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # only without dynamo
    return program


def _quantize(model: Any, path: Path, large: bool) -> None:
    """Write an exported model with its large constant matrices in int8."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    del model.graph.value_info[:]  # the quantizer transposes matrices, and would find the old shapes here
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})  # nothing is left to do
    quantize_dynamic(
        model,
        path,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        reduce_range=True,  # to seven bits: CPUs without VNNI saturate on sums of eight-bit products
        use_external_data_format=large,
        extra_options={"MatMulConstBOnly": True},  # attention multiplies activations: those stay in float32
    )


class _LogitsOnly(nn.Module):
    """The module that is exported: its output is a tensor, not a `SequenceClassifierOutput`."""

    def __init__(self, model: SpamGPTForSequenceClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids, attention_mask).logits


class _Int8Embedding(nn.Module):
    """An int8 embedding with a scale for each row; ONNX Runtime's own has one scale for the whole table."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        weight = embedding.weight.detach()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny) / 127
        self.register_buffer("values", (weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, ids: Tensor) -> Tensor:
        return self.values[ids] * self.scale[ids]  # type: ignore[index]


@contextmanager
def _silence_exporter() -> Iterator[None]:
    """Silence the warnings of the exporter and the quantizer, which are about their own workings."""
    # Not the levels of some loggers: torch's own log below any level that is set on their parents.
    probe = logging.Logger("probe", level=1)  # nothing else says publicly what `logging.disable` was given before
    disabled = max((level for level in range(1, 101) if not probe.isEnabledFor(level)), default=logging.NOTSET)
    logging.disable(max(disabled, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
