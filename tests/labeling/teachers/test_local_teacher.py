"""Teachers in this process: whole, in 8 and in 4 bit, and where the processor cannot."""

import asyncio
import copy
import dataclasses
import logging
import sys

import pytest
import torch
from project_paths import ROOT

sys.path.insert(0, str(ROOT / "tests" / "inference"))

from stillroom.errors import ConfigError, GenerationError
from stillroom.files import write_json_lines
from stillroom.inference.checkpoints.load_student import Checkpoint, save_checkpoint
from stillroom.inference.checkpoints.quantization import is_quantized
from stillroom.inference.generate import generate_texts
from stillroom.inference.onnx_export.export import export_checkpoint
from stillroom.inference.onnx_export.folder import EXPORT_FOLDER
from stillroom.labeling.batch.label_run import LabelSettings
from stillroom.labeling.batch.labeler import BatchLabeler, LabelTask
from stillroom.labeling.teachers import local_model as local_teacher
from stillroom.labeling.teachers.local_model import weights_revision
from stillroom.labeling.teachers.open_teacher import open_teacher
from stillroom.labeling.teachers.protocol import DecodeProfile
from tiny_model import PAIRS, make_model, make_tokenizer, make_trained, train

TASKS = [LabelTask(str(n), prompt) for n, prompt in enumerate(PAIRS)]


def texts(run):
    return [one.answer and one.answer.text for one in run.results]


def copied():
    made = make_trained()
    return dataclasses.replace(made, model=copy.deepcopy(made.model))


def label(teacher, folder, **profile):
    settings = LabelSettings(concurrency=8)
    profile = DecodeProfile(**{"max_tokens": 60, **profile})
    return BatchLabeler(teacher, folder, profile=profile, settings=settings).run(TASKS)


def test_labels_of_a_local_teacher_are_those_of_the_model(tmp_path):
    run = label(open_teacher(make_trained()), tmp_path)
    assert texts(run) == list(PAIRS.values())
    expected = generate_texts(make_trained(), list(PAIRS), max_new_tokens=60)
    assert texts(run) == [one.text for one in expected]
    counted = [(one.answer.prompt_tokens, one.answer.completion_tokens) for one in run.results]
    assert counted == [(one.prompt_tokens, len(one.token_ids)) for one in expected]


def test_answers_that_do_not_end_are_no_labels(tmp_path):
    run = label(open_teacher(make_trained()), tmp_path, max_tokens=3)
    kinds = {one.fault.kind for one in run.failed}
    assert kinds == {"truncated"}
    assert {"Au", "Ag"} <= set(texts(run))


def test_a_stop_text_ends_an_answer(tmp_path):
    run = label(open_teacher(make_trained()), tmp_path, stop=(" four",))
    (counted,) = (text for text in texts(run) if text and text.startswith("one"))
    assert counted == "one two three"


def test_turns_and_what_does_not_fit():
    teacher = open_teacher(make_trained())

    async def once(prompt):
        try:
            return await teacher.ask(prompt, DecodeProfile(max_tokens=60))
        finally:
            await teacher.close()

    prompt = next(iter(PAIRS))
    assert asyncio.run(once([{"role": "user", "content": prompt}])).text == PAIRS[prompt]
    with pytest.raises(GenerationError, match="tokens"):
        asyncio.run(once("word " * 500))


@pytest.mark.parametrize("bits", [8, 4])
def test_a_quantised_teacher_labels_records(tmp_path, bits):
    pytest.importorskip("bitsandbytes")
    teacher = open_teacher(copied(), bits=bits)
    run = label(teacher, tmp_path)
    assert is_quantized(teacher._checkpoint.model)
    assert len(run.labelled) + len(run.failed) == len(TASKS)
    right = sum(text == target for text, target in zip(texts(run), PAIRS.values(), strict=True))
    assert right >= (9 if bits == 8 else 5)  # of ten; 4 bits round a model of width 32 hard
    assert teacher.revision.startswith("quantised-")


