"""Score a model on held-out records, and describe in words what it can and cannot do.

`answer_held_out` is the one place where models answer held-out prompts: `evaluate_models` and
`score_held_out` both compute their measures from its result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DataError, EmptyDataError, StillroomError
from ..inference.checkpoints.load_student import Checkpoint
from ..inference.checkpoints.training_records import training_records_of
from ..inference.generate import generate_texts
from ..inference.scoring.choices import score_completions
from ..inference.system_pair.answers import checkpoint_of, require_mode
from ..inference.system_pair.final_answers import final_answer, same_answer
from ..prompts import Prompt, SystemMode, format_prompt
from ..rate_interval import wilson_interval
from .metrics import bleu, exact_match, mean_rouge_l, perplexity


@dataclass(frozen=True)
class ModelAnswers:
    """The greedy answers of a model to N prompts, and its losses on the targets."""

    texts: list[str]
    """(N,)."""
    finished: list[bool]
    """(N,), whether the model ended the answer itself."""
    losses: dict[int, tuple[float, int]]
    """Number of an example -> negative log-likelihood of its target and the number of its tokens,
    end token included; prompts do not count."""
    confidences: list[float | None]
    """(N,), probability that the model gives its own answer, 0 to 1; None where it is not known."""

    def perplexity(self, numbers: Iterable[int] | None = None) -> float:
        """Compute the perplexity over those targets of some examples that have a loss; None means
        all."""
        wanted = self.losses if numbers is None else numbers
        chosen = [self.losses[n] for n in wanted if n in self.losses]
        return perplexity(sum(loss for loss, _ in chosen), sum(tokens for _, tokens in chosen))


def answer_held_out(
    checkpoint: Checkpoint,
    prompts: Sequence[Prompt],
    targets: Sequence[str],
    *,
    max_new_tokens: int | Sequence[int],
    batch_size: int,
    scored: Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ModelAnswers:
    """Let a model answer N prompts, and compute its losses on their targets.

    Args:
        checkpoint: The model.
        prompts: (N,), rendered texts or turns.
        targets: (N,).
        max_new_tokens: Most tokens of an answer, or a number for each prompt.
        batch_size: Prompts answered together.
        scored: Numbers of the examples whose loss is computed, counted from 0; None for all.
        progress: Called with the number of answered prompts and N.

    Raises:
        GenerationError: A prompt does not fit into the model's context.
    """
    answers = generate_texts(
        checkpoint, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size, progress=progress
    )
    numbers = range(len(prompts)) if scored is None else scored
    losses = score_completions(
        checkpoint,
        [prompts[n] for n in numbers],
        [targets[n] for n in numbers],
        batch_size=batch_size,
    )
    return ModelAnswers(
        [answer.text for answer in answers],
        [answer.finish_reason == "stop" for answer in answers],
        dict(zip(numbers, losses, strict=True)),
        [_probability(answer.logprobs) for answer in answers],
    )


def _probability(logprobs: Sequence[float]) -> float | None:
    """Compute the probability of an answer from the log-probabilities of its tokens."""
    return math.exp(min(0.0, sum(logprobs))) if logprobs else None


@dataclass(frozen=True)
class HeldOutScores:
    """Scores of a model on held-out records."""

    perplexity: float
    """exp of the mean loss on the targets' tokens; see `ModelAnswers.losses`."""
    bleu: float
    """Of all answers together, 0 to 1."""
    rouge_l: float
    """Mean, 0 to 1."""
    right: int
    """Number of right answers: the target's text in `system1`, its final answer in `system2`."""
    finished: int
    """Number of answers that the model ended itself."""
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
        tokenizer: Its tokenizer.
        eval_items: `{instruction, input, output}`; `output` is the right answer.
        mode: Prompt format that the student was trained on.
        max_new_tokens: Most tokens of an answer.
        max_eval: Score only the first `max_eval` records.
        strict: Raise errors instead of returning them.

    Returns:
        `perplexity` (2 decimals), `bleu`, `rouge_l` (4 decimals) and `num_evaluated`; or `error`
        if there are no records or some of them were trained on.
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
    """Let a model answer held-out records greedily, and score the answers.

    Args:
        model: A transformers causal language model.
        tokenizer: Its tokenizer.
        records: `{instruction, input, output}`.
        mode: Prompt format.
        max_new_tokens: Most tokens of an answer.
        batch_size: Records answered together.

    Raises:
        EmptyDataError: There are no records.
        DataError: A record has no instruction or output, or its question was trained on.
        ConfigError: The model was trained on prompts of another mode.
        GenerationError: A record does not fit into the model's context.
    """
    _require_held_out(model, records)
    require_mode(model, mode)
    checkpoint = checkpoint_of(model, tokenizer)
    prompts = [format_prompt(r["instruction"], r.get("input") or "", mode) for r in records]
    targets = [str(record["output"]) for record in records]
    answers = answer_held_out(
        checkpoint, prompts, targets, max_new_tokens=max_new_tokens, batch_size=batch_size
    )
    texts = [text.strip() for text in answers.texts]
    return HeldOutScores(
        perplexity=answers.perplexity(),
        bleu=bleu(texts, targets),
        rouge_l=mean_rouge_l(texts, targets),
        right=sum(is_right(*pair, mode) for pair in zip(texts, targets, strict=True)),
        finished=sum(answers.finished),
        count=len(texts),
        mode=mode,
        answers=tuple(texts),
    )


def is_right(answer: str, target: str, mode: SystemMode) -> bool:
    """Check an answer: the same text as the target, or in `system2` the same final answer."""
    if mode == "system2":
        return same_answer(final_answer(answer), final_answer(target))
    return exact_match(answer, target)


def _require_held_out(model: Any, records: Sequence[Mapping[str, Any]]) -> None:  # noqa: ANN401
    if not records:
        raise EmptyDataError(
            "there are no held-out records; exclude some records from the training"
        )
    for number, record in enumerate(records, start=1):
        for key in ("instruction", "output"):
            if not isinstance(record.get(key), str) or not record[key].strip():
                raise DataError(f"is {record.get(key)!r}; a text is needed", row=number, column=key)
    trained = training_records_of(model)
    seen = sum(trained.seen(record) for record in records) if trained else 0
    if seen:
        raise DataError(
            f"{seen} of {len(records)} records were in the training data of this student; score "
            "it on other records"
        )


def describe_scores(
    name: str, scores: HeldOutScores, records: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Describe in words what a model can and cannot do according to its scores.

    The model can do something only if the whole 95 % range of its rate is above 50 %.

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
        cannot.append(f"{answer_new}: its answers are mostly wrong, even if they sound right")
    else:
        cannot.append(f"{answer_new} reliably: about as often right as wrong")
    lines += [f"  can: {'; '.join(can)}"] if can else []
    lines += [f"  cannot: {'; '.join(cannot)}"] if cannot else []
    return lines + _examples(scores, records)


def _examples(scores: HeldOutScores, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Quote the first right and the first wrong answer."""
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
