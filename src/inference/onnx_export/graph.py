"""The forward pass of an exported model as a graph for ONNX Runtime.

The graph is built here and never stored, so that a foreign export contains only numbers. It uses
the fused operators of ONNX Runtime: `GroupQueryAttention` applies RoPE, writes keys and values in
place and attends, over rows of different lengths; `MatMulNBits` multiplies with weights of eight or
four bits.

Inputs: ids (B, S); lengths (B,), tokens of each row, the new ones included, minus one; total, the
longest; places (P,), which of the B S new tokens to give logits of. Per layer the buffers of keys
and values (B, G, C, D), which come out again as the same memory. Output: logits (P, V).

Sizes: B rows, S new tokens of a row, P places, W width, D size of a head, H heads, G key-value
heads, C columns of the buffers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .layout import ZERO, Bits, ExportDtype, ExportShape, block_size, layer_bits, word_bits

_FUSED = "com.microsoft"
_OPSET, _IR_VERSION = 21, 10
_MOST_INLINE = 64
"""Most elements of constants inside the graph; ONNX infers shapes from some of them."""


class _Graph:
    """Nodes and their constants."""

    def __init__(self, shape: ExportShape, dtype: ExportDtype) -> None:
        self.shape, self.dtype = shape, dtype
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(
        self, kind: str, inputs: Sequence[str], output: str, *others: str, fused: bool = False,
        **settings: Any,  # noqa: ANN401
    ) -> str:  # fmt: skip
        domain = {"domain": _FUSED} if fused else {}
        self.nodes.append(helper.make_node(kind, inputs, [output, *others], **domain, **settings))
        return output

    def constant(self, name: str, value: Any) -> str:  # noqa: ANN401
        self.constants[name] = np.asarray(value)
        return name

    def multiply(self, given: str, matrix: str, sizes: tuple[int, int, bool]) -> str:
        """Multiply with a stored matrix of (N, K, whether it has a bias)."""
        outputs, inputs, biased = sizes
        result = f"{matrix}.product"
        bits = layer_bits(self.dtype)
        if bits is None:
            self.add("MatMul", [given, matrix], result)
        else:
            self.multiply_blocks(given, matrix, (outputs, inputs), bits, result)
        return self.add("Add", [result, f"{matrix}.bias"], f"{result}.sum") if biased else result

    def multiply_blocks(
        self, given: str, matrix: str, sizes: tuple[int, int], bits: Bits, result: str
    ) -> None:
        """Multiply with a matrix of (N, K) stored in blocks."""
        outputs, inputs = sizes
        self.add(
            "MatMulNBits", [given, f"{matrix}.codes", f"{matrix}.scales"], result, fused=True,
            K=inputs, N=outputs, bits=bits, block_size=block_size(inputs, bits),
            accuracy_level=4,  # each row of inputs is rounded to eight bits as well
        )  # fmt: skip

    def normalise(self, given: str, gain: str, result: str) -> str:
        """Divide by the root mean square (Zhang and Sennrich 2019, arXiv:1910.07467)."""
        return self.add(
            "SimplifiedLayerNormalization", [given, gain], result,
            epsilon=self.shape.eps, axis=-1, stash_type=1,
        )  # fmt: skip

    def add_and_normalise(self, one: str, other: str, gain: str, name: str) -> tuple[str, str]:
        """Return the names of the sum of two, normalised and unchanged."""
        self.add(
            "SkipSimplifiedLayerNormalization", [one, other, gain],
            f"{name}.scaled", "", "", f"{name}.sum", fused=True, epsilon=self.shape.eps,
        )  # fmt: skip
        return f"{name}.scaled", f"{name}.sum"


def build_graph(
    shape: ExportShape, dtype: ExportDtype, frequencies: np.ndarray, rope_scale: float
) -> tuple[bytes, dict[str, np.ndarray]]:
    """Build the graph.

    Args:
        shape: Shape of the model.
        dtype: Type of its matrices.
        frequencies: (D / 2,) of RoPE (Su et al. 2021, arXiv:2104.09864).
        rope_scale: Factor of its sines and cosines.

    Returns:
        The serialised graph, and its large constants, which are stored neither in it nor in the
        export. The tensors of the export are external constants of the graph as well.
    """
    graph = _Graph(shape, dtype)
    angles = np.arange(shape.positions, dtype=np.float32)[:, None] * frequencies
    graph.constant("cosines", np.cos(angles) * np.float32(rope_scale))
    graph.constant("sines", np.sin(angles) * np.float32(rope_scale))
    hidden = _embed(graph)
    scaled = graph.normalise(hidden, "0.norm_before", "0.scaled")
    for layer in range(shape.layers):
        sizes = shape.matrices(layer)
        mixed = _attend(graph, layer, scaled)
        mixed = graph.multiply(mixed, f"{layer}.out", sizes[f"{layer}.out"])
        gain = f"{layer}.norm_between"
        scaled, hidden = graph.add_and_normalise(hidden, mixed, gain, f"{layer}.between")
        passed = _pass_inner(graph, layer, scaled)
        gain = f"{layer + 1}.norm_before" if layer + 1 < shape.layers else "norm"
        scaled, hidden = graph.add_and_normalise(hidden, passed, gain, f"{layer}.after")
    _head(graph, scaled)
    return _serialise(graph)


def _embed(graph: _Graph) -> str:
    """Embed ids (B, S) as (B, S, W)."""
    bits = word_bits(graph.dtype)
    if bits is None:
        return graph.add("Gather", ["embedding", "ids"], "hidden")
    width = graph.shape.width
    graph.add("Gather", ["embedding.codes", "ids"], "codes")  # (B, S, W / block, block)
    graph.add("Cast", ["codes"], "codes.float", to=TensorProto.FLOAT)
    graph.constant("zero", np.float32(ZERO[bits]))
    graph.add("Sub", ["codes.float", "zero"], "codes.signed")
    graph.add("Gather", ["embedding.scales", "ids"], "scales")
    graph.constant("last", np.array([-1], np.int64))
    graph.add("Unsqueeze", ["scales", "last"], "scales.wide")
    graph.add("Mul", ["codes.signed", "scales.wide"], "blocks")
    graph.constant("rows", np.array([0, 0, -1], np.int64))
    graph.add("Reshape", ["blocks", "rows"], "padded")
    for name, value in (("begin", 0), ("end", width), ("axis", 2)):
        graph.constant(name, np.array([value], np.int64))
    return graph.add("Slice", ["padded", "begin", "end", "axis"], "hidden")


def _attend(graph: _Graph, layer: int, scaled: str) -> str:
    """Attention of (B, S, W), giving (B, S, H D)."""
    shape = graph.shape
    read = graph.multiply(scaled, f"{layer}.read", shape.matrices(layer)[f"{layer}.read"])
    parts = _split_heads(graph, layer, read) if shape.head_norms else [read, "", ""]
    outputs = [f"{layer}.mixed", f"{layer}.keys.next", f"{layer}.values.next"]
    return graph.add(
        "GroupQueryAttention",
        [*parts, f"{layer}.keys", f"{layer}.values", "lengths", "total", "cosines", "sines"],
        *outputs, fused=True, num_heads=shape.heads, kv_num_heads=shape.key_heads, do_rotary=1,
        rotary_interleaved=0, local_window_size=shape.windows[layer],
    )  # fmt: skip


def _split_heads(graph: _Graph, layer: int, read: str) -> list[str]:
    """Split queries, keys and values, and normalise the first two in every head."""
    shape, size = graph.shape, graph.shape.head_size
    widths = [shape.heads * size, shape.key_heads * size, shape.key_heads * size]
    names = [f"{layer}.{part}" for part in ("q", "k", "v")]
    graph.constant("read.widths", np.array(widths, np.int64))
    graph.add("Split", [read, "read.widths"], *names, axis=-1)
    graph.constant("heads", np.array([0, 0, -1, size], np.int64))
    graph.constant("flat", np.array([0, 0, -1], np.int64))
    done = []
    for name, gain in zip(names[:2], ("query_norm", "key_norm"), strict=True):
        graph.add("Reshape", [name, "heads"], f"{name}.heads")
        graph.normalise(f"{name}.heads", f"{layer}.{gain}", f"{name}.scaled")
        done.append(graph.add("Reshape", [f"{name}.scaled", "flat"], f"{name}.done"))
    return [*done, names[2]]


def _pass_inner(graph: _Graph, layer: int, scaled: str) -> str:
    """Compute the feed-forward network of a layer, (B, S, W) to (B, S, W)."""
    sizes = graph.shape.matrices(layer)
    opened = graph.multiply(scaled, f"{layer}.open", sizes[f"{layer}.open"])
    gate, up = f"{layer}.gate", f"{layer}.up"
    graph.add("Split", [opened], gate, up, axis=-1, num_outputs=2)
    # x sigmoid(alpha x) with alpha 1 is SiLU.
    graph.add("QuickGelu", [gate], f"{gate}.silu", fused=True, alpha=1.0)
    graph.add("Mul", [f"{gate}.silu", up], f"{layer}.inner")
    return graph.multiply(f"{layer}.inner", f"{layer}.close", sizes[f"{layer}.close"])


def _head(graph: _Graph, scaled: str) -> None:
    """Compute the logits (P, V) at the places."""
    shape = graph.shape
    graph.constant("tokens", np.array([-1, shape.width], np.int64))
    graph.add("Reshape", [scaled, "tokens"], "scaled.flat")  # (B S, W)
    graph.add("Gather", ["scaled.flat", "places"], "scaled.places", axis=0)
    head = "embedding" if shape.tied else "head"
    bits = word_bits(graph.dtype)
    if bits is None:  # same layout as the embedding, so that they can be shared
        graph.add("Gemm", ["scaled.places", head], "logits", transB=1)
    else:
        sizes = (shape.vocabulary, shape.width)
        graph.multiply_blocks("scaled.places", head, sizes, bits, "logits")


def _serialise(graph: _Graph) -> tuple[bytes, dict[str, np.ndarray]]:
    shape = graph.shape
    whole, real = TensorProto.INT64, TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info("ids", whole, ["B", "S"]),
        helper.make_tensor_value_info("places", whole, ["P"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["B"]),
        helper.make_tensor_value_info("total", TensorProto.INT32, []),
    ]
    outputs = [helper.make_tensor_value_info("logits", real, ["P", shape.vocabulary])]
    buffer = ["B", shape.key_heads, "C", shape.head_size]
    for layer in range(shape.layers):
        for kind in ("keys", "values"):
            name = f"{layer}.{kind}"
            inputs.append(helper.make_tensor_value_info(name, real, buffer))
            outputs.append(helper.make_tensor_value_info(f"{name}.next", real, buffer))
    small = {n: v for n, v in graph.constants.items() if v.size <= _MOST_INLINE and v.ndim < 2}
    large = {n: v for n, v in graph.constants.items() if n not in small}
    built = helper.make_graph(
        graph.nodes, "step", inputs, outputs, [numpy_helper.from_array(v, n) for n, v in
                                               small.items()]
    )  # fmt: skip
    used = {name for node in graph.nodes for name in node.input}
    outside = dict(shape.tensors(graph.dtype))
    outside |= {name: ("F32", value.shape) for name, value in large.items()}
    for name, (kind, sizes) in outside.items():
        if name in used:
            built.initializer.append(_placeholder(name, kind, sizes))
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)]
    model = helper.make_model(built, opset_imports=opsets, ir_version=_IR_VERSION)
    return model.SerializeToString(), large


def _placeholder(name: str, kind: str, sizes: Sequence[int]) -> onnx.TensorProto:
    """Declare a constant whose values the session gets apart from the graph."""
    data_type = TensorProto.FLOAT if kind == "F32" else TensorProto.UINT8
    tensor = onnx.TensorProto(name=name, data_type=data_type, dims=list(sizes))
    tensor.data_location = onnx.TensorProto.EXTERNAL
    # A file by this name is never opened: every name is overridden by `add_external_initializers`.
    tensor.external_data.add(key="location", value="given-in-memory")
    return tensor
