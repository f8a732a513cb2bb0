"""Allow-list of the settings in config.json and generation_config.json.

transformers reads many keys that choose code, files or kernels, and gains new ones with every
release, so only known settings reach it. Folders of the hub hold many others. Each setting is

- on the list: its value is checked and passed to transformers (`model_arguments`);
- dangerous, because a library follows it to code, files or a network (`_DANGERS`): refused unless
  its value is empty;
- any other plain data: not passed on, and reported (`left_out`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

MODEL_TYPES = (
    "llama", "qwen2", "qwen3", "mistral", "gpt2", "phi3", "smollm3", "gemma", "gemma2",
    "gemma3_text", "olmo2", "granite", "olmo", "phi", "gpt_neox", "gpt_neo", "opt", "bloom",
    "falcon", "stablelm", "cohere", "starcoder2", "helium", "arcee",
)  # fmt: skip
"""Architectures whose checkpoints are loaded; transformers implements all of them."""
ENCODER_TYPES = (
    "bert", "distilbert", "roberta", "xlm-roberta", "camembert", "albert", "electra", "deberta-v2",
    "mpnet", "modernbert",
)  # fmt: skip
"""Architectures of encoders."""
ENCODER_DECODER_TYPES = ("t5", "mt5", "umt5", "bart", "mbart", "pegasus", "marian")

_CLASS_PREFIXES = {
    "llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "mistral": "Mistral", "phi": "Phi",
    "phi3": "Phi3", "falcon": "Falcon", "stablelm": "StableLm", "olmo": "Olmo",
    "gpt_neox": "GPTNeoX",
    "bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "deberta-v2": "DebertaV2",
    "modernbert": "ModernBert", "starcoder2": "Starcoder2", "smollm3": "SmolLM3",
}  # fmt: skip
"""Prefixes of class names in transformers; for older folders whose `auto_map` names own code."""
_CLASS_ENDS = {
    "AutoConfig": "Config",
    "AutoModel": "Model",
    "AutoModelForCausalLM": "ForCausalLM",
    "AutoModelForMaskedLM": "ForMaskedLM",
    "AutoModelForSequenceClassification": "ForSequenceClassification",
    "AutoModelForTokenClassification": "ForTokenClassification",
    "AutoModelForQuestionAnswering": "ForQuestionAnswering",
}

Check = Callable[[Any], str | None]
"""Describes the allowed values if a value is not allowed, else None."""


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


def _text_or_texts(value: Any) -> str | None:  # noqa: ANN401
    return None if _text(value) is None else _texts(value)


def _patterns(value: Any) -> str | None:  # noqa: ANN401
    """Check the layers of GPT-Neo: `[[["global", "local"], 6]]`."""
    fits = isinstance(value, list) and len(value) <= 64
    for pair in value if fits else ():
        fits = fits and isinstance(pair, list) and len(pair) == 2
        fits = fits and _texts(pair[0]) is None and _integer(1, 256)(pair[1]) is None
    return None if fits else "a list of [names of layers, repetitions]"


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
_DTYPE = _one_of("float32", "bfloat16", "float16", "auto")
_ACTIVATION = _one_of(
    "silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "relu2", "tanh"
)

_CACHE = _one_of(
    "dynamic", "dynamic_full", "static", "hybrid", "hybrid_chunked", "sliding_window", "offloaded",
    "offloaded_hybrid", "offloaded_static", "quantized",
)  # fmt: skip
"""Caches of transformers' `generate`, which this package does not use."""

