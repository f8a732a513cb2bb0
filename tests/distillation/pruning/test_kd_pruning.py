"""Students pruned from a teacher: which layers and channels stay, and that a trimmed vocabulary is
exact."""

import json

import kd_families
import kd_models
import pytest
import torch
from stillroom.distillation.batches.batching import Collator
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
from stillroom.distillation.pruning.feed_forward import narrow_feed_forward
from stillroom.distillation.pruning.layer_choice import block_influence, choose_layers
from stillroom.distillation.pruning.prune_teacher import (
    StudentSize,
    count_parameters,
    prune_teacher,
)
from stillroom.distillation.pruning.vocabulary_trim import (
    choose_tokens,
    over_vocabulary_of,
    trim_model,
    trim_tokenizer,
)
from stillroom.distillation.students.open_students import layers_from_teacher
from stillroom.errors import ConfigError
from stillroom.inference.checkpoints.load_student import load_checkpoint, save_checkpoint

TEXTS = [
    "Question: What is the symbol of gold?\n\nAnswer: Au",
    "Question: Which colour has silver, the metal of mirrors?\n\nAnswer: white and shining",
    "The quick brown fox jumps over the lazy dog, and the dog sleeps on. 3.14, naïve",
]
STRANGE = "Füße 你好 👩‍🔬 \t\n zzz quicksilver 0x7f"
RECORDS = [{"question": "Symbol of gold?", "answer": "Au"}, {"question": "Gold?", "answer": "Au"}]


