"""Settings of public model families, as their model cards, documentation and the classes of
transformers give them; for `test_hub_configs.py`, which makes tiny models by them.

Besides what a model computes by, folders hold what trainers, converters and old versions of
transformers left there. `strange` are the settings that nothing is made of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_FILE = "generation_config.json: "


@dataclass(frozen=True)
class Family:
    """What `config.json` and `generation_config.json` of a family hold."""

    architecture: str
    config: dict[str, Any]
    strange: tuple[str, ...] = ()
    """Names in `config` that are left out; those of `generation` stand with their file's name."""
    generation: dict[str, Any] | None = field(default=None)


def _llama(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "hidden_act": "silu", "max_position_embeddings": 4096, "rms_norm_eps": 1e-05,
        "initializer_range": 0.02, "rope_scaling": None, "pretraining_tp": 1, "use_cache": True,
        "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
        "torch_dtype": "float16", "transformers_version": "4.31.0",
    } | changes  # fmt: skip


_LLAMA3 = {
    "vocab_size": 128256, "intermediate_size": 14336, "num_key_value_heads": 8,
    "rope_theta": 500000.0, "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False,
    "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "torch_dtype": "bfloat16",
}  # fmt: skip
_LLAMA3_ROPE = {
    "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3",
}  # fmt: skip
_LLAMA32 = _LLAMA3 | {
    "hidden_size": 2048, "num_hidden_layers": 16, "head_dim": 64, "rope_scaling": _LLAMA3_ROPE,
    "max_position_embeddings": 131072, "tie_word_embeddings": True,
}  # fmt: skip


def _mistral(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "mistral", "vocab_size": 32000, "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "hidden_act": "silu", "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096, "use_cache": True,
        "tie_word_embeddings": False, "initializer_range": 0.02, "bos_token_id": 1,
        "eos_token_id": 2, "torch_dtype": "bfloat16", "transformers_version": "4.34.0.dev0",
    } | changes  # fmt: skip


def _qwen(kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "model_type": kind, "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
        "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
        "hidden_act": "silu", "max_position_embeddings": 32768, "max_window_layers": 21,
        "attention_dropout": 0.0, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "sliding_window": 32768, "use_sliding_window": False, "tie_word_embeddings": True,
        "use_cache": True, "initializer_range": 0.02, "bos_token_id": 151643,
        "eos_token_id": 151645, "torch_dtype": "bfloat16", "transformers_version": "4.43.1",
    } | changes  # fmt: skip


_QWEN_TALK = {
    "bos_token_id": 151643, "pad_token_id": 151643, "do_sample": True,
    "eos_token_id": [151645, 151643], "repetition_penalty": 1.1, "temperature": 0.7, "top_p": 0.8,
    "top_k": 20, "transformers_version": "4.37.0",
}  # fmt: skip


def _gpt2(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "gpt2", "vocab_size": 50257, "n_ctx": 1024, "n_embd": 768, "n_head": 12,
        "n_layer": 12, "n_positions": 1024, "activation_function": "gelu_new", "attn_pdrop": 0.1,
        "embd_pdrop": 0.1, "resid_pdrop": 0.1, "layer_norm_epsilon": 1e-05,
        "initializer_range": 0.02, "summary_activation": None, "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True, "summary_type": "cls_index", "summary_use_proj": True,
        "bos_token_id": 50256, "eos_token_id": 50256,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    } | changes  # fmt: skip


def _gemma(kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "model_type": kind, "vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216,
        "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
        "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "attention_bias": False,
        "attention_dropout": 0.0, "use_cache": True, "initializer_range": 0.02, "bos_token_id": 2,
        "eos_token_id": [1, 107], "pad_token_id": 0, "torch_dtype": "bfloat16",
        "transformers_version": "4.42.4",
    } | changes  # fmt: skip


_GEMMA2 = {
    "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 256,
    "sliding_window": 4096, "cache_implementation": "hybrid",
}  # fmt: skip


def _phi3(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "phi3", "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "hidden_act": "silu", "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "rope_scaling": None,
        "rope_theta": 10000.0, "sliding_window": 2047, "attention_bias": False,
        "attention_dropout": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "use_cache": True,
        "tie_word_embeddings": False, "initializer_range": 0.02, "bos_token_id": 1,
        "eos_token_id": 32000, "pad_token_id": 32000, "torch_dtype": "bfloat16",
        "auto_map": {
            "AutoConfig": "configuration_phi3.Phi3Config",
            "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM",
        },
    } | changes  # fmt: skip


_LONG_ROPE = {"type": "longrope", "short_factor": [1.0] * 48, "long_factor": [1.1] * 48}


