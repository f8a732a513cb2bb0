"""GGUF files become checkpoints that compute and split as llama.cpp does; others are refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from gguf_files import HEAD_DIM, gguf_sizes, write_gguf
from make_references import small_model
from safetensors.torch import load_file
from stillroom.errors import CheckpointError
from stillroom.inference.checkpoints.load_student import load_checkpoint
from stillroom.inference.sources import convert_gguf
from stillroom.inference.sources.convert_gguf import ARCHITECTURES, gguf_faults
from stillroom.inference.sources.find_model import find_model
from stillroom.inference.sources.gguf_file import read_gguf
from stillroom.inference.sources.gguf_tokenizer import SPLITTINGS, write_tokenizer


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_those_of_llama_cpp(architecture, references, tmp_path):
    path = write_gguf(tmp_path / "a.gguf", **small_model(architecture))
    model = load_checkpoint(path).model
    with torch.inference_mode():
        logits = model(torch.tensor([references["prompt"]])).logits[0, -1]
    asked = references["next_tokens"][architecture]
    found = logits.log_softmax(-1)[[id_ for id_, _ in asked]]
    # llama.cpp keeps keys and values in float16.
    torch.testing.assert_close(found, torch.tensor([p for _, p in asked]), atol=0.02, rtol=0)
    assert logits.argmax() == asked[0][0]


@pytest.mark.parametrize("pre", SPLITTINGS)
def test_ids_are_those_of_llama_cpp(pre, references, tmp_path):
    asked = references["splittings"][pre]
    asked = references["splittings"][asked] if isinstance(asked, str) else asked
    tokens, merges = references["tokens"], references["merges"]
    path = write_gguf(tmp_path / "a.gguf", pre=pre, tokens=tokens, merges=merges)
    tokenizer = load_checkpoint(path).tokenizer
    wrong = [
        text
        for text, ids in zip(references["texts"], asked, strict=True)
        if tokenizer(text)["input_ids"] != ids
    ]
    assert wrong == []


def test_splittings_differ_on_the_reference_texts(references):
    """The texts tell the splittings apart, so that a wrong one cannot pass."""
    distinct = [ids for ids in references["splittings"].values() if not isinstance(ids, str)]
    assert len({str(ids) for ids in distinct}) == len(distinct) >= 5


def test_qwen_composes_its_texts(tmp_path):
    ids = {}
    for pre in ("qwen2", "stablelm2"):
        tokenizer = load_checkpoint(write_gguf(tmp_path / f"{pre}.gguf", pre=pre)).tokenizer
        ids[pre] = [tokenizer(text)["input_ids"] for text in ("caf\u00e9", "cafe\u0301")]
    assert ids["qwen2"][0] == ids["qwen2"][1]
    assert ids["stablelm2"][0] != ids["stablelm2"][1]


def test_the_packaged_model_gives_the_reference_ids(real_model, references):
    from stillroom.inference.checkpoints.tokenizer_files import load_tokenizer

    tokenizer = load_tokenizer(real_model("smollm2"))
    wrong = [
        text
        for text, ids in zip(references["texts"], references["smollm2"], strict=True)
        if tokenizer(text)["input_ids"] != ids
    ]
    assert wrong == []


@pytest.mark.parametrize("stored", ["Q4_1", "Q8_0", "Q5_0", "BF16", "F16", "F32"])
def test_weights_are_those_of_the_file(stored, tmp_path):
    kind = GGMLQuantizationType[stored]
    folder = find_model(write_gguf(tmp_path / "a.gguf", stored=kind))
    found = load_file(folder / "model.safetensors")
    numbers = np.random.default_rng(0)
    written = {}
    for name, shape in gguf_sizes("llama", 259).items():
        written[name] = numbers.normal(0, 0.3, shape).astype(np.float32)
    down = dequantize(quantize(written["blk.1.ffn_down.weight"], kind), kind)
    dtype = {"F16": torch.float16, "F32": torch.float32}.get(stored, torch.bfloat16)
    expected = torch.tensor(down).to(dtype)
    assert {tensor.dtype for tensor in found.values()} == {dtype}
    assert torch.equal(found["model.layers.1.mlp.down_proj.weight"], expected)


def test_a_large_file_is_written_in_shards(tmp_path, monkeypatch):
    whole = load_checkpoint(write_gguf(tmp_path / "a.gguf")).model.state_dict()
    monkeypatch.setattr(convert_gguf, "_SHARD_BYTES", 40_000)
    monkeypatch.setenv("STILLROOM_MODELS", str(tmp_path / "other"))
    folder = find_model(tmp_path / "a.gguf")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    parts = load_checkpoint(folder).model.state_dict()
    assert all(torch.equal(parts[name], tensor) for name, tensor in whole.items())


def test_llama3_factors_are_recognised(tmp_path):
    settings = {"llama.context_length": 131072}
    factors = convert_gguf.llama3_factors(10000.0, HEAD_DIM, 32.0).astype(np.float32)
    path = write_gguf(tmp_path / "a.gguf", change=settings, more={"rope_freqs.weight": factors})
    rope = load_checkpoint(path).model.config.rope_parameters
    assert (rope["rope_type"], rope["factor"]) == ("llama3", 32.0)
    # transformers computes the same frequencies from that description.
    model = load_checkpoint(path).model
    plain = 10000.0 ** -(torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    torch.testing.assert_close(
        model.model.rotary_emb.inv_freq, plain / torch.tensor(factors), rtol=1e-4, atol=0
    )
    path = write_gguf(tmp_path / "b.gguf", more={"rope_freqs.weight": factors + 0.5})
    assert "not those of Llama 3" in gguf_faults(path)[0]


REFUSED = {
    "architecture": ({"architecture": "mamba"}, "has the architecture 'mamba'"),
    "splitting": ({"pre": "qwen3.9"}, "splits texts by 'qwen3.9', which is not known"),
    "no_splitting": ({"pre": None}, "splits texts by 'None'"),
    "experts": ({"change": {"llama.expert_count": 8}}, "llama.expert_count is '8'"),
    "scaling": ({"change": {"llama.rope.scaling.type": "yarn"}}, "scaling.type is 'yarn'"),
    "unknown_setting": ({"change": {"llama.logit_scale": 3}}, "llama.logit_scale is '3'"),
    "no_layers": ({"change": {"llama.block_count": 0}}, "llama.block_count is '0'"),
    "many_layers": ({"change": {"llama.block_count": 3}}, "lacks the tensor 'blk.2"),
    "wide": ({"change": {"llama.feed_forward_length": 128}}, "settings ask for (64, 128)"),
    "huge": ({"change": {"llama.embedding_length": 1 << 30}}, "which is not possible"),
    "no_heads": ({"change": {"llama.attention.head_count": 0}}, "which is not possible"),
    "missing": ({"leave_out": "blk.0.ffn_up.weight"}, "lacks the tensor 'blk.0.ffn_up.weight'"),
    "no_embedding": ({"leave_out": "token_embd.weight"}, "lacks the tensor 'token_embd.weight'"),
    "more": ({"more": {"adapter.weight": np.ones((2, 2), np.float32)}}, "'adapter.weight'"),
    "twice": ({"tokens": ["a", "b", "a", "b"]}, "holds a token twice"),
    "merges": ({"merges": ["q q"]}, "merges 'q q', which are no tokens"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_known_is_refused_by_name(case, tmp_path):
    settings, told = REFUSED[case]
    path = write_gguf(tmp_path / "a.gguf", **settings)
    with pytest.raises(CheckpointError) as refused:
        find_model(path)
    assert told in str(refused.value)
    assert str(path) in str(refused.value)
    left = [p.name for p in (tmp_path / "models").iterdir() if p.is_dir()]
    assert left == [], "a failed conversion leaves nothing behind"


def header(*parts):
    """Pack a header: numbers of 64 bits, texts and bytes."""
    packed = b"GGUF" + struct.pack("<I", 3)
    for part in parts:
        if isinstance(part, int):
            packed += struct.pack("<Q", part)
        elif isinstance(part, str):
            packed += struct.pack("<Q", len(part)) + part.encode()
        else:
            packed += part
    return packed


def u32(number):
    return struct.pack("<I", number)


def tensor(name, sizes, start, kind=0):
    return [name, u32(len(sizes)), *sizes, u32(kind), start]


HOSTILE = {
    "empty": (b"", "is empty"),
    "other": (b"PK\3\4" + bytes(60), "is no GGUF file"),
    "version": (b"GGUF" + u32(99) + bytes(16), "version 99"),
    "many_keys": (header(0, 1 << 60), "announces 1152921504606846976 keys"),
    "many_tensors": (header(1 << 40, 0), "tensors; at most"),
    "long_text": (header(0, 1, 1 << 50), "bytes in a text; at most"),
    "cut_text": (header(0, 1, 500), "is cut off within its header"),
    "cut_number": (header(0, 1, "a", u32(10)), "is cut off within its header"),
    "no_utf8": (header(0, 1, 2, b"\xff\xfe"), "is no UTF-8"),
    "unknown_type": (header(0, 1, "a", u32(77)), "unknown type 77"),
    "long_list": (header(0, 1, "a", u32(9), u32(0), 1 << 40), "items in a list; at most"),
    "many_lists": (
        header(0, 3, *[x for n in "abc" for x in (n, u32(9), u32(0), 1 << 21, bytes(1 << 21))]),
        "items in lists",
    ),
    "nested_list": (header(0, 1, "a", u32(9), u32(9), 1, u32(9), 1), "list of the unknown type 9"),
    "key_twice": (header(0, 2, "a", u32(0), b"1", "a", u32(0), b"1"), "key 'a' twice"),
    "tensor_twice": (
        header(2, 0, *tensor("t", [8], 0), *tensor("t", [8], 32), bytes(200)),
        "tensor 't' twice",
    ),
    "overlap": (
        header(2, 0, *tensor("t", [8], 0), *tensor("u", [8], 16), bytes(200)),
        "overlaps another",
    ),
    "cut_off": (header(1, 0, *tensor("t", [1 << 40], 0)), "is cut off: tensor 't' ends"),
    "overflow": (header(1, 0, *tensor("t", [1 << 63, 1 << 63], 0)), "is cut off: tensor 't' ends"),
    "zero": (header(1, 0, *tensor("t", [0, 1 << 60], 0)), "impossible shape"),
    "part_block": (header(1, 0, *tensor("t", [33], 0, kind=3)), "impossible shape"),
    "dimensions": (header(1, 0, "t", u32(9), *[1] * 9, u32(0), 0), "9 dimensions"),
    "stored": (header(1, 0, *tensor("t", [8], 0, kind=4)), "unknown type 4"),
    "alignment": (
        header(1, 1, "general.alignment", u32(4), u32(0), *tensor("t", [8], 0), bytes(99)),
        "alignment 0",
    ),
    "behind_the_end": (header(1, 0, *tensor("t", [8], (1 << 64) - 1)), "is cut off: tensor"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_are_refused(case, tmp_path):
    data, told = HOSTILE[case]
    path = tmp_path / "a.gguf"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"a\.gguf") as refused:
        read_gguf(path)
    assert told in str(refused.value)


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    whole = write_gguf(tmp_path / "a.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    for end in (*range(1, 400, 7), len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError):
            read_gguf(path)


def test_one_changed_byte_gives_a_model_or_a_refusal(tmp_path):
    """Whatever a header says, reading it ends in a header or a `CheckpointError`."""
    whole = bytearray(write_gguf(tmp_path / "a.gguf").read_bytes())
    numbers = np.random.default_rng(1)
    path = tmp_path / "changed.gguf"
    for _ in range(300):
        changed = whole.copy()
        changed[int(numbers.integers(0, 2500))] = int(numbers.integers(0, 256))
        path.write_bytes(changed)
        for fault in gguf_faults(path):
            assert str(path) in fault


def test_tokenizers_keep_their_special_tokens(tmp_path):
    path = write_gguf(tmp_path / "a.gguf", pre="llama-bpe")
    write_tokenizer(read_gguf(path), tmp_path)
    tokenizer = load_checkpoint(path).tokenizer
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<s>", "</s>")
    assert tokenizer("<s>")["input_ids"] == [0]
    assert tokenizer.decode([0, 2, 1], skip_special_tokens=True) == "!"
