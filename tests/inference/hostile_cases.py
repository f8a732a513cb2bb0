"""Model folders made to do harm: what is changed in a good one, and words of the refusal."""

from __future__ import annotations

import json
import struct

from hostile_changes import (
    HUGE,
    both,
    code_folder,
    config,
    cut,
    edit,
    foreign,
    header,
    index,
    link,
    link_to_itself,
    model_of_tokenizer,
    overlap,
    pickled,
    remove,
    replace_by_folder,
    replace_by_pipe,
    split,
    template,
    tensor,
    tensor_in_two_parts,
    tokenizer,
    write,
)

CASES = {
    # code and pickles
    "only a pickle": (pickled("pytorch_model.bin", only=True), "only safetensors"),
    "a pickle beside the weights": (pickled("pytorch_model.bin", only=False), "only safetensors"),
    "a pickle by another name": (pickled("weights.PKL", only=False), "only safetensors"),
    "python code": (write("modeling_evil.py", b"raise SystemExit"), "can run code"),
    "a library": (write("kernel.so", b"\x7fELF"), "can run code"),
    "an adapter": (write("adapter_config.json", b"{}"), "adapter"),
    "auto_map": (config(auto_map={"AutoModel": "evil.Model"}), "auto_map"),
    "auto_map of the tokenizer": (
        edit("tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", None]}),
        "auto_map",
    ),
    "a kernel to download": (
        config(_attn_implementation_internal="evil/kernel"),
        "_attn_implementation_internal",
    ),
    "an attention by name": (config(attn_implementation="evil/kernel"), "not allowed"),
    "trust_remote_code": (config(trust_remote_code=True), "trust_remote_code"),
    "quantization code": (config(quantization_config={"quant_method": "x"}), "not allowed"),
    "custom generation code": (edit("generation_config.json", custom_generate="evil/x"), "custom"),
    "code in a folder": (code_folder("custom_generate", "generate.py"), "custom_generate"),
    "generation by a compiler": (
        edit("generation_config.json", compile_config={"backend": "evil"}),
        "compile_config",
    ),
    "generation with a cache of its own": (
        edit("generation_config.json", cache_implementation="evil"),
        "cache_implementation",
    ),
    "a draft model": (edit("generation_config.json", assistant_model="evil/x"), "assistant_model"),
    "pipelines of its own": (
        config(custom_pipelines={"answer": {"impl": "evil.Pipeline", "pt": ["AutoModel"]}}),
        "custom_pipelines",
    ),
    "a kernel of the hub": (
        config(_attn_implementation="kernels-community/flash-attn3"),
        "_attn_implementation",
    ),
    "a kernel for experts": (
        config(experts_implementation="evil/kernel"),
        "experts_implementation",
    ),
    "kernels switched on": (config(use_kernels=True), "use_kernels"),
    "a table of kernels": (
        config(kernel_config={"kernel_mapping": {"RMSNorm": "evil/kernel:Norm"}}),
        "kernel_config",
    ),
    "quantization of named modules": (
        config(quantization_config={"quant_method": "awq", "modules_to_fuse": ["os.system"]}),
        "quantization_config",
    ),
    "compression": (
        config(compression_config={"quant_method": "compressed-tensors"}),
        "compression_config",
    ),
    "a model in the model": (
        config(text_config={"model_type": "evil", "auto_map": {"AutoModel": "evil.Model"}}),
        "text_config",
    ),
    "settings for each layer": (
        config(per_layer_config={"0": {"hidden_act": "os.system"}}),
        "per_layer_config",
    ),
    "a name to look up": (config(name_or_path="evil/model"), "name_or_path"),
    "an adapter of a model elsewhere": (
        write(
            "adapter_config.json",
            b'{"base_model_name_or_path": "evil/model", "peft_type": "LORA", "auto_mapping": '
            b'{"base_model_class": "system", "parent_library": "os"}}',
        ),
        "adapter",
    ),
    "weights of another kind": (write("model.gguf", b"GGUF"), "safetensors"),
    # paths
    "weights elsewhere by setting": (config(transformers_weights="../../x"), "not allowed"),
    "weights elsewhere by index": (index({"a": "../../x.safetensors"}), "names the file"),
    "weights at an absolute path": (index({"a": "/etc/passwd"}), "names the file"),
    "a part that is missing": (index({"a": "model-00002-of-00002.safetensors"}), "is missing"),
    "a tensor in no part": (index({"a": "model-00001-of-00001.safetensors"}), "is not where"),
    "an index of nothing": (index({}), "no weight_map"),
    "config as a link out": (link("config.json", None), "symbolic link"),
    "weights as a link out": (link("model.safetensors", None), "symbolic link"),
    "any link out": (link("notes.txt", "/etc/hostname"), "symbolic link"),
    "a pipe that never ends": (replace_by_pipe, "not a plain file"),
    "a folder as config": (replace_by_folder, "config.json is missing"),
    "a link that leads nowhere": (link("notes.txt", "gone"), "leads nowhere"),
    "a link to itself": (link_to_itself, "leads nowhere|missing"),
    # sizes and values
    "unknown architecture": (config(model_type="evil"), "model_type"),
    "no architecture": (write("config.json", b"{}"), "model_type is missing"),
    "a negative size": (config(vocab_size=-1), "vocab_size"),
    "a size as text": (config(hidden_size="32"), "hidden_size"),
    "a huge width": (config(hidden_size=HUGE), "hidden_size"),
    "a huge vocabulary": (config(vocab_size=1 << 20), "config.json asks for"),
    "many layers": (config(num_hidden_layers=10**6), "num_hidden_layers"),
    "more layers than weights": (config(num_hidden_layers=200), "config.json asks for"),
    "one layer more than weights": (config(num_hidden_layers=3), "is missing"),
    "fewer layers than weights": (config(num_hidden_layers=1), "not part of this model"),
    "heads that do not fit": (config(num_attention_heads=7), "multiple"),
    "a huge number of heads": (config(num_attention_heads=10**9), "num_attention_heads"),
    "rope with other keys": (config(rope_parameters={"rope_type": "x", "f": 1}), "rope_parameters"),
    "an activation by path": (config(hidden_act="os.system"), "hidden_act"),
    "a type by path": (config(dtype="os.system"), "dtype"),
    "no number": (write("config.json", b'{"model_type": "llama", "rms_norm_eps": NaN}'), "eps"),
    "a config by web address": (config(_name_or_path="x" * 600), "_name_or_path"),
    "scaling by another table": (config(rope_scaling={"rope_type": "x"}), "rope_scaling"),
    # JSON
    "a key twice": (write("config.json", b'{"a": 1, "a": 2}'), "twice"),
    "deep nesting": (write("config.json", b"[" * 100_000), "JSON"),
    "a list": (write("config.json", b"[]"), "not a JSON object"),
    "a number of a million digits": (write("config.json", b'{"a": %s}' % (b"9" * 10**6)), "JSON"),
    "a very long config": (write("config.json", b" " * (5 << 20)), "larger than"),
    "a very long template": (write("chat_template.jinja", b"x" * (2 << 20)), "larger than"),
    "a config in UTF-16": (write("config.json", '{"a": 1}'.encode("utf-16")), "JSON"),
    "a config of zeros": (write("config.json", b"\0" * 64), "JSON"),
    "a very deep tokenizer": (foreign(write("tokenizer.json", b'{"a":' * 50_000)), "JSON"),
    # chat templates
    "a template that includes": (template("{% include '/etc/passwd' %}"), "reads other files"),
    "a template that imports": (template("{% import 'a' as b %}"), "reads other files"),
    "a template that extends": (template("{% extends '../../a' %}"), "reads other files"),
    "a template that climbs": (template("{{ ''.__class__.__mro__ }}"), "reaches into Python"),
    "a template with a key": (template("{{ x['__globals__'] }}"), "reaches into Python"),
    "a template with attr": (template("{{ ''|attr('format') }}"), "reaches into Python"),
    "a template with map": (template("{{ x|map('attr', 'y') }}"), "reaches into Python"),
    "a template that builds a name": (template("{{ x|map(attribute='_'~y) }}"), "computes what"),
    "a template through lipsum": (template("{{ lipsum.__globals__ }}"), "reaches into Python"),
    "a template that multiplies": (template("{{ 'a' * n }}"), "grow without bound"),
    "a template that takes powers": (template("{{ 9**9**9 }}"), "grow without bound"),
    "a template that pads": (template("{{ '%1000000000d' % 1 }}"), "width that may be huge"),
    "a template that centres": (template("{{ 'a'|center(999999999) }}"), "counts further"),
    "a template of many loops": (template("{% for a in b %}" * 5 + "{% endfor %}" * 5), "loops"),
    "a template that is none": (template("{% for %}"), "not readable"),
    "a very deep template": (template("{{ " + "(" * 5000 + ")" * 5000 + " }}"), "not readable"),
    "a template in the settings": (
        foreign(edit("tokenizer_config.json", chat_template="{{ x.__class__ }}")),
        "reaches into Python",
    ),
    "named templates": (
        foreign(edit("tokenizer_config.json", chat_template=[{"name": "rag", "template": ""}])),
        "chat_template is",
    ),
    "a template that is no text": (foreign(write("chat_template.jinja", b"\xff\xfe")), "UTF-8"),
    # safetensors
    "cut off": (cut, "cut off"),
    "empty weights": (write("model.safetensors", b""), "cut off"),
    "a header of 2^63 bytes": (write("model.safetensors", struct.pack("<Q", 1 << 63)), "cut off"),
    "a header that is no JSON": (header(lambda h, d: (b"\xff" * 64, d)), "JSON"),
    "a header with a key twice": (
        header(lambda h, d: (json.dumps(h).encode()[:-1] + b',"__metadata__":{}}', d)),
        "twice",
    ),
    "no tensors": (header(lambda h, d: ({}, d)), "no tensors"),
    "tensors that overlap": (header(overlap), "overlaps"),
    "bytes after the last tensor": (header(lambda h, d: (h, d + b"x")), "cut off or too long"),
    "bytes missing": (header(lambda h, d: (h, d[:-1])), "cut off or too long"),
    "an unknown dtype": (tensor(dtype="PY"), "dtype"),
    "a negative place": (tensor(data_offsets=[-8, 0]), "impossible"),
    "a huge shape": (tensor(shape=[HUGE, HUGE]), "does not fill"),
    "a shape of negative size": (tensor(shape=[-1, -1]), "impossible"),
    "a tensor without shape": (header(lambda h, d: ({"a": {"dtype": "F32"}}, d)), "described"),
    "a tensor after the end": (tensor(data_offsets=[HUGE, HUGE + 4]), "does not fill"),
    "a tensor that ends before it begins": (tensor(data_offsets=[8, 0]), "does not fill"),
    "a tensor of another width": (tensor(dtype="F64"), "does not fill"),
    "a tensor of many dimensions": (tensor(shape=[1] * 9), "impossible"),
    "metadata that is no text": (
        header(lambda h, d: ({**h, "__metadata__": {"a": {"b": 1}}}, d)),
        "no table of texts",
    ),
    "a tensor in two parts": (tensor_in_two_parts, "is not where|in another file"),
    # tokenizer and run
    "a pattern that never ends": (split("(a*)*b"), "take for ever"),
    "a pattern that refers back": (split(r"(a+)\1+"), "exponential"),
    "a very long pattern": (split("a" * 5000), "longer than"),
    "padding without end": (
        tokenizer(padding={"strategy": {"Fixed": HUGE}, "direction": "Right", "pad_id": 0}),
        "padding",
    ),
    "replacements that grow": (
        tokenizer(
            normalizer={
                "type": "Sequence",
                "normalizers": [
                    {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
                    for _ in range(20)
                ],
            }
        ),
        "times as long",
    ),
    "steps without end": (
        tokenizer(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 99}),
        "more than 32 steps",
    ),
    "ids that are drawn": (model_of_tokenizer(dropout=0.5), "dropout"),
    "ids beyond the vocabulary": (model_of_tokenizer(vocab={"a": 1 << 30}, merges=[]), "ids that"),
    "a table that makes the library panic": (
        tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
        "does not load",
    ),
    "a token of many characters": (
        edit("tokenizer_config.json", pad_token="x" * 5000),
        "pad_token",
    ),
    "a stored text without end": (
        edit("tokenizer_check.json", cases=[{"text": "a" * 10**5}]),
        "more than 2000 characters",
    ),
    "another tokenizer than in training": (edit("tokenizer.json", version="1"), "by its hash"),
    "no tokenizer": (remove("tokenizer.json"), "tokenizer.json is missing"),
    "a tokenizer that is none": (
        foreign(write("tokenizer.json", b'{"model": {}}')),
        "does not load",
    ),
    "a tokenizer of unknown type": (
        foreign(write("tokenizer.json", b'{"model": {"type": "Py"}}')),
        "model type",
    ),
    "no golden ids": (write("tokenizer_check.json", b'{"cases": []}'), "holds no cases"),
    "other prompts": (edit("run.json", prompt_sha256="0" * 64), "was trained on prompts"),
    "a run of the future": (edit("run.json", schema_version=99), "schema_version"),
    "no weights": (remove("model.safetensors"), "holds no weights"),
    "no config": (remove("config.json"), "config.json is missing"),
}