def batches(count=12, model=None):
    items = kd_models.random_items(count)
    return [Collator(0)(items[: count // 2]), Collator(0)(items[count // 2 :])]


def idle(layer):
    """Make a layer add nothing to the hidden state."""
    with torch.no_grad():
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()


def test_idle_layers_are_left_out_first():
    teacher = kd_models.llama(layers=5)
    for number in (1, 4):
        idle(teacher.model.layers[number])
    influence = block_influence(teacher, batches())["main"]
    assert influence[1] == pytest.approx(0.0, abs=1e-6) == influence[4]
    assert min(influence[0], influence[2], influence[3]) > 1e-3
    chosen = choose_layers(teacher, batches(), 3)
    assert chosen.keep == (0, 2, 3)
    assert set(chosen.influence) == {0, 1, 2, 3, 4}


def test_layers_are_measured_again_after_each_removal():
    """Two layers that turn the state there and back look busy; without one the other is measured
    anew, with what really passes through it."""
    teacher = kd_models.llama(layers=4)
    before = block_influence(teacher, batches())["main"]
    chosen = choose_layers(teacher, batches(), 2)
    first = min(range(4), key=before.__getitem__)
    assert first not in chosen.keep
    again = choose_layers(teacher, batches(), 3)
    assert again.influence[first] == pytest.approx(before[first])
    assert any(again.influence[n] != pytest.approx(before[n], rel=1e-6) for n in again.keep)


def test_of_the_idle_layers_the_one_that_moves_the_answers_least_goes():
    """The oracle is each student of three layers and its divergence at the supervised positions."""
    teacher = kd_models.llama(layers=4).eval()
    batch = Collator(0)(kd_models.random_items(12))
    chosen = choose_layers(teacher, [batch], 3, shortlist=4)
    supervised = batch["labels"][:, 1:] != -100

    def answers(model):
        with torch.no_grad():
            return model(batch["input_ids"]).logits[:, :-1][supervised].log_softmax(-1)

    whole = answers(teacher)
    divergences = {
        left_out: torch.nn.functional.kl_div(
            answers(layers_from_teacher(teacher, [n for n in range(4) if n != left_out]).eval()),
            whole,
            reduction="sum",
            log_target=True,
        ).item()
        for left_out in range(4)
    }
    best = min(divergences, key=divergences.__getitem__)
    assert chosen.keep == tuple(n for n in range(4) if n != best)


@pytest.mark.parametrize("name", ["gpt2", "qwen3", "gemma3"])
def test_decoders_of_each_family_lose_layers_and_channels(name):
    teacher = {"gpt2": kd_models.gpt2, "qwen3": kd_families.qwen3, "gemma3": kd_families.gemma3}
    model = teacher[name](layers=4)
    before = kd_models.weights(model)
    made = prune_teacher(
        model, kd_models.tokenizer(), kd_models.random_items(), Collator(0),
        StudentSize(layers=2, feed_forward=8),
    )  # fmt: skip
    assert made.model.config.num_hidden_layers == 2
    assert kd_models.same(kd_models.weights(model), before)
    ids = torch.tensor([[3, 5, 7]])
    assert torch.isfinite(made.model(ids).logits).all()
    assert made.report["parameters"] == count_parameters(made.model)


@pytest.mark.parametrize("make", [kd_families.bert, kd_families.t5])
def test_encoders_lose_layers(make):
    teacher = make(layers=3)
    items = kd_families.texts() if make is kd_families.bert else kd_families.pairs()
    collator = kd_families.TEXT_COLLATOR if make is kd_families.bert else kd_families.PAIR_COLLATOR
    made = prune_teacher(
        teacher, kd_models.tokenizer(), items, collator, StudentSize(layers=2)
    ).model
    assert made.config.num_hidden_layers == 2
    assert getattr(made.config, "num_decoder_layers", 2) == 2


@pytest.mark.parametrize("make", [kd_models.llama, kd_models.gpt2, kd_families.bert])
def test_channels_that_write_nothing_are_left_out_exactly(make):
    model = make(layers=2).eval()
    stack = getattr(model, "model", None) or getattr(model, "transformer", None)
    outgoing = (
        [layer.mlp.down_proj for layer in stack.layers]
        if make is kd_models.llama
        else [layer.mlp.c_proj for layer in stack.h]
        if make is kd_models.gpt2
        else [layer.output.dense for layer in model.bert.encoder.layer]
    )
    with torch.no_grad():
        for place, linear in enumerate(outgoing):
            columns = linear.weight if make is not kd_models.gpt2 else linear.weight.T
            columns[:, place::2] = 0.0  # other channels in each layer
    data = (
        [kd_families.TEXT_COLLATOR(kd_families.texts())] if make is kd_families.bert else batches()
    )
    ids = torch.tensor([[3, 5, 7, 9]])
    expected = model(ids).logits
    channels = max(outgoing[0].weight.shape) // 2
    whole = count_parameters(model)
    narrow_feed_forward(model, data, channels)
    assert count_parameters(model) < whole
    torch.testing.assert_close(model(ids).logits, expected)


def test_too_many_channels_are_refused():
    with pytest.raises(ConfigError, match="there are 32"):
        narrow_feed_forward(kd_models.llama(), batches(), 33)


@pytest.mark.parametrize("tied", [True, False])
def test_a_trimmed_vocabulary_is_exact_for_the_kept_tokens(tied):
    tokenizer = kd_models.tokenizer(TEXTS, 330)
    teacher = kd_models.llama(vocabulary=len(tokenizer) + 5, tied=tied).eval()
    ids = tokenizer(TEXTS[0])["input_ids"]
    keep = choose_tokens(tokenizer, ids, 280)
    assert len(keep) < len(tokenizer)
    expected = teacher(torch.tensor([ids])).logits[..., keep]
    trimmed = over_vocabulary_of(teacher, tokenizer, trim_tokenizer(tokenizer, keep))
    ours = trim_tokenizer(tokenizer, keep)(TEXTS[0])["input_ids"]
    assert [keep[i] for i in ours] == ids
    torch.testing.assert_close(trimmed(torch.tensor([ours])).logits, expected)
    head, embeddings = trimmed.get_output_embeddings(), trimmed.get_input_embeddings()
    assert (head.weight is embeddings.weight) == tied
    assert trimmed.config.eos_token_id == ours_id(tokenizer, keep)
    assert len(teacher.get_input_embeddings().weight) == len(tokenizer) + 5
    assert over_vocabulary_of(teacher, tokenizer, tokenizer) is None


def ours_id(tokenizer, keep):
    return keep.index(tokenizer.eos_token_id)


@pytest.mark.parametrize("size", [1, 270, 300])
def test_every_text_can_still_be_written(tmp_path, size):
    tokenizer = kd_models.tokenizer([*TEXTS, *TEXTS], 360)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    used = [i for text in TEXTS[:2] for i in tokenizer(text)["input_ids"]]
    keep = choose_tokens(tokenizer, used, size)
    trimmed = trim_tokenizer(tokenizer, keep)
    for text in (*TEXTS, STRANGE):
        ids = trimmed(text)["input_ids"]
        assert trimmed.decode(ids) == tokenizer.decode(tokenizer(text)["input_ids"])
        if text in TEXTS[:2]:
            assert trimmed.convert_ids_to_tokens(ids) == tokenizer.tokenize(text)
    assert trimmed.chat_template == tokenizer.chat_template
    assert (trimmed.eos_token, trimmed.pad_token) == (tokenizer.eos_token, tokenizer.pad_token)
    assert trimmed.padding_side == tokenizer.padding_side
    model = kd_models.llama(vocabulary=len(tokenizer))
    trim_model(model, keep)
    folder = save_checkpoint(tmp_path / "s", model, trimmed, {})  # golden ids are compared
    assert len(load_checkpoint(folder).tokenizer) == len(keep)


def test_other_kinds_of_tokenizers_are_refused():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    with pytest.raises(ConfigError, match="type 'WordLevel'"):
        choose_tokens(PreTrainedTokenizerFast(tokenizer_object=words), [1], 1)


def test_a_tokenizer_that_is_no_trimmed_one_is_not_taken_for_one():
    teacher, tokenizer = kd_models.llama(vocabulary=400), kd_models.tokenizer(TEXTS, 360)
    other = kd_models.tokenizer(["zinc and lead and copper"], 300)
    assert over_vocabulary_of(teacher, tokenizer, other) is None


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_a_share_of_the_parameters_is_kept(share):
    teacher = kd_models.llama(layers=8, vocabulary=300, width=32, tied=True)
    made = prune_teacher(
        teacher, kd_models.tokenizer(), kd_models.random_items(), Collator(0), StudentSize(share)
    )
    each = count_parameters(teacher.model.layers[0])
    kept = count_parameters(made.model)
    assert share * count_parameters(teacher) - each < kept <= share * count_parameters(teacher)


@pytest.mark.parametrize("channels", [8, 24])
def test_narrowed_layers_leave_room_for_more_of_them(channels):
    """As many layers as fit are kept, counted with the width that they keep."""
    teacher = kd_models.llama(layers=8, vocabulary=300, width=32, tied=True)
    size = StudentSize(share=0.5, feed_forward=channels)
    parts = kd_models.tokenizer(), kd_models.random_items(), Collator(0)
    made = prune_teacher(teacher, *parts, size)
    most = 0.5 * count_parameters(teacher)
    each = count_parameters(made.model.model.layers[0])
    assert most - each < count_parameters(made.model) <= most
    whole = prune_teacher(teacher, *parts, StudentSize(share=0.5))
    assert len(made.report["layers"]) > len(whole.report["layers"])


def teacher_folder(path, tokenizer, dtype=torch.float32):
    model = kd_models.llama(layers=4, vocabulary=len(tokenizer), tied=True)
    return str(save_checkpoint(path, model.to(dtype), tokenizer, {}))


def settings(teacher, **given):
    student = given.pop("student", "from_teacher")
    options = {"max_steps": 2, "batch_size": 2, "progress": False, "max_length": 64, **given}
    return DistillationConfig(teacher, student, **options)


def test_a_pruned_student_is_trained_saved_and_trained_on(tmp_path):
    tokenizer = kd_models.tokenizer([*TEXTS, *TEXTS], 360)
    teacher = teacher_folder(tmp_path / "teacher", tokenizer, torch.bfloat16)
    distiller = ModelDistiller(settings(teacher, student_layers=2, student_vocabulary=280))
    distiller.distill(RECORDS)
    folder = distiller.save_distilled_model(tmp_path / "student")
    saved = load_checkpoint(folder)
    assert saved.stored_dtype == torch.bfloat16
    assert saved.model.config.num_hidden_layers == 2
    assert len(saved.tokenizer) == saved.model.config.vocab_size < len(tokenizer)
    pruning = json.loads((folder / "run.json").read_text())["student"]["pruning"]
    assert pruning["layers"] == distiller.pruning["layers"]
    assert len(pruning["layers"]) == 2
    for ours, theirs in zip(
        distiller.student_model.parameters(), saved.model.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)  # both are rounded
    # The teacher's vocabulary is whole, the student's is trimmed.
    again = ModelDistiller(settings(teacher, student=str(folder)))
    again.distill(RECORDS)
    assert again.save_distilled_model(tmp_path / "again").is_dir()
    assert load_checkpoint(tmp_path / "again").stored_dtype == torch.bfloat16


def test_named_layers_are_kept(tmp_path):
    teacher = teacher_folder(tmp_path / "teacher", kd_models.tokenizer())
    distiller = ModelDistiller(settings(teacher, keep_layers=[0, 3]))
    distiller.make_student(RECORDS)
    whole = distiller.teacher_model.model.layers
    for ours, number in zip(distiller.student_model.model.layers, (0, 3), strict=True):
        assert torch.equal(ours.mlp.up_proj.weight, whole[number].mlp.up_proj.weight)


def test_measuring_needs_records(tmp_path):
    teacher = teacher_folder(tmp_path / "teacher", kd_models.tokenizer())
    with pytest.raises(ConfigError, match=r"make_student\(records\)"):
        ModelDistiller(settings(teacher)).load_student_model()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"student_size": 1.0}, "student_size is 1.0; allowed is null or above 0 and below 1"),
        ({"keep_layers": [3, 1]}, r"keep_layers is \[3, 1\]"),
        ({"keep_layers": ["a", 1]}, "keep_layers is"),
        ({"keep_layers": [1], "student_layers": 1}, "leave student_layers out"),
        (
            {"student": "every_second_layer", "keep_layers": [1]},
            "student_model_name='from_teacher'",
        ),
        ({"student_vocabulary": 0}, "student_vocabulary is 0"),
    ],
)
def test_settings_of_pruning_are_checked(given, message):
    with pytest.raises(ConfigError, match=message):
        settings("teacher", **given)
