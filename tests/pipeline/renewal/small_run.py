"""The folder of a small run whose student was distilled for a few steps."""

from stillroom.data.questions.profile import profile_table
from stillroom.data.questions.questions import build_question_set, training_stream
from stillroom.distillation.distiller import ModelDistiller
from stillroom.distillation.settings import DistillationConfig
from stillroom.distillation.starter_student import StarterSize, untrained_starter
from stillroom.files import write_json
from stillroom.inference.checkpoints.load_student import save_checkpoint
from stillroom.records import write_examples
from stillroom.run_folder import PROGRESS_FILE

RECORDS = [
    {"name": f"Star {chr(65 + i)}", "colour": ("red", "blue", "white")[i % 3],
     "distance": str(4 + 3 * i)}
    for i in range(14)
]  # fmt: skip
SIZE = StarterSize(vocabulary=300, width=32, layers=1, heads=2)


def make_run(run, steps=3):
    """Make a run's folder with its questions and its student; return the student's folder."""
    questions = build_question_set(RECORDS, profile_table(RECORDS, source="stars.csv"))
    write_examples(str(run / "data" / "train.jsonl"), questions.train)
    write_examples(str(run / "data" / "held_out.jsonl"), questions.held_out)
    labelled = [one for one in questions.train if not questions.is_gold(one)]
    write_examples(
        str(run / "data" / "teacher_labels.jsonl"),
        [type(one).from_dict({**one.to_dict(), "label": {"teacher": "scripted"}})
         for one in labelled],
    )  # fmt: skip
    stream = training_stream(questions.train, questions.table, 8 * steps)
    start, student = run / "work" / "start", run / "student"
    tokenizer, model = untrained_starter(stream, size=SIZE, seed=0)
    save_checkpoint(start, model, tokenizer, {"status": "complete", "steps": 0, "seed": 0})
    distiller = ModelDistiller(DistillationConfig(
        teacher_model_name="none", student_model_name=str(start), alpha=0.0, batch_size=8,
        max_steps=steps, num_epochs=1, optimizer="muon", learning_rate=4e-3, max_length=4096,
        too_long="error", device="cpu", output_dir=str(student),
    ))  # fmt: skip
    distiller.make_student(stream)
    distiller.distill(stream)
    distiller.save_distilled_model(student)
    questions.table.write(student)
    write_json(run / PROGRESS_FILE, {"schema_version": 1, "status": "complete", "done": {}})
    return student