def test_a_quantised_teacher_from_a_folder(tmp_path):
    pytest.importorskip("bitsandbytes")
    made = make_trained()
    folder = save_checkpoint(tmp_path / "teacher", made.model, made.tokenizer, {})
    teacher = open_teacher(str(folder), bits=8, device="cpu")
    assert is_quantized(teacher._checkpoint.model)
    assert teacher.name == "teacher"
    assert teacher.revision != open_teacher(str(folder)).revision


@pytest.mark.parametrize("bits", [8, 4])
def test_a_processor_that_cannot_gets_one_message_and_the_whole_teacher(
    tmp_path, monkeypatch, caplog, bits
):
    reason = f"bitsandbytes cannot run {bits}-bit layers on cpu (no kernel)"
    monkeypatch.setattr(local_teacher, "why_not_quantized", lambda *_: reason)
    with caplog.at_level(logging.WARNING):
        teacher = open_teacher(copied(), bits=bits)
        run = label(teacher, tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        f"the teacher runs unquantised, with more memory: {reason}"
    ]
    assert texts(run) == list(PAIRS.values())


def test_bits_are_eight_or_four():
    with pytest.raises(ConfigError, match="bits is 3"):
        open_teacher(make_trained(), bits=3)


def test_another_model_of_the_same_name_has_other_labels(tmp_path):
    """Folders of one name hold different teachers; the cache must not mix them up."""
    label(open_teacher(make_trained()), tmp_path)
    tokenizer = make_tokenizer()
    tokenizer.padding_side = "left"
    torch.manual_seed(1)
    other = Checkpoint(make_model(tokenizer), tokenizer, None, "tiny", {"status": "complete"})
    run = label(open_teacher(other), tmp_path)
    assert not any(one.cached for one in run.results)
    changed = copied()
    with torch.no_grad():
        changed.model.model.layers[0].mlp.up_proj.weight[0, 0] += 1e-3
    assert weights_revision(changed.model) != weights_revision(make_trained().model)
    assert weights_revision(copied().model) == weights_revision(make_trained().model)


@pytest.fixture
def exportable(tmp_path):
    """A folder of a taught teacher with heads of a size that exports take, and prompts."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, head_dim=16)
    train(model, tokenizer)
    lines = [{"prompt": prompt, "target": target} for prompt, target in PAIRS.items()]
    write_json_lines(tmp_path / "prompts.jsonl", lines)
    return save_checkpoint(tmp_path / "teacher", model, tokenizer, {})


def export(folder, dtype="int8"):
    prompts = folder.parent / "prompts.jsonl"
    export_checkpoint(folder, dtype=dtype, output=folder / EXPORT_FOLDER, prompts=prompts)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_an_exported_teacher_labels_without_its_weights(exportable, tmp_path, dtype):
    by_torch = open_teacher(str(exportable), device="cpu")
    export(exportable, dtype)
    teacher = open_teacher(str(exportable), device="cpu")
    assert not isinstance(teacher._checkpoint.model, torch.nn.Module)
    assert teacher.name == by_torch.name == "teacher"
    assert teacher.revision.startswith(dtype)
    run = label(teacher, tmp_path / "one")
    assert texts(run) == texts(label(by_torch, tmp_path / "two")) == list(PAIRS.values())
    assert texts(label(teacher, tmp_path / "three")) == list(PAIRS.values())  # closed in between


def test_a_stale_export_is_not_asked(exportable, tmp_path, caplog):
    export(exportable)
    tokenizer = make_tokenizer()
    make_model(tokenizer, head_dim=16, initializer_range=0.3).save_pretrained(exportable)
    with caplog.at_level(logging.WARNING):
        teacher = open_teacher(str(exportable), device="cpu")
    assert "the export is not used" in caplog.text
    assert isinstance(teacher._checkpoint.model, torch.nn.Module)