def _bert(kind: str = "bert", **changes: Any) -> dict[str, Any]:
    return {
        "model_type": kind, "vocab_size": 30522, "hidden_size": 768, "intermediate_size": 3072,
        "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_act": "gelu",
        "attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1, "layer_norm_eps": 1e-12,
        "initializer_range": 0.02, "max_position_embeddings": 512, "type_vocab_size": 2,
        "pad_token_id": 0,
    } | changes  # fmt: skip


_TWO_LABELS = {
    "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
    "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
}
_ROBERTA = {
    "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1,
    "layer_norm_eps": 1e-05, "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip


def _distilbert(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "distilbert", "vocab_size": 30522, "dim": 768, "hidden_dim": 3072,
        "n_layers": 6, "n_heads": 12, "activation": "gelu", "attention_dropout": 0.1,
        "dropout": 0.1, "qa_dropout": 0.1, "seq_classif_dropout": 0.2,
        "max_position_embeddings": 512, "initializer_range": 0.02, "pad_token_id": 0,
        "sinusoidal_pos_embds": False, "tie_weights_": True, "transformers_version": "4.10.0.dev0",
    } | changes  # fmt: skip


def _t5(kind: str = "t5", **changes: Any) -> dict[str, Any]:
    return {
        "model_type": kind, "vocab_size": 32128, "d_model": 512, "d_ff": 2048, "d_kv": 64,
        "num_layers": 6, "num_decoder_layers": 6, "num_heads": 8, "dropout_rate": 0.1,
        "feed_forward_proj": "relu", "initializer_factor": 1.0, "layer_norm_epsilon": 1e-06,
        "relative_attention_num_buckets": 32, "is_encoder_decoder": True, "use_cache": True,
        "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
    } | changes  # fmt: skip


_GATED = {
    "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6,
    "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
}  # fmt: skip


def _bart(kind: str = "bart", **changes: Any) -> dict[str, Any]:
    return {
        "model_type": kind, "vocab_size": 50265, "d_model": 768, "encoder_layers": 6,
        "decoder_layers": 6, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072,
        "encoder_attention_heads": 12, "decoder_attention_heads": 12, "encoder_layerdrop": 0.0,
        "decoder_layerdrop": 0.0, "activation_function": "gelu", "activation_dropout": 0.1,
        "attention_dropout": 0.1, "classifier_dropout": 0.0, "dropout": 0.1, "init_std": 0.02,
        "max_position_embeddings": 1024, "num_hidden_layers": 6, "scale_embedding": False,
        "is_encoder_decoder": True, "use_cache": True, "bos_token_id": 0, "eos_token_id": 2,
        "pad_token_id": 1, "decoder_start_token_id": 2, "forced_eos_token_id": 2,
    } | changes  # fmt: skip


_FAIRSEQ = (
    "add_bias_logits", "add_final_layer_norm", "gradient_checkpointing", "normalize_before",
    "normalize_embedding", "static_position_embeddings", "extra_pos_embeddings",
)  # fmt: skip
_OLD_BEAMS = {
    "early_stopping": True, "no_repeat_ngram_size": 3, "num_beams": 4, "length_penalty": 2.0,
    "min_length": 56, "max_length": 142, "forced_bos_token_id": 0,
}  # fmt: skip


def _fairseq(**changes: Any) -> dict[str, Any]:
    return dict.fromkeys(_FAIRSEQ, False) | changes


FAMILIES = {
    # Decoders
    "gpt2": Family("GPT2LMHeadModel", _gpt2()),
    "distilgpt2": Family(
        "GPT2LMHeadModel",
        _gpt2(
            n_layer=6, _num_labels=1, id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0}
        ),
        ("_num_labels",),
        {"bos_token_id": 50256, "eos_token_id": 50256, "_from_model_config": True},
    ),
    "gpt2 saved by transformers 4.0": Family(
        "GPT2LMHeadModel",
        _gpt2(gradient_checkpointing=False, use_cache=True, output_past=True),
        ("gradient_checkpointing", "output_past"),
    ),
    "dialogpt": Family(
        "GPT2LMHeadModel",
        _gpt2(task_specific_params={"conversational": {"max_length": 1000}}),
    ),
    "gpt-neo": Family(
        "GPTNeoForCausalLM",
        {
            "model_type": "gpt_neo", "vocab_size": 50257, "hidden_size": 768, "num_layers": 12,
            "num_heads": 12, "intermediate_size": None, "activation_function": "gelu_new",
            "attention_types": [[["global", "local"], 6]],
            "attention_layers": ["global", "local"] * 6, "attention_dropout": 0,
            "embed_dropout": 0, "resid_dropout": 0, "window_size": 256,
            "max_position_embeddings": 2048, "layer_norm_epsilon": 1e-05,
            "initializer_range": 0.02, "gradient_checkpointing": False, "use_cache": True,
            "summary_activation": None, "summary_first_dropout": 0.1,
            "summary_proj_to_labels": True, "summary_type": "cls_index", "summary_use_proj": True,
            "bos_token_id": 50256, "eos_token_id": 50256,
        },
        ("gradient_checkpointing",),
    ),
    "pythia": Family(
        "GPTNeoXForCausalLM",
        {
            "model_type": "gpt_neox", "vocab_size": 50304, "hidden_size": 512,
            "intermediate_size": 2048, "num_hidden_layers": 6, "num_attention_heads": 8,
            "hidden_act": "gelu", "layer_norm_eps": 1e-05, "max_position_embeddings": 2048,
            "initializer_range": 0.02, "rotary_emb_base": 10000, "rotary_pct": 0.25,
            "use_parallel_residual": True, "tie_word_embeddings": False, "use_cache": True,
            "bos_token_id": 0, "eos_token_id": 0, "torch_dtype": "float16",
        },
    ),
    "opt": Family(
        "OPTForCausalLM",
        {
            "model_type": "opt", "vocab_size": 50272, "hidden_size": 768, "ffn_dim": 3072,
            "num_hidden_layers": 12, "num_attention_heads": 12, "word_embed_proj_dim": 768,
            "activation_function": "relu", "activation_dropout": 0.0, "attention_dropout": 0.0,
            "dropout": 0.1, "layerdrop": 0.0, "init_std": 0.02, "max_position_embeddings": 2048,
            "do_layer_norm_before": True, "_remove_final_layer_norm": False, "use_cache": True,
            "bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 1, "prefix": "</s>",
            "torch_dtype": "float16",
        },
        ("prefix",),
    ),
    "opt with a projection": Family(
        "OPTForCausalLM",
        {
            "model_type": "opt", "vocab_size": 50272, "hidden_size": 1024, "ffn_dim": 4096,
            "num_hidden_layers": 24, "num_attention_heads": 16, "word_embed_proj_dim": 512,
            "activation_function": "relu", "do_layer_norm_before": False, "dropout": 0.1,
            "max_position_embeddings": 2048, "bos_token_id": 2, "eos_token_id": 2,
            "pad_token_id": 1,
        },
    ),
    "bloom": Family(
        "BloomForCausalLM",
        {
            "model_type": "bloom", "vocab_size": 250880, "n_embed": 1024, "n_layer": 24,
            "num_attention_heads": 16, "n_inner": None, "layer_norm_epsilon": 1e-05,
            "attention_dropout": 0.0, "hidden_dropout": 0.0, "initializer_range": 0.02,
            "apply_residual_connection_post_layernorm": False, "pretraining_tp": 4,
            "seq_length": 2048, "skip_bias_add": True, "skip_bias_add_qkv": False,
            "slow_but_exact": False, "attention_softmax_in_fp32": True, "bias_dropout_fusion": True,
            "masked_softmax_fusion": True, "offset_alibi": 100, "unk_token_id": 0,
            "use_cache": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3,
        },
        ("attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion",
         "offset_alibi", "skip_bias_add", "skip_bias_add_qkv", "unk_token_id"),
    ),
    "falcon": Family(
        "FalconForCausalLM",
        {
            "model_type": "falcon", "vocab_size": 65024, "hidden_size": 4544,
            "num_hidden_layers": 32, "num_attention_heads": 71, "layer_norm_epsilon": 1e-05,
            "alibi": False, "bias": False, "multi_query": True, "new_decoder_architecture": False,
            "parallel_attn": True, "apply_residual_connection_post_layernorm": False,
            "attention_dropout": 0.0, "hidden_dropout": 0.0, "initializer_range": 0.02,
            "use_cache": True, "bos_token_id": 11, "eos_token_id": 11, "torch_dtype": "bfloat16",
            "auto_map": {
                "AutoConfig": "configuration_falcon.FalconConfig",
                "AutoModel": "modeling_falcon.FalconModel",
                "AutoModelForSequenceClassification":
                    "modeling_falcon.FalconForSequenceClassification",
                "AutoModelForTokenClassification": "modeling_falcon.FalconForTokenClassification",
                "AutoModelForQuestionAnswering": "modeling_falcon.FalconForQuestionAnswering",
                "AutoModelForCausalLM": "modeling_falcon.FalconForCausalLM",
            },
        },
        ("auto_map",),
    ),
    "falcon-rw": Family(
        "FalconForCausalLM",
        {
            "model_type": "falcon", "vocab_size": 50304, "hidden_size": 2048,
            "num_hidden_layers": 24, "num_attention_heads": 32, "layer_norm_epsilon": 1e-05,
            "alibi": True, "bias": True, "multi_query": False, "new_decoder_architecture": False,
            "parallel_attn": False, "apply_residual_connection_post_layernorm": False,
            "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16",
        },
    ),
    "llama 1": Family(
        "LlamaForCausalLM",
        _llama(max_sequence_length=2048, max_position_embeddings=2048, pad_token_id=0,
               rms_norm_eps=1e-06),
        ("max_sequence_length",),
        {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
    ),
    "llama 2": Family(
        "LlamaForCausalLM",
        _llama(_name_or_path="meta-llama/Llama-2-7b-chat-hf"),
        (f"{_FILE}trust_remote_code",),
        {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "do_sample": True,
         "max_length": 4096, "temperature": 0.6, "top_p": 0.9, "trust_remote_code": False},
    ),
    "llama 3": Family("LlamaForCausalLM", _llama(**_LLAMA3)),
    "llama 3.2": Family("LlamaForCausalLM", _llama(**_LLAMA32)),
    "llama 3.2 of unsloth": Family(
        "LlamaForCausalLM",
        _llama(**_LLAMA32, unsloth_fixed=True, pad_token_id=128004),
        ("unsloth_fixed",),
    ),
    "code llama": Family(
        "LlamaForCausalLM", _llama(vocab_size=32016, rope_theta=1000000, pad_token_id=0)
    ),
    "vicuna": Family(
        "LlamaForCausalLM",
        _llama(rope_scaling={"factor": 4.0, "type": "linear"}, max_sequence_length=16384,
               pad_token_id=0, _flash_attn_2_enabled=True),
        ("_flash_attn_2_enabled", "max_sequence_length"),
    ),
    "tinyllama": Family(
        "LlamaForCausalLM",
        _llama(hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
               num_key_value_heads=4, max_position_embeddings=2048, attention_bias=False,
               rope_theta=10000.0, torch_dtype="bfloat16"),
    ),
    "smollm2": Family(
        "LlamaForCausalLM",
        _llama(
            vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
            num_attention_heads=9, num_key_value_heads=3, is_llama_config=True,
            rope_interleaved=False, rope_theta=100000, max_position_embeddings=8192,
            initializer_range=0.041666666666666664, tie_word_embeddings=True, mlp_bias=False,
        ) | {"transformers.js_config": {
            "kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}, "dtype": "q4"}},
        (),
        {"_from_model_config": True, "bos_token_id": 0, "eos_token_id": 0},
    ),
    "deepseek coder": Family(
        "LlamaForCausalLM",
        _llama(rope_scaling={"factor": 4.0, "type": "linear"}, rope_theta=100000,
               max_position_embeddings=16384),
    ),
    "yi": Family(
        "LlamaForCausalLM",
        _llama(rope_theta=5000000.0, vocab_size=64000, num_key_value_heads=4, pad_token_id=0,
               attention_bias=False),
    ),
    "llama, tuned with axolotl": Family(
        "LlamaForCausalLM",
        _llama(**_LLAMA3, _attn_implementation_autoset=True, unk_token_id=0, axolotl_version="0.8",
               base_model="NousResearch/Meta-Llama-3-8B"),
        ("axolotl_version", "base_model", "unk_token_id"),
    ),
    "llama, tuned with unsloth": Family(
        "LlamaForCausalLM",
        _llama(**_LLAMA3, unsloth_version="2025.3.19", unsloth_fixed=True,
               quantization_config=None),
        ("quantization_config", "unsloth_fixed", "unsloth_version"),
    ),
    "llama, merged with mergekit": Family(
        "LlamaForCausalLM",
        _llama(**_LLAMA3, merge_method="slerp", merged_models=["a/one", "b/two"],
               merge_parameters={"t": [0, 0.5, 1]}, output_router_logits=False),
        ("merge_method", "merge_parameters", "merged_models", "output_router_logits"),
    ),
    "mistral": Family("MistralForCausalLM", _mistral()),
    "mistral 0.3": Family(
        "MistralForCausalLM",
        _mistral(vocab_size=32768, rope_theta=1000000.0, sliding_window=None,
                 attention_dropout=0.0),
    ),
    "zephyr": Family(
        "MistralForCausalLM",
        _mistral(pad_token_id=2, use_cache=True, _name_or_path="mistralai/Mistral-7B-v0.1",
                 tokenizer_class="LlamaTokenizer"),
        ("tokenizer_class",),
    ),
    "qwen2": Family("Qwen2ForCausalLM", _qwen("qwen2"), (), _QWEN_TALK),
    "qwen2.5": Family(
        "Qwen2ForCausalLM", _qwen("qwen2", max_window_layers=24, use_mrope=False), (), _QWEN_TALK
    ),
    "qwen2.5, tuned with llamafactory": Family(
        "Qwen2ForCausalLM",
        _qwen("qwen2", _name_or_path="/data/models/Qwen2.5-0.5B", image_token_id=None,
              finetuning_type="lora", torch_dtype="bfloat16"),
        ("finetuning_type", "image_token_id"),
        _QWEN_TALK,
    ),
    "qwen2.5, a peft merge": Family(
        "Qwen2ForCausalLM",
        _qwen("qwen2", base_model_name_or_path="Qwen/Qwen2.5-0.5B", peft_type="LORA", lora_r=16,
              _pre_quantization_dtype="bfloat16"),
        ("_pre_quantization_dtype", "base_model_name_or_path", "lora_r", "peft_type"),
    ),
    "qwen3": Family(
        "Qwen3ForCausalLM",
        _qwen("qwen3", head_dim=128, attention_bias=False, max_window_layers=28,
              rope_scaling=None, sliding_window=None, max_position_embeddings=40960),
        (),
        {"bos_token_id": 151643, "do_sample": True, "eos_token_id": [151645, 151643],
         "pad_token_id": 151643, "temperature": 0.6, "top_k": 20, "top_p": 0.95},
    ),
    "smollm3": Family(
        "SmolLM3ForCausalLM",
        {
            "model_type": "smollm3", "vocab_size": 128256, "hidden_size": 2048,
            "intermediate_size": 11008, "num_hidden_layers": 4, "num_attention_heads": 16,
            "num_key_value_heads": 4, "hidden_act": "silu", "max_position_embeddings": 65536,
            "layer_types": ["full_attention"] * 4, "no_rope_layer_interval": 4,
            "no_rope_layers": [1, 1, 1, 0], "max_window_layers": 28, "attention_bias": False,
            "attention_dropout": 0.0, "mlp_bias": False, "pretraining_tp": 2,
            "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 5000000.0,
            "sliding_window": None, "use_sliding_window": False, "use_cache": False,
            "initializer_range": 0.02, "eos_token_id": 128012, "pad_token_id": 128004,
            "bos_token_id": None, "torch_dtype": "bfloat16",
        },
    ),
    "gemma 1": Family(
        "GemmaForCausalLM", _gemma("gemma", num_key_value_heads=1, hidden_activation=None)
    ),
    "gemma 2": Family(
        "Gemma2ForCausalLM",
        _gemma("gemma2", **_GEMMA2),
        (),
        {"_from_model_config": True, "bos_token_id": 2, "cache_implementation": "hybrid",
         "eos_token_id": 1, "pad_token_id": 0},
    ),
    "gemma 3": Family(
        "Gemma3ForCausalLM",
        {k: v for k, v in _gemma(
            "gemma3_text", sliding_window=512, sliding_window_pattern=6, rope_theta=1000000,
            rope_local_base_freq=10000, rope_scaling=None, query_pre_attn_scalar=256,
            attn_logit_softcapping=None, final_logit_softcapping=None, vocab_size=262144,
            num_key_value_heads=1, cache_implementation="hybrid", max_position_embeddings=32768,
        ).items() if k != "hidden_act"},
        (),
        {"bos_token_id": 2, "cache_implementation": "hybrid", "do_sample": True,
         "eos_token_id": [1, 106], "pad_token_id": 0, "top_k": 64, "top_p": 0.95},
    ),
    "phi-1.5 and 2": Family(
        "PhiForCausalLM",
        {
            "model_type": "phi", "vocab_size": 51200, "hidden_size": 2048,
            "intermediate_size": 8192, "num_hidden_layers": 24, "num_attention_heads": 32,
            "num_key_value_heads": None, "hidden_act": "gelu_new", "layer_norm_eps": 1e-05,
            "max_position_embeddings": 2048, "partial_rotary_factor": 0.5, "qk_layernorm": False,
            "rope_scaling": None, "rope_theta": 10000.0, "attention_dropout": 0.0,
            "embd_pdrop": 0.0, "resid_pdrop": 0.0, "initializer_range": 0.02, "use_cache": True,
            "tie_word_embeddings": False, "bos_token_id": None, "eos_token_id": None,
            "torch_dtype": "float16",
            "auto_map": {
                "AutoConfig": "configuration_phi.PhiConfig",
                "AutoModelForCausalLM": "modeling_phi.PhiForCausalLM",
            },
        },
        ("auto_map",),
    ),
    "phi-3": Family(
        "Phi3ForCausalLM",
        _phi3(),
        ("auto_map",),
        {"_from_model_config": True, "bos_token_id": 1, "pad_token_id": 32000,
         "eos_token_id": [32000, 32001, 32007]},
    ),
    "phi-3, tuned": Family(
        "Phi3ForCausalLM",
        _phi3(auto_map={
            "AutoConfig": "microsoft/Phi-3-mini-4k-instruct--configuration_phi3.Phi3Config",
            "AutoModelForCausalLM":
                "microsoft/Phi-3-mini-4k-instruct--modeling_phi3.Phi3ForCausalLM",
        }),
        ("auto_map",),
    ),
    "phi-3.5": Family(
        "Phi3ForCausalLM",
        _phi3(rope_scaling=_LONG_ROPE, max_position_embeddings=131072, sliding_window=262144),
        ("auto_map",),
    ),
    "phi-4-mini": Family(
        "Phi3ForCausalLM",
        _phi3(
            rope_scaling=_LONG_ROPE, max_position_embeddings=131072, sliding_window=262144,
            vocab_size=200064, num_attention_heads=24, num_key_value_heads=8, full_attn_mod=1,
            interpolate_factor=1, lm_head_bias=False, mlp_bias=False, tie_word_embeddings=True,
            partial_rotary_factor=0.75,
            auto_map={
                "AutoConfig": "configuration_phi3.Phi3Config",
                "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM",
                "AutoTokenizer": "Xenova/gpt-4o",
            },
        ),
        ("auto_map", "full_attn_mod", "interpolate_factor", "lm_head_bias"),
    ),
    "stablelm": Family(
        "StableLmForCausalLM",
        {
            "model_type": "stablelm", "vocab_size": 100352, "hidden_size": 2048,
            "intermediate_size": 5632, "num_hidden_layers": 24, "num_attention_heads": 32,
            "num_key_value_heads": 32, "hidden_act": "silu", "layer_norm_eps": 1e-05,
            "max_position_embeddings": 4096, "partial_rotary_factor": 0.25, "rope_theta": 10000,
            "use_qkv_bias": True, "initializer_range": 0.02, "norm_eps": 1e-05, "use_cache": True,
            "tie_word_embeddings": False, "bos_token_id": 100257, "eos_token_id": 100257,
            "torch_dtype": "float16",
        },
    ),
    "olmo": Family(
        "OlmoForCausalLM",
        {
            "model_type": "olmo", "vocab_size": 50304, "hidden_size": 2048,
            "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 16,
            "num_key_value_heads": 16, "hidden_act": "silu", "clip_qkv": None,
            "max_position_embeddings": 2048, "rope_scaling": None, "rope_theta": 10000.0,
            "attention_bias": False, "attention_dropout": 0.0, "tie_word_embeddings": True,
            "use_cache": True, "initializer_range": 0.02, "pretraining_tp": 1, "eos_token_id":
            50279, "pad_token_id": 1,
        },
    ),
    "olmo 2": Family(
        "Olmo2ForCausalLM",
        {
            "model_type": "olmo2", "vocab_size": 100352, "hidden_size": 2048,
            "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 16,
            "num_key_value_heads": 16, "hidden_act": "silu", "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 500000,
            "attention_bias": False, "attention_dropout": 0.0, "use_cache": False,
            "tie_word_embeddings": False, "initializer_range": 0.02, "eos_token_id": 100257,
            "pad_token_id": 100277, "torch_dtype": "float32",
        },
    ),
    "granite": Family(
        "GraniteForCausalLM",
        {
            "model_type": "granite", "vocab_size": 49155, "hidden_size": 2048,
            "intermediate_size": 8192, "num_hidden_layers": 40, "num_attention_heads": 32,
            "num_key_value_heads": 8, "hidden_act": "silu", "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 5000000.0,
            "attention_bias": False, "attention_dropout": 0.1, "attention_multiplier": 0.015625,
            "embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22,
            "mlp_bias": False, "tie_word_embeddings": True, "use_cache": True, "bos_token_id": 0,
            "eos_token_id": 0, "pad_token_id": 0, "initializer_range": 0.02,
        },
    ),
    "cohere": Family(
        "CohereForCausalLM",
        {
            "model_type": "cohere", "vocab_size": 256000, "hidden_size": 4096,
            "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
            "num_key_value_heads": 8, "hidden_act": "silu", "layer_norm_eps": 1e-05,
            "logit_scale": 0.0625, "max_position_embeddings": 8192, "rope_theta": 10000,
            "use_qk_norm": False, "attention_bias": False, "attention_dropout": 0.0,
            "use_cache": True, "initializer_range": 0.02, "bos_token_id": 5,
            "eos_token_id": 255001, "pad_token_id": 0, "torch_dtype": "float16",
        },
    ),
    "starcoder2": Family(
        "Starcoder2ForCausalLM",
        {
            "model_type": "starcoder2", "vocab_size": 49152, "hidden_size": 3072,
            "intermediate_size": 12288, "num_hidden_layers": 30, "num_attention_heads": 24,
            "num_key_value_heads": 2, "hidden_act": "gelu_pytorch_tanh",
            "activation_function": "gelu", "attention_dropout": 0.1, "attention_softmax_in_fp32":
            True, "embedding_dropout": 0.1, "residual_dropout": 0.1, "layer_norm_epsilon": 1e-05,
            "norm_epsilon": 1e-05, "norm_type": "layer_norm", "mlp_type": "default",
            "max_position_embeddings": 16384, "rope_theta": 999999.4420358813, "scale_attention_"
            "softmax_in_fp32": True, "scale_attn_weights": True, "sliding_window": 4096,
            "use_bias": True, "use_cache": True, "initializer_range": 0.018042, "bos_token_id": 0,
            "eos_token_id": 0, "vocab_size_multiple": None,
        },
        ("attention_softmax_in_fp32", "mlp_type", "norm_type", "scale_attention_softmax_in_fp32",
         "vocab_size_multiple"),
    ),
    # Encoders
    "bert, tuned": Family(
        "BertForSequenceClassification",
        _bert(gradient_checkpointing=False, position_embedding_type="absolute", use_cache=True,
              classifier_dropout=None, problem_type="single_label_classification", **_TWO_LABELS),
        ("gradient_checkpointing", "position_embedding_type"),
    ),
    "bert": Family(
        "BertForMaskedLM",
        _bert(gradient_checkpointing=False, position_embedding_type="absolute",
              directionality="bidi", pooler_fc_size=768, pooler_num_attention_heads=12,
              pooler_num_fc_layers=3, pooler_size_per_head=128,
              pooler_type="first_token_transform"),
        ("directionality", "gradient_checkpointing", "pooler_fc_size",
         "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head",
         "pooler_type", "position_embedding_type"),
    ),
    "minilm of sentence-transformers": Family(
        "BertModel",
        _bert(hidden_size=384, intermediate_size=1536, num_hidden_layers=6,
              gradient_checkpointing=False, position_embedding_type="absolute",
              _name_or_path="nreimers/MiniLM-L6-H384-uncased"),
        ("gradient_checkpointing", "position_embedding_type"),
    ),
    "distilbert": Family("DistilBertForMaskedLM", _distilbert(), ("tie_weights_",)),
    "distilbert, tuned": Family(
        "DistilBertForSequenceClassification",
        _distilbert(finetuning_task="sst-2", output_past=True, **_TWO_LABELS),
        ("finetuning_task", "output_past", "tie_weights_"),
    ),
    "roberta": Family("RobertaForMaskedLM", _bert("roberta", **_ROBERTA)),
    "roberta, tuned": Family(
        "RobertaForSequenceClassification",
        _bert("roberta", **_ROBERTA, **_TWO_LABELS, gradient_checkpointing=False,
              _num_labels=2, reg_weight=0.1),
        ("_num_labels", "gradient_checkpointing", "reg_weight"),
    ),
    "xlm-roberta": Family(
        "XLMRobertaForMaskedLM",
        _bert("xlm-roberta", **_ROBERTA, output_past=True, position_embedding_type="absolute"),
        ("output_past", "position_embedding_type"),
    ),
    "albert": Family(
        "AlbertForMaskedLM",
        _bert("albert", vocab_size=30000, embedding_size=128, num_hidden_groups=1,
              inner_group_num=1, net_structure_type=0, gap_size=0, num_memory_blocks=0,
              down_scale_factor=1, classifier_dropout_prob=0.1, hidden_act="gelu_new",
              bos_token_id=2, eos_token_id=3),
        ("down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks"),
    ),
    "electra": Family(
        "ElectraForPreTraining",
        _bert("electra", embedding_size=128, hidden_size=256, intermediate_size=1024,
              summary_activation="gelu", summary_last_dropout=0.1, summary_type="first",
              summary_use_proj=True),
    ),
    "deberta-v3": Family(
        "DebertaV2ForSequenceClassification",
        _bert("deberta-v2", vocab_size=128100, relative_attention=True, position_buckets=256,
              norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"],
              position_biased_input=False, max_relative_positions=-1, type_vocab_size=0,
              layer_norm_eps=1e-07, pooler_dropout=0, pooler_hidden_act="gelu",
              pooler_hidden_size=768, legacy=True, **_TWO_LABELS),
    ),
    "deberta-v2, with its kinds of attention in one word": Family(
        "DebertaV2ForSequenceClassification",
        _bert("deberta-v2", vocab_size=128100, relative_attention=True, position_buckets=256,
              norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type="p2c|c2p",
              position_biased_input=False, max_relative_positions=-1, type_vocab_size=0,
              conv_kernel_size=3, conv_act="gelu", attention_head_size=64, **_TWO_LABELS),
        ("attention_head_size",),
    ),
    "mpnet": Family(
        "MPNetForMaskedLM",
        {k: v for k, v in _bert("mpnet", relative_attention_num_buckets=32, vocab_size=30527,
                                max_position_embeddings=514, pad_token_id=1, bos_token_id=0,
                                eos_token_id=2).items() if k != "type_vocab_size"},
    ),
    "modernbert": Family(
        "ModernBertForMaskedLM",
        {
            "model_type": "modernbert", "vocab_size": 50368, "hidden_size": 768,
            "intermediate_size": 1152, "num_hidden_layers": 22, "num_attention_heads": 12,
            "hidden_activation": "gelu", "classifier_activation": "gelu",
            "classifier_bias": False, "classifier_dropout": 0.0, "classifier_pooling": "mean",
            "decoder_bias": True, "deterministic_flash_attn": False, "embedding_dropout": 0.0,
            "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0,
            "local_attention": 128, "local_rope_theta": 10000.0, "attention_bias": False,
            "attention_dropout": 0.0, "mlp_bias": False, "mlp_dropout": 0.0, "norm_bias": False,
            "norm_eps": 1e-05, "layer_norm_eps": 1e-05, "gradient_checkpointing": False,
            "position_embedding_type": "absolute", "max_position_embeddings": 8192,
            "initializer_cutoff_factor": 2.0, "initializer_range": 0.02,
            "sparse_pred_ignore_index": -100, "sparse_prediction": False,
            "reference_compile": None, "repad_logits_with_grad": False, "bos_token_id": 50281,
            "cls_token_id": 50281, "eos_token_id": 50282, "pad_token_id": 50283,
            "sep_token_id": 50282, "torch_dtype": "float32",
        },
        ("gradient_checkpointing", "position_embedding_type", "reference_compile",
         "repad_logits_with_grad"),
    ),
    # Encoder-decoders
    "t5": Family(
        "T5ForConditionalGeneration",
        _t5(output_past=True, n_positions=512,
            task_specific_params={"summarization": {"num_beams": 4, "prefix": "summarize: "}}),
        ("output_past",),
    ),
    "flan-t5": Family(
        "T5ForConditionalGeneration", _t5(**_GATED, n_positions=512, output_past=True),
        ("output_past",),
    ),
    "mt5": Family(
        "MT5ForConditionalGeneration",
        _t5("mt5", **_GATED, vocab_size=250112, tokenizer_class="T5Tokenizer"),
        ("tokenizer_class",),
    ),
    "umt5": Family(
        "UMT5ForConditionalGeneration",
        _t5("umt5", **_GATED, vocab_size=256384, scalable_attention=True, dense_act_fn="gelu_new",
            is_gated_act=True, tokenizer_class="T5Tokenizer"),
        ("scalable_attention", "tokenizer_class"),
    ),
    "bart": Family(
        "BartForConditionalGeneration",
        _bart(**_fairseq(normalize_embedding=True), **_OLD_BEAMS, prefix=" "),
        (*_FAIRSEQ, *_OLD_BEAMS, "prefix", f"{_FILE}forced_bos_token_id",
         f"{_FILE}forced_eos_token_id", f"{_FILE}no_repeat_ngram_size"),
        {"bos_token_id": 0, "decoder_start_token_id": 2, "early_stopping": True,
         "eos_token_id": 2, "forced_bos_token_id": 0, "forced_eos_token_id": 2,
         "no_repeat_ngram_size": 3, "num_beams": 4, "pad_token_id": 1},
    ),
    "mbart": Family(
        "MBartForConditionalGeneration",
        _bart("mbart", vocab_size=250027, scale_embedding=True,
              **_fairseq(normalize_before=True, add_final_layer_norm=True)),
        _FAIRSEQ,
    ),
    "pegasus": Family(
        "PegasusForConditionalGeneration",
        _bart("pegasus", vocab_size=96103, scale_embedding=True, activation_function="relu",
              pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, forced_eos_token_id=1,
              length_penalty=0.8, **_fairseq(static_position_embeddings=True)),
        (*_FAIRSEQ, "length_penalty"),
    ),
    "marian": Family(
        "MarianMTModel",
        _bart("marian", vocab_size=58101, decoder_vocab_size=58101, scale_embedding=True,
              activation_function="swish", max_position_embeddings=512, eos_token_id=0,
              pad_token_id=58100, decoder_start_token_id=58100, forced_eos_token_id=0,
              share_encoder_decoder_embeddings=True, bad_words_ids=[[58100]], num_beams=6,
              max_length=512, **_fairseq(static_position_embeddings=True)),
        (*_FAIRSEQ, "bad_words_ids", "max_length", "num_beams", f"{_FILE}bad_words_ids",
         f"{_FILE}forced_eos_token_id", f"{_FILE}renormalize_logits"),
        {"bad_words_ids": [[58100]], "bos_token_id": 0, "decoder_start_token_id": 58100,
         "eos_token_id": 0, "forced_eos_token_id": 0, "max_length": 512, "num_beams": 6,
         "pad_token_id": 58100, "renormalize_logits": True},
    ),
}  # fmt: skip
"""By name. At least the forty that people start from most."""
