"""Folders as they lie on the hub: the settings that public families publish are loaded, and give
the model that transformers makes of the same folder."""

from __future__ import annotations

import json
import logging
import re
from typing import get_args

import pytest
import torch
import transformers
from hub_configs import FAMILIES
from stillroom.errors import CheckpointError
from stillroom.inference.checkpoints.architectures import ModelKind
from stillroom.inference.checkpoints.config_allowlist import (
    CONFIG_KEYS,
    config_faults,
    generation_faults,
    model_arguments,
)
from stillroom.inference.checkpoints.load_student import load_checkpoint
from tiny_model import make_tokenizer

KINDS = get_args(ModelKind)
IDS = torch.tensor([[3, 5, 7, 9, 11, 2]])
WIDTHS = ("hidden_size", "n_embd", "n_embed", "d_model", "dim", "embedding_size",
          "word_embed_proj_dim", "pooler_hidden_size")  # fmt: skip
SIZES = {
    "vocab_size": 400, "decoder_vocab_size": 400, "head_dim": 8, "d_kv": 8,
    **dict.fromkeys(WIDTHS, 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "hidden_dim", "encoder_ffn_dim",
                     "decoder_ffn_dim"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers",
                     "num_decoder_layers", "encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads",
                     "encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), 64),
    "original_max_position_embeddings": 32,
    "attention_types": [[["global", "local"], 1]],
    "attention_head_size": 8,
}  # fmt: skip


def shrink(value, name=""):
    """Make a family's settings small; every name stays."""
    if isinstance(value, dict):
        return {key: shrink(inner, key) for key, inner in value.items()}
    if name.endswith("_token_id") and value is not None:
        return 1 if isinstance(value, list) else 0
    if name in ("layer_types", "no_rope_layers", "attention_layers"):
        return value[-2:]
    if name in ("short_factor", "long_factor"):
        return value[:4]
    if name == "num_key_value_heads" and value is not None:
        return 2 if value > 2 else 1
    return SIZES[name] if name in SIZES and value is not None else value


def tiny_config(family):
    config = shrink(family.config)
    rope = config.get("rope_scaling") or {}
    if "short_factor" in rope:  # half of the dimensions that turn
        turning = int(8 * config.get("partial_rotary_factor", 1.0)) // 2
        rope.update({key: rope[key][:turning] for key in ("short_factor", "long_factor")})
    return config | {"architectures": [family.architecture]}


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def lay_down(family, folder, tokenizer):
    """Write random weights, and the settings with all their names."""
    config = tiny_config(family)
    torch.manual_seed(0)
    own = transformers.AutoConfig.for_model(config["model_type"], **model_arguments(config))
    model = getattr(transformers, family.architecture)(own)
    model.generation_config = transformers.GenerationConfig()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if family.generation is not None:
        settings = shrink(family.generation)
        (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


@torch.inference_mode()
def output(model):
    fed = {"decoder_input_ids": IDS} if model.config.is_encoder_decoder else {}
    return model.eval()(input_ids=IDS, **fed)[0]


def test_the_table_is_long_enough():
    assert len(FAMILIES) >= 60
    assert len({family.config["model_type"] for family in FAMILIES.values()}) >= 35


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_family_publishes_is_loaded_as_transformers_loads_it(name, tmp_path, tokenizer):
    family = FAMILIES[name]
    folder = lay_down(family, tmp_path / "model", tokenizer)
    loaded = load_checkpoint(folder, device="cpu", kinds=KINDS)
    assert set(loaded.left_out) == set(family.strange)
    assert type(loaded.model).__name__ == family.architecture
    wanted = getattr(transformers, family.architecture).from_pretrained(folder, dtype="float32")
    assert torch.allclose(output(loaded.model), output(wanted), atol=1e-5)
    ends = wanted.generation_config.eos_token_id if wanted.can_generate() else None
    if ends is not None:
        assert loaded.model.generation_config.eos_token_id == ends


@pytest.mark.parametrize("name", FAMILIES)
def test_the_settings_are_allowed_in_the_sizes_that_are_published(name):
    family = FAMILIES[name]
    assert config_faults(family.config) == []
    assert generation_faults(family.generation or {}) == []


def test_what_is_left_out_is_said_once(tmp_path, tokenizer, caplog):
    folder = lay_down(FAMILIES["distilgpt2"], tmp_path / "model", tokenizer)
    with caplog.at_level(logging.INFO, logger="stillroom"):
        for _ in range(2):
            load_checkpoint(folder)
    said = [record.getMessage() for record in caplog.records if "_num_labels" in record.message]
    assert len(said) == 1
    assert str(folder) in said[0]


def test_nothing_that_is_not_known_reaches_transformers(tmp_path, tokenizer):
    family = FAMILIES["llama, merged with mergekit"]
    folder = lay_down(family, tmp_path / "model", tokenizer)
    generation = {"eos_token_id": 0, "stop_strings": ["User:"], "a_new_setting": {"a": [1, None]}}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    loaded = load_checkpoint(folder)
    for name in family.strange:
        assert not hasattr(loaded.model.config, name)
    assert not hasattr(loaded.model.generation_config, "a_new_setting")
    assert loaded.model.generation_config.stop_strings is None
    assert loaded.model.generation_config.eos_token_id == 0


def config_of(kind="llama", **settings):
    return {"model_type": kind, **settings}


HARMLESS = {
    "numbers": {"loss": 0.25, "epoch": 3, "best": None, "done": True},
    "a long list": {"losses": [0.5] * 5000},
    "what is switched off": {"trust_remote_code": False, "use_kernels": False},
    "no quantization": {"quantization_config": None},
    "a way that transformers has": {"_attn_implementation": "flash_attention_2"},
    "experts likewise": {"_experts_implementation": "eager"},
    "a count of kernels": {"conv_kernel": 4, "kernel_size": [3, 3]},
    "a type to be chosen": {"torch_dtype": "auto"},
    "nothing": {"auto_map": None, "text_config": None, "name_or_path": "", "custom_note": "x"},
    "an address nobody follows": {"dataset": "https://example.org/data"},
    "a path nobody follows": {"output_dir": "/home/user/out"},
}


@pytest.mark.parametrize("case", HARMLESS)
def test_plain_data_is_no_fault(case):
    assert config_faults(config_of(**HARMLESS[case])) == []
    assert model_arguments(config_of(**HARMLESS[case])) == {}


def deep(levels):
    value = 1
    for _ in range(levels):
        value = {"a": value}
    return value


REFUSED = {
    "code": ({"auto_map": {"AutoModel": "modeling_x.XModel"}}, "auto_map"),
    "code that bears a class's name elsewhere": (
        {"auto_map": {"AutoModelForCausalLM": "evil/x--modeling.LlamaForCausalLM.evil"}},
        "auto_map",
    ),
    "native classes and one besides": (
        {"auto_map": {"AutoConfig": "c.LlamaConfig", "AutoModelForCausalLM": "m.Evil"}},
        "auto_map",
    ),
    "code of a tokenizer": ({"auto_map": {"AutoTokenizer": "evil/x--tok.Tokenizer"}}, "auto_map"),
    "code as a list": ({"auto_map": {"AutoConfig": ["c.LlamaConfig", None]}}, "auto_map"),
    "code in a setting": ({"tuning": {"auto_map": {"AutoModel": "x.Y"}}}, "'auto_map' .in 'tuning"),
    "code in a list": ({"stages": [{"trust_remote_code": True}]}, "trust_remote_code"),
    "a kernel": ({"_attn_implementation": "kernels-community/flash-attn"}, "kernel to download"),
    "a kernel by part": ({"attn_implementation": {"text": "a/b"}}, "kernel to download"),
    "a table of kernels": ({"hub_kernels": {"a": "b/c"}}, "hub_kernels"),
    "quantized weights": ({"quantization_config": {"bits": 4}}, "dequantize"),
    "a model in the model": ({"text_config": {"hidden_size": 8}}, "its text model alone"),
    "weights elsewhere": ({"transformers_weights": "x.safetensors"}, "transformers_weights"),
    "reading both ways": ({"is_causal": False}, "is_causal"),
    "attention in chunks": ({"attention_chunk_size": 8}, "attention_chunk_size"),
    "too many values": ({"x": [0] * 10_001}, "more than 10,000 values"),
    "too long a text": ({"x": "a" * 200_001}, "200,000 characters"),
    "too deep": ({"x": deep(9)}, "8 levels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_library_may_follow_is_refused(case):
    settings, words = REFUSED[case]
    faults = config_faults(config_of(**settings))
    assert len(faults) == 1
    assert re.search(words, faults[0]), faults[0]


@pytest.mark.parametrize("key", ["assistant_model", "custom_generate", "compile_config"])
def test_generation_settings_that_name_models_or_code_are_refused(key):
    assert len(generation_faults({key: {"a": "evil/x"}})) == 1
    assert generation_faults({key: None}) == []


@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_code_of_another_architecture_is_refused(kind):
    named = {"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}
    assert config_faults(config_of(kind, auto_map=named)) != []
    assert config_faults(config_of("phi3", auto_map=named)) == []


def test_a_setting_that_the_architecture_computes_by_is_not_left_out(
    tmp_path, tokenizer, monkeypatch
):
    """As after an update of transformers that gives an architecture a setting of its own."""
    folder = lay_down(FAMILIES["stablelm"], tmp_path / "model", tokenizer)
    monkeypatch.delitem(CONFIG_KEYS, "use_qkv_bias")
    with pytest.raises(CheckpointError, match="use_qkv_bias is True, and a 'stablelm' model"):
        load_checkpoint(folder)
    config = json.loads((folder / "config.json").read_text()) | {"use_qkv_bias": False}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="is not part of this model"):
        load_checkpoint(folder)
