"""Which ids teacher and student share, and that rows behind them count for nothing."""

import kd_models
import pytest
import torch
from stillroom.distillation.batches.batching import Collator
from stillroom.distillation.batches.vocabulary import compare_vocabularies, shared_vocabulary
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.errors import VocabularyError
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

WORDS = ["a", "b", "c", "d"]


def words(names, *, added=()):
    """A tokenizer whose trained vocabulary is `names`, in that order."""
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, "a"))
    )
    made.add_tokens(list(added))
    return made


@pytest.mark.parametrize(
    ("teacher", "student", "shared"),
    [
        ((WORDS, ()), (WORDS, ()), 4),
        ((WORDS, ()), (WORDS, ("<pad>", "<more>")), 4),  # added on one side
        ((WORDS, ("<pad>",)), (WORDS, ()), 4),
        ((WORDS, ("<pad>", "x")), (WORDS, ("<pad>", "y")), 5),  # the first difference ends it
        ((WORDS, ("[PAD]",)), (WORDS, ("<pad>",)), 4),  # each named its own
        ((WORDS, ()), ([*WORDS, "e", "f"], ()), 4),  # one trained vocabulary goes on
    ],
)
def test_shared_ids(teacher, student, shared):
    one, other = words(teacher[0], added=teacher[1]), words(student[0], added=student[1])
    assert compare_vocabularies(one, other) == compare_vocabularies(other, one) == shared


@pytest.mark.parametrize(
    "student",
    [["b", "a", "c", "d"], ["a", "b", "d", "c"], ["a", "b", "c", "e"], ["a", "x", "c", "d"]],
)
def test_permuted_and_other_tokens_are_refused_and_ways_out_named(student):
    """The sizes are equal, so a comparison of sizes would let them all pass."""
    pattern = r"of 4 ids mean different tokens; id \d .*alpha=0.*universal_logit.*GOLD"
    with pytest.raises(VocabularyError, match=pattern):
        compare_vocabularies(words(WORDS), words(student))


def test_a_permuted_token_among_the_added_is_no_longer_shared():
    one = words(WORDS, added=("<x>", "<y>", "<z>"))
    other = words(WORDS, added=("<x>", "<z>", "<y>"))
    assert compare_vocabularies(one, other) == 5


def test_special_tokens_at_the_start_that_differ_are_refused():
    """They were added too, but trained tokens come behind them."""
    one, other = words(["<s>", *WORDS]), words(["[CLS]", *WORDS])
    one.add_special_tokens({"bos_token": "<s>"})
    other.add_special_tokens({"bos_token": "[CLS]"})
    assert "<s>" in one.get_added_vocab()
    with pytest.raises(VocabularyError, match=r"id 0 is '<s>' to the teacher and '.CLS.'"):
        compare_vocabularies(one, other)


def test_tokenizers_without_a_token_in_common():
    with pytest.raises(VocabularyError):
        compare_vocabularies(words(WORDS), words([]))


def test_heads_are_cut_to_what_is_shared():
    assert shared_vocabulary(60, kd_models.llama(), kd_models.llama(vocabulary=64)) == 60
    assert shared_vocabulary(70, kd_models.llama(), kd_models.llama(vocabulary=64)) == 61


# ------------------------------------------------------------------------- Qwen2.5

TOKENS, STUDENT_ROWS, TEACHER_ROWS = 151_665, 151_936, 152_064


def qwen2(seed, rows):
    torch.manual_seed(seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=rows,
            hidden_size=4,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            max_position_embeddings=32,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=0,
        )
    )


@pytest.fixture(scope="module")
def qwen_pair():
    """0.5B and 7B in small: one tokenizer, heads of unlike size, padded rows that speak up."""
    student, teacher = qwen2(0, STUDENT_ROWS), qwen2(1, TEACHER_ROWS)
    with torch.no_grad():
        for model in (student, teacher):
            model.lm_head.weight[TOKENS:] = 50.0 * torch.randn(
                len(model.lm_head.weight) - TOKENS, 4
            )
    return student, teacher


def test_qwen_sizes_share_the_tokens_of_the_tokenizer(qwen_pair):
    tokenizer = words([str(n) for n in range(TOKENS)])
    tokens = compare_vocabularies(tokenizer, tokenizer)
    assert shared_vocabulary(tokens, qwen_pair[1], qwen_pair[0]) == TOKENS


def test_qwen_padding_has_no_loss_and_no_gradient(qwen_pair, tmp_path):
    """Equal on all tokens, unlike on padded rows: the divergence is 0 (Liger: 0.03 to 307)."""
    student, teacher = qwen_pair
    batch = Collator(0)(kd_models.random_items(3, vocabulary=TOKENS))
    with torch.no_grad():
        for name, value in student.state_dict().items():
            wide = teacher.state_dict()[name]
            wide[:TOKENS].copy_(value[:TOKENS]) if value.dim() == 2 and len(
                value
            ) == STUDENT_ROWS else wide.copy_(value)
    trainer = kd_models.kd_trainer(
        tmp_path,
        student,
        teacher=teacher,
        vocabulary=TOKENS,
        loss_fn=DistillationLoss(2.0, 1.0),
    )
    loss = trainer.compute_loss(student, batch)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    trainer.loss_fn = DistillationLoss(2.0, 0.0)
    trainer.compute_loss(student, batch).backward()
    gradient = student.lm_head.weight.grad
    assert gradient[:TOKENS].abs().sum() > 0.0
    assert torch.equal(gradient[TOKENS:], torch.zeros_like(gradient[TOKENS:]))
