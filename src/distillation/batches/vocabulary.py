"""V_eff, the number of token ids that mean the same to teacher and student.

Heads are padded to round sizes that differ within one family (Qwen2.5: 151,936 or 152,064 rows for
151,665 tokens), so sizes prove nothing. Tokens are compared id by id, and both heads are cut to the
shared ids before the softmax; rows beyond get no gradient.
"""

from __future__ import annotations

from typing import Any

from ...errors import VocabularyError

WAYS_OUT = (
    "Choose a student with the teacher's tokenizer (student_model_name='every_second_layer' makes "
    "one), train on the teacher's texts alone (alpha=0), or compare sorted distributions "
    "(objective='universal_logit'; TRL's GOLDTrainer is another such method)"
)
"""Advice for a user whose tokenizers differ."""


def compare_vocabularies(teacher_tokenizer: Any, student_tokenizer: Any) -> int:  # noqa: ANN401
    """Find how many ids mean the same token to teacher and student.

    Only tokens that were added after the trained vocabulary may differ or exist on one side, as a
    padding token with two names. The shared ids end before the first of them.

    Returns:
        V_eff: ids 0 to V_eff - 1 are shared; both heads are cut to them in the loss.

    Raises:
        VocabularyError: A token of the trained vocabularies differs; the message names ways out.
    """
    teacher, student = _tokens_by_id(teacher_tokenizer), _tokens_by_id(student_tokenizer)
    ids = range(max([*teacher, *student], default=-1) + 1)
    differing = [i for i in ids if teacher.get(i) != student.get(i)]
    both = min(max(teacher, default=-1), max(student, default=-1)) + 1
    added = {**teacher_tokenizer.get_added_vocab(), **student_tokenizer.get_added_vocab()}
    trained = [i for i in range(both) if not {teacher.get(i), student.get(i)} <= {None, *added}]
    wrong = [i for i in differing if trained and i <= trained[-1]]
    shared = differing[0] if differing else len(ids)
    if wrong or shared == 0:
        first = wrong[0] if wrong else 0
        raise VocabularyError(
            f"{len(wrong) or len(ids)} of {len(ids)} ids mean different tokens; id {first} is "
            f"{teacher.get(first)!r} to the teacher and {student.get(first)!r} to the student. "
            f"{WAYS_OUT}"
        )
    return shared


def shared_vocabulary(tokens: int, teacher: Any, student: Any) -> int:  # noqa: ANN401
    """Return V_eff: of the ids that the tokenizers share, those that both heads have rows for."""
    return min(tokens, _head_rows(teacher), _head_rows(student))


def token_count(tokenizer: Any) -> int:  # noqa: ANN401
    """Return one more than the largest token id of a tokenizer."""
    return int(max(tokenizer.get_vocab().values())) + 1


def _tokens_by_id(tokenizer: Any) -> dict[int, str]:  # noqa: ANN401
    return {number: token for token, number in tokenizer.get_vocab().items()}


def _head_rows(model: Any) -> int:  # noqa: ANN401
    return len(model.get_output_embeddings().weight)
