"""Print the answers of teacher and students to the same prompts side by side.

compare_models(["Name three primary colors."], teacher_path="./teacher")
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import ModelNotFoundError, StillroomError
from ..files import write_json
from ..inference.system_pair.answers import infer_student, trained_mode
from ..inference.system_pair.models import load_student, load_teacher
from ..prompts import SystemMode

_RULE: Final = "=" * 60
_HUB_NAME: Final = re.compile(r"\w[\w.-]*/[\w.-]+")
_MAX_PROMPT_CHARS: Final = 200
_MAX_TEXT_CHARS: Final = 400


@dataclass(frozen=True)
class _Column:
    """One model of the comparison."""

    key: str
    title: str
    """Printed before the text of the model."""
    model: Any
    tokenizer: Any
    max_tokens: int
    missing: str
    """Printed instead of the text if there is no model."""


def compare_models(
    prompts: Sequence[str],
    teacher_path: str | None = "Qwen/Qwen2.5-7B-Instruct",
    system1_path: str | None = "./distilled-qwen2.5-0.5b",
    system2_path: str | None = "./distilled-qwen2.5-1.5b-cot",
    teacher_model: Any = None,  # noqa: ANN401 - transformers is untyped
    teacher_tokenizer: Any = None,  # noqa: ANN401
    sys1_model: Any = None,  # noqa: ANN401
    sys1_tokenizer: Any = None,  # noqa: ANN401
    sys2_model: Any = None,  # noqa: ANN401
    sys2_tokenizer: Any = None,  # noqa: ANN401
    max_tokens_teacher: int = 256,
    max_tokens_sys1: int = 256,
    max_tokens_sys2: int = 256,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    return_rows: bool = False,
    out: str | Path | None = None,
    strict: bool = False,
) -> Any:  # noqa: ANN401 - rows or None
    """Print the answers of teacher and students to some prompts.

    Args:
        prompts: Instructions or questions, without a prompt format around them.
        teacher_path: Folder or hub name; None omits the model.
        system1_path: Folder of the System 1 student; None omits the model.
        system2_path: Folder of the System 2 student; None omits the model.
        teacher_model: A loaded teacher instead of `teacher_path`.
        teacher_tokenizer: Its tokenizer.
        sys1_model: A loaded student instead of `system1_path`.
        sys1_tokenizer: Its tokenizer.
        sys2_model: A loaded student instead of `system2_path`.
        sys2_tokenizer: Its tokenizer.
        max_tokens_teacher: Most new tokens of the teacher.
        max_tokens_sys1: Most new tokens of the System 1 student.
        max_tokens_sys2: Most new tokens of the System 2 student.
        temperature: 0 decodes greedily, which is deterministic.
        seed: Seed of sampling.
        return_rows: Return the full texts.
        out: JSON file for the full texts.
        strict: Raise an error if a model is missing instead of omitting it.

    Returns:
        None; with `return_rows` a list of `{prompt, teacher, system1, system2}`, where the text of
        an omitted model is None.
    """
    columns = [
        _column(
            "teacher", teacher_path, teacher_model, teacher_tokenizer, max_tokens_teacher, strict
        ),
        _column("system1", system1_path, sys1_model, sys1_tokenizer, max_tokens_sys1, strict),
        _column("system2", system2_path, sys2_model, sys2_tokenizer, max_tokens_sys2, strict),
    ]
    rows = []
    for number, prompt in enumerate(prompts, start=1):
        head = prompt[:_MAX_PROMPT_CHARS] + ("..." if len(prompt) > _MAX_PROMPT_CHARS else "")
        print(f"\n{_RULE}\n[Prompt {number}] {head}\n{_RULE}")
        row: dict[str, str | None] = {"prompt": prompt}
        for column in columns:
            text = None
            if column.model is not None:
                text = infer_student(
                    column.model, column.tokenizer, prompt, _mode_of(column), column.max_tokens,
                    temperature=temperature, seed=seed,
                )  # fmt: skip
            row[column.key] = text
            print(column.missing if text is None else f"{column.title}: {_shortened(text)}")
        print()
        rows.append(row)
    if out is not None:
        write_json(out, rows)
    return rows if return_rows else None


def _column(
    key: str,
    path: str | None,
    model: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    max_tokens: int,
    strict: bool,
) -> _Column:
    """Load a model unless it is given; if it cannot be loaded, print why, or raise if `strict`."""
    is_teacher = key == "teacher"
    name = "Teacher" if is_teacher else f"System {key[-1]} student"
    title, state = ("Teacher (truncated)" if is_teacher else name), "skipped"
    fault: StillroomError | None = None
    if model is None and path is not None:
        if not Path(path).exists() and not _HUB_NAME.fullmatch(path):
            told = f"Model not found at {path}"
            if is_teacher:
                told = f"Teacher model not found at {path} (skipping teacher)"
            fault = ModelNotFoundError(told)
        else:
            state = "skipped" if is_teacher else "not loaded"
            try:
                model, tokenizer = (load_teacher if is_teacher else load_student)(path)
            except StillroomError as error:
                fault, told = error, f"Model not found at {path} ({error})"
    if fault is not None:
        if strict:
            raise fault
        print(told)
    return _Column(key, title, model, tokenizer, max_tokens, f"{name}: ({state})")


def _mode_of(column: _Column) -> SystemMode:
    if column.key == "teacher":
        return trained_mode(column.model, "system1")
    return "system2" if column.key == "system2" else "system1"


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_CHARS else text[: _MAX_TEXT_CHARS - 3].rstrip() + "..."
