"""An export to ONNX, run by ONNX Runtime: with numpy and the tokenizers library all that a label needs.

Neither torch nor transformers is imported, which take seconds and hundreds of megabytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..checkpoint.opening import ONNX as MODEL
from ..checkpoint.opening import ONNX_INPUTS as INPUTS
from ..errors import UserError, install_hint
from .engine import Logits, Rows, Version, pad
from .threads import count_threads

if TYPE_CHECKING:
    from torch import Tensor


class Scores(NamedTuple):
    """The output of `OnnxModel`: `logits` of *shape* `[B, num_labels]`, in float32."""

    logits: "Tensor"


class OnnxModel:
    """The `model.onnx` in a folder, on the CPU; an `Engine`, and as a `Backend` called with tensors.

    Args:
        folder: A folder written by `to_onnx`.
        config: The sizes and labels of the model.
        threads: How many batches are scored at once; by default as many as torch would take threads.

    Raises:
        UserError: If ONNX Runtime is missing, the file is damaged, or it is not a classifier of these labels.
    """

    on_cpu = True
    token_budget = 512

    def __init__(self, folder: Path, config: Any, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UserError(f"onnxruntime is missing: ONNX needs the extra [onnx]: {install_hint('onnx')}") from None
        options = onnxruntime.SessionOptions()
        # Each batch on one core and a batch for each: 1.6 times as fast as each on all of them, which wait for each
        # other after every operator.
        options.intra_op_num_threads = 1
        self.lanes = threads or count_threads()
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

    @property
    def model(self) -> "OnnxModel":
        """Itself."""
        return self

    @property
    def device(self) -> Any:
        """Torch's CPU."""
        import torch

        return torch.device("cpu")

    def eval(self) -> "OnnxModel":
        """Return self: ONNX Runtime always runs in evaluation mode."""
        return self

    def version(self) -> Version:
        """Return nothing: an export does not change; see `Engine`."""
        return []

    def score(self, rows: Rows) -> Logits:
        """Return the logits of a batch of texts; see `Engine`."""
        ids, mask = pad(rows, self.config.pad_token_id)
        if ids.shape[1] == 0:  # texts without tokens: one of padding
            ids = np.full((len(rows), 1), self.config.pad_token_id or 0, np.int64)
            mask = np.zeros_like(ids)
        logits: Logits = self._session.run(["logits"], dict(zip(INPUTS, (ids, mask), strict=True)))[0]
        return logits

    def __call__(self, input_ids: "Tensor", attention_mask: "Tensor") -> Scores:
        """Score a batch of texts. Columns that hold only padding are not computed.

        Args:
            input_ids: Token ids. *Shape:* `[B, T]`.
            attention_mask: 1 for real tokens, 0 for padding, on either side. *Shape:* `[B, T]`.

        Returns:
            `logits` of *shape* `[B, num_labels]`.

        Raises:
            ValueError: If the mask does not fit the ids, or a text is longer than the model reads.
        """
        import torch

        if attention_mask.shape != input_ids.shape:
            raise ValueError(
                f"expected an attention mask with the shape of the ids, {list(input_ids.shape)}, found "
                f"{list(attention_mask.shape)}"
            )
        real = attention_mask.numpy() != 0
        rows: Sequence[Sequence[int]] = [
            row[is_real].tolist() for row, is_real in zip(input_ids.numpy(), real, strict=True)
        ]
        longest = max(map(len, rows), default=0)
        if longest > self.config.max_text_length:
            raise ValueError(
                f"expected texts of at most {self.config.max_text_length} tokens, found one of {longest}: "
                f"pass truncation=True to the tokenizer"
            )
        return Scores(torch.from_numpy(self.score(rows)))
