"""What an export computes: the sizes of a model, and the tensors that hold its numbers.

Read off config.json alone, so that a folder whose tensors do not fit is refused before anything is
built from it.

Sizes: W width, D size of a head, H heads, G key-value heads, I inner width, V vocabulary, K inputs
of a matrix, N outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...errors import ExportError

ExportDtype = Literal["float32", "int8"]
MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
_ROPE_TYPES = ("default", "linear", "llama3", "yarn")
"""Those whose frequencies do not depend on the length of the sequence."""
_MOST_POSITIONS = 1 << 18
"""The sines and cosines of all positions are held; 134 MB at this length and heads of 64."""
_BLOCKS = (128, 64, 32, 16)

Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""Name -> type as safetensors spells it, and shape."""


@dataclass(frozen=True)
class ExportShape:
    """Sizes and kinds of a model that can be exported."""

    layers: int
    width: int
    inner: int
    heads: int
    key_heads: int
    head_size: int
    vocabulary: int
    positions: int
    """Most tokens it attends to."""
    eps: float
    """Of the root mean squares."""
    tied: bool
    """Whether the head is the embedding."""
    read_bias: bool
    """Whether queries, keys and values have a bias."""
    out_bias: bool
    inner_bias: bool
    head_norms: bool
    """Whether queries and keys are normalised in every head."""
    windows: tuple[int, ...]
    """Per layer, the tokens that it looks back on, itself included; -1 is all."""

    @property
    def read_width(self) -> int:
        """Outputs of the matrix that makes queries, keys and values: (H + 2 G) D."""
        return (self.heads + 2 * self.key_heads) * self.head_size

    def matrices(self, layer: int) -> dict[str, tuple[int, int, bool]]:
        """Give the matrices of a layer: name -> (N, K, whether it has a bias)."""
        mixed = self.heads * self.head_size
        return {
            f"{layer}.read": (self.read_width, self.width, self.read_bias),
            f"{layer}.out": (self.width, mixed, self.out_bias),
            f"{layer}.open": (2 * self.inner, self.width, self.inner_bias),
            f"{layer}.close": (self.width, self.inner, self.inner_bias),
        }

    def tensors(self, dtype: ExportDtype) -> Tensors:
        """Give all tensors of an export, by name."""
        found: Tensors = {
            "norm": ("F32", (self.width,)),
            "frequencies": ("F32", (self.head_size // 2,)),
            "rope_scale": ("F32", (1,)),
        }
        for name in ("embedding",) if self.tied else ("embedding", "head"):
            found |= _stored(name, self.vocabulary, self.width, dtype, turned=False)
        for layer in range(self.layers):
            for name in ("norm_before", "norm_between"):
                found[f"{layer}.{name}"] = ("F32", (self.width,))
            if self.head_norms:
                for name in ("query_norm", "key_norm"):
                    found[f"{layer}.{name}"] = ("F32", (self.head_size,))
            for name, (outputs, inputs, biased) in self.matrices(layer).items():
                found |= _stored(name, outputs, inputs, dtype, turned=True)
                if biased:
                    found[f"{name}.bias"] = ("F32", (outputs,))
        return found


def block_size(inputs: int) -> int:
    """Choose how many weights of a row share a scale: the largest that leaves nothing over.

    Larger blocks are read faster: with 128 one AVX-512 core read 82 % of what it reads at best,
    with 32 only 65 % (benchmarks/results/inference.md).
    """
    return next((block for block in _BLOCKS if inputs % block == 0), 32)


def describe(config: Any) -> ExportShape:  # noqa: ANN401 - transformers is untyped
    """Read the shape off a transformers config.

    Raises:
        ExportError: The model computes something that an export cannot.
    """
    faults = _faults(config)
    if faults:
        raise ExportError(
            f"a model of type {config.model_type!r} cannot be exported: {'; '.join(faults)}. It is "
            "served all the same, by engine='transformers'"
        )
    bias = bool(getattr(config, "attention_bias", False))
    return ExportShape(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        inner=config.intermediate_size,
        heads=config.num_attention_heads,
        key_heads=config.num_key_value_heads or config.num_attention_heads,
        head_size=_head_size(config),
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        eps=config.rms_norm_eps,
        tied=bool(config.tie_word_embeddings),
        read_bias=bias or config.model_type == "qwen2",
        out_bias=bias and config.model_type in ("llama", "qwen3"),
        inner_bias=bool(getattr(config, "mlp_bias", False)),
        head_norms=config.model_type == "qwen3",
        windows=_windows(config),
    )


def _faults(config: Any) -> list[str]:  # noqa: ANN401
    if config.model_type not in MODEL_TYPES:
        return [f"allowed are {list(MODEL_TYPES)}"]
    faults = []
    rope = getattr(config, "rope_parameters", None) or {}
    kind = rope.get("rope_type", "default")
    if kind not in _ROPE_TYPES:
        faults.append(f"its positions are of kind {kind!r}, allowed are {list(_ROPE_TYPES)}")
    if rope.get("partial_rotary_factor", 1.0) not in (None, 1.0):
        faults.append("only a part of every head is turned by its positions")
    if _head_size(config) % 16:
        faults.append(f"its heads have size {_head_size(config)}, allowed are multiples of 16")
    if config.max_position_embeddings > _MOST_POSITIONS:
        faults.append(f"it attends to {config.max_position_embeddings} tokens, at most "
                      f"{_MOST_POSITIONS} are allowed")  # fmt: skip
    if config.hidden_act not in ("silu", "swish"):
        faults.append(f"its activation is {config.hidden_act!r}, allowed is 'silu'")
    return faults


def _head_size(config: Any) -> int:  # noqa: ANN401
    given = getattr(config, "head_dim", None)
    return int(given or config.hidden_size // config.num_attention_heads)


def _windows(config: Any) -> tuple[int, ...]:  # noqa: ANN401
    window = int(getattr(config, "sliding_window", None) or -1)
    kinds = getattr(config, "layer_types", None)
    if kinds is None:  # Mistral has one window for all layers
        every = window if config.model_type == "mistral" else -1
        return (every,) * int(config.num_hidden_layers)
    return tuple(window if kind == "sliding_attention" else -1 for kind in kinds)


def _stored(name: str, outputs: int, inputs: int, dtype: ExportDtype, *, turned: bool) -> Tensors:
    """Say how a matrix lies in the file; `turned` is (K, N), as a product reads it fastest."""
    if dtype == "float32":
        return {name: ("F32", (inputs, outputs) if turned else (outputs, inputs))}
    block = block_size(inputs)
    blocks = -(-inputs // block)
    return {
        f"{name}.codes": ("U8", (outputs, blocks, block)),
        f"{name}.scales": ("F32", (outputs, blocks)),
    }
