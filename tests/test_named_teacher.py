"""A named teacher in the main job: taught, measured before it labels, timed, refused in time."""

import csv
import dataclasses
from collections import Counter

import pytest
from stillroom.console import Console
from stillroom.data.questions.asked_questions import read_wordings
from stillroom.distillation.starter_student import StarterSize, new_model, train_tokenizer
from stillroom.errors import ConfigError, DataError, LabelingStoppedError
from stillroom.files import file_sha256, read_json
from stillroom.inference.checkpoints.load_student import load_checkpoint, save_checkpoint
from stillroom.pipeline import MainJob, Recipe, Tuning, run_main_job
from stillroom.pipeline.main_job import estimate, evaluate, named_teacher
from stillroom.pipeline.main_job.estimate_named import named_bytes, parameters_of
from stillroom.pipeline.main_job.load_table import make_questions, read_source
from stillroom.pipeline.main_job.named_teacher import rate_of, teacher_settings
from stillroom.records import read_examples

QUICK = Tuning(
    teacher_exposures=1,
    student_exposures=1,
    batch=8,
    teacher_least_steps=6,
    student_least_steps=3,
    teacher_rate=1e-3,
)
SMALL = Recipe(student_exposures=1, student_least_steps=3)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "stars.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["name", "colour", "distance"])
        for i in range(12):
            writer.writerow([f"Star {chr(65 + i)}", ("red", "blue", "white")[i % 3], 4 + 3 * i])
    return path


def make_model(folder, words, size=None):
    tokenizer = train_tokenizer([words], 300)
    model = new_model(tokenizer, size or StarterSize(layers=4, width=32, heads=1), seed=1)
    save_checkpoint(folder, model, tokenizer, {"status": "complete", "steps": 0, "seed": 1})
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "tiny", "What is the colour of Star A?")


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    path = tmp_path_factory.mktemp("asked") / "asked.csv"
    path.write_text("column,question\ncolour,how does {key} look\ncolour,tint of {key}\n")
    return path


@pytest.fixture
def job(table, model, asked, tmp_path):
    return MainJob(
        data=table, teacher=model, asked=asked, tuning=QUICK, recipe=SMALL, teacher_least=0,
        output_dir=tmp_path / "run", max_minutes=None,
    )  # fmt: skip


def test_it_is_taught_and_its_students_stand_beside_one_from_scratch(job, model, tmp_path, capsys):
    folder = run_main_job(job)
    said = capsys.readouterr().out
    assert "taught this table (all weights), 6 steps" in said
    assert "of 24 in held-out wordings" in said
    assert "of 12 in people's own words" in said
    assert said.index("people's own words") < said.index("labels ")
    assert file_sha256(folder / "teacher/model.safetensors") != file_sha256(
        model / "model.safetensors"
    )
    run = read_json(folder / "teacher/run.json")
    assert run["steps"] == 6
    assert run["config"]["optimizer"] == "adamw"
    metrics = read_json(folder / "metrics.json")
    assert {"teacher", "student", "student_from_scratch", "student_all_gold"} <= set(metrics)
    assert all(row["by_task"]["asked"]["count"] == 12 for row in metrics.values())
    settings = read_json(folder / "student/run.json")["config"]
    assert settings["optimizer"] == "adamw"
    assert settings["learning_rate"] < 0.01


def test_a_teacher_that_knows_too_little_labels_nothing_and_can_be_let_through(job, capsys):
    with pytest.raises(LabelingStoppedError, match=r"people|held-out.*--teacher-least"):
        run_main_job(dataclasses.replace(job, teacher_least=0.9, controls=False))
    folder = job.run_dir()
    assert not (folder / "student").exists()
    assert not (folder / "data/teacher_labels.jsonl").exists()
    weights = file_sha256(folder / "teacher/model.safetensors")
    capsys.readouterr()
    run_main_job(dataclasses.replace(job, controls=False))
    assert "finished before the interruption" in capsys.readouterr().out
    assert file_sha256(folder / "teacher/model.safetensors") == weights
    assert (folder / "student/model.safetensors").is_file()


