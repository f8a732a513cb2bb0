"""Model folders made to do harm: what is changed in a good one, and words of the refusal."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct

HUGE = 1 << 40


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def edit(name, **changes):
    def apply(folder):
        value = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps({**value, **changes}), encoding="utf-8")

    return apply


def config(**changes):
    return edit("config.json", **changes)


def write(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def pickled(name, *, only):
    def apply(folder):
        (folder / name).write_bytes(pickle.dumps(Bomb(folder.parent / "exploded")))
        if only:
            (folder / "model.safetensors").unlink()

    return apply


def link(name, target):
    def apply(folder):
        outside = folder.parent / "outside"
        if (folder / name).exists():
            shutil.move(folder / name, outside)
        else:
            outside.write_text("{}", encoding="utf-8")
        os.symlink(target or outside, folder / name)

    return apply


def header(change):
    """Rewrite the header of the weights; `change` takes and gives (header, data)."""

    def apply(folder):
        path = folder / "model.safetensors"
        raw = path.read_bytes()
        (length,) = struct.unpack("<Q", raw[:8])
        value, data = change(json.loads(raw[8 : 8 + length]), raw[8 + length :])
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data)

    return apply


def tensor(**changes):
    def change(value, data):
        name = next(key for key in value if key != "__metadata__")
        return {**value, name: {**value[name], **changes}}, data

    return header(change)


def overlap(value, data):
    first, second = [name for name in value if name != "__metadata__"][:2]
    value[second] = {**value[second], "data_offsets": value[first]["data_offsets"]}
    value[second]["shape"] = value[first]["shape"]
    return value, data


def index(weight_map):
    def apply(folder):
        os.replace(folder / "model.safetensors", folder / "model-00001-of-00001.safetensors")
        text = json.dumps({"metadata": {}, "weight_map": weight_map})
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")

    return apply


def foreign(change):
    """Change a folder that stillroom did not make: no run, no stored ids."""

    def apply(folder):
        for name in ("run.json", "tokenizer_check.json"):
            (folder / name).unlink()
        change(folder)

    return apply


def tokenizer(**changes):
    return foreign(edit("tokenizer.json", **changes))


def model_of_tokenizer(**changes):
    def apply(folder):
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        edit("tokenizer.json", model={**model, **changes})(folder)

    return foreign(apply)


def split(pattern):
    return tokenizer(
        pre_tokenizer={
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": pattern},
                    "behavior": "Isolated",
                    "invert": False,
                }
            ],
        }
    )


def template(text):
    return foreign(write("chat_template.jinja", text.encode()))


def tensor_in_two_parts(folder):
    first = folder / "model-00001-of-00002.safetensors"
    os.replace(folder / "model.safetensors", first)
    shutil.copy(first, folder / "model-00002-of-00002.safetensors")
    raw = first.read_bytes()
    names = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    parts = {name: first.name for name in names if name != "__metadata__"}
    parts["other"] = "model-00002-of-00002.safetensors"
    text = json.dumps({"metadata": {}, "weight_map": parts})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def link_to_itself(folder):
    (folder / "config.json").unlink()
    os.symlink(folder / "config.json", folder / "config.json")


def remove(name):
    return lambda folder: (folder / name).unlink()


def replace_by_folder(folder):
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()


def replace_by_pipe(folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


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
