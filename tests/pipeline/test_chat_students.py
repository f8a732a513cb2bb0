"""A student of a model with a chat template: cached, trained, saved, served in the same prompts."""

from __future__ import annotations

import json

import pytest
import torch
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
from stillroom.distillation.teacher.cache_job import CacheSettings, cache_teacher_logits
from stillroom.errors import CheckpointError, ConfigError
from stillroom.files import read_json
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.chat.chat_prompts import chat_prompt_ids
from stillroom.inference.chat.response_format import AnswerForm
from stillroom.inference.checkpoints.load_student import (
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from stillroom.inference.generate import generate_texts
from stillroom.inference.scoring.choices import encode_choices
from stillroom.inference.scoring.label_scoring import label_probabilities
from stillroom.labeling.teachers.local_model import LocalTeacher
from stillroom.prompts import THINK, render
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe right.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
RECORDS = [
    {"question": f"What is the symbol of {name}?", "answer": symbol}
    for name, symbol in (("gold", "Au"), ("silver", "Ag"), ("iron", "Fe"), ("tin", "Sn"))
]
QUESTION = "What is the symbol of gold?"


def make_tokenizer(template=None):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator([r["question"] + " " + r["answer"] for r in RECORDS], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>",
        additional_special_tokens=special[1:],
    )  # fmt: skip
    tokenizer.chat_template = template
    return tokenizer


def make_model(tokenizer, folder):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=256,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train(teacher, folder, records=RECORDS, **settings):
    config = DistillationConfig(
        teacher_model_name=str(teacher), student_model_name="every_second_layer",
        output_dir=str(folder), batch_size=4, device="cpu", progress=False,
        **{"learning_rate": 0.01, "max_length": 128, "num_epochs": 1, **settings},
    )  # fmt: skip
    distiller = ModelDistiller(config)
    distiller.distill(records)
    return distiller.save_distilled_model()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return make_model(make_tokenizer(CHATML), tmp_path_factory.mktemp("chat") / "teacher")


@pytest.fixture(scope="module")
def student(teacher, tmp_path_factory):
    """Trained from a cache of the teacher, long enough to know the answers."""
    root = tmp_path_factory.mktemp("student")
    cache_teacher_logits(
        CacheSettings(str(teacher), str(root / "cache"), max_length=128, device="cpu",
                      progress=False),
        RECORDS,
    )  # fmt: skip
    return train(
        teacher, root / "student", num_epochs=60, alpha=0.1, teacher_cache=str(root / "cache")
    )


def ids_of(checkpoint, *messages):
    return chat_prompt_ids(checkpoint, list(messages), AnswerForm())


def test_a_student_answers_the_bare_question_and_ends_its_turn(student):
    verify_checkpoint(student)
    chat = ChatStudent(model=str(student), max_tokens=8)
    for record in RECORDS:
        told = chat.invoke(record["question"])
        assert told.text == record["answer"]
        assert told.response_metadata["finish_reason"] == "stop"
        assert chat.invoke(render("s2-qa", record["question"])).text == record["answer"]
    loaded = load_checkpoint(student)
    assert [g.text for g in generate_texts(loaded, [QUESTION])] == ["Au"]
    (told,) = generate_texts(loaded, [QUESTION], max_new_tokens=8)
    assert loaded.tokenizer.decode(told.token_ids) == "Au<|im_end|>"


def test_labels_and_scores_use_the_prompt_of_the_training(student):
    import asyncio

    from stillroom.labeling.teachers.protocol import DecodeProfile

    loaded = load_checkpoint(student)
    teacher = LocalTeacher(loaded)
    for prompt in (render("s2-qa", QUESTION), [{"role": "user", "content": QUESTION}]):
        answer = asyncio.run(teacher.ask(prompt, DecodeProfile(max_tokens=8)))
        assert answer.text == "Au"
        asyncio.run(teacher.close())
    ids, answers = encode_choices(loaded, QUESTION, ["Au", "Ag"], with_end=True)
    assert ids == ids_of(loaded, HumanMessage(QUESTION))
    end = loaded.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert [answer[-1] for answer in answers] == [end, end]
    shares = label_probabilities(loaded, QUESTION, ["Au", "Ag"], correction="none")
    assert shares[0] > 0.7


def test_the_folder_says_how_its_prompts_are_rendered(student, tmp_path):
    run = read_json(student / "run.json")
    assert run["prompt_form"] == "s2-qa"
    assert len(run["chat_template_sha256"]) == 64
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in student.iterdir():
        if file.is_file():
            (changed / file.name).write_bytes(file.read_bytes())
    template = changed / "chat_template.jinja"
    template.write_text(CHATML.replace("Be right.", "Be wrong."), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"trained on prompts of the chat template with hash"):
        load_checkpoint(changed)
    template.unlink()
    with pytest.raises(CheckpointError, match=r"and its tokenizer has no chat template"):
        load_checkpoint(changed)


def test_a_student_of_an_earlier_version_keeps_its_plain_prompts(student, tmp_path):
    loaded = load_checkpoint(student)
    folder = save_checkpoint(tmp_path / "old", loaded.model, loaded.tokenizer, {"seed": 0})
    run = read_json(folder / "run.json")
    del run["chat_template_sha256"]
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    old = load_checkpoint(folder)
    assert old.tokenizer.decode(ids_of(old, HumanMessage("Question: Q\n\nAnswer:"))) == (
        "Question: Q\n\nAnswer:"
    )


def test_a_cache_of_another_template_is_refused(teacher, tmp_path):
    cache_teacher_logits(
        CacheSettings(str(teacher), str(tmp_path / "cache"), max_length=128, device="cpu",
                      progress=False),
        RECORDS,
    )  # fmt: skip
    other = tmp_path / "other"
    other.mkdir()
    for file in teacher.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "chat_template.jinja").write_text(CHATML.replace("Be right.", "Be kind."), "utf-8")
    with pytest.raises(ConfigError, match="template_sha256"):
        train(other, tmp_path / "student", teacher_cache=str(tmp_path / "cache"))


