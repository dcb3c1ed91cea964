"""The classifier as an ONNX graph, from top to bottom: what `SpamGPTForSequenceClassification` computes.

Shapes are noted as in `model/gpt.py`: B texts, T tokens, C = emb_dim, H = n_heads, D = C / H. Activations are laid out
by position, then by text: `[T·B, C]`. Products of all tokens are then products of plain matrices, and ONNX Runtime
multiplies the heads where they lie, without a copy of each. Left out is what needs no computing: the keys' bias, which
changes no softmax; the values' bias, which is added after the projection; the scale of the scores, which is in the
queries' weights. In float32 every operator is one of ONNX's own, for any runtime.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..checkpoint.opening import ONNX_INPUTS as INPUTS
from ..model.configuration_spam_gpt import SpamGPTConfig
from .onnx_graph import (
    CONTRIB,
    FLOAT,
    INT64,
    IR_VERSION,
    OPSET,
    Array,
    Linear,
    OnnxGraph,
    Rows,
    axes,
    integer,
    round_rows,
)

_HEADROOM = 1.2  # a fixed scale reaches this much further than the largest value seen
_LEAST = 1e-5  # of what is seen and of weights, where shares between them are taken
_HIDDEN = np.float32(-1e30)  # added to the score of a position that is not seen


def build_graph(
    config: SpamGPTConfig, weights: Mapping[str, Array], int8: bool = False, largest: Mapping[str, Array] | None = None
) -> Any:
    """Return a classifier as a graph, an `onnx.ModelProto`.

    Its inputs are `input_ids` and `attention_mask` (int64, `[batch, length]`), its output is `logits`
    (`[batch, num_labels]`).

    Args:
        config: The sizes.
        weights: Its state dict, in float32.
        int8: Whether the large matrices and the token embedding are stored in int8.
        largest: The largest absolute outputs of the blocks' norms, by their names, to fix the scales of their outputs
            in int8. *Shape:* `[C]`.

    Raises:
        ValueError: If there are other tensors than a classifier's.
    """
    from onnx import TensorProto, helper

    builder = _Builder(config, weights, int8, largest or {})
    builder.build()
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in INPUTS]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", config.num_labels])
    graph = helper.make_graph(builder.nodes, "spam_gpt", inputs, [output], builder.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets if int8 else opsets[:1], ir_version=IR_VERSION)


class _Builder(OnnxGraph):
    def __init__(
        self, config: SpamGPTConfig, weights: Mapping[str, Array], int8: bool, largest: Mapping[str, Array]
    ) -> None:
        super().__init__()
        self.config, self.int8, self.largest = config, int8, largest
        self.weights = dict(weights)  # what is not used yet

    def build(self) -> None:
        config = self.config
        ids, last = self._read_rows()
        # Where the model reads one position, its last block is computed for that one alone, as in torch.
        alone = config.pooling in ("first_token", "last_token", "last_position")
        x = self._embed(ids)  # [T·B, C]
        for number in range(config.n_layers - alone):
            x = self._block(x, f"model.trf_blocks.{number}")
        if alone:
            at = self.add("Mul", last, integer(0)) if config.pooling == "first_token" else last
            x = self._last_block(x, f"model.trf_blocks.{config.n_layers - 1}", at)  # [B, C]
        x = self._norm(x, "model.final_norm")
        if not alone:
            states = self.add("Reshape", x, self._shape(config.emb_dim))  # [T, B, C]
            shares = self.add("Cast", self.real, to=FLOAT)  # [B, T]
            shares = self.add("Div", shares, self.add("ReduceSum", shares, axes(1), keepdims=1))
            shares = self.add("Unsqueeze", self.add("Transpose", shares, perm=[1, 0]), axes(2))  # [T, B, 1]
            x = self.add("ReduceSum", self.add("Mul", states, shares), axes(0), keepdims=0)  # [B, C]
        self.add("Gemm", x, self._take("score.weight").T, self._take("score.bias"), name="logits")
        if self.weights:
            raise ValueError(f"expected the weights of a classifier, found others: {', '.join(sorted(self.weights))}")

    def _read_rows(self) -> tuple[str, str]:
        """Return the ids `[B, T]`, padding on the right, and the last real position of each text `[B, 1]`."""
        config, pad = self.config, integer(self.config.pad_token_id or 0)
        shape = self.add("Shape", INPUTS[0])
        width = self.add("Gather", shape, integer(1))
        padding = self.add("Cast", self.add("Equal", INPUTS[1], integer(0)), to=INT64)  # [B, T]
        places = self.add("Range", integer(0), width, integer(1))  # [T]
        order = self.sort(
            self.add("Add", places, self.add("Mul", padding, integer(2**30))), self.add("Gather", shape, axes(1))
        )
        lengths = self.add("Sub", width, self.add("ReduceSum", padding, axes(1), keepdims=1))  # [B, 1]
        ids = self.add("GatherElements", INPUTS[0], order, axis=1)
        ids = self.add("Where", self.add("Less", places, lengths), ids, pad)
        self.rows = self.add("Gather", shape, axes(0))  # [1]: B
        if config.row_length is None:
            self.width, self.places = self.add("Gather", shape, axes(1)), places
            last = self.add(
                "Max", self.add("Sub", lengths, integer(1)), integer(0)
            )  # a text without tokens is one pad id
        else:  # padding is read
            missing = self.add("Sub", axes(config.row_length), self.add("Gather", shape, axes(1)))
            ids = self.add(
                "Concat", ids, self.add("Expand", pad, self.add("Concat", self.rows, missing, axis=0)), axis=1
            )
            self.width = self.constant(axes(config.row_length))
            self.places = self.constant(np.arange(config.row_length))
            last = self.add("Expand", integer(config.row_length - 1), self.add("Concat", self.rows, axes(1), axis=0))
        self.real = self.add("LessOrEqual", self.places, last)  # [B, T]
        return ids, last

    def _shape(self, *sizes: int) -> str:
        """Return the shape `[T, B, *sizes]`."""
        return self.add("Concat", self.width, self.rows, axes(*sizes), axis=0)

    def _embed(self, ids: str) -> str:
        ids = self.add("Transpose", ids, perm=[1, 0])  # [T, B]
        table = self._take("model.tok_emb.weight")
        if self.int8:  # each row has its own scale
            whole, scales = round_rows(table, 127)
            x = self.add("Cast", self.add("Gather", whole, ids), to=FLOAT)
            x = self.add("Mul", x, self.add("Gather", scales, ids))  # [T, B, C]
        else:
            x = self.add("Gather", table, ids)  # [T, B, C]
        positions = self.add("Slice", self._take("model.pos_emb.weight"), axes(0), self.width, axes(0))  # [T, C]
        x = self.add("Add", x, self.add("Unsqueeze", positions, axes(1)))
        seen = self.add("LessOrEqual", self.places, self.add("Unsqueeze", self.places, axes(1)))  # [T, T]
        if not self.config.causal:
            seen = self.add("Unsqueeze", self.real, axes(1, 2))  # [B, 1, 1, T]
        self.mask = self.add("Where", seen, np.float32(0), _HIDDEN)
        return self.add("Reshape", x, axes(-1, self.config.emb_dim))

    def _block(self, x: str, name: str) -> str:
        """Return the states after a block, `[T·B, C]`."""
        heads = self._shape(self.config.n_heads, self.config.emb_dim // self.config.n_heads)  # [T, B, H, D]
        output = self._output(name)  # before the values' weights are taken
        layers = [self._linear(f"{name}.att.W_{it}") for it in ("query", "key", "value")]
        inputs = self._read_norm(x, f"{name}.norm1", layers)
        queries, keys, values = (self.add("Reshape", layer.apply(self, inputs), heads) for layer in layers)
        queries = self.add("Transpose", queries, perm=[1, 2, 0, 3])  # [B, H, T, D]
        keys = self.add("Transpose", keys, perm=[1, 2, 3, 0])  # [B, H, D, T]
        values = self.add("Transpose", values, perm=[1, 2, 0, 3])
        shares = self.add("Softmax", self.add("Add", self.add("MatMul", queries, keys), self.mask), axis=-1)
        context = self.add("Transpose", self.add("MatMul", shares, values), perm=[2, 0, 1, 3])  # [T, B, H, D]
        context = self.add("Reshape", context, axes(-1, self.config.emb_dim))
        x = self.add("Add", output.apply(self, Rows(self, context, self.int8)), x)
        return self._feed_forward(x, name)

    def _last_block(self, x: str, name: str, at: str) -> str:
        """Return the states at the positions `at` `[B, 1]` alone: `[B, C]`. See `MultiHeadAttention._attend_from`."""
        C, H = self.config.emb_dim, self.config.n_heads
        D = C // H
        output = self._output(name)
        query, key, value = layers = [self._linear(f"{name}.att.W_{it}") for it in ("query", "key", "value")]
        normed, largest = self._norm_for(x, f"{name}.norm1", layers)
        texts = self.add("Range", integer(0), self.add("Squeeze", self.rows), integer(1))  # [B]
        places = self.add("Add", self.add("Mul", self.add("Squeeze", at, axes(1)), self.rows), texts)
        read = Rows(self, self.add("Gather", normed, places), self.int8, largest=largest)
        queries = query.apply(self, read)
        queries = self.add("Transpose", self.add("Reshape", queries, axes(-1, H, D)), perm=[1, 0, 2])  # [H, B, D]
        keys = key.weight.reshape(H, D, C)
        values = value.weight.reshape(H, D, C).transpose(0, 2, 1)
        reach = self.add("Transpose", self.add("MatMul", queries, keys), perm=[1, 0, 2])  # [B, H, C]
        all_states = self.add("Reshape", normed, self._shape(C))  # [T, B, C]
        scores = self.add("MatMul", reach, self.add("Transpose", all_states, perm=[1, 2, 0]))  # [B, H, T]
        seen = self.add("LessOrEqual", self.places, at) if self.config.causal else self.real  # [B, T]
        scores = self.add("Where", self.add("Unsqueeze", seen, axes(1)), scores, _HIDDEN)
        mixed = self.add(
            "MatMul", self.add("Softmax", scores, axis=-1), self.add("Transpose", all_states, perm=[1, 0, 2])
        )
        context = self.add("MatMul", self.add("Transpose", mixed, perm=[1, 0, 2]), values)  # [H, B, D]
        context = self.add("Reshape", self.add("Transpose", context, perm=[1, 0, 2]), axes(-1, C))  # [B, C]
        x = self.add("Add", output.apply(self, Rows(self, context, self.int8)), self.add("Gather", x, places))
        return self._feed_forward(x, name)

    def _feed_forward(self, x: str, name: str) -> str:
        layer = self._linear(f"{name}.ff.layers.0")
        inner = layer.apply(self, self._read_norm(x, f"{name}.norm2", [layer]), gelu=True)
        output = self._linear(f"{name}.ff.layers.2").apply(self, Rows(self, inner, self.int8, after_gelu=True))
        return self.add("Add", output, x)

    def _output(self, name: str) -> Linear:
        """Return the projection after attention, whose bias contains the values'."""
        output = self._linear(f"{name}.att.out_proj")
        bias = self.weights.pop(f"{name}.att.W_value.bias", None)
        self.weights.pop(f"{name}.att.W_key.bias", None)
        if bias is not None and output.bias is not None:
            moved = output.weight.astype(np.float64) @ bias.astype(np.float64)
            output.bias = (output.bias + moved).astype(np.float32)
        return output

    def _linear(self, name: str) -> Linear:
        weight, bias = self._take(f"{name}.weight"), self.weights.pop(f"{name}.bias", None)
        if name.endswith("W_query"):
            share = np.float32((self.config.emb_dim // self.config.n_heads) ** -0.5)
            weight, bias = weight * share, None if bias is None else bias * share
        return Linear(weight, bias)

    def _read_norm(self, x: str, name: str, layers: list[Linear]) -> Rows:
        """Return the outputs of a norm as the layers read them."""
        normed, largest = self._norm_for(x, name, layers)
        return Rows(self, normed, self.int8, largest=largest)

    def _norm_for(self, x: str, name: str, layers: list[Linear]) -> tuple[str, float | None]:
        """Return the outputs of a norm that the layers alone read, and how far a fixed scale must reach.

        With one scale for all, a column that is much larger than the others would leave them few of the 255 steps. So
        each is divided by a number that its weights are multiplied by, halfway between what would be best for either
        (SmoothQuant, arXiv 2211.10438, equation 4).
        """
        largest = self.largest.get(name)
        if not self.int8 or largest is None:
            return self._norm(x, name), None
        weights = np.max([np.abs(layer.weight).max(axis=0) for layer in layers], axis=0)  # [C]
        share = np.sqrt(np.maximum(largest, _LEAST) / np.maximum(weights, _LEAST)).astype(np.float32)
        for layer in layers:
            layer.weight = layer.weight * share
        for part in ("scale", "shift"):
            self.weights[f"{name}.{part}"] = self.weights[f"{name}.{part}"] / share
        return self._norm(x, name), float((largest / share).max()) * _HEADROOM

    def _norm(self, x: str, name: str) -> str:
        scale, shift = self._take(f"{name}.scale"), self._take(f"{name}.shift")
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-5)

    def _take(self, name: str) -> Array:
        """Return a tensor that is needed once."""
        return self.weights.pop(name)
