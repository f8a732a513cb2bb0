"""Training on a teacher with another tokenizer: the trainer, the facade, and the command."""

import json

import kd_models
import pytest
import torch
import unlike_tokens
from kd_models import kd_trainer
from stillroom.cli import main
from stillroom.distillation.batches.batching import Collator
from stillroom.distillation.batches.packing import PackingCollator
from stillroom.distillation.batches.process_batches import CollateOrIdle
from stillroom.distillation.batches.vocabulary import WAYS_OUT
from stillroom.distillation.distiller import DistillationConfig, DistillationLoss, ModelDistiller
from stillroom.distillation.losses.layer_matching import LayerSettings
from stillroom.distillation.losses.universal import universal_logit
from stillroom.errors import ConfigError, VocabularyError
from stillroom.inference.checkpoints.load_student import load_checkpoint, save_checkpoint
from test_kd_trainer import first_gradient, relative
from unlike_tokens import LETTERS, PIECES, aligned_items, collator, universal_teacher

ULD = "universal_logit"


def student(seed=0, **given):
    return kd_models.llama(seed, vocabulary=len(PIECES), **given)


def teacher(seed=1, **given):
    return kd_models.llama(seed, vocabulary=len(LETTERS), **given)


def options(alpha=1.0, temperature=1.0, **given):
    return {
        "items": aligned_items(),
        "teacher": universal_teacher(teacher()),
        "data_collator": collator(),
        "loss_fn": DistillationLoss(temperature, alpha, objective=ULD),
        **given,
    }


def by_hand(model, its, items, temperature, alpha):
    """Each text alone, each position by itself."""
    total, tokens = torch.zeros(()), 0
    for item in items:
        z = model(torch.tensor([item.input_ids])).logits[0]
        with torch.no_grad():
            zt = its(torch.tensor([item.teacher.input_ids])).logits[0]
        aligned = dict(item.teacher.aligned)
        for place in range(max(item.prompt_length, 1), len(item.input_ids)):
            ce = torch.nn.functional.cross_entropy(
                z[place - 1], torch.tensor(item.input_ids[place])
            )
            total = total + (1 - alpha) * ce
            tokens += 1
            if place in aligned:
                rows = z[place - 1][None], zt[aligned[place] - 1][None]
                total = total + alpha * temperature**2 * universal_logit(*rows, temperature)[0]
    return total / tokens


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_loss_and_gradient_are_those_of_each_position_by_itself(tmp_path, packed, alpha):
    given = options(alpha, 2.0)
    if packed:
        given["data_collator"] = collator(student=PackingCollator(0))
    gradient, loss = first_gradient(tmp_path, student(), batch_size=6, **given)
    model = student()
    expected = by_hand(model, teacher(), given["items"], 2.0, alpha)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    by_autograd = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert relative(gradient, by_autograd) < 1e-5


def test_gradient_does_not_depend_on_how_the_step_is_split(tmp_path):
    """1 x 4, 2 x 2 and 4 x 1 (examples x accumulation): TRL's GOLD is off by 4 here."""
    found = [
        first_gradient(
            tmp_path / str(n), student(), batch_size=n, accumulation=4 // n, **options(0.5, 2.0)
        )
        for n in (4, 2, 1)
    ]
    for gradient, loss in found[1:]:
        assert relative(gradient, found[0][0]) <= 1e-6
        assert loss == pytest.approx(found[0][1], rel=1e-6)


def test_training_reduces_the_distance(tmp_path):
    trainer = kd_trainer(
        tmp_path, student(), batch_size=6, steps=40, learning_rate=1e-2, **options()
    )
    trainer.train()
    losses = [loss for _, loss in trainer.history.losses]
    assert losses[-1] < 0.3 * losses[0]


def test_a_process_without_work_gives_a_connected_zero(tmp_path):
    given = options(0.5)
    trainer = kd_trainer(tmp_path, student(), **given)
    idle = CollateOrIdle(given["data_collator"], given["items"][0])([])
    assert len(given["teacher"].rows(idle).rows.hidden) == 0
    loss = trainer.compute_loss(trainer.model, idle)
    loss.backward()
    assert loss.item() == 0.0
    assert all(bool((p.grad == 0).all()) for p in trainer.model.parameters())


