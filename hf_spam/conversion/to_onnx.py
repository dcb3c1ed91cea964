"""The classifier as an ONNX file: written, made smaller in int8, and run by ONNX Runtime. Needs the extra `onnx`.

int8 is dynamic: weights are rounded once (a scale for each column of a matrix and for each row of the token
embedding), activations as they come, with one scale for the whole batch. So a text's score depends a little on the
texts that it is scored with; `agreement` measures what that and the rest of the rounding change.
"""

import copy
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import UserError, install_hint
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification, align_left

MODEL = "model.onnx"
OPSET = 20  # the first with GPT-2's tanh-approximated GELU as one operator
_INPUTS = ("input_ids", "attention_mask")
_LARGEST_FILE = 2**31 - 2**27  # in bytes; protobuf ends at 2 GiB, the rest is for the graph


def require_extra() -> None:
    """Find out before any work whether ONNX Runtime and the exporter are there.

    Raises:
        UserError: If they are not.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401  # the extra `onnx`: not everyone's
        import onnxscript  # noqa: F401
    except ImportError as error:
        missing = error.name or "onnx"
        raise UserError(f"{missing} is missing: ONNX needs the extra [onnx]: {install_hint('onnx')}") from None


def is_onnx(folder: Path) -> bool:
    """Whether a folder holds a model for ONNX Runtime and none for torch."""
    return (folder / MODEL).is_file() and not any(folder.glob("model*.safetensors"))


def to_onnx(model: SpamGPTForSequenceClassification, folder: Path, int8: bool = False) -> None:
    """Write `model.onnx` and `config.json`.

    The file takes `input_ids` and `attention_mask` (int64, `[batch, length]`, padding on either side, length at most
    `config.max_text_length`) and gives `logits` (`[batch, num_labels]`). What does not fit into protobuf's 2 GiB goes
    into a file beside it.

    Args:
        model: Left as it is; on the CPU, in float32.
        folder: Exists.
        int8: The large matrices and the token embedding in eight bits, the rest in float32.

    Raises:
        UserError: If the extra is missing.
    """
    require_extra()
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model.config.save_pretrained(folder)
    model = copy.deepcopy(model)
    if int8:
        model.model.tok_emb = _Int8Embedding(model.model.tok_emb)  # type: ignore[assignment]
    held = [*model.parameters(), *model.buffers()]
    large = sum(tensor.numel() * tensor.element_size() for tensor in held) > _LARGEST_FILE
    ids = torch.zeros(2, 8, dtype=torch.long)  # any shape: both of its sizes are variable
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=model.config.max_text_length)}
    shapes = dict.fromkeys(_INPUTS, sizes)
    with _quietly():
        # In two steps: by itself torch.onnx.export fixes a size that the model does not leave open, and says nothing.
        exported = torch.export.export(_Logits(model).eval(), (ids, torch.ones_like(ids)), dynamic_shapes=shapes)
        program = torch.onnx.export(
            exported,
            input_names=_INPUTS,
            output_names=("logits",),
            dynamic_shapes=shapes,  # for the names
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None  # it is with dynamo
        if not int8:
            program.save(folder / MODEL, external_data=large)
            return
        graph = program.model_proto
        del graph.graph.value_info[:]  # the quantizer transposes matrices, and stumbles over what was said of them
        onnx.helper.set_model_props(graph, {"onnx.quant.pre_process": "onnxruntime.quant"})  # nothing is left to do
        quantize_dynamic(
            graph,
            folder / MODEL,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=large,
            extra_options={"MatMulConstBOnly": True},  # attention multiplies activations: those stay in float32
        )


class Scores(NamedTuple):
    """What `OnnxModel` returns: `logits` of *shape* `[B, num_labels]`, in float32."""

    logits: Tensor


class OnnxModel:
    """A folder with `model.onnx` and `config.json`, run by ONNX Runtime on the CPU, on as many threads as torch.

    It is called like `SpamGPTForSequenceClassification`, with the same results.

    Args:
        folder: What `export` wrote.

    Raises:
        UserError: If the extra is missing or the file is damaged.
    """

    device = torch.device("cpu")

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        require_extra()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        path = Path(folder, MODEL)
        try:
            self.config: Any = SpamGPTConfig.from_pretrained(folder)
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its classes have nothing in common, and differ with the damage
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: cannot be loaded: {reason}. Export it again.") from None

    def eval(self) -> "OnnxModel":
        """There is nothing else that it could do."""
        return self

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Scores:
        """Score a batch of texts; columns that only pad are not computed.

        Args:
            input_ids: Token ids. *Shape:* `[B, T]`.
            attention_mask: 1 for real tokens, 0 for padding, on either side. *Shape:* `[B, T]`.

        Returns:
            `logits` of *shape* `[B, num_labels]`.

        Raises:
            ValueError: If a text is longer than the model reads.
        """
        input_ids, lengths, _ = align_left(input_ids.long(), attention_mask, self.config.pad_token_id)
        longest = int(lengths.max())
        if longest > self.config.max_text_length:
            raise ValueError(
                f"expected texts of at most {self.config.max_text_length} tokens, found one of {longest}: "
                f"pass truncation=True to the tokenizer"
            )
        if longest == 0:  # a batch of empty texts, of any width
            input_ids = input_ids.new_full((input_ids.shape[0], 1), self.config.pad_token_id)
        input_ids = input_ids[:, : max(1, longest)]
        attention_mask = (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()
        arrays = dict(zip(_INPUTS, (input_ids.numpy(), attention_mask.numpy()), strict=True))
        (logits,) = self._session.run(["logits"], arrays)
        return Scores(torch.from_numpy(logits))


class _Logits(nn.Module):
    """What is exported: tensors in, one tensor out."""

    def __init__(self, model: SpamGPTForSequenceClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids, attention_mask).logits


class _Int8Embedding(nn.Module):
    """An embedding of eight bits a value with a scale for each row; ONNX Runtime's own has one for the whole table."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        weight = embedding.weight.detach()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny) / 127
        self.register_buffer("values", (weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, ids: Tensor) -> Tensor:
        return self.values[ids] * self.scale[ids]  # type: ignore[index]


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporter and the quantizer tell of themselves."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
