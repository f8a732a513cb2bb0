"""GGUF files that are written: read again they are the same model, also in llama.cpp."""

from __future__ import annotations

import pytest
import torch
from gguf_files import byte_characters
from gguf_files import write_gguf as write_small
from reference_texts import TEXTS
from stillroom.errors import CheckpointError
from stillroom.inference.checkpoints.load_student import load_checkpoint
from stillroom.inference.gguf_export.write_gguf import write_gguf
from stillroom.inference.sources.convert_gguf import ARCHITECTURES, convert_gguf
from stillroom.inference.sources.gguf_tokenizer import SPLITTINGS

TOKENS = [*byte_characters(), "ab", "Ġa", "<end>"]
MERGES = ["a b", "Ġ a"]


def converted(path, folder):
    folder.mkdir()
    convert_gguf(path, folder)
    return load_checkpoint(str(folder))


def small(folder, **settings):
    path = write_small(folder / "given.gguf", tokens=TOKENS, merges=MERGES, **settings)
    return converted(path, folder / "given")


def greedy(checkpoint, prompt, count):
    ids = torch.tensor([checkpoint.tokenizer(prompt)["input_ids"]])
    settings = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False}
    made = checkpoint.model.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    return made[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("tied", [True, False])
def test_a_file_that_is_written_is_read_as_the_same_model(architecture, tied, tmp_path):
    given = small(tmp_path, architecture=architecture, tied=tied)
    given.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    written = write_gguf(given, tmp_path / "out/model.gguf")
    again = converted(written, tmp_path / "again")
    weights, others = given.model.state_dict(), again.model.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert [given.tokenizer(t)["input_ids"] for t in TEXTS] == [
        again.tokenizer(t)["input_ids"] for t in TEXTS
    ]
    assert again.tokenizer.chat_template == given.tokenizer.chat_template
    assert greedy(again, "b a c", 8) == greedy(given, "b a c", 8)
    assert [path.name for path in written.parent.iterdir()] == ["model.gguf"]


@pytest.mark.parametrize("pre", SPLITTINGS)
def test_the_splitting_is_found(pre, tmp_path):
    given = small(tmp_path, pre=pre)
    again = converted(write_gguf(given, tmp_path / "model.gguf"), tmp_path / "again")
    assert [given.tokenizer(t)["input_ids"] for t in TEXTS] == [
        again.tokenizer(t)["input_ids"] for t in TEXTS
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_llama_cpp_writes_the_same_greedy_tokens(architecture, tmp_path):
    pytest.importorskip("xllamacpp")
    from make_references import ask

    given = small(tmp_path, architecture=architecture, tied=architecture != "llama")
    path = write_gguf(given, tmp_path / "model.gguf")
    body = {"prompt": given.tokenizer("b a c")["input_ids"], "n_predict": 12, "temperature": 0,
            "ignore_eos": True, "return_tokens": True, "cache_prompt": False}  # fmt: skip
    found = ask(path, lambda post: post("/completion", body))
    assert found["tokens"] == greedy(given, "b a c", 12)


def test_eight_bits_are_nearly_the_same_weights_in_a_third_of_the_size(tmp_path):
    given = small(tmp_path)
    whole = write_gguf(given, tmp_path / "whole.gguf")
    path = write_gguf(given, tmp_path / "eight.gguf", dtype="q8_0")
    again = converted(path, tmp_path / "again")
    wanted, found = given.model.state_dict(), again.model.state_dict()
    assert wanted.keys() == found.keys()
    for name, values in wanted.items():
        scale = values.abs().max() / 127
        assert (values - found[name].float()).abs().max() <= scale + 1e-6, name
    assert path.stat().st_size < whole.stat().st_size


def test_what_llama_cpp_would_compute_otherwise_is_refused(tmp_path):
    from tokenizers import pre_tokenizers

    given = small(tmp_path)
    given.tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    given.model.config.hidden_act = "gelu"
    given.model.config.attention_bias = True
    with pytest.raises(CheckpointError) as fault:
        write_gguf(given, tmp_path / "model.gguf")
    for words in ("hidden_act is 'gelu'", "attention_bias is True", "no name for"):
        assert words in str(fault.value)
    assert not (tmp_path / "model.gguf").exists()