def test_the_teaching_goes_on_where_it_was_interrupted(job, monkeypatch):
    """The training is finished; its last step, saving, is not reached."""
    whole = dataclasses.replace(job, output_dir=f"{job.output_dir}-whole", controls=False)
    stop = pytest.raises(LabelingStoppedError)
    with stop:
        run_main_job(dataclasses.replace(whole, teacher_least=1))

    def interrupt(*_):
        raise KeyboardInterrupt

    saving = named_teacher.ModelDistiller.save_distilled_model
    monkeypatch.setattr(named_teacher.ModelDistiller, "save_distilled_model", interrupt)
    broken = dataclasses.replace(job, controls=False, teacher_least=1)
    with pytest.raises(KeyboardInterrupt):
        run_main_job(broken)
    monkeypatch.setattr(named_teacher.ModelDistiller, "save_distilled_model", saving)
    with stop:
        run_main_job(broken)
    weights = [run.run_dir() / "teacher/model.safetensors" for run in (whole, broken)]
    assert file_sha256(weights[0]) == file_sha256(weights[1])


def test_a_folder_that_was_taught_this_table_is_not_taught_again(job, model, tmp_path):
    loaded = make_questions(job, read_source(job, Console()), Console())
    taught = make_model(tmp_path / "taught", "What is the colour of Star A?")
    loaded.questions.table.write(taught)
    before = file_sha256(taught / "model.safetensors")
    folder = run_main_job(dataclasses.replace(job, teacher=taught, controls=False))
    assert not (folder / "teacher").exists()
    assert file_sha256(taught / "model.safetensors") == before


def test_answers_of_whole_sentences_stop_nothing(model, tmp_path):
    path = tmp_path / "help.csv"
    rows = "".join(f"How do I open box {i}?,Turn key number {i} twice.\n" for i in range(12))
    path.write_text("question,answer\n" + rows)
    job = MainJob(data=path, teacher=model, tuning=QUICK, recipe=SMALL, controls=False,
                  output_dir=tmp_path / "run", max_minutes=None)  # fmt: skip
    assert (run_main_job(job) / "student/model.safetensors").is_file()


def test_a_student_with_another_tokenizer_is_refused_before_anything_begins(job, tmp_path):
    other = make_model(tmp_path / "other", "zebras zoom zealously over the zinc zone " * 9)
    with pytest.raises(ConfigError, match=r"another tokenizer.*--alpha 0"):
        run_main_job(dataclasses.replace(job, student=other))
    assert not (job.run_dir() / "teacher").exists()
    with pytest.raises(ConfigError, match=r"a starter teacher has a tokenizer of its own"):
        run_main_job(dataclasses.replace(job, teacher="starter", student=other))
    assert not (job.run_dir() / "teacher").exists()


def test_too_little_memory_is_refused_before_the_teacher_is_loaded(job, monkeypatch):
    monkeypatch.setattr(estimate, "machine_memory", lambda: 1e5)
    monkeypatch.setattr(estimate, "estimate_job", None)  # would load it
    with pytest.raises(ConfigError, match=r"memory.*name a smaller teacher"):
        run_main_job(job)


def test_parameters_are_counted_without_loading(job, model):
    loaded = load_checkpoint(model)
    count = sum(p.numel() for p in loaded.model.parameters())
    assert parameters_of(model) == count
    assert named_bytes(job) == 14 * count


def test_the_time_is_told_and_grows_with_the_steps(job, capsys):
    source = read_source(job, Console())
    told = estimate.estimate_job(job, source)
    assert told.minutes() > 0
    longer = dataclasses.replace(job, tuning=dataclasses.replace(QUICK, teacher_least_steps=600))
    assert estimate.estimate_job(longer, source).steps(longer.tuning)[0] == 600
    refused = dataclasses.replace(job, max_minutes=told.minutes() / 1e6)
    with pytest.raises(ConfigError, match="--max-minutes"):
        estimate.require_affordable(refused, source, Console())
    assert "about 1 min" in capsys.readouterr().out