CONFIG_KEYS: dict[str, Check] = {
    "model_type": _one_of(*MODEL_TYPES, *ENCODER_TYPES, *ENCODER_DECODER_TYPES),
    "architectures": _texts,
    **dict.fromkeys(("_name_or_path", "transformers_version", "torch_version"), _text),
    "dtype": _DTYPE,
    "torch_dtype": _DTYPE,
    # Sizes. They must match the tensors on disk, so a large value alone allocates nothing.
    "vocab_size": _integer(1, 1 << 20),
    **dict.fromkeys(
        ("hidden_size", "n_embd", "intermediate_size", "dim", "hidden_dim", "d_model", "d_kv",
         "d_ff", "ffn_dim", "word_embed_proj_dim", "embedding_size", "encoder_ffn_dim",
         "decoder_ffn_dim", "pooler_hidden_size", "n_inner", "ffn_hidden_size", "n_embed"),
        _SIZE,
    ),
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers",
         "encoder_layers", "decoder_layers", "num_hidden_groups", "inner_group_num",
         "global_attn_every_n_layers"),
        _integer(1, 256),
    ),
    **dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads",
         "decoder_attention_heads", "num_kv_heads", "num_ln_in_parallel_attn",
         "num_key_value_heads"),
        _integer(1, 1024),
    ),
    "type_vocab_size": _integer(0, 1 << 10),
    **dict.fromkeys(("position_buckets", "max_relative_positions"), _integer(-1, 1 << 20)),
    **dict.fromkeys(("local_attention", "window_size"), _integer(1, 1 << 24)),
    **dict.fromkeys(("conv_kernel_size", "conv_groups"), _integer(0, 1 << 10)),
    "sparse_pred_ignore_index": _integer(-1 << 20, 1 << 20),
    "decoder_vocab_size": _integer(1, 1 << 20),
    "num_labels": _integer(1, 1000),
    "relative_attention_num_buckets": _integer(2, 1 << 12),
    "relative_attention_max_distance": _integer(2, 1 << 20),
    "head_dim": _integer(1, 1 << 14),
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "n_ctx", "original_max_position_embeddings"),
        _integer(1, 1 << 24),
    ),
    "sliding_window": _integer(1, 1 << 24),
    **dict.fromkeys(("max_window_layers", "chunk_size_feed_forward"), _integer(0, 1 << 10)),
    **dict.fromkeys(("_sliding_window_pattern", "sliding_window_pattern"), _integer(1, 256)),
    "no_rope_layer_interval": _integer(1, 256),
    "seq_length": _integer(1, 1 << 24),
    # Left by other programs; not passed to transformers (`model_arguments`).
    "pretraining_tp": _integer(1, 1 << 10),
    "rope_interleaved": _one_value(False),
    "is_causal": _one_value(True),
    "attention_chunk_size": lambda _: "null",
    "cache_implementation": _CACHE,
    **dict.fromkeys(("is_llama_config", "_attn_implementation_autoset"), _boolean),
    "transformers.js_config": lambda value: None if isinstance(value, dict) else "an object",
    # Numbers.
    **dict.fromkeys(
        ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_eps", "norm_epsilon",
         "rotary_pct"),
        _number(0, 1),
    ),
    **dict.fromkeys(
        ("initializer_range", "initializer_factor", "initializer_cutoff_factor", "init_std"),
        _number(0, 100),
    ),
    **dict.fromkeys(
        ("rope_theta", "rope_local_base_freq", "global_rope_theta", "local_rope_theta",
         "rotary_emb_base"),
        _number(0, 1e12),
    ),
    **dict.fromkeys(
        ("query_pre_attn_scalar", "attention_multiplier", "embedding_multiplier",
         "residual_multiplier", "logits_scaling"),
        _number(0, 1e6),
    ),
    **dict.fromkeys(
        ("attn_logit_softcapping", "final_logit_softcapping", "clip_qkv", "logit_scale"),
        _number(0, 1e6),
    ),
    **dict.fromkeys(
        ("attention_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop", "summary_first_dropout",
         "partial_rotary_factor", "attention_probs_dropout_prob", "hidden_dropout_prob",
         "classifier_dropout", "dropout", "qa_dropout", "seq_classif_dropout", "dropout_rate",
         "embedding_dropout", "mlp_dropout", "classifier_dropout_prob", "summary_last_dropout",
         "pooler_dropout", "hidden_dropout", "resid_dropout", "embed_dropout", "residual_dropout",
         "activation_dropout", "layerdrop", "encoder_layerdrop", "decoder_layerdrop",
         "cls_dropout"),
        _number(0, 1),
    ),
    **dict.fromkeys(("rope_parameters", "rope_scaling"), _rope),
    # Choices.
    **dict.fromkeys(
        ("hidden_act", "hidden_activation", "activation_function", "activation", "dense_act_fn",
         "classifier_activation", "pooler_hidden_act", "conv_act"),
        _ACTIVATION,
    ),
    "classifier_pooling": _one_of("cls", "mean"),
    "norm_rel_ebd": _one_of("none", "layer_norm"),
    "pos_att_type": _text_or_texts,
    "attention_types": _patterns,
    "feed_forward_proj": _one_of("relu", "gelu", "gated-gelu", "gated-silu"),
    "summary_activation": _ACTIVATION,
    "summary_type": _text,
    "problem_type": _text,
    **dict.fromkeys(("layer_types", "attention_layers"), _texts),
    "no_rope_layers": _flags,
    **dict.fromkeys(("id2label", "label2id"), _labels),
    "task_specific_params": lambda value: None if isinstance(value, dict) else "an object",
    **dict.fromkeys(
        ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "cls_token_id",
         "sep_token_id", "forced_eos_token_id"),
        _token_ids,
    ),
    **dict.fromkeys(
        ("attention_bias", "mlp_bias", "tie_word_embeddings", "use_cache", "use_sliding_window",
         "use_mrope", "return_dict", "output_attentions", "output_hidden_states",
         "scale_attn_by_inverse_layer_idx", "scale_attn_weights", "reorder_and_upcast_attn",
         "summary_proj_to_labels", "summary_use_proj", "is_decoder", "is_encoder_decoder",
         "is_gated_act", "scale_decoder_outputs", "sinusoidal_pos_embds", "norm_bias",
         "decoder_bias", "classifier_bias", "deterministic_flash_attn", "sparse_prediction",
         "relative_attention", "position_biased_input", "share_att_key", "legacy",
         "do_layer_norm_before", "_remove_final_layer_norm", "enable_bias",
         "layer_norm_elementwise_affine", "apply_residual_connection_post_layernorm",
         "slow_but_exact", "use_parallel_residual", "qk_layernorm", "use_qkv_bias", "use_bias",
         "use_qk_norm", "alibi", "new_decoder_architecture", "multi_query", "parallel_attn", "bias",
         "scale_embedding", "share_encoder_decoder_embeddings"),
        _boolean,
    ),
    **dict.fromkeys(("add_cross_attention", "use_bidirectional_attention"), _one_value(False)),
}  # fmt: skip