def test_a_bare_question_is_asked_in_the_plain_format_of_the_training(tmp_path):
    """Without a template: training writes the format, so serving must write it too."""
    plain = make_model(make_tokenizer(), tmp_path / "plain")
    folder = train(plain, tmp_path / "student", num_epochs=60, alpha=0.0)
    loaded = load_checkpoint(folder)
    assert loaded.run["prompt_form"] == "s2-qa"
    assert loaded.run["chat_template_sha256"] is None
    assert ChatStudent(model=loaded, max_tokens=8).invoke(QUESTION).text == "Au"
    told = [
        ([HumanMessage(QUESTION)], render("s2-qa", QUESTION)),
        ([HumanMessage(render("s2-summarize", "T"))], render("s2-summarize", "T")),
        ([HumanMessage("Which agent?\n\nAgent:")], "Which agent?\n\nAgent:"),
        ([SystemMessage("S"), HumanMessage("Q")], render("s2-qa", "Q", context="S")),
        (
            [SystemMessage("S"), HumanMessage("Q"), AIMessage("A"), HumanMessage("B")],
            render("s2-qa", "B", context="User: Q\nAssistant: A\n\nS"),
        ),
    ]
    for messages, prompt in told:
        assert loaded.tokenizer.decode(ids_of(loaded, *messages)) == prompt


def test_a_student_on_ready_prompts_gets_texts_as_they_are(tmp_path):
    plain = make_model(make_tokenizer(), tmp_path / "plain")
    records = [{"prompt": f"{r['question']} ->", "completion": r["answer"]} for r in RECORDS]
    loaded = load_checkpoint(train(plain, tmp_path / "student", records, alpha=0.0))
    assert loaded.run["prompt_form"] is None
    assert loaded.tokenizer.decode(ids_of(loaded, HumanMessage("Q ->"))) == "Q ->"


def test_a_student_that_reasons_is_asked_to(teacher, tmp_path):
    records = [
        {"prompt": f"User: {r['question']}\n{THINK}\nAssistant:", "completion": r["answer"]}
        for r in RECORDS
    ]
    loaded = load_checkpoint(train(teacher, tmp_path / "student", records, alpha=0.0))
    assert loaded.run["prompt_form"] == "system2"
    prompt = loaded.tokenizer.decode(ids_of(loaded, HumanMessage(QUESTION)))
    assert f"user\n{QUESTION}\n{THINK}<|im_end|>" in prompt