IGNORED = {
    "a class for the tokenizer": edit(
        "tokenizer_config.json",
        tokenizer_class="EvilTokenizer",
        processor_class="EvilProcessor",
        tokenizer_file="/etc/passwd",
        name_or_path="evil/model",
        backend="evil",
        extra_special_tokens={"x": "<|im_start|>"},
        added_tokens_decoder={"0": {"content": "x", "__type": "os.system"}},
    ),
    "a processor": both(
        write("processor_config.json", b'{"processor_class": "E", "auto_map": {"A": "evil.P"}}'),
        write("preprocessor_config.json", b'{"auto_map": {"AutoImageProcessor": "evil.P"}}'),
    ),
    "a name that nobody looks up": config(_name_or_path="evil/model", transformers_version="99"),
    "an index beside whole weights": write(
        "model.safetensors.index.json", b'{"weight_map": {"a": "../../x.safetensors"}}'
    ),
    "templates that are not used": both(
        code_folder("additional_chat_templates", "evil.jinja"),
        write("chat_template.json", b'{"chat_template": "{{ x.__class__ }}"}'),
    ),
    "vocabularies that are not used": both(
        write("tokenizer.model", b"\x80\x04"),
        write("added_tokens.json", b'{"<evil>": 0}'),
        write("special_tokens_map.json", b'{"eos_token": "evil"}'),
        write("vocab.json", b"[" * 1000),
    ),
    "code two folders down": code_folder("original", "modeling.py"),
}
"""What other libraries may act on, and loading here does not look at."""