_NOT_FOR_TRANSFORMERS = frozenset({
    "model_type", "architectures", "rope_interleaved", "is_llama_config",
    "_attn_implementation_autoset", "transformers.js_config", "task_specific_params",
    "_name_or_path", "transformers_version", "torch_version", "pretraining_tp", "is_causal",
    "attention_chunk_size", "cache_implementation", "_from_model_config",
})  # fmt: skip
"""Settings that are not passed on: transformers may interpret them differently in any release."""

GENERATION_KEYS: dict[str, Check] = {
    **dict.fromkeys(
        ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"), _token_ids
    ),
    **dict.fromkeys(
        ("do_sample", "use_cache", "_from_model_config", "output_attentions",
         "output_hidden_states", "return_dict_in_generate", "early_stopping"),
        _boolean,
    ),
    **dict.fromkeys(
        ("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty",
         "length_penalty", "epsilon_cutoff", "eta_cutoff"),
        _number(0, 1e6),
    ),
    **dict.fromkeys(
        ("max_length", "max_new_tokens", "min_length", "num_beams", "num_return_sequences"),
        _integer(0, 1 << 24),
    ),
    "cache_implementation": _CACHE,
    "transformers_version": _text,
}  # fmt: skip


def _nothing(value: Any) -> str | None:  # noqa: ANN401
    return None if value is None else "null"


