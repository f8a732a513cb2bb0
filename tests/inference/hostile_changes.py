"""Ways to change a good model folder into one that is made to do harm."""

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


def code_folder(folder_name, file_name):
    def apply(folder):
        (folder / folder_name).mkdir()
        text = f"open({str(folder.parent / 'exploded')!r}, 'w')"
        (folder / folder_name / file_name).write_text(text, encoding="utf-8")

    return apply


def both(*changes):
    def apply(folder):
        for change in changes:
            change(folder)

    return apply
