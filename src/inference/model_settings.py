"""The settings that config.json and generation_config.json of a local checkpoint may hold.

An allow-list, not a block-list: transformers reads many keys that choose code, files or kernels,
and gains new ones with every release. What is not named here is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

MODEL_TYPES = (
    "llama", "qwen2", "qwen3", "mistral", "gpt2", "phi3", "smollm3", "gemma", "gemma2",
    "gemma3_text", "olmo2", "granite",
)  # fmt: skip
"""Architectures whose local checkpoints are loaded; all are part of transformers itself."""
ENCODER_TYPES = ("bert", "distilbert")
"""Architectures that are loaded as classifiers only."""
ENCODER_DECODER_TYPES = ("t5",)

Check = Callable[[Any], str | None]
"""Says what is allowed when a value is not, else None."""


def _integer(low: int, high: int) -> Check:
    def check(value: Any) -> str | None:  # noqa: ANN401
        fits = type(value) is int and low <= value <= high
        return None if fits else f"a whole number from {low} to {high}"

    return check


def _number(low: float, high: float) -> Check:
    def check(value: Any) -> str | None:  # noqa: ANN401
        fits = type(value) in (int, float) and low <= value <= high
        return None if fits else f"a number from {low} to {high}"

    return check


def _one_of(*allowed: str) -> Check:
    def check(value: Any) -> str | None:  # noqa: ANN401
        return None if isinstance(value, str) and value in allowed else f"one of {list(allowed)}"

    return check


def _one_value(allowed: bool) -> Check:
    return lambda value: None if value is allowed else str(allowed).lower()


def _optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _boolean(value: Any) -> str | None:  # noqa: ANN401
    return None if isinstance(value, bool) else "true or false"


def _text(value: Any) -> str | None:  # noqa: ANN401
    return None if isinstance(value, str) and len(value) <= 500 else "a short text"


def _token_ids(value: Any) -> str | None:  # noqa: ANN401
    ids = value if isinstance(value, list) else [value]
    fits = value is None or (
        len(ids) <= 64 and all(type(token) is int and -1 <= token < 1 << 21 for token in ids)
    )
    return None if fits else "a token id or a list of them"


def _texts(value: Any) -> str | None:  # noqa: ANN401
    fits = isinstance(value, list) and len(value) <= 512 and all(_text(v) is None for v in value)
    return None if fits else "a list of short texts"


def _flags(value: Any) -> str | None:  # noqa: ANN401
    fits = isinstance(value, list) and len(value) <= 512 and all(v in (0, 1) for v in value)
    return None if fits else "a list of 0 and 1"


def _labels(value: Any) -> str | None:  # noqa: ANN401
    fits = (
        isinstance(value, dict)
        and len(value) <= 1000
        and all(_text(v) is None or type(v) is int for v in value.values())
    )
    return None if fits else "a small table of labels"


_ROPE: dict[str, Check] = {
    "rope_type": _one_of("default", "linear", "dynamic", "yarn", "longrope", "llama3"),
    "type": _one_of("default", "linear", "dynamic", "yarn", "longrope", "llama3", "su"),
    **dict.fromkeys(
        ("rope_theta", "factor", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow",
         "attention_factor", "mscale", "mscale_all_dim", "partial_rotary_factor"),
        _optional(_number(0, 1e12)),
    ),
    "original_max_position_embeddings": _integer(1, 1 << 24),
}  # fmt: skip


def _rope(value: Any) -> str | None:  # noqa: ANN401
    if value is None:
        return None
    allowed = f"an object of {sorted(_ROPE)}, short_factor and long_factor"
    if not isinstance(value, dict):
        return allowed
    for key, inner in value.items():
        if key in ("full_attention", "sliding_attention"):
            fault = _rope(inner)
        elif key in ("short_factor", "long_factor"):
            fits = isinstance(inner, list) and len(inner) <= 4096
            fault = None if fits and all(type(v) in (int, float) for v in inner) else allowed
        else:
            fault = _ROPE[key](inner) if key in _ROPE else allowed
        if fault is not None:
            return allowed
    return None


_SIZE = _integer(1, 1 << 18)
_DTYPE = _optional(_one_of("float32", "bfloat16", "float16"))
_ACTIVATION = _one_of(
    "silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "relu2"
)

CONFIG_KEYS: dict[str, Check] = {
    "model_type": _one_of(*MODEL_TYPES, *ENCODER_TYPES, *ENCODER_DECODER_TYPES),
    "architectures": _optional(_texts),
    **dict.fromkeys(("_name_or_path", "transformers_version", "torch_version"), _optional(_text)),
    "dtype": _DTYPE,
    "torch_dtype": _DTYPE,
    # Sizes. The tensors on disk must have them as well, so a large value alone allocates nothing.
    "vocab_size": _integer(1, 1 << 20),
    **dict.fromkeys(
        ("hidden_size", "n_embd", "intermediate_size", "dim", "hidden_dim", "d_model", "d_kv",
         "d_ff", "type_vocab_size"),
        _SIZE,
    ),
    "n_inner": _optional(_SIZE),
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers"),
        _integer(1, 256),
    ),
    **dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "num_heads"), _integer(1, 1024)
    ),
    "relative_attention_num_buckets": _integer(2, 1 << 12),
    "relative_attention_max_distance": _integer(2, 1 << 20),
    "num_key_value_heads": _optional(_integer(1, 1024)),
    "head_dim": _optional(_integer(1, 1 << 14)),
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "n_ctx", "original_max_position_embeddings"),
        _integer(1, 1 << 24),
    ),
    "sliding_window": _optional(_integer(1, 1 << 24)),
    **dict.fromkeys(("max_window_layers", "chunk_size_feed_forward"), _integer(0, 1 << 10)),
    **dict.fromkeys(("_sliding_window_pattern", "sliding_window_pattern"), _integer(1, 256)),
    "no_rope_layer_interval": _integer(1, 256),
    "pretraining_tp": _integer(1, 1),
    # Left by other programs; transformers never sees them (`model_arguments`).
    "rope_interleaved": _optional(_one_value(False)),
    **dict.fromkeys(("is_llama_config", "_attn_implementation_autoset"), _optional(_boolean)),
    "transformers.js_config": lambda value: None if isinstance(value, dict) else "an object",
    # Numbers.
    **dict.fromkeys(("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps"), _number(0, 1)),
    **dict.fromkeys(("initializer_range", "initializer_factor"), _number(0, 100)),
    **dict.fromkeys(("rope_theta", "rope_local_base_freq"), _number(0, 1e12)),
    **dict.fromkeys(
        ("query_pre_attn_scalar", "attention_multiplier", "embedding_multiplier",
         "residual_multiplier", "logits_scaling"),
        _number(0, 1e6),
    ),
    **dict.fromkeys(
        ("attn_logit_softcapping", "final_logit_softcapping"), _optional(_number(0, 1e6))
    ),
    **dict.fromkeys(
        ("attention_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop", "summary_first_dropout",
         "partial_rotary_factor", "attention_probs_dropout_prob", "hidden_dropout_prob",
         "classifier_dropout", "dropout", "qa_dropout", "seq_classif_dropout", "dropout_rate"),
        _optional(_number(0, 1)),
    ),
    **dict.fromkeys(("rope_parameters", "rope_scaling"), _rope),
    # Choices.
    **dict.fromkeys(
        ("hidden_act", "hidden_activation", "activation_function", "activation", "dense_act_fn"),
        _ACTIVATION,
    ),
    "feed_forward_proj": _one_of("relu", "gelu", "gated-gelu", "gated-silu"),
    "summary_activation": _optional(_ACTIVATION),
    "summary_type": _text,
    "problem_type": _optional(_text),
    "layer_types": _optional(_texts),
    "no_rope_layers": _optional(_flags),
    **dict.fromkeys(("id2label", "label2id"), _optional(_labels)),
    "task_specific_params": lambda value: None if isinstance(value, dict) else "an object",
    **dict.fromkeys(
        ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"), _token_ids
    ),
    **dict.fromkeys(
        ("attention_bias", "mlp_bias", "tie_word_embeddings", "use_cache", "use_sliding_window",
         "use_mrope", "return_dict", "output_attentions", "output_hidden_states",
         "scale_attn_by_inverse_layer_idx", "scale_attn_weights", "reorder_and_upcast_attn",
         "summary_proj_to_labels", "summary_use_proj", "is_decoder", "is_encoder_decoder",
         "is_gated_act", "scale_decoder_outputs", "sinusoidal_pos_embds"),
        _optional(_boolean),
    ),
    **dict.fromkeys(
        ("add_cross_attention", "use_bidirectional_attention"),
        lambda value: None if value in (None, False) else "false",
    ),
}  # fmt: skip

_NOT_FOR_TRANSFORMERS = frozenset({
    "model_type", "architectures", "rope_interleaved", "is_llama_config",
    "_attn_implementation_autoset", "transformers.js_config", "task_specific_params",
    "_name_or_path", "transformers_version", "torch_version",
})  # fmt: skip
"""Names no model, file or version to it: what a name means there may change with any release."""

GENERATION_KEYS: dict[str, Check] = {
    **dict.fromkeys(
        ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"), _token_ids
    ),
    **dict.fromkeys(
        ("do_sample", "use_cache", "_from_model_config", "output_attentions",
         "output_hidden_states", "return_dict_in_generate", "early_stopping"),
        _optional(_boolean),
    ),
    **dict.fromkeys(
        ("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty",
         "length_penalty", "epsilon_cutoff", "eta_cutoff"),
        _optional(_number(0, 1e6)),
    ),
    **dict.fromkeys(
        ("max_length", "max_new_tokens", "min_length", "num_beams", "num_return_sequences"),
        _optional(_integer(0, 1 << 24)),
    ),
    "cache_implementation": lambda value: None if value in (None, "hybrid") else "null",
    "transformers_version": _optional(_text),
}  # fmt: skip


def config_faults(config: Mapping[str, Any]) -> list[str]:
    """Say everything that is not allowed in a config.json; empty when all is well."""
    if "model_type" not in config:
        return ["model_type is missing"]
    faults = _faults(config, CONFIG_KEYS)
    if config.get("is_encoder_decoder") and config["model_type"] not in ENCODER_DECODER_TYPES:
        faults.append(f"is_encoder_decoder is true; allowed: only for {ENCODER_DECODER_TYPES}")
    return faults


def generation_faults(config: Mapping[str, Any]) -> list[str]:
    """Say everything that is not allowed in a generation_config.json; empty when all is well."""
    return _faults(config, GENERATION_KEYS)


def model_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings of a checked config.json that transformers is to see."""
    return {key: value for key, value in config.items() if key not in _NOT_FOR_TRANSFORMERS}


def least_parameters(config: Mapping[str, Any]) -> int:
    """Give a lower bound of the parameters that a checked config.json describes.

    Embedding, and per layer two matrices of the feed-forward network: every architecture on the
    list has these, attention can be smaller than any simple formula.
    """
    width = config.get("hidden_size") or config.get("n_embd") or 1
    layers = config.get("num_hidden_layers") or config.get("n_layer") or 1
    inner = config.get("intermediate_size") or config.get("n_inner") or 1
    return int(width * (config.get("vocab_size") or 1) + layers * 2 * width * inner)


def _faults(config: Mapping[str, Any], checks: Mapping[str, Check]) -> list[str]:
    faults = []
    for key, value in config.items():
        if key not in checks:
            faults.append(f"the setting {key[:80]!r} is not allowed in a local checkpoint")
            continue
        if isinstance(value, float) and not math.isfinite(value):
            faults.append(f"{key} is not a finite number")
            continue
        allowed = checks[key](value)
        if allowed is not None:
            faults.append(f"{key} is {repr(value)[:80]}; allowed: {allowed}")
    return faults