def _plain_name(value: Any) -> str | None:  # noqa: ANN401
    """Allow plain names; a kernel of the hub is `owner/name`."""
    fits = value is None or (isinstance(value, str) and re.fullmatch(r"\w{1,40}", value, re.A))
    return None if fits else "the name of a way that transformers has, such as 'sdpa'"


def _off(value: Any) -> str | None:  # noqa: ANN401
    values = value if isinstance(value, list) else [value]
    fits = all(v in (None, False, "") or type(v) in (int, float) for v in values)
    return None if fits else "null, false or numbers"


_DANGERS: tuple[tuple[re.Pattern[str], Check, str], ...] = tuple(
    (re.compile(pattern), check, why)
    for pattern, check, why in (
        (r".*remote_code.*|use_kernels", _optional(_one_value(False)), "it lets code be loaded"),
        (r".*(attn|attention|experts|moe)_implementation.*", _plain_name,
         "it can name a kernel to download"),
        (r"(.*_)?(quantization|compression)_config", _nothing,
         "the weights are stored in a form that needs other code; load the folder with "
         "transformers, dequantize the model and save that"),
        (r"(text|vision|audio|encoder|decoder|backbone|thinker|talker|llm)_config|encoder|decoder",
         _nothing, "it holds a model in the model; save its text model alone"),
        (r"(per_layer|kernel|fusion|distributed|compile|generation|watermarking|cache)_config",
         _nothing, "it can choose code or kernels"),
        (r"custom_(generate|pipelines?|code|class|model).*|.*kernel.*|.*auto_map.*", _off,
         "it can name code"),
        (r"(name_or_path|.*(assistant|draft)_model.*|transformers_weights|extra_(config_)?files|"
         r"backbone|use_timm_backbone|gguf_file|subfolder|code_revision)",
         _off, "it can name files or models elsewhere"),
    )
)  # fmt: skip
"""Patterns of dangerous names, check of harmless values, and the reason. None of them is passed to
transformers (`model_arguments`), so a missing pattern does no harm."""

_MOST_VALUES, _MOST_CHARACTERS, _MOST_LEVELS = 10_000, 200_000, 8
"""Limits of one setting that is left out."""


def config_faults(config: Mapping[str, Any]) -> list[str]:
    """Describe everything that is not allowed in a config.json; empty if it is allowed."""
    if config.get("auto_map") is not None and not _names_native_classes(config):
        why = "it names code of the folder's own; only classes that transformers has are loaded"
        return [_not_allowed("auto_map", why)]
    if "model_type" not in config:
        return ["model_type is missing"]
    faults = _faults(config, CONFIG_KEYS)
    if config.get("is_encoder_decoder") and config["model_type"] not in ENCODER_DECODER_TYPES:
        faults.append(f"is_encoder_decoder is true; allowed: only for {ENCODER_DECODER_TYPES}")
    return faults


def generation_faults(config: Mapping[str, Any]) -> list[str]:
    """Describe everything that is not allowed in a generation_config.json; empty if it is
    allowed."""
    return _faults(config, GENERATION_KEYS)


def model_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a checked config.json for transformers."""
    return _known(config, CONFIG_KEYS)


def generation_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a checked generation_config.json for transformers."""
    return _known(config, GENERATION_KEYS)


def left_out(config: Mapping[str, Any], known: Mapping[str, Check] = CONFIG_KEYS) -> list[str]:
    """Return the sorted names of unknown settings in a checked file.

    Args:
        config: Contents of the file.
        known: `CONFIG_KEYS`, or `GENERATION_KEYS` for a generation_config.json.
    """
    return sorted(key for key in config if key not in known)


