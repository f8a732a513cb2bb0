"""System 1 and System 2 on a tiny teacher: messages, files, and what the originals got wrong."""

import json
from pathlib import Path

import pytest
import stillroom
from small_records import instructions, write_json
from stillroom.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    EmptyDataError,
    ModelNotFoundError,
)
from stillroom.files import file_sha256
from stillroom.inference.checkpoints.training_records import read_training_records
from stillroom.prompts import FORMATS, PromptFormat

FAST = {"max_steps": 3, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(starter, **changes):
    return {
        "teacher_model": starter,
        "student_model": "every_second_layer",
        "out_dir": "./student",
        "training": FAST,
        **changes,
    }


def test_system1_from_file_to_student(here, starter, capsys):
    source = write_json(here / "mine.json", instructions())
    stillroom.prepare_system1_dataset("train[:15]", source=source)
    labelled = stillroom.read_json("data/train_labeled.json")
    assert labelled == instructions(15)
    assert stillroom.read_json("data/train_instructions.json") == labelled
    assert stillroom.distill_system1(settings(starter)) == "./student"
    model, tokenizer = stillroom.load_student("./student")
    said = stillroom.infer_student(model, tokenizer, "Say it twice.", input_text="gold")
    assert isinstance(said, str)
    seen = stillroom.evaluate_student(model, tokenizer, instructions(15))
    assert "15 of 15 records were in the training data" in seen["error"]
    fresh = stillroom.evaluate_student(
        model, tokenizer, instructions()[15:], max_new_tokens=8, max_eval=3
    )
    assert set(fresh) == {"perplexity", "bleu", "rouge_l", "num_evaluated"}
    assert fresh["num_evaluated"] == 3
    written = json.loads(Path("configs/kd_black_box_qwen_0_5b.json").read_text())
    assert written["job_type"] == "kd_black_box_local"
    capsys.readouterr()


def test_equal_trainings_are_skipped_and_others_never_overwritten(here, starter, capsys):
    write_json(here / "data" / "train_labeled.json", instructions())
    assert stillroom.distill_system1(settings(starter)) == "./student"
    weights = file_sha256("student/model.safetensors")
    capsys.readouterr()
    assert stillroom.distill_system1(settings(starter)) == "./student"
    assert capsys.readouterr().out.strip() == (
        "Existing checkpoint found at ./student. Skipping training (delete to retrain)."
    )
    other = settings(starter, training={**FAST, "max_steps": 2})
    assert stillroom.distill_system1(other) == "./student-run2"
    assert "./student holds a student of other settings or data" in capsys.readouterr().out
    assert file_sha256("student/model.safetensors") == weights
    assert stillroom.distill_system1(other) == "./student-run2"
    assert "Existing checkpoint found at ./student-run2." in capsys.readouterr().out
    write_json(here / "data" / "train_labeled.json", instructions(10))
    assert stillroom.distill_system1(settings(starter)) == "./student-run3"


def test_a_checkpoint_that_is_damaged_is_no_reason_to_skip(here, starter, capsys):
    write_json(here / "data" / "train_labeled.json", instructions())
    stillroom.distill_system1(settings(starter))
    path = here / "student" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    found = stillroom.distill_system1(settings(starter))
    assert found == "./student-run2"
    assert "Skipping" not in capsys.readouterr().out


def test_answers_that_are_there_stay_and_the_rest_is_labelled(here, starter):
    given = instructions()
    half = [{**r, "output": "MINE"} if n % 2 else {**r, "output": ""} for n, r in enumerate(given)]
    path = write_json(here / "data" / "train_labeled.json", half)
    stillroom.distill_system1(settings(starter, inference={"temperature": 0.0}))
    made = {(r["instruction"], r["input"]): r["output"] for r in stillroom.read_json(path)}
    for number, record in enumerate(given):
        said = made.get((record["instruction"], record["input"]))
        assert (said == "MINE") is bool(number % 2)
    right = sum(made.get((r["instruction"], r["input"])) == r["output"] for r in given[::2])
    assert right >= 5, "the teacher knows its records"


def test_system2_is_trained_and_asked_in_its_own_form(here, starter, capsys, monkeypatch):
    write_json(
        here / "data" / "omnithought_cot.json",
        [{"instruction": f"{n} and 1?", "input": "", "output": f"#### {n + 1}"} for n in range(9)],
    )
    config = settings(starter, out_dir="./reasoner")
    assert stillroom.distill_system2(config) == "./reasoner"
    assert read_training_records("reasoner").prompt_format == "system2"
    model, tokenizer = stillroom.load_student("./reasoner")
    stillroom.infer_student(model, tokenizer, "2 and 1?", mode="system2", max_new_tokens=4)
    with pytest.raises(ConfigError, match="trained on prompts of 'system2'"):
        stillroom.infer_student(model, tokenizer, "2 and 1?", max_new_tokens=4)
    capsys.readouterr()
    other = PromptFormat("User: {text}\nA:", "User: {text}\nInput: {context}\nA:")
    monkeypatch.setitem(FORMATS, "system2", other)
    with pytest.raises(CheckpointError, match="as another version writes them"):
        read_training_records("reasoner")


MESSAGES = [
    ("distill_system1", {}, None, "No data for System 1 distillation\n"),
    ("distill_system1", {}, [], "No data for System 1 distillation\n"),
    ("distill_system2", {}, None, "No CoT data found. Run Prepare CoT Data cell first.\n"),
    ("distill_system2", {}, [], "No data for System 2 distillation\n"),
    (
        "distill_system1",
        {"student_model": "./nowhere"},
        [{}],
        "Invalid student model: ./nowhere\nExample: Qwen/Qwen2.5-0.5B-Instruct\n",
    ),
    (
        "distill_system2",
        {"student_model": "no such name!"},
        [{}],
        "Invalid student model: no such name!\nExample: Qwen/Qwen2.5-1.5B-Instruct\n",
    ),
]


@pytest.mark.parametrize(("name", "changes", "data", "message"), MESSAGES)
def test_a_message_is_printed_or_raised(here, capsys, name, changes, data, message):
    config = {"student_model": "every_second_layer", **changes}
    if data is not None:
        file = "train_labeled" if name.endswith("1") else "omnithought_cot"
        write_json(here / "data" / f"{file}.json", data)
    run = getattr(stillroom, name)
    assert run(config) is None
    assert capsys.readouterr().out == message
    with pytest.raises((DataError, FileNotFoundError, ConfigError)):
        run(config, strict=True)
    assert not Path("configs").exists(), "nothing was written"


def test_a_hub_that_cannot_be_asked_is_no_invalid_model(here, capsys):
    write_json(here / "data" / "train_labeled.json", instructions())
    with pytest.raises(ModelNotFoundError, match="could not be asked"):
        stillroom.distill_system1({"student_model": "Qwen/Qwen2.5-0.5B-Instruct"})
    assert "Invalid" not in capsys.readouterr().out


def test_unknown_keys_name_the_nearest(here):
    with pytest.raises(ConfigError, match="'labelled_path'; the nearest known key is 'labeled_pat"):
        stillroom.distill_system1({"labelled_path": "x", "student_model": "y"})


PREPARING = [
    ("prepare_system1_dataset", [], {}, "No data for System 1 distillation\n"),
    (
        "prepare_system2_dataset",
        [{"x": 1}],
        {},
        "Unexpected OmniThought schema, please inspect omni[0]\n",
    ),
    (
        "prepare_system2_dataset",
        [{"question": "Q", "cot": "c", "rv_score": 2, "cd_score": 2}],
        {},
        "No data for System 2 distillation after filtering.\n",
    ),
]


@pytest.mark.parametrize(("name", "rows", "options", "message"), PREPARING)
def test_what_cannot_be_prepared_writes_nothing(here, capsys, name, rows, options, message):
    prepare = getattr(stillroom, name)
    assert prepare(source=rows, **options) is None
    assert capsys.readouterr().out == message
    with pytest.raises(DataError):
        prepare(source=rows, strict=True, **options)
    assert list(here.iterdir()) == []


def test_relabelling_needs_a_teacher_and_takes_its_answers(here, starter):
    with pytest.raises(ValueError, match=r"^Teacher model/tokenizer required for relabeling\.$"):
        stillroom.prepare_system1_dataset(source=instructions(), relabel_with_teacher=True)
    wrong = [{**record, "output": "wrong"} for record in instructions()]
    teacher = stillroom.load_teacher(starter)
    stillroom.prepare_system1_dataset(
        "train[:4]", *teacher, True, source=wrong, temperature=0.0, batch_size=4
    )
    labelled = stillroom.read_json("data/train_labeled.json")
    assert stillroom.read_json("data/train_instructions.json") == wrong[:4]
    assert "wrong" not in {record["output"] for record in labelled}
    assert [r["instruction"] for r in labelled] == ["Say it twice."] * len(labelled)


def test_the_hub_out_of_reach_says_what_to_do(here):
    with pytest.raises(FileNotFoundError, match="name a file as source"):
        stillroom.prepare_system2_dataset()


def test_labels_keep_other_keys_and_the_order(starter):
    items = [{**record, "output": "", "id": n} for n, record in enumerate(instructions(6))]
    model, tokenizer = stillroom.load_teacher(starter)
    made = stillroom.label_with_teacher(model, tokenizer, items, temperature=0.0)
    assert [record["id"] for record in made] == sorted(record["id"] for record in made)
    assert all(record["output"] for record in made)
    assert all(item["output"] == "" for item in items), "the given records are left alone"
    with pytest.raises(ConfigError, match="trained on prompts of 'system1'"):
        stillroom.label_with_teacher(model, tokenizer, items, mode="system2")


def test_training_without_a_configuration(here, starter, capsys):
    labelled = write_json(here / "a.json", instructions())
    assert stillroom.run_training_sft(labelled, starter, "./sft", num_epochs=0.2) == 0
    assert stillroom.find_checkpoint("./sft") == "./sft"
    assert stillroom.run_training_sft("none.json", starter, "./other") == 1
    assert "none.json" in capsys.readouterr().out
    assert stillroom.run_training_tpu(labelled, starter, "./tpu") == 1
    assert "torch_xla" in capsys.readouterr().out
    assert stillroom.check_resume("./sft") is None


def test_the_written_configurations(here):
    one = stillroom.write_system1_config("T", "S", "l.json", "./out", 2, "c/one.json")
    two = stillroom.write_system2_config("S", "cot.json", "./out", 1, "c/two.json", "t.jinja")
    assert (one, two) == ("c/one.json", "c/two.json")
    first, second = (json.loads(Path(p).read_text()) for p in (one, two))
    assert first["dataset"] == {
        "instruction_path": "data/train_instructions.json",
        "labeled_path": "l.json",
        "template": "configs/chat_template/chat_template_kd.jinja",
        "seed": 42,
        "prompt_format": "system1",
    }
    assert first["models"] == {"teacher": "T", "student": "S"}
    assert first["inference"] == {
        "enable_chunked_prefill": True,
        "seed": 777,
        "gpu_memory_utilization": 0.9,
        "temperature": 0.8,
        "trust_remote_code": True,
        "enforce_eager": False,
        "max_model_len": 4096,
        "max_new_tokens": 512,
    }
    assert first["training"] == {
        "output_dir": "./out",
        "num_train_epochs": 2,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "save_steps": 200,
        "logging_steps": 10,
        "max_length": 512,
        "learning_rate": 2e-5,
        "weight_decay": 0.05,
        "warmup_ratio": 0.1,
        "lr_scheduler_type": "cosine",
        "bf16": False,
        "fp16": True,
    }
    assert second["job_type"] == "kd_black_box_train_only"
    assert second["dataset"]["template"] == "t.jinja"
    assert second["dataset"]["seed"] == 123
    assert second["models"] == {"student": "S"}
    assert "inference" not in second
    assert second["training"] == {
        **first["training"], "max_length": 1024, "learning_rate": 1e-5, "num_train_epochs": 1
    }  # fmt: skip


def test_no_record_without_an_output_is_made_up(here, starter):
    path = write_json(here / "a.json", [{"instruction": "Q", "input": "", "output": " "}])
    with pytest.raises(EmptyDataError, match="label the records first"):
        stillroom.distill_system2(settings(starter, cot_path=path), strict=True)
