"""Parts of an ONNX graph: nodes and constants, activations, linear layers in float32 or int8.

In int8 each column of a matrix has a scale, and each row of activations gets one at run time unless it is fixed: what
is made of a row does not depend on the other rows. A weight has seven bits, because CPUs without VNNI saturate on sums
of two products of eight.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET = 20  # the first with GPT-2's tanh-approximated GELU as one operator
IR_VERSION = 10  # of that operator set; older runtimes refuse newer ones
CONTRIB = "com.microsoft"  # the domain of ONNX Runtime's own operators
FLOAT, INT64 = 1, 7  # types of tensors, as in `onnx.TensorProto`
_LEVELS = 64  # of a weight on either side of 0
_LOWEST_GELU = 0.1701  # its minimum is -0.17004
_TINY = np.float32(1e-30)  # the smallest scale, so that zeros are not divided by zero
_SMALL = 64  # elements; equal constants up to this size are kept once

Array = NDArray[Any]
Value = str | Array | np.generic  # a name, or a constant


class OnnxGraph:
    """Nodes and constants while a graph is built. Methods take names of values, and return the name of a result."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def constant(self, values: Array | np.generic) -> str:
        """Return the name of a constant. Equal small ones are kept once."""
        from onnx import numpy_helper

        array = np.asarray(values)
        key = (array.dtype.str, array.shape, array.tobytes() if array.size <= _SMALL else b"")
        if array.size <= _SMALL and key in self._names:
            return self._names[key]
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        if array.size <= _SMALL:
            self._names[key] = name
        return name

    def add(self, operator: str, *inputs: Value, name: str = "", **attributes: Any) -> str:
        """Add a node of one output, called `name` or numbered. Arrays among its inputs become constants."""
        return self._node(operator, inputs, [name or f"{operator}_{len(self.nodes)}"], **attributes)[0]

    def add_contrib(self, operator: str, *inputs: Value, **attributes: Any) -> str:
        """Add a node of ONNX Runtime's own."""
        return self.add(operator, *inputs, domain=CONTRIB, **attributes)

    def sort(self, keys: str, count: str) -> str:
        """Return the places of the `count` smallest keys of each row, in order."""
        name = f"TopK_{len(self.nodes)}"
        return self._node("TopK", (keys, count), [f"{name}_keys", name], axis=1, largest=0, sorted=1)[1]

    def _node(self, operator: str, inputs: tuple[Any, ...], outputs: list[str], **attributes: Any) -> list[str]:
        from onnx import helper

        named = [it if isinstance(it, str) else self.constant(it) for it in inputs]
        self.nodes.append(helper.make_node(operator, named, outputs, name=f"node_{len(self.nodes)}", **attributes))
        return outputs


class Rows:
    """Activations that linear layers read, `[N, C]`: in float32, or in eight bits.

    In eight bits each row has a scale of its own, found at run time, or all have one that is fixed.

    Args:
        graph: The graph.
        values: Their name.
        int8: Whether to quantize them.
        after_gelu: Whether they come from a GELU, so that they hardly go below 0.
        largest: The largest absolute value, if it is known: the scale is then fixed, and what is larger is cut off.
    """

    def __init__(
        self, graph: OnnxGraph, values: str, int8: bool, after_gelu: bool = False, largest: float | None = None
    ) -> None:
        self.values, self.int8, self.zero = values, int8, 64 if after_gelu else 128
        self.row_scales: str | None = None  # [N, 1]
        self.scale = np.float32(1)  # of all rows
        if int8 and largest is not None:
            self.scale = np.float32(max(largest / (255 - self.zero), float(_TINY)))
            self.values = graph.add("QuantizeLinear", values, self.scale, np.uint8(self.zero))
        elif int8:
            self._quantize_rows(graph, after_gelu)

    def _quantize_rows(self, graph: OnnxGraph, after_gelu: bool) -> None:
        values, least = self.values, float(_TINY)
        largest = graph.add("ReduceMax", values, axes(1), keepdims=1)  # [N, 1]
        if after_gelu:
            least = _LOWEST_GELU / self.zero
        else:
            smallest = graph.add("Neg", graph.add("ReduceMin", values, axes(1), keepdims=1))
            largest = graph.add("Max", largest, smallest)
        scale = graph.add("Mul", largest, np.float32(1 / (255 - self.zero)))
        self.row_scales = graph.add("Max", scale, np.float32(least))
        flat = graph.add("Squeeze", self.row_scales, axes(1))  # [N]
        zeros = graph.add("Expand", np.array([self.zero], dtype=np.uint8), graph.add("Shape", flat))
        self.values = graph.add("QuantizeLinear", values, flat, zeros, axis=0)


class Linear:
    """A linear layer, in float32 or int8.

    Args:
        weight: *Shape:* `[out, in]`.
        bias: *Shape:* `[out]`.
    """

    def __init__(self, weight: Array, bias: Array | None = None) -> None:
        self.weight, self.bias = weight, bias

    def apply(self, graph: OnnxGraph, rows: Rows, gelu: bool = False) -> str:
        """Return the layer's output, `[N, out]`, or what the GELU makes of it."""
        bias = [] if self.bias is None else [self.bias]
        if not rows.int8:
            output = graph.add("Gemm" if bias else "MatMul", rows.values, self.weight.T, *bias)
            return graph.add("Gelu", output, approximate="tanh") if gelu else output
        whole, scales = round_rows(self.weight, _LEVELS)
        zeros = np.zeros(len(whole), dtype=np.int8)
        inputs: list[Value] = [rows.values, whole.T, rows.scale, scales[:, 0], np.uint8(rows.zero), zeros]
        if rows.row_scales is None:
            inputs, bias = [*inputs, *bias], []
        output = graph.add_contrib("MatMulIntegerToFloat", *inputs)
        if rows.row_scales is not None:
            output = graph.add("Mul", output, rows.row_scales)
        if gelu:
            return graph.add_contrib("FastGelu", output, *bias)
        return graph.add("Add", output, *bias) if bias else output


def round_rows(matrix: Array, levels: int) -> tuple[Array, Array]:
    """Round each row of a matrix to whole numbers from `-levels` to `levels`.

    Returns:
        These in int8, and what multiplies them: *shape* `[rows, 1]`.
    """
    scales = np.maximum(np.abs(matrix).max(axis=1, keepdims=True), _TINY) / np.float32(levels)
    return np.round(matrix / scales).astype(np.int8), scales


def integer(number: int) -> np.int64:
    """Return a constant of one number."""
    return np.int64(number)


def axes(*numbers: int) -> Array:
    """Return a constant of a list of numbers."""
    return np.array(numbers, dtype=np.int64)