def least_parameters(config: Mapping[str, Any]) -> int:
    """Return a lower bound of the number of parameters of a checked config.json.

    It counts the embedding and two feed-forward matrices per layer, which every architecture has.
    """
    width = config.get("hidden_size") or config.get("n_embd") or 1
    layers = config.get("num_hidden_layers") or config.get("n_layer") or 1
    if "num_hidden_groups" in config:  # ALBERT: all layers of a group are one
        layers = 1
    inner = config.get("intermediate_size") or config.get("n_inner") or 1
    table = min(width, config.get("embedding_size") or width,
                config.get("word_embed_proj_dim") or width)  # fmt: skip
    return int(table * (config.get("vocab_size") or 1) + layers * 2 * width * inner)


def _known(config: Mapping[str, Any], known: Mapping[str, Check]) -> dict[str, Any]:
    return {
        key: value
        for key, value in config.items()
        if key in known and key not in _NOT_FOR_TRANSFORMERS and value != "auto"
    }


def _faults(config: Mapping[str, Any], checks: Mapping[str, Check]) -> list[str]:
    faults = []
    for key, value in config.items():
        if key not in checks:
            faults += _unknown_faults(key, value)
            continue
        if value is None and key != "model_type":
            continue  # old versions write null for a default
        if isinstance(value, float) and not math.isfinite(value):
            faults.append(f"{key} is not a finite number")
            continue
        allowed = checks[key](value)
        if allowed is not None:
            faults.append(f"{key} is {repr(value)[:80]}; allowed: {allowed}")
    return faults


def _unknown_faults(key: str, value: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Describe why an unknown setting must be refused; empty if it can be left out."""
    if key == "auto_map":
        return []  # `config_faults` has looked at it
    pending: list[tuple[str, Any, int]] = [(key, value, 1)]
    values = characters = 0
    while pending:
        name, inner, level = pending.pop()
        values, characters = values + 1, characters + len(name)
        for pattern, harmless, why in _DANGERS:
            if pattern.fullmatch(name) and harmless(inner) is not None:
                inside = "" if level == 1 else f" (in {key[:80]!r})"
                return [_not_allowed(name, f"{why}; allowed: {harmless(inner)}", inside)]
        if isinstance(inner, str):
            characters += len(inner)
        elif isinstance(inner, dict):
            pending += [(str(name), item, level + 1) for name, item in inner.items()]
        elif isinstance(inner, list):
            pending += [("", item, level + 1) for item in inner]
        if max(values + len(pending) - _MOST_VALUES, characters - _MOST_CHARACTERS,
               level - _MOST_LEVELS) > 0:  # fmt: skip
            most = (
                f"{_MOST_VALUES:,} values, {_MOST_CHARACTERS:,} characters or {_MOST_LEVELS} levels"
            )
            return [_not_allowed(key, f"it is not known and holds more than {most}")]
    return []


def _not_allowed(name: str, why: str, inside: str = "") -> str:
    return f"the setting {name[:80]!r}{inside} is not allowed in a local checkpoint: {why}"


def _names_native_classes(config: Mapping[str, Any]) -> bool:
    """Return whether `auto_map` names only classes that transformers has.

    Folders older than their architecture in transformers (Phi-3) name their own code:
    `{"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}`. transformers' class of that name is
    loaded instead. Another class name may compute something else, so that folder is refused.
    """
    prefix, named = _CLASS_PREFIXES.get(str(config.get("model_type"))), config["auto_map"]
    if prefix is None or not isinstance(named, dict) or not named:
        return False
    return all(_is_native(prefix, auto, reference) for auto, reference in named.items())


def _is_native(prefix: str, auto: str, reference: Any) -> bool:  # noqa: ANN401 - JSON
    if not isinstance(reference, str):
        return False
    if auto == "AutoTokenizer":  # of a folder's own, which is built from tokenizer.json without it
        return re.fullmatch(r"[\w-]+/[\w-]+", reference, re.A) is not None and "--" not in reference
    end = _CLASS_ENDS.get(auto)
    return end is not None and bool(
        re.fullmatch(rf"([\w.-]+/[\w.-]+--)?\w+\.{prefix}{end}", reference, re.A)
    )
