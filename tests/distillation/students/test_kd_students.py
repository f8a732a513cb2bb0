"""Students from a teacher's layers or from scratch."""

import kd_models
import pytest
import torch
from stillroom.distillation.students.open_students import (
    every_second_layer,
    layers_from_teacher,
    student_from_scratch,
)
from stillroom.errors import ConfigError
from transformers import Qwen2Config, Qwen2ForCausalLM

IDS = torch.tensor([[3, 5, 7, 9]])


def qwen2(seed=0, layers=3):
    torch.manual_seed(seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=kd_models.V,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=64,
            bos_token_id=None,
            eos_token_id=0,
            tie_word_embeddings=True,
        )
    )


def llama_tied(seed=0, layers=3):
    return kd_models.llama(seed, layers=layers, tied=True)


MAKERS = [kd_models.llama, llama_tied, kd_models.gpt2, qwen2]


@pytest.mark.parametrize("make", MAKERS)
def test_all_layers_kept_is_the_teacher(make):
    teacher = make(layers=3).eval()
    student = layers_from_teacher(teacher, [0, 1, 2])
    assert student.training
    student.eval()
    assert torch.equal(student(IDS).logits, teacher(IDS).logits)


@pytest.mark.parametrize("make", MAKERS)
def test_chosen_layers_are_copied_and_nothing_is_shared(make):
    teacher = make(layers=3).eval()
    before = kd_models.weights(teacher)
    student = layers_from_teacher(teacher, every_second_layer(3)).eval()
    assert student.config.num_hidden_layers == 1
    assert teacher.config.num_hidden_layers == 3
    shared = {p.data_ptr() for p in student.parameters()} & {
        p.data_ptr() for p in teacher.parameters()
    }
    assert not shared
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    assert kd_models.same(kd_models.weights(teacher), before)


@pytest.mark.parametrize("make", MAKERS)
def test_a_student_with_a_dropped_layer_computes_without_it(make):
    """The oracle is the teacher with its middle layer turned into the identity."""
    teacher = make(layers=3).eval()
    student = layers_from_teacher(teacher, [0, 2]).eval()
    layers = teacher.transformer.h if make is kd_models.gpt2 else teacher.model.layers
    layers[1].forward = lambda hidden_states, *_, **__: hidden_states
    expected = teacher(IDS, use_cache=False).logits
    torch.testing.assert_close(student(IDS).logits, expected)
    generated = student.generate(IDS, max_new_tokens=3, do_sample=False)  # cache indices fit
    assert generated.shape[1] > IDS.shape[1]


@pytest.mark.parametrize("make", [llama_tied, kd_models.gpt2, qwen2])
def test_tied_embeddings_stay_tied(make):
    student = layers_from_teacher(make(layers=3), [0, 2])
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight


def test_a_half_precision_teacher_gives_a_float32_student():
    student = layers_from_teacher(kd_models.llama(layers=2).bfloat16(), [0])
    assert {p.dtype for p in student.parameters()} == {torch.float32}


def test_the_global_generator_is_left_alone():
    teacher = kd_models.llama(layers=3)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    layers_from_teacher(teacher, [0])
    student_from_scratch(teacher.config, layers=1, width=8)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("keep", [[], [2, 0], [0, 0], [0, 3], [-1]])
def test_layers_that_are_not_there_are_refused(keep):
    with pytest.raises(ConfigError, match=r"allowed are 0 to 2, ascending"):
        layers_from_teacher(kd_models.llama(layers=3), keep)


@pytest.mark.parametrize(
    ("layers", "keep"), [(2, [1]), (3, [1]), (5, [1, 3]), (6, [1, 3, 5]), (12, [1, 3, 5, 7, 9, 11])]
)
def test_every_second_layer_is_at_most_half(layers, keep):
    assert every_second_layer(layers) == keep


def test_a_teacher_of_one_layer_is_refused():
    with pytest.raises(ConfigError, match="1 layer"):
        every_second_layer(1)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("layers", "width"), [(1, 8), (2, 24), (5, 16)])
def test_from_scratch(make, layers, width):
    teacher = make(layers=2)
    student = student_from_scratch(teacher.config, layers=layers, width=width, seed=1)
    assert student(IDS).logits.shape == (1, 4, kd_models.V)
    assert student.config.num_hidden_layers == layers
    assert student.config.hidden_size == width
    again = student_from_scratch(teacher.config, layers=layers, width=width, seed=1)
    other = student_from_scratch(teacher.config, layers=layers, width=width, seed=2)
    assert kd_models.same(kd_models.weights(student), kd_models.weights(again))
    assert not kd_models.same(kd_models.weights(student), kd_models.weights(other))


def test_wrong_sizes_are_told_at_once():
    with pytest.raises(ConfigError, match=r"student_layers is 0.*student_width is 7"):
        student_from_scratch(kd_models.llama().config, layers=0, width=7)
