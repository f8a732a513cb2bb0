"""A model's scores on a task: accuracy and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from calibration import answer_scores, class_scores
from label_tree import LabelTree, class_log_likelihoods
from recipes import MAX_LENGTH
from stillroom.evaluation.metrics import exact_match
from stillroom.inference.generate import Generation, generate_texts
from stillroom.inference.scoring.choices import prompt_ids
from tasks import Row, Task
from training import as_checkpoint

MOST_TOKENS = 16
"""Of an answer."""


def score(model: Any, tokenizer: Any, task: Task, rows: Sequence[Row]) -> dict[str, float]:  # noqa: ANN401
    """Score a model on some rows of a task.

    Where the answers are a closed set, each is scored by its likelihood as a text, and they are
    brought to sum 1; else the greedy answer counts, with its probability.
    """
    model.eval()
    if not task.classes:
        answers = generate(model, tokenizer, rows)
        right = [exact_match(a.text, r.label) for a, r in zip(answers, rows, strict=True)]
        sure = [float(np.exp(sum(answer.logprobs))) for answer in answers]
        return answer_scores(np.array(sure), np.array(right, dtype=np.float64))
    tree = LabelTree(task.classes, tokenizer, rows[0].prompt)
    # As long prompts are cut in training: what stands before the answer stays.
    prompts = [ids[-MAX_LENGTH:] for ids in prompt_ids(tokenizer, [row.prompt for row in rows])]
    likelihoods = class_log_likelihoods(model, prompts, tree)
    places = {label: place for place, label in enumerate(task.classes)}
    return class_scores(likelihoods, np.array([places[row.label] for row in rows]))


def generate(
    model: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    rows: Sequence[Row],
    *,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Generation]:
    """Let a model answer questions as texts."""
    checkpoint = as_checkpoint(model, tokenizer)
    prompts = [row.prompt for row in rows]
    return generate_texts(
        checkpoint,
        prompts,
        max_new_tokens=MOST_TOKENS,
        temperature=temperature,
        seed=seed,
        batch_size=256,
    )
