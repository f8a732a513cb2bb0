"""A student on records that it was not trained on: perplexity, overlap, right answers, and in words
what such a model can and cannot do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DataError, EmptyDataError, StillroomError
from ..inference.checkpoints.training_records import training_records_of
from ..inference.generate import generate_texts
from ..inference.scoring.choices import score_completions
from ..inference.system_pair.answers import checkpoint_of, require_mode
from ..inference.system_pair.final_answers import final_answer, same_answer
from ..prompts import SystemMode, format_prompt
from .metrics import exact_match, perplexity, wilson_interval
from .text_overlap import bleu, mean_rouge_l


@dataclass(frozen=True)
class HeldOutScores:
    """What a model did with held-out records."""

    perplexity: float
    """exp of the mean loss on the targets' tokens, the end token included; prompts do not count."""
    bleu: float
    """Of all answers together, 0 to 1."""
    rouge_l: float
    """Mean, 0 to 1."""
    right: int
    """System 1: answers that are the target. System 2: answers whose reasoning ends with the
    target's final answer."""
    finished: int
    """Answers that the model ended itself."""
    count: int
    mode: SystemMode
    answers: tuple[str, ...] = ()
    """In the order of the records."""


def evaluate_student(
    model: Any,  # noqa: ANN401 - transformers is untyped
    tokenizer: Any,  # noqa: ANN401
    eval_items: Sequence[Mapping[str, Any]],
    mode: SystemMode = "system1",
    max_new_tokens: int = 256,
    max_eval: int = 50,
    *,
    strict: bool = False,
) -> dict[str, Any]:
    """Score a student on held-out records.

    Args:
        model: A transformers causal language model.
        tokenizer: Its own.
        eval_items: `{instruction, input, output}`; the outputs are what is right.
        mode: Form of the prompts, as the student was trained.
        max_new_tokens: Most tokens of an answer.
        max_eval: The first so many records are looked at.
        strict: Raise what is wrong, in place of giving it back.

    Returns:
        `perplexity` (2 decimals), `bleu`, `rouge_l` (4 decimals) and `num_evaluated`; or `error`,
        where there is nothing to score or records were trained on.
    """
    try:
        scores = score_held_out(
            model, tokenizer, eval_items[:max_eval], mode=mode, max_new_tokens=max_new_tokens
        )
    except StillroomError as fault:
        if strict:
            raise
        return {"error": str(fault)}
    return {
        "perplexity": round(scores.perplexity, 2),
        "bleu": round(scores.bleu, 4),
        "rouge_l": round(scores.rouge_l, 4),
        "num_evaluated": scores.count,
    }


def score_held_out(
    model: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    records: Sequence[Mapping[str, Any]],
    *,
    mode: SystemMode = "system1",
    max_new_tokens: int = 256,
    batch_size: int = 32,
) -> HeldOutScores:
    """Let a model answer held-out records, greedily, and compare.

    Args:
        model: A transformers causal language model.
        tokenizer: Its own.
        records: `{instruction, input, output}`.
        mode: Form of the prompts.
        max_new_tokens: Most tokens of an answer.
        batch_size: Records answered together.

    Raises:
        EmptyDataError: There are no records.
        DataError: A record has no instruction or output, or was trained on; records whose question
            was trained on count too.
        ConfigError: The model was trained on prompts of another mode.
        GenerationError: A record does not fit into the model's context.
    """
    _require_held_out(model, records)
    require_mode(model, mode)
    checkpoint = checkpoint_of(model, tokenizer)
    prompts = [format_prompt(r["instruction"], r.get("input") or "", mode) for r in records]
    targets = [str(record["output"]) for record in records]
    answers = generate_texts(
        checkpoint, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size
    )
    texts = [answer.text.strip() for answer in answers]
    losses = score_completions(checkpoint, prompts, targets, batch_size=batch_size)
    return HeldOutScores(
        perplexity=perplexity(sum(loss for loss, _ in losses), sum(n for _, n in losses)),
        bleu=bleu(texts, targets),
        rouge_l=mean_rouge_l(texts, targets),
        right=sum(is_right(*pair, mode) for pair in zip(texts, targets, strict=True)),
        finished=sum(answer.finish_reason == "stop" for answer in answers),
        count=len(texts),
        mode=mode,
        answers=tuple(texts),
    )


def is_right(answer: str, target: str, mode: SystemMode) -> bool:
    """Say whether an answer is right: the same text, or in `system2` the same final answer."""
    if mode == "system2":
        return same_answer(final_answer(answer), final_answer(target))
    return exact_match(answer, target)


def _require_held_out(model: Any, records: Sequence[Mapping[str, Any]]) -> None:  # noqa: ANN401
    if not records:
        raise EmptyDataError("there are no held-out records; keep some out of the training")
    for number, record in enumerate(records, start=1):
        for key in ("instruction", "output"):
            if not isinstance(record.get(key), str) or not record[key].strip():
                raise DataError(f"is {record.get(key)!r}; a text is needed", row=number, column=key)
    trained = training_records_of(model)
    seen = sum(trained.seen(record) for record in records) if trained else 0
    if seen:
        raise DataError(
            f"{seen} of {len(records)} records were in the training data of this student; score "
            "it on records that it has not seen"
        )


def describe_scores(
    name: str, scores: HeldOutScores, records: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Say in words what a model can and cannot do, as far as the held-out records show.

    A share is called reliable, or not, only where its 95 % range lies on one side of one half.

    Args:
        name: Of the model.
        scores: From `score_held_out`.
        records: The same ones.
    """
    low, high = (100 * end for end in wilson_interval(scores.right, scores.count))
    what = "final answers" if scores.mode == "system2" else "answers"
    lines = [
        f"{name}: {scores.right} of {scores.count} held-out {what} right "
        f"({100 * scores.right / scores.count:.0f} %, 95 % range {low:.0f} to {high:.0f} %), "
        f"perplexity {scores.perplexity:.2f}, BLEU {scores.bleu:.3f}, ROUGE-L {scores.rouge_l:.3f}"
    ]
    can: list[str] = []
    cannot: list[str] = []
    ends = f"end an answer itself ({scores.finished} of {scores.count})"
    (can if wilson_interval(scores.finished, scores.count)[0] > 0.5 else cannot).append(ends)
    answer_new = "answer questions of this kind that it has not seen"
    if low > 50:
        most = "all of these" if scores.right == scores.count else "most of them, so check it"
        can.append(f"{answer_new}: {most}")
    elif high < 50:
        cannot.append(f"{answer_new}: what it says is mostly wrong, whatever it sounds like")
    else:
        cannot.append(f"{answer_new} reliably: about as often right as wrong")
    lines += [f"  can: {'; '.join(can)}"] if can else []
    lines += [f"  cannot: {'; '.join(cannot)}"] if cannot else []
    return lines + _examples(scores, records)


def _examples(scores: HeldOutScores, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Show the first right and the first wrong answer."""
    lines = []
    for wanted, word in ((True, "right"), (False, "wrong")):
        for answer, record in zip(scores.answers, records, strict=True):
            if is_right(answer, str(record["output"]), scores.mode) == wanted:
                asked = " | ".join(filter(None, (record["instruction"], record.get("input"))))
                lines.append(f"  {word}: {_short(asked)} -> {_short(answer)}")
                break
    return lines


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else line[:87].rstrip() + "..."
