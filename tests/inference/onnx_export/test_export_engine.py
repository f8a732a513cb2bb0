"""The engine over an export behaves as the one over transformers, and `auto` chooses rightly."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil

import pytest
import torch
from engine_tools import ask, eventually
from stillroom.errors import (
    CheckpointError,
    ConfigError,
    EngineClosedError,
    ExportError,
    GenerationError,
    MissingDependencyError,
    ScriptError,
)
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.checkpoints.load_student import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from stillroom.inference.engine.protocol import Engine, GenerationRequest
from stillroom.inference.no_real_models import forbid_models
from stillroom.inference.open_engine import open_engine
from tiny_model import PAIRS, make_model, make_tokenizer, peer_generate, train

NEEDED = "exports need an extra: pip install 'stillroom[cpu]'"
pytest.importorskip("onnxruntime", reason=NEEDED)
pytest.importorskip("onnx", reason=NEEDED)

from stillroom.inference.onnx_export.engine import serve_export  # noqa: E402
from stillroom.inference.onnx_export.export import export_checkpoint  # noqa: E402

GOLD, *_ = PAIRS


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A student that knows `PAIRS`, exported; do not change it."""
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, head_dim=16)
    train(model, tokenizer)
    folder = save_checkpoint(tmp_path_factory.mktemp("run") / "student", model, tokenizer, {})
    export_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def plain(student) -> Checkpoint:
    return load_checkpoint(student, device="cpu")


@pytest.fixture(scope="module")
def engine(student):
    engine = serve_export(student / "export", threads=1)
    yield engine
    engine.close()


@pytest.fixture
def folder(student, tmp_path):
    return shutil.copytree(student, tmp_path / "student")


def prompts(count):
    chance = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 50, (count,), generator=chance).tolist()
    return [torch.randint(1, 280, (n,), generator=chance).tolist() for n in lengths]


def test_it_is_an_engine(engine):
    assert isinstance(engine, Engine)
    assert (engine.name, engine.takes, engine.ready()) == ("student", "ids", True)


def test_greedy_tokens_and_logprobs_are_those_of_generate_whatever_else_runs(engine, plain):
    asked = prompts(40)
    streams = [engine.submit(ask(prompt, 5 + place % 9)) for place, prompt in enumerate(asked)]
    for place, (prompt, stream) in enumerate(zip(asked, streams, strict=True)):
        wanted = peer_generate(plain.model, prompt, 5 + place % 9, eos_token_id=-1)
        events = stream.collect()
        assert [event.token_id for event in events] == wanted
        with torch.inference_mode():
            logits = plain.model(input_ids=torch.tensor([[*prompt, *wanted]])).logits[0]
        logprobs = logits.log_softmax(dim=-1)[len(prompt) - 1 : -1]
        exact = logprobs.gather(1, torch.tensor(wanted)[:, None]).squeeze(1).tolist()
        assert [event.logprob for event in events] == pytest.approx(exact, abs=1e-3)


def test_a_chat_model_answers_from_the_export_by_itself(student, caplog):
    with caplog.at_level(logging.WARNING):
        chats = [ChatStudent(model=student), ChatStudent(model=student, engine="export")]
        other = ChatStudent(model=student, engine="transformers")
    assert not caplog.records
    assert chats[0].serving_engine is chats[1].serving_engine
    assert chats[0].serving_engine is not other.serving_engine
    for prompt, answer in PAIRS.items():
        assert chats[0].invoke(prompt).text == other.invoke(prompt).text == answer
    with pytest.raises(GenerationError, match=r"student are in an export.*load_checkpoint"):
        chats[0].checkpoint.model(input_ids=torch.tensor([[1]]))


async def test_sixteen_at_once_answer_as_one_after_the_other(student):
    chat = ChatStudent(model=student, engine="export")
    asked = [*PAIRS, *list(PAIRS)[:6]]
    together = await asyncio.gather(*(chat.ainvoke(prompt) for prompt in asked))
    assert [answer.text for answer in together] == [PAIRS[prompt] for prompt in asked]


def test_samples_are_those_of_the_transformers_engine(student, engine):
    other = open_engine(student, engine="transformers")
    request = ask((5, 6, 7), 12, temperature=0.7, top_p=0.9, seed=3)
    tokens = [[e.token_id for e in one.submit(request).collect()] for one in (engine, other)]
    assert tokens[0] == tokens[1]


def test_alternatives_and_forms_work_as_everywhere(student):
    chat = ChatStudent(model=student, engine="export", top_logprobs=3)
    told = chat.invoke(GOLD).response_metadata
    assert [len(likeliest) for likeliest in told["top_logprobs"]] == [3] * len(told["logprobs"])
    schema = {"title": "Answer", "type": "object", "required": ["sure"],
              "properties": {"sure": {"type": "boolean"}}}  # fmt: skip
    assert chat.with_structured_output(schema).invoke(GOLD) in ({"sure": True}, {"sure": False})


