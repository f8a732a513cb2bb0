"""The README.md of a checkpoint: what the model is, what it can do, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]

from ..rate_interval import wilson_interval
from .eval_results import EvalResult, model_index
from .scores import ModelScores, percent, tasks_of

Role = Literal["teacher", "taught_teacher", "student"]

_WHAT = {
    "teacher": (
        "A small teacher, **trained from scratch on this one table** and on nothing else: it has "
        "no general knowledge and cannot hold a conversation. Its purpose is to label training "
        "data for a student."
    ),
    "taught_teacher": (
        "A pretrained model that was **taught one table**. Its purpose is to label training data "
        "for a student; what it knew before it may have forgotten."
    ),
    "student": (
        "A small student, distilled from a teacher to answer questions about one table. Its "
        "answers to other questions are wrong even if they sound fluent: serve it through agents "
        "that check answers against the records."
    ),
}


def model_card(
    role: Role,
    *,
    name: str,
    source: str,
    records: int,
    scores: ModelScores | None = None,
    teacher_scores: ModelScores | None = None,
    run: Mapping[str, Any] | None = None,
    example: str = "",
    results: Sequence[EvalResult] = (),
    proof: Sequence[str] = (),
) -> str:
    """Write the model card of a checkpoint.

    Args:
        role: `teacher` or `student`.
        name: Name of the model.
        source: File or table it was made from, without folders.
        records: Number of records of that table.
        scores: Scores of the model on held-out examples; None if it was not evaluated.
        teacher_scores: Scores of a student's teacher on the same examples.
        run: The content of `run.json`; run id, seed and versions are shown.
        example: A rendered prompt to try.
        results: What was measured, for the metadata of the hub.
        proof: Sentences of the run's report, such as the verdict beside the teacher.

    Returns:
        Markdown with the metadata block of the Hugging Face hub.
    """
    parts = [
        f"---\n{_metadata(role, name, results)}---",
        f"# {_escaped(name)}",
        _WHAT[role],
        f"Made from `{_code(source)}`{f' ({records:,} records)' if records else ''} with "
        "stillroom.",
        "## Quality",
        _quality(scores, teacher_scores, results),
        *(["\n".join(f"- {_escaped(one)}" for one in proof)] if proof else []),
        "## Use",
        _use(role, example),
        "## Limits",
        _limits(role, scores),
    ]
    if run:
        parts += ["## Origin", _origin(run)]
    return "\n\n".join(parts) + "\n"


def _metadata(role: Role, name: str, results: Sequence[EvalResult]) -> str:
    told: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["stillroom", "knowledge-distillation" if role == "student" else "teacher"],
    }
    if results:
        told["model-index"] = model_index(name, results)
    return str(yaml.safe_dump(told, sort_keys=False, allow_unicode=True))


def _quality(
    scores: ModelScores | None, teacher: ModelScores | None, results: Sequence[EvalResult]
) -> str:
    if scores is None and results:
        rows = [f"| {_escaped(one.task)} | {one.value:.4g} | {_escaped(one.notes)} |"
                for one in results]  # fmt: skip
        return "\n".join(["| task | value | measured on |", "|---|---:|---|", *rows])
    if scores is None:
        return "Not evaluated."
    models = [("this model", scores)] + ([("its teacher", teacher)] if teacher else [])
    tasks = tasks_of(dict(models))
    head = ["", "exact match", *tasks, "word-level F1", "perplexity", "parameters"]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for label, model in models:
        cells = [label, percent(100 * model.exact_match)]
        cells += [
            percent(100 * model.by_task[task].exact_match) if task in model.by_task else "-"
            for task in tasks
        ]
        cells += [percent(100 * model.token_f1), f"{model.perplexity:.2f}"]
        cells.append(f"{model.parameters:,}")
        lines.append("| " + " | ".join(cells) + " |")
    low, high = wilson_interval(scores.exact_match * scores.count, scores.count)
    lines.append(
        f"\nPercent of {scores.count:,} held-out examples: known facts in wordings that were not "
        f"trained on. The 95 % range of this model's exact match is {percent(100 * low)} to "
        f"{percent(100 * high)}."
    )
    return "\n".join(lines)


def _use(role: Role, example: str) -> str:
    prompt = example or "Question: ...\n\nAnswer:"
    return (
        "```python\n"
        "from stillroom.inference.chat.chat_model import ChatStudent\n\n"
        f'{role} = ChatStudent(model="path/to/this/folder")\n'
        f"print({role}.invoke({prompt!r}).text)\n"
        "```\n\n"
        "The weights are safetensors, without code. Prompts must have the format of the training "
        "(`stillroom.prompts`); loading compares its hash with the one in `run.json`."
    )


def _limits(role: Role, scores: ModelScores | None) -> str:
    lines = ["It answers every question, including those that the table cannot answer."]
    if scores is not None:
        wrong = 100 * (1 - scores.exact_match)
        lines.append(f"{wrong:.1f} % of its answers to held-out questions are not the record's.")
    lines += [
        "Errors and biases of the table are learned as facts.",
        "The held-out questions test new wordings, not new facts.",
    ]
    if role == "student":
        lines.append("What it learned from its teacher's labels includes the teacher's mistakes.")
    return "\n".join(f"- {line}" for line in lines)


def _origin(run: Mapping[str, Any]) -> str:
    shown = {
        "run": run.get("run_id"),
        "created": run.get("created_at"),
        "seed": run.get("seed"),
        "steps": run.get("steps"),
        "data": run.get("data_hash"),
        "prompts": run.get("prompt_sha256"),
        "versions": ", ".join(f"{k} {v}" for k, v in (run.get("versions") or {}).items()),
    }
    lines = [f"- {key}: `{_code(str(value))}`" for key, value in shown.items() if value]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Escape Markdown in a user's text."""
    return "".join("\\" + c if c in "\\`*_{}[]<>#|" else c for c in " ".join(text.split()))


def _code(text: str) -> str:
    return " ".join(text.split()).replace("`", "'")
