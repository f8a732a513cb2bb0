"""The facade: settings, models, data in; a checkpoint out."""

import logging

import kd_models
import pytest
import torch
from stillroom.distillation.distiller import (
    DistillationConfig,
    DistillationLoss,
    ModelDistiller,
)
from stillroom.distillation.settings import config_hash
from stillroom.distillation.training.run_record import weights_sha256
from stillroom.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    EmptyDataError,
    ModelNotFoundError,
    VocabularyError,
)
from stillroom.files import read_json
from stillroom.inference.checkpoints.load_student import (
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from stillroom.prompts import prompts_sha256, render
from transformers import LlamaConfig, LlamaForCausalLM

PAIRS = [
    {"question": f"What is the symbol of {name}?", "answer": symbol}
    for name, symbol in (("gold", "Au"), ("silver", "Ag"), ("iron", "Fe"), ("tin", "Sn"))
]
TEXTS = [render("s2-qa", pair["question"]) + " " + pair["answer"] for pair in PAIRS]
TOKENIZER = kd_models.tokenizer(TEXTS)
IDS = len(TOKENIZER)


def teacher_model(seed=0, vocabulary=IDS, layers=2):
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=TOKENIZER.eos_token_id,
            pad_token_id=TOKENIZER.pad_token_id,
        )
    )


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A teacher that knows the pairs, as a checkpoint folder."""
    distiller = ModelDistiller(settings(alpha=0.0, learning_rate=1e-2, max_steps=60))
    distiller.student_model, distiller.tokenizer = teacher_model(), TOKENIZER
    distiller.distill(PAIRS)
    return distiller.save_distilled_model(tmp_path_factory.mktemp("models") / "teacher")


def settings(teacher="teacher", student="every_second_layer", **given):
    defaults = {
        "batch_size": 4,
        "max_steps": 3,
        "learning_rate": 1e-2,
        "dtype": "float32",
        "device": "cpu",
        "progress": False,
    }
    return DistillationConfig(str(teacher), str(student), **(defaults | given))


def answer(model, question):
    ids = TOKENIZER(render("s2-qa", question), return_tensors="pt")["input_ids"]
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False
    )
    return TOKENIZER.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()


# ------------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_student_learns_the_answers_at_each_alpha(taught, tmp_path, alpha):
    distiller = ModelDistiller(settings(taught, alpha=alpha, max_steps=60, optimizer="muon"))
    summary = distiller.distill(PAIRS)
    assert summary.losses[-1][1] < 0.2 * summary.losses[0][1] or alpha == 1.0
    folder = distiller.save_distilled_model(tmp_path / "student")
    student = load_checkpoint(folder, device="cpu").model
    assert student.config.num_hidden_layers == 1
    assert [answer(student, pair["question"]) for pair in PAIRS] == ["Au", "Ag", "Fe", "Sn"]


def test_saved_folder_curve_and_run(taught, tmp_path):
    distiller = ModelDistiller(settings(taught, output_dir=str(tmp_path / "student")))
    summary = distiller.distill(PAIRS)
    folder = distiller.save_distilled_model()
    assert folder == tmp_path / "student"
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.json",
        "distillation_config.json",
        "loss.png",
        "losses.jsonl",
        "model.safetensors",
        "run.json",
        "tokenizer.json",
    }
    assert read_json(folder / "distillation_config.json") == distiller.config.to_dict()
    run = verify_checkpoint(folder)
    assert run["status"] == "complete"
    assert run["steps"] == summary.steps == 3
    assert run["metrics"]["loss"] == summary.losses[-1][1]
    assert run["prompt_sha256"] == prompts_sha256()
    assert run["config_hash"] == config_hash(distiller.config, dtype="float32")
    assert run["teacher"] == {"id": str(taught), "revision": None}
    wanted = "run_id created_at data_hash split view_hash sample_id_version seed versions parents"
    assert set(wanted.split()) <= run.keys()
    assert (folder / "model.safetensors").stat().st_size > 10_000


def test_a_saved_student_gives_the_same_logits(taught, tmp_path):
    distiller = ModelDistiller(settings(taught))
    distiller.distill(PAIRS)
    folder = distiller.save_distilled_model(tmp_path / "student")
    ids = TOKENIZER(TEXTS[0], return_tensors="pt")["input_ids"]
    expected = distiller.student_model(ids).logits
    other = ModelDistiller(settings(taught))
    other.load_distilled_model(folder)
    assert torch.equal(other.student_model(ids).logits, expected)
    assert other.save_distilled_model(tmp_path / "copy").is_dir()


def test_the_learning_rate_stays_and_falls_at_the_end(taught, monkeypatch):
    rates = []
    step = torch.optim.AdamW.step

    def watched(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    config = settings(
        taught, max_steps=10, lr_scheduler="warmup_stable_decay", decay_ratio=0.4, warmup_ratio=0.2
    )
    ModelDistiller(config).distill(PAIRS)
    assert rates[0] < rates[1] < rates[2] == rates[5] == config.learning_rate > rates[8] > rates[9]


def test_a_schedule_that_needs_steps_says_so():
    with pytest.raises(ConfigError, match="'warmup_stable_decay' needs max_steps"):
        DistillationConfig(lr_scheduler="warmup_stable_decay")


def test_equal_seeds_give_equal_students(taught):
    def student(**given):
        distiller = ModelDistiller(
            settings(taught, "from_scratch", student_layers=1, student_width=16, **given)
        )
        distiller.distill(PAIRS)
        return weights_sha256(distiller.student_model)

    assert student(seed=1) == student(seed=1) != student(seed=2)


def test_students_come_from_folders_too(taught, tmp_path):
    folder = save_checkpoint(tmp_path / "small", teacher_model(3, layers=1), TOKENIZER, {})
    distiller = ModelDistiller(settings(taught, folder))
    before = weights_sha256(load_checkpoint(folder, device="cpu").model)
    distiller.distill(PAIRS)
    assert weights_sha256(distiller.student_model) != before
    assert weights_sha256(distiller.teacher_model) == weights_sha256(
        load_checkpoint(taught, device="cpu").model
    )


def test_the_teacher_was_loaded_and_not_made_anew(taught):
    distiller = ModelDistiller(settings(taught))
    distiller.load_teacher_model()
    assert weights_sha256(distiller.teacher_model) != weights_sha256(teacher_model())
    assert answer(distiller.teacher_model, PAIRS[0]["question"]) == "Au"


def test_assigned_models_are_used(taught):
    distiller = ModelDistiller(settings("no such teacher", "no such student"))
    loaded = load_checkpoint(taught, device="cpu")
    distiller.teacher_model = loaded.model
    distiller.student_model = student = teacher_model(5, layers=1)
    distiller.tokenizer = loaded.tokenizer
    before = weights_sha256(student)
    distiller.distill(PAIRS)
    assert distiller.student_model is student
    assert weights_sha256(student) != before


def test_an_assigned_student_needs_a_tokenizer(taught):
    distiller = ModelDistiller(settings(taught, alpha=0.0))
    distiller.student_model = teacher_model()
    with pytest.raises(ConfigError, match="without a tokenizer"):
        distiller.distill(PAIRS)


class Doubled(DistillationLoss):
    def forward(self, student_logits, teacher_logits, labels=None):
        return 2.0 * super().forward(student_logits, teacher_logits, labels)


def test_a_users_loss_is_used(taught):
    losses = []
    for loss_class in (DistillationLoss, Doubled):
        distiller = ModelDistiller(settings(taught, gradient_accumulation_steps=2, batch_size=1))
        distiller.loss_fn = loss_class(2.0, 0.5)
        losses.append(distiller.distill(PAIRS).losses[0][1])
    assert losses[1] == pytest.approx(2.0 * losses[0], rel=1e-5)


# ------------------------------------------------------------------------- going on after a crash


class CrashError(Exception):
    pass


class CrashingLoss(DistillationLoss):
    """Breaks the run off after some calls."""

    calls = 0
    last = 10**9

    def forward(self, student_logits, teacher_logits, labels=None):
        CrashingLoss.calls += 1
        if CrashingLoss.calls > CrashingLoss.last:
            raise CrashError
        return super().forward(student_logits, teacher_logits, labels)


def test_the_same_call_goes_on_after_a_crash(taught, tmp_path, caplog):
    def distilled(work_dir, last=10**9, **given):
        CrashingLoss.calls, CrashingLoss.last = 0, last
        distiller = ModelDistiller(settings(taught, max_steps=8, save_steps=3, **given))
        distiller.loss_fn = CrashingLoss(2.0, 0.5)
        summary = distiller.distill(PAIRS, work_dir=work_dir)
        return weights_sha256(distiller.student_model), summary

    expected, whole = distilled(tmp_path / "whole")
    with pytest.raises(CrashError):
        distilled(tmp_path / "work", last=5)
    assert read_json(tmp_path / "work" / "run.json")["status"] == "running"
    weights, summary = distilled(tmp_path / "work")
    assert summary.resumed_from == tmp_path / "work" / "checkpoint-3"
    assert CrashingLoss.calls == 5
    assert weights == expected
    assert summary.losses == whole.losses
    # Three of eight steps were trained before the crash.
    share = summary.trained_supervised_tokens / whole.trained_supervised_tokens
    assert share == pytest.approx(5 / 8, abs=0.01)
    assert whole.trained_tokens > whole.trained_supervised_tokens > 0 < whole.training_seconds
    assert read_json(tmp_path / "work" / "run.json")["status"] == "complete"
    with caplog.at_level(logging.WARNING):
        _, summary = distilled(tmp_path / "work", seed=7)
    assert summary.resumed_from is None
    assert "starts again, because config_hash was" in caplog.text


# ------------------------------------------------------------------------- what goes in


def test_texts_of_the_first_system_train(taught):
    summary = ModelDistiller(settings(taught)).distill([{"text": text} for text in TEXTS])
    assert summary.examples == 4
    assert summary.supervised_tokens > sum(len(text) for text in TEXTS) / 8


def test_no_data_is_an_error(taught):
    with pytest.raises(EmptyDataError):
        ModelDistiller(settings(taught)).distill([])


def test_an_unknown_shape_names_the_record(taught):
    with pytest.raises(DataError, match=r"row 2: has the keys 'frage'"):
        ModelDistiller(settings(taught)).distill([PAIRS[0], {"frage": "?"}])


def test_prepare_data(taught):
    distiller = ModelDistiller(settings(taught))
    batch = distiller.prepare_data(["Au and Ag", "Fe"])
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    lengths = batch["attention_mask"].sum(1).tolist()
    assert lengths[0] > lengths[1]
    decoded = TOKENIZER.decode(batch["input_ids"][0], skip_special_tokens=True)
    assert decoded.strip() == "Au and Ag"


def test_positions_of_the_models_bound_the_length(taught):
    with pytest.raises(DataError, match="max_length is 128"):
        ModelDistiller(settings(taught, too_long="error")).distill([{"text": "gold " * 200}])


def test_other_tokenizers_are_refused_unless_alpha_is_zero(taught, tmp_path):
    other = kd_models.tokenizer(["zinc and lead and copper and more of them"], len(TOKENIZER))
    folder = save_checkpoint(tmp_path / "s", teacher_model(vocabulary=len(TOKENIZER)), other, {})
    with pytest.raises(VocabularyError, match="alpha=0"):
        ModelDistiller(settings(taught, folder)).distill(PAIRS)
    assert ModelDistiller(settings(taught, folder, alpha=0.0)).distill(PAIRS).steps == 3


def test_heads_of_unlike_sizes_share_ids(taught, tmp_path):
    wide = teacher_model(2, vocabulary=len(TOKENIZER) + 7, layers=1)
    folder = save_checkpoint(tmp_path / "wide", wide, TOKENIZER, {})
    distiller = ModelDistiller(settings(taught, folder, weight_decay=0.0))
    distiller.load_student_model()
    before = distiller.student_model.lm_head.weight[len(TOKENIZER) :].detach().clone()
    distiller.distill(PAIRS)
    after = distiller.student_model.lm_head.weight[len(TOKENIZER) :]
    assert torch.equal(before, after)


def test_ids_that_are_not_shared_are_refused(taught):
    distiller = ModelDistiller(settings(taught))
    tokenizer = kd_models.tokenizer(TEXTS)
    tokenizer.add_tokens(["<new>"])
    distiller.student_model = teacher_model(vocabulary=len(tokenizer))
    distiller.tokenizer = tokenizer
    distiller.load_teacher_model()
    with pytest.raises(VocabularyError, match=f"uses token id {len(TOKENIZER)}"):
        distiller.distill([{"text": "gold <new>"}])


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(ModelNotFoundError):
        ModelDistiller(settings(tmp_path / "none")).distill(PAIRS)


def test_saving_before_distilling(taught):
    with pytest.raises(CheckpointError, match="call distill first"):
        ModelDistiller(settings(taught)).save_distilled_model()
