"""The names of the Qwen lab's `distill_app`: signatures, defaults, prompt bytes."""

import hashlib
import importlib.util
import inspect

import pytest
import stillroom
from project_paths import ROOT

SIGNATURES = """
distill_system1(config)
distill_system2(config)
compare_models(prompts, teacher_path="Qwen/Qwen2.5-7B-Instruct", system1_path="./distilled-qwen2.5-0.5b", system2_path="./distilled-qwen2.5-1.5b-cot", teacher_model=None, teacher_tokenizer=None, sys1_model=None, sys1_tokenizer=None, sys2_model=None, sys2_tokenizer=None, max_tokens_teacher=256, max_tokens_sys1=256, max_tokens_sys2=256)
evaluate_student(model, tokenizer, eval_items, mode="system1", max_new_tokens=256, max_eval=50)
prepare_system1_dataset(slice_str="train[:1000]", teacher_model=None, teacher_tokenizer=None, relabel_with_teacher=False, out_instructions="data/train_instructions.json", out_labeled="data/train_labeled.json")
prepare_system2_dataset(slice_str="train[:2000]", rv_min=0.6, cd_min=0.6, out_cot="data/omnithought_cot.json")
save_json(path, data)
read_json(path)
load_teacher(model_name, use_tpu=None)
load_student(model_path)
format_prompt(instruction, input_text="", mode="system1")
label_with_teacher(teacher_model, teacher_tokenizer, items, batch_size=2, max_new_tokens=256, temperature=0.8, top_p=0.9, mode="system1")
infer_student(model, tokenizer, prompt, mode="system1", max_new_tokens=256)
write_system1_config(teacher_model, student_model, labeled_path, out_dir, num_train_epochs=1, config_path="configs/kd_black_box_qwen_0_5b.json", template_path=None)
write_system2_config(student_model, cot_path, out_dir, num_train_epochs=1, config_path="configs/kd_cot_qwen_1_5b.json", template_path=None)
run_easy_distill(config_path)
run_training_sft(labeled_path, student_model, out_dir, num_epochs=1, max_length=512, learning_rate=2e-5, batch_size=2)
run_training_tpu(labeled_path, student_model, out_dir, num_epochs=1, max_length=512, learning_rate=2e-5)
find_checkpoint(out_dir)
check_resume(out_dir)
"""  # noqa: E501 - as the interface is written down
WANTED = dict(line.split("(", 1) for line in SIGNATURES.strip().splitlines())


@pytest.mark.parametrize("name", WANTED)
def test_a_signature_is_as_it_was(name):
    made = {}
    exec(f"def wanted({WANTED[name]}: ...", made)
    wanted = inspect.signature(made["wanted"]).parameters
    found = inspect.signature(getattr(stillroom, name)).parameters
    ours = {n: p for n, p in found.items() if p.kind is not inspect.Parameter.KEYWORD_ONLY}
    assert list(ours) == list(wanted)
    assert [p.default for p in ours.values()] == [p.default for p in wanted.values()]
    assert list(found)[: len(ours)] == list(ours), "new parameters come last"
    assert all(p.default is not p.empty for n, p in found.items() if n not in ours)


PROMPTS = [
    ("system1", "", "User: Q\nAssistant:", "8ea2c53769cc437f"),
    ("system1", "I", "User: Q\nInput: I\nAssistant:", "8c7092d464ae910a"),
    (
        "system2",
        "",
        "User: Q\nPlease think step by step and explain your reasoning before giving the final "
        "answer.\nAssistant:",
        "11422d2dfdfc1b3e",
    ),
    (
        "system2",
        "I",
        "User: Q\nInput: I\nPlease think step by step and explain your reasoning before giving the "
        "final answer.\nAssistant:",
        "750c4e13585b0c3c",
    ),
]


@pytest.mark.parametrize(("mode", "given", "text", "digest"), PROMPTS)
def test_the_bytes_of_a_prompt(mode, given, text, digest):
    made = stillroom.format_prompt("Q", given, mode)
    assert made == text
    assert hashlib.sha256(made.encode()).hexdigest()[:16] == digest


def test_texts_of_users_stay_what_they_are():
    assert stillroom.format_prompt("{text} {context}", "{answer}") == (
        "User: {text} {context}\nInput: {answer}\nAssistant:"
    )
    with pytest.raises(ValueError, match="system3"):
        stillroom.format_prompt("Q", mode="system3")


def test_what_follows_a_prompt_does_not_depend_on_the_users_text():
    from stillroom.prompts import join_of

    asked = stillroom.format_prompt("Do this:\n\nSummarize the following: gold")
    assert join_of(asked) == " "


def test_the_old_import_line_works():
    place = ROOT / "examples" / "distill_app.py"
    spec = importlib.util.spec_from_file_location("distill_app", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert set(WANTED) == set(module.__all__)
    for name in WANTED:
        assert getattr(module, name) is getattr(stillroom, name)