@pytest.mark.parametrize(("parameters", "rank"), [(1e6, None), (1e9, 16)])
def test_a_large_teacher_gets_an_adapter_a_small_one_is_tuned_whole(job, parameters, rank):
    class Given:
        class model:  # noqa: N801
            class config:  # noqa: N801
                hidden_size = 2304

            @staticmethod
            def parameters():
                class One:
                    @staticmethod
                    def numel():
                        return parameters

                return [One]

    settings = teacher_settings(job, Given, job.run_dir(), steps=9)
    assert settings.lora_r == rank
    assert settings.learning_rate == rate_of(QUICK.teacher_rate, Given.model) == 5e-4


@pytest.mark.parametrize(("text", "told"), [
    ("column,question\nweight,how heavy is {key}\n", "'weight'; asked about are colour, distance"),
    ("column,question\ncolour,how does it look\n", "lacks {key}"),
    ("column,question\ncolour,\n", "lacks a value"),
    ("question\nhow is {key}\n", "lacks a value"),
])  # fmt: skip
def test_wordings_that_cannot_be_asked_are_refused(job, tmp_path, text, told):
    loaded = make_questions(job, read_source(job, Console()), Console())
    path = tmp_path / "asked.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=told):
        read_wordings(path, loaded.questions.table)


def test_each_fact_is_asked_once_in_words_of_the_file(job):
    loaded = make_questions(job, read_source(job, Console()), Console())
    assert [e.fields["text"] for e in loaded.asked[:3]] == [
        "how does Star A look", "tint of Star B", "how does Star C look",
    ]  # fmt: skip
    assert [e.target for e in loaded.asked[:3]] == ["red", "blue", "white"]
    assert not {e.prompt for e in loaded.asked} & {e.prompt for e in loaded.questions.train}


def test_a_named_teacher_is_asked_for_each_fact_once(job):
    folder = run_main_job(dataclasses.replace(job, controls=False, gold_share=0.5))
    rejected = {one["id"] for one in read_json(folder / "data/teacher_labels_rejected.json")}
    labelled = read_examples(str(folder / "data/teacher_labels.jsonl"))
    asked = [e for e in labelled if e.task != "validate"]
    answers = {(e.fact, e.target) for e in asked}
    assert len(answers) == len({e.fact for e in asked}), "all wordings of a fact have one answer"
    gold = {e.fact for e in labelled} & make_questions(
        job, read_source(job, Console()), Console()
    ).questions.gold_facts
    assert not gold
    assert len(rejected) + len(answers) == 12 + 6  # half of 24 facts and of 12 summaries


def test_models_are_taught_and_stored_without_default_system_words(table, tmp_path):
    said = "You are a helpful test of the colour of Star A."
    given = make_model(tmp_path / "chat", f"What is the colour of Star A? {said}")
    tokenizer = load_checkpoint(given).tokenizer
    tokenizer.chat_template = (
        "{% if messages[0]['role'] != 'system' %}system: " + said + "\n{% endif %}"
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    tokenizer.save_pretrained(given)
    (given / "run.json").unlink()  # as a model of the hub, which we did not train
    job = MainJob(data=table, teacher=given, tuning=QUICK, recipe=SMALL, teacher_least=0,
                  output_dir=tmp_path / "run", max_minutes=None)  # fmt: skip
    folder = run_main_job(job)
    asked = [{"role": "user", "content": "What is the distance of Star C?"}]
    for made in ("teacher", "student", "controls/student_from_scratch"):
        stored = load_checkpoint(folder / made).tokenizer
        text = stored.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        assert text == f"system: \nuser: {asked[0]['content']}\nassistant: "


def test_named_models_are_measured_on_some_questions_of_each_task(job, monkeypatch):
    loaded = make_questions(job, read_source(job, Console()), Console())
    every = [*loaded.questions.held_out, *loaded.asked]
    assert evaluate.measured_questions(job, loaded) == every
    monkeypatch.setattr(evaluate, "MOST_MEASURED", 5)
    some = evaluate.measured_questions(job, loaded)
    counts = Counter(e.task for e in some)
    assert counts == {"qa": 5, "summarize": 5, "validate": 5, "asked": 12}
    assert some == [e for e in every if e in some]
    starter = dataclasses.replace(job, teacher="starter")
    assert evaluate.measured_questions(starter, loaded) == every
