"""EasyDistill jobs that end in a student: one configuration per family."""

import pytest
from easydistill_runs import BLACK, LOCAL, run, student_job
from small_records import instructions, teacher_server, write_json
from stillroom.distillation.loss_curve import LOSSES_FILE
from stillroom.files import read_json, read_json_lines
from stillroom.inference.checkpoints.load_student import load_checkpoint, verify_checkpoint
from stillroom.inference.scoring.choices import score_completions
from stillroom.prompts import format_prompt

STUDENTS = {
    "kd_black_box_local": (BLACK, {}),
    "kd_black_box_train_only": ({"labeled_path": "data/labelled.json"}, {"inference": {}}),
    "kd_white_box": (
        {**BLACK, "logits_path": "data/logits"},
        {
            "inference": {**LOCAL, "top_logits_num": 10},
            "distillation": {"kd_ratio": 0.5, "max_seq_length": 128,
                             "distillation_type": "reverse_kld"},
        },
    ),
    "agentkd_distill": ({"labeled_path": "data/talks.json"}, {}),
}  # fmt: skip


@pytest.mark.parametrize("job", STUDENTS)
def test_a_job_of_a_student_runs(job_folder, starter, job, capsys):
    dataset, sections = STUDENTS[job]
    config = student_job(job, starter, dataset, **sections)
    assert run(job_folder, config) == 0, capsys.readouterr()
    assert verify_checkpoint("result")["status"] == "complete"
    if "made" in dataset["labeled_path"]:
        made = read_json("data/made.json")
        assert made
        assert all(record[key] for record in made for key in ("instruction", "output"))
    assert {path.name for path in job_folder.glob("result*")} == {"result"}, (
        "no work folder is left"
    )


def test_white_box_and_the_logits_it_kept_give_equal_losses(job_folder, starter, capsys):
    dataset, sections = STUDENTS["kd_white_box"]
    assert run(job_folder, student_job("kd_white_box", starter, dataset, **sections)) == 0
    again = student_job("kd_white_box_train_only", starter, dataset, **sections)
    again["training"]["output_dir"] = "./again"
    assert run(job_folder, again) == 0, capsys.readouterr()
    first, second = (read_json_lines(f"{folder}/{LOSSES_FILE}") for folder in ("result", "again"))
    assert first == second
    assert len(first) >= 2


def test_kept_logits_equal_the_teacher_itself(job_folder, starter):
    """All tokens but one kept: the same losses as with the teacher in the run."""
    from stillroom.distillation.distiller import ModelDistiller
    from stillroom.distillation.settings import DistillationConfig
    from stillroom.inference.checkpoints.load_student import load_checkpoint
    from stillroom.pipeline.reasoning.train_student import training_examples_of

    vocabulary = len(load_checkpoint(starter).tokenizer)
    dataset, sections = STUDENTS["kd_white_box"]
    sections = {**sections, "inference": {**LOCAL, "top_logits_num": vocabulary - 1}}
    dataset = {**dataset, "labeled_path": "data/labelled.json", "prompt_format": "system1"}
    config = student_job("kd_white_box", starter, dataset, **sections)
    assert run(job_folder, config) == 0
    online = ModelDistiller(
        DistillationConfig(
            starter, starter, 1.0, 0.5, 128, 8, 1, 2e-5, "./online", seed=42, weight_decay=0.05,
            objective="reverse_kl", warmup_ratio=0.1, lr_scheduler="cosine",
        )
    )  # fmt: skip
    summary = online.distill(training_examples_of(instructions(), "system1"))
    kept = [line["loss"] for line in read_json_lines(f"result/{LOSSES_FILE}")]
    assert [loss for _, loss in summary.losses] == pytest.approx(kept, abs=1e-3)


def test_labels_of_a_server_end_in_a_student(job_folder, starter, capsys):
    config = student_job("kd_black_box_api", starter, BLACK)
    with teacher_server(lambda asked: f"said: {asked}") as (server, url):
        config["inference"] = {"base_url": url, "system_prompt": "SYSTEM", "max_new_tokens": 9}
        assert run(job_folder, config) == 0, capsys.readouterr()
        calls = len(server.asked)
        config["training"]["output_dir"] = "./more"
        assert run(job_folder, config) == 0
        assert len(server.asked) == calls, "what is labelled is not asked again"
    made = read_json("data/made.json")
    assert made[0]["output"] == "said: Say it twice.\ngold"
    assert len(made) == len(instructions())


def test_a_student_learns_to_prefer_the_teachers_answers(job_folder, starter, capsys):
    config = student_job("rank_dpo_api", starter, BLACK)
    config["training"] |= {"beta": 0.1, "learning_rate": 1e-3, "num_train_epochs": 3}
    with teacher_server(lambda asked: f"no {asked}") as (_, url):
        config["inference"] = {"base_url": url, "system_prompt": "SYSTEM", "max_new_tokens": 30}
        assert run(job_folder, config) == 0, capsys.readouterr()
    pairs = read_json("data/made.json")
    assert {pair["chosen"] for pair in pairs} == {f"no {pair['prompt']}" for pair in pairs}
    prompts = [format_prompt(pair["prompt"]) for pair in pairs]

    def margin(folder):
        model = load_checkpoint(folder)
        good, bad = (
            score_completions(model, prompts, [pair[key] for pair in pairs])
            for key in ("chosen", "rejected")
        )
        return sum(b[0] - g[0] for g, b in zip(good, bad, strict=True))

    assert margin("result") > margin(starter) + 1.0
    assert verify_checkpoint("result")["config"]["loss"] == "dpo"


def test_a_student_of_the_same_pairs_is_kept_and_of_others_trained_beside(
    job_folder, starter, capsys
):
    pairs = [
        {"prompt": record["instruction"], "chosen": f"no {n}", "rejected": f"yes {n}"}
        for n, record in enumerate({r["instruction"]: r for r in instructions()}.values())
    ]
    write_json(job_folder / "data/made.json", pairs)
    config = student_job("rank_dpo_local", starter, BLACK)
    told = []
    for beta in (0.1, 0.1, 0.5):
        config["training"]["beta"] = beta
        assert run(job_folder, config) == 0, capsys.readouterr()
        told.append(capsys.readouterr().out)
    assert "Existing checkpoint found at result" in told[1].replace("./", "")
    assert "training into" in told[2]
    assert verify_checkpoint("result-run2")["status"] == "complete"
