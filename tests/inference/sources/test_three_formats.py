"""One student as safetensors, ONNX export and GGUF file: the same greedy tokens from each."""

from __future__ import annotations

from contextlib import closing

import pytest
from gguf_files import byte_characters
from stillroom.cli import main
from stillroom.errors import MissingDependencyError
from stillroom.inference.checkpoints.load_student import load_checkpoint, save_checkpoint
from stillroom.inference.engine.protocol import GenerationRequest
from stillroom.inference.engine.transformers_engine import serve_checkpoint
from stillroom.inference.gguf_export.write_gguf import write_gguf
from stillroom.inference.onnx_export.engine import serve_export
from stillroom.inference.onnx_export.export import export_checkpoint
from tiny_model import PAIRS, make_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

COUNT = 16
END = "<|end|>"


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A student of large random weights, which says another token at every step, as a folder."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[END], initial_alphabet=byte_characters(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([*PAIRS, *PAIRS.values()], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)
    model = make_model(fast, initializer_range=0.3, hidden_size=64)
    folder = tmp_path_factory.mktemp("formats") / "student"
    return save_checkpoint(folder, model, fast, {"seed": 0})


@pytest.fixture(scope="module")
def prompts(student):
    tokenizer = load_checkpoint(student, device="cpu").tokenizer
    return [tokenizer(prompt)["input_ids"] for prompt in list(PAIRS)[:6]]


def tokens_of(engine, prompts):
    with closing(engine):
        streams = [
            engine.submit(GenerationRequest(ids, max_tokens=COUNT, ignore_end=True))
            for ids in prompts
        ]
        return [[event.token_id for event in stream.collect()] for stream in streams]


@pytest.fixture(scope="module")
def wanted(student, prompts):
    found = tokens_of(serve_checkpoint(load_checkpoint(student, device="cpu")), prompts)
    assert all(len(ids) == COUNT for ids in found)
    assert len({tuple(ids) for ids in found}) == len(prompts), "prompts that make no difference"
    assert len({token for ids in found for token in ids}) > 20, "a model that repeats itself"
    return found


def test_the_onnx_export_writes_the_tokens_of_the_safetensors(student, prompts, wanted, tmp_path):
    try:
        made = export_checkpoint(student, output=tmp_path / "export")
    except MissingDependencyError as fault:
        pytest.skip(str(fault))
    assert tokens_of(serve_export(made.folder), prompts) == wanted


def test_llama_cpp_writes_the_tokens_of_the_safetensors(student, prompts, wanted, tmp_path):
    pytest.importorskip("xllamacpp", reason="llama.cpp is not here; pip install xllamacpp")
    from make_references import ask

    path = write_gguf(load_checkpoint(student, device="cpu"), tmp_path / "model.gguf")
    settings = {"n_predict": COUNT, "temperature": 0, "ignore_eos": True, "return_tokens": True,
                "cache_prompt": False}  # fmt: skip
    found = ask(
        path,
        lambda post: [
            post("/completion", {"prompt": ids, **settings})["tokens"] for ids in prompts
        ],
    )
    assert found == wanted


def test_the_command_writes_beside_the_checkpoint_which_still_loads(student):
    assert main(["export", str(student), "--gguf"]) == 0
    assert student.with_suffix(".gguf").is_file()
    assert load_checkpoint(student, device="cpu").tokenizer is not None
    assert main(["export", str(student), "--gguf", "--output", str(student)]) == 1