def test_a_cancelled_request_leaves_at_once(engine):
    streams = [engine.submit(ask((5, 6, place + 1), 200)) for place in range(3)]
    first = iter(streams[1])
    next(first)
    streams[1].cancel()
    assert [len(streams[place].collect()) for place in (0, 2)] == [200, 200]
    eventually(lambda: engine.stats().running == 0)
    assert engine.stats().cancelled >= 1
    assert engine.stats().cached_tokens == 0


def test_scores_are_those_of_the_transformers_engine(student, engine):
    prompt, choices = (5, 6, 7), [[3], [4, 5, 6], [3, 9]]
    other = open_engine(student, engine="transformers")
    wanted = other.score_choices(prompt, choices).result(30)
    assert engine.score_choices(prompt, choices).result(30) == pytest.approx(wanted, abs=1e-3)


def test_a_prompt_as_long_as_the_context_is_answered_to_its_end(engine):
    (event,) = engine.submit(ask([7] * 255, 20)).collect()
    assert event.finish_reason == "length"
    with pytest.raises(GenerationError, match="256"):
        engine.submit(ask([7] * 256, 1))


def test_a_closed_engine_says_so(student):
    engine = serve_export(student / "export")
    engine.close()
    with pytest.raises(EngineClosedError):
        engine.submit(ask())


def test_an_export_serves_without_its_checkpoint(student, tmp_path):
    moved = shutil.copytree(student / "export", tmp_path / "elsewhere")
    engine = open_engine(moved)
    assert engine.name == "elsewhere"
    ids = engine.checkpoint.tokenizer(GOLD)["input_ids"]
    events = engine.submit(GenerationRequest(ids)).collect()
    assert events[-1].finish_reason == "stop"
    assert engine.checkpoint.tokenizer.decode([e.token_id for e in events[:-1]]).strip() == "Au"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer_config.json", "config.json"])
def test_a_stale_export_is_passed_over_with_a_message(folder, name, caplog):
    """What was trained again, or given another tokenizer, must not answer with old weights."""
    path = folder / name
    if name == "model.safetensors":
        other = make_model(make_tokenizer(), head_dim=16, initializer_range=0.3)
        other.save_pretrained(folder)
    else:
        path.write_text(path.read_text() + "\n")
    with caplog.at_level(logging.WARNING):
        engine = open_engine(folder)
    assert isinstance(engine.checkpoint.model, torch.nn.Module)
    assert "made from other files" in caplog.text
    assert f"stillroom export {folder}" in caplog.text
    with pytest.raises(ExportError, match="made from other files"):
        open_engine(folder, engine="export")


def test_a_damaged_export_is_not_used(folder, caplog):
    path = folder / "export" / "export.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert isinstance(open_engine(folder).checkpoint.model, torch.nn.Module)
    assert "names by its hash" in caplog.text


def change(folder, **entries):
    path = folder / "export" / "export.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"schema_version": 2}, "schema_version 2"),
        ({"dtype": "int2"}, "lacks dtype"),
        ({"dtype": "int8"}, "codes"),
        ({"source": {"sha256": {"../config.json": "0"}}}, "lacks dtype"),
        ({"weights_sha256": 5}, "lacks dtype"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(folder, entries, said):
    change(folder, **entries)
    with pytest.raises(ExportError, match=said):
        serve_export(folder / "export")


def test_settings_of_an_export_are_checked_like_those_of_a_checkpoint(folder):
    path = folder / "export" / "config.json"
    path.write_text(path.read_text().replace("{", '{"auto_map": {"AutoModel": "evil.Model"},', 1))
    with pytest.raises(CheckpointError, match="auto_map"):
        serve_export(folder / "export")


def test_sizes_that_the_weights_do_not_have_are_refused_before_anything_is_made(folder):
    path = folder / "export" / "config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "num_hidden_layers": 200, "hidden_size": 1 << 17}))
    with pytest.raises(ExportError, match=r"is missing|has shape"):
        serve_export(folder / "export")


def test_without_the_package_transformers_computes(folder, monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with caplog.at_level(logging.WARNING):
        assert isinstance(open_engine(folder).checkpoint.model, torch.nn.Module)
    assert "stillroom[cpu]" in caplog.text
    with pytest.raises(MissingDependencyError, match=r"onnxruntime.*stillroom\[cpu\]"):
        serve_export(folder / "export")


def test_an_old_runtime_is_not_used(student, monkeypatch):
    monkeypatch.setattr("onnxruntime.__version__", "1.23.2")
    with pytest.raises(MissingDependencyError, match=r"1\.24\.1 or newer"):
        serve_export(student / "export")


def test_what_cannot_be_is_said(plain, saved):
    with pytest.raises(ExportError, match="holds no export; make one: stillroom export"):
        open_engine(saved, engine="export")
    with pytest.raises(ConfigError, match="give the checkpoint's folder"):
        open_engine(plain, engine="export")


def test_exports_are_real_models(student):
    with forbid_models(), pytest.raises(ScriptError, match="export"):
        serve_export(student / "export")