def test_one_tokenizer_gives_the_signal_of_every_position(tmp_path):
    """Aligned with itself, a teacher's rows are those of plain distillation."""
    items = aligned_items(PIECES, PIECES)
    batch = collator(PIECES)(items)
    model, its = student(), student(1)
    trainer = kd_trainer(
        tmp_path,
        model,
        **options(items=items, data_collator=collator(PIECES), teacher=universal_teacher(its)),
    )
    loss = trainer.compute_loss(model, batch)
    kept = batch["labels"][:, 1:] != -100
    plain = {name: batch[name] for name in ("input_ids", "attention_mask")}
    rows = [m(**plain).logits[:, :-1][kept] for m in (model, its)]
    total, count = universal_logit(*rows)
    assert loss.item() == pytest.approx((total / count).item(), rel=1e-5)


class Mine(DistillationLoss):
    """A loss of a user."""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"teacher": teacher}, "needs a teacher that reads in its own tokens"),
        ({"loss_fn": DistillationLoss}, "compares logits at equal positions"),
        ({"loss_fn": lambda: Mine(objective=ULD)}, "Mine compares logits at equal positions"),
        ({"items": kd_models.random_items}, "lack the teacher's tokens"),
        ({"data_collator": lambda: Collator(0)}, "needs an AlignedCollator, not Collator"),
        ({"layers": lambda: LayerSettings(hidden_weight=1.0)}, "layer losses need a teacher"),
    ],
)
def test_parts_that_do_not_go_together_are_refused_at_the_start(tmp_path, changed, said):
    given = options() | {name: make() for name, make in changed.items()}
    with pytest.raises(ConfigError, match=said):
        kd_trainer(tmp_path, student(), **given)


# ------------------------------------------------------------------------- by settings


PAIRS = [
    {"question": f"Symbol of {name}?", "answer": symbol}
    for name, symbol in (("gold", "Au"), ("silver", "Ag"), ("iron", "Fe"), ("tin", "Sn"))
]
TEXT = [f"Question: {pair['question']}\n\nAnswer: {pair['answer']}" for pair in PAIRS]
ITS = unlike_tokens.letters([*TEXT, "[]"])
OURS = kd_models.tokenizer(TEXT, size=290)


def settings(teacher="-", student="-", **given):
    defaults = {
        "objective": ULD,
        "temperature": 1.0,
        "batch_size": 4,
        "max_steps": 3,
        "learning_rate": 1e-2,
        "dtype": "float32",
        "device": "cpu",
        "progress": False,
    }
    return DistillationConfig(str(teacher), str(student), **(defaults | given))


def model_of(tokenizer, seed):
    made = kd_models.llama(seed, width=32, vocabulary=len(tokenizer), tied=True)
    made.config.max_position_embeddings = 128
    return made


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A teacher that knows the pairs, and a student that knows nothing, in unlike tokens."""
    root = tmp_path_factory.mktemp("models")
    distiller = ModelDistiller(settings(alpha=0.0, max_steps=60))
    distiller.student_model, distiller.tokenizer = model_of(ITS, 1), ITS
    distiller.distill(PAIRS)
    distiller.save_distilled_model(root / "teacher")
    save_checkpoint(root / "student", model_of(OURS, 2), OURS, {})
    (root / "data.json").write_text(json.dumps(PAIRS))
    return root


def test_a_pair_with_unlike_tokenizers_trains_from_the_facade(folders, tmp_path):
    distiller = ModelDistiller(
        settings(folders / "teacher", folders / "student", alpha=0.7, max_steps=40)
    )
    summary = distiller.distill(PAIRS, work_dir=tmp_path / "work")
    losses = [loss for _, loss in summary.losses]
    assert losses[-1] < 0.2 * losses[0]
    assert len(distiller.teacher_tokenizer) != len(distiller.tokenizer) == len(OURS)
    saved = distiller.save_distilled_model(tmp_path / "student")
    loaded = load_checkpoint(saved, device="cpu")
    assert loaded.tokenizer.get_vocab() == OURS.get_vocab()
    assert loaded.run["config"]["objective"] == ULD


def test_packing_trains_the_same_student(folders):
    """Only the student's rows are packed; the teacher reads each text alone."""
    students = []
    for packing in (False, True):
        distiller = ModelDistiller(
            settings(folders / "teacher", folders / "student", packing=packing, max_grad_norm=0.0)
        )
        distiller.distill(PAIRS)
        students.append(
            torch.cat([p.detach().flatten() for p in distiller.student_model.parameters()])
        )
    assert relative(*students) < 1e-4


