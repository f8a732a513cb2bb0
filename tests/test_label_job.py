"""The main job on a table of labels with an encoder as the student."""

import csv

import pytest
import torch
from stillroom.agentic_workflow.agent import (
    AgenticWorkflow,
    DistilledModelAgent,
    MultiAgentWorkflow,
)
from stillroom.console import Console
from stillroom.data.questions.label_questions import by_record, labels_of
from stillroom.distillation.starter_student import train_tokenizer
from stillroom.errors import ConfigError
from stillroom.files import read_json
from stillroom.inference.checkpoints.load_student import save_checkpoint
from stillroom.inference.scoring.confidence import ConfidenceMap
from stillroom.pipeline import MainJob, Recipe, run_main_job
from stillroom.pipeline.main_job.load_table import make_questions, read_source
from transformers import BertConfig, BertModel

SMALL = Recipe(
    teacher_exposures=1, student_exposures=23.5, teacher_least_steps=12, student_least_steps=12
)
KINDS = {"gold": "rich", "tin": "poor", "iron": "plain"}
THINGS = [
    f"{kind} {thing}"
    for kind in ("big", "old", "new", "red", "dry", "hot", "wet", "odd", "fat", "wee")
    for thing in ("ring", "cup", "box", "lamp", "bowl", "coin", "key", "pin", "nail", "bell", "pot")
]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "metals.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["question", "answer"])
        for thing in THINGS:
            writer.writerows(
                [f"Somebody sells {m} as a {thing}", kind] for m, kind in KINDS.items()
            )
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, table):
    tokenizer = train_tokenizer(table.read_text(encoding="utf-8").splitlines() * 4, 400)
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64,
                   num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=512)
    ).eval()  # fmt: skip
    return save_checkpoint(tmp_path_factory.mktemp("models") / "encoder", model, tokenizer, {})


@pytest.fixture(scope="module")
def finished(table, encoder, tmp_path_factory):
    job = MainJob(
        data=table, student=encoder, output_dir=tmp_path_factory.mktemp("run") / "metals",
        recipe=SMALL, max_minutes=None,
    )  # fmt: skip
    return run_main_job(job, Console())


def questions_of(path):
    job = MainJob(data=path)
    return make_questions(job, read_source(job, Console()), Console()).questions


def test_whole_records_are_held_out(table):
    questions = questions_of(table)
    assert labels_of(questions) == sorted(KINDS.values())
    split = by_record(questions, seed=0)
    train, held_out = ({e.fact for e in part} for part in (split.train, split.held_out))
    assert not train & held_out
    assert len(train | held_out) == len(THINGS) * len(KINDS)
    assert len(held_out) == 66
    assert {e.target for e in split.train} >= {e.target for e in split.held_out}
    assert by_record(questions, seed=1).held_out != split.held_out


def test_a_table_of_facts_has_no_labels(table, encoder, tmp_path):
    path = tmp_path / "facts.csv"
    path.write_text("question,answer\n" + "".join(f"What is {n}?,{n}\n" for n in range(12)))
    assert labels_of(questions_of(path)) == []
    with pytest.raises(ConfigError, match="few labels"):
        run_main_job(MainJob(data=path, student=encoder, output_dir=tmp_path / "run"), Console())


def test_the_student_is_measured_beside_the_frozen_encoder(finished):
    metrics = read_json(finished / "metrics.json")
    assert {"teacher", "student", "frozen_encoder", "student_without_teacher"} <= set(metrics)
    assert metrics["frozen_encoder"]["parameters"] == metrics["student"]["parameters"]
    assert metrics["student_all_gold"]["exact_match"] > 0.6
    assert metrics["student"]["by_task"].keys() == {"qa"}
    shares = read_json(finished / "data" / "label_probabilities.json")
    assert all(sum(row.values()) == pytest.approx(1.0) for row in shares.values())


def test_its_agents_answer_with_a_label_and_a_confidence(finished):
    student = finished / "student"
    assert DistilledModelAgent(student, temperature=0.0).answer_question("Gold?") in KINDS.values()
    assert ConfidenceMap.read(student) is not None
    question = "Somebody sells tin as a blue ring"
    for workflow in (AgenticWorkflow(str(student)), MultiAgentWorkflow(str(student))):
        final = workflow.run(question)
        assert set(KINDS.values()) & set(str(final["response"]).split()), final
