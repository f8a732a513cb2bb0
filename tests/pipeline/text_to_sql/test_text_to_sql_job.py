from __future__ import annotations

import pytest
from stillroom.data.text_to_sql.databases.all_databases import HELD_OUT, TRAINING
from stillroom.distillation.starter_student import StarterSize, new_model, train_tokenizer
from stillroom.errors import ConfigError, LabelingStoppedError
from stillroom.files import read_json, read_json_lines
from stillroom.inference.checkpoints.load_student import save_checkpoint
from stillroom.pipeline.text_to_sql import answers, run, training
from stillroom.pipeline.text_to_sql.options import TEXT_TO_SQL
from stillroom.pipeline.text_to_sql.run import run_text_to_sql_job
from stillroom.pipeline.text_to_sql.settings import TextToSqlJob

MODELS = ("teacher", "student_untrained", "student_teacher_text", "student")
ROWS = {"teacher", "student", "student, untrained", "student, teacher text", "student, any text"}


@pytest.fixture(scope="module")
def random_teacher(tmp_path_factory):
    """Give the folder of a small model with random weights; with a grammar its SQL still runs."""
    folder = tmp_path_factory.mktemp("model") / "random"
    texts = [database.schema_text() for database in TRAINING.values()]
    tokenizer = train_tokenizer([*texts, "SELECT COUNT(*) FROM WHERE ORDER BY LIMIT"], 600)
    size = StarterSize(layers=4, width=64, heads=1, positions=1024)
    save_checkpoint(
        folder, new_model(tokenizer, size, seed=0), tokenizer, {"status": "complete", "steps": 0}
    )
    return folder


@pytest.fixture
def job(random_teacher, tmp_path):
    return TextToSqlJob(
        teacher=str(random_teacher),
        questions=24,
        measured=7,
        batch=4,
        effort=0.3,
        min_score=0.5,
        max_new_tokens=200,
        max_minutes=None,
        threads=1,
        output_dir=str(tmp_path / "run"),
    )


def test_the_job_goes_from_questions_to_a_table_of_models(job, capsys):
    folder = run_text_to_sql_job(job)
    taught, asked, measured, labels = (
        read_json_lines(folder / "data" / f"{name}.jsonl")
        for name in ("taught", "asked", "measured", "labels")
    )
    assert (len(taught), len(asked), len(measured)) == (14, 10, 7)
    assert {record["table_id"] for record in taught + asked} <= set(TRAINING)
    assert {record["table_id"] for record in measured} <= set(HELD_OUT)
    assert {record["wording"] for record in measured} == {"trained", "new"}
    ran = [record for record in labels if record["exec_pass"]]
    assert [record["keep"] for record in labels] == [record["exec_pass"] for record in labels]
    assert all(record["teacher_score"] in (0.5, 1.0) for record in ran)
    report = read_json(folder / "quality_report.json")
    assert (report["total"], report["kept"]) == (10, len(ran))
    metrics = read_json(folder / "metrics.json")
    assert set(metrics) == ROWS | {"databases"}
    for row in ROWS:
        assert metrics[row]["total"] == 7
        low, high = metrics[row]["gold_match_ci95"]
        assert low <= metrics[row]["gold_match_rate"] <= high
        assert sum(one["total"] for one in metrics[row]["shapes"].values()) == 7
    assert metrics["student, any text"]["exec_pass_rate"] == 0, "random text is no SQL"
    for name in MODELS:
        assert (folder / name / "model.safetensors").is_file()
    report = read_json(folder / "report.json")
    assert set(report["numbers"]["quality"]) == {*MODELS, "student_any_text"}
    assert "0.0 %" in report["conclusion"][0]
    assert "execution_accuracy" in (folder / "student" / "README.md").read_text(encoding="utf-8")
    told = capsys.readouterr().out
    assert "about 1 min" in told
    assert told.index("gold_match_rate") < told.index("student, teacher text")
    assert set(read_json(folder / "timing.json")["busy_s"]) == {
        "teacher", "labels", "students", "measuring",
    }  # fmt: skip


def test_an_interrupted_job_trains_and_asks_nothing_twice(job, monkeypatch, capsys):
    trained, asked = [], []
    train, generate = training._train_student, answers.generate_texts

    def train_one(job, name, *rest):
        trained.append(name)
        train(job, name, *rest)

    def generate_some(checkpoint, prompts, **settings):
        if len(asked) == 3:
            asked.append("stopped")
            raise KeyboardInterrupt
        asked.append(len(prompts))
        return generate(checkpoint, prompts, **settings)

    monkeypatch.setattr(training, "_train_student", train_one)
    monkeypatch.setattr(answers, "generate_texts", generate_some)
    monkeypatch.setattr(answers, "BATCH", 5)
    with pytest.raises(KeyboardInterrupt):
        run_text_to_sql_job(job)
    assert (trained, asked) == (["student", "student_teacher_text"], [5, 5, 5, "stopped"])
    folder = run_text_to_sql_job(job)
    assert trained == ["student", "student_teacher_text"]
    assert sum(count for count in asked if count != "stopped") == 10 + 5 * 7
    assert "going on" in capsys.readouterr().out
    assert len(read_json_lines(folder / "answers" / "teacher.jsonl")) == 7
    assert not (folder / "work").exists()


def test_both_students_start_from_the_same_weights_and_learn_the_same_texts(job, monkeypatch):
    seen = {}
    distil_one = training.ModelDistiller.distill

    def distill(self, examples, **settings):
        weights = sum(float(p.sum()) for p in self.student_model.parameters())
        folder = self.config.output_dir.rsplit("/", 1)[-1]
        seen[folder] = (weights, [example.target for example in examples], self.config.alpha)
        return distil_one(self, examples, **settings)

    monkeypatch.setattr(training.ModelDistiller, "distill", distill)
    run_text_to_sql_job(job)
    assert seen["student"][0] == pytest.approx(seen["student_teacher_text"][0], abs=1e-2)
    assert seen["student"][1] == seen["student_teacher_text"][1]
    assert (seen["student"][2], seen["student_teacher_text"][2]) == (0.5, 0.0)


def test_nothing_is_distilled_from_answers_that_are_all_wrong(job, monkeypatch):
    monkeypatch.setattr(run, "execution_score", lambda *_, **__: 0.0)
    with pytest.raises(LabelingStoppedError, match=r"none of the teacher's 10 answers"):
        run_text_to_sql_job(job)


def test_a_job_that_takes_too_long_is_refused_with_what_would_fit(job):
    from dataclasses import replace

    with pytest.raises(ConfigError, match=r"--max-minutes.*--questions 0.*--effort"):
        run_text_to_sql_job(replace(job, max_minutes=1e-6))


def test_wrong_settings_are_told_all_at_once():
    with pytest.raises(ConfigError) as fault:
        TextToSqlJob(questions=0, gold_share=1, alpha=2, min_score=-1, lora_rank=-1, seed=-1)
    told = str(fault.value)
    assert all(name in told for name in ("questions", "gold_share", "alpha", "min_score", "seed"))


def test_the_command_names_a_model_that_is_missing(capsys, tmp_path):
    with pytest.raises(SystemExit):
        TEXT_TO_SQL(["--teacher", str(tmp_path / "none")])
    assert "none" in capsys.readouterr().err