def test_the_teacher_counts(folders):
    """Another teacher gives another student: its distributions are in the loss."""
    losses = []
    for seed in (None, 9):
        distiller = ModelDistiller(settings(folders / "teacher", folders / "student", alpha=1.0))
        if seed is not None:
            distiller.teacher_model, distiller.teacher_tokenizer = model_of(ITS, seed), ITS
        losses.append(distiller.distill(PAIRS).losses[-1][1])
    assert abs(losses[0] - losses[1]) > 1e-3


def test_it_trains_from_a_file_of_settings(folders, tmp_path, capsys):
    config = settings(folders / "teacher", folders / "student", output_dir=str(tmp_path / "out"))
    values = {**config.to_dict(), "data": str(folders / "data.json"), "objective": "forward_kl"}
    (tmp_path / "mine.json").write_text(json.dumps(values))
    assert main(["distill", str(tmp_path / "mine.json")]) == 1
    said = capsys.readouterr().err
    assert "alpha=0" in said
    assert ULD in said
    assert main(["distill", str(tmp_path / "mine.json"), f"objective={ULD}"]) == 0
    assert "3 steps, 4 examples" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "out", device="cpu").run["status"] == "complete"


def test_any_other_objective_names_the_ways_out(folders):
    distiller = ModelDistiller(
        settings(folders / "teacher", folders / "student", objective="forward_kl")
    )
    with pytest.raises(VocabularyError) as caught:
        distiller.distill(PAIRS)
    assert WAYS_OUT in str(caught.value)
    for way in ("the teacher's tokenizer", "alpha=0", "objective='universal_logit'"):
        assert way in WAYS_OUT


def test_texts_alone_train_whatever_the_tokenizers(folders):
    distiller = ModelDistiller(settings(folders / "teacher", folders / "student", alpha=0.0))
    assert distiller.distill(PAIRS).steps == 3
    assert distiller.teacher_model is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"teacher_cache": "cache"}, "sorts all of the teacher's probabilities"),
        ({"task": "classification"}, "is for different tokenizers"),
        ({"hidden_weight": 0.1}, "hidden_weight compares states of the same tokens"),
        ({"attention_weight": 0.1}, "attention_weight compares states of the same tokens"),
        ({"on_policy": True, "alpha": 1.0}, "on_policy has the objectives"),
        ({"objective": "universal"}, "allowed are .*universal_logit"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_anything_is_loaded(given, said):
    with pytest.raises(ConfigError, match=said):
        settings(**given)


def test_a_loss_of_the_user_is_refused(folders):
    distiller = ModelDistiller(settings(folders / "teacher", folders / "student"))
    distiller.loss_fn = Mine()
    with pytest.raises(ConfigError, match="Mine would get logits of different positions"):
        distiller.distill(PAIRS)


def test_a_student_must_not_share_weights_with_its_teacher():
    distiller = ModelDistiller(settings())
    distiller.student_model = distiller.teacher_model = model_of(OURS, 0)
    distiller.tokenizer = OURS
    with pytest.raises(ConfigError, match="teacher and student share"):
        distiller.distill(PAIRS)


def test_an_encoder_decoder_is_refused():
    import kd_families

    distiller = ModelDistiller(settings())
    distiller.student_model, distiller.tokenizer = kd_families.t5(), OURS
    distiller.teacher_model = kd_families.t5(1)
    with pytest.raises(ConfigError, match="is for causal models; T5ForCond"):
        distiller.distill(PAIRS)


def test_a_row_of_the_heads_padding_has_no_gradient(tmp_path):
    """On both sides: V is that of the tokenizer, W as well."""
    model = kd_models.llama(0, vocabulary=len(PIECES) + 5)
    kd_trainer(tmp_path, model, vocabulary=len(PIECES), **options(0.5)).compute_loss(
        model, collator()(aligned_items())
    ).backward()
    gradient = model.lm_head.weight.grad
    assert bool((gradient[len(PIECES) :] == 0).all())
    assert bool((gradient[: len(PIECES)] != 0).any())
