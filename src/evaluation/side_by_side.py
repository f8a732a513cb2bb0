"""Teacher and students on the same prompts, side by side.

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
_LONGEST_PROMPT: Final = 200
_LONGEST_TEXT: Final = 400


@dataclass(frozen=True)
class _Column:
    """One model of the comparison."""

    key: str
    title: str
    """With the sign behind which the text of a model stands."""
    mode: SystemMode
    model: Any
    tokenizer: Any
    max_tokens: int
    missing: str
    """Stands in the place of the text where there is no model."""


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
) -> Any:  # noqa: ANN401 - None, or the rows where they are asked for
    """Print what teacher and students say to some prompts.

    Args:
        prompts: Instructions or questions, without a form around them.
        teacher_path: Folder or hub name; None leaves the column out.
        system1_path: Folder of the System 1 student; None leaves the column out.
        system2_path: Folder of the System 2 student; None leaves the column out.
        teacher_model: A loaded teacher, in the place of `teacher_path`.
        teacher_tokenizer: Its own.
        sys1_model: A loaded student, in the place of `system1_path`.
        sys1_tokenizer: Its own.
        sys2_model: A loaded student, in the place of `system2_path`.
        sys2_tokenizer: Its own.
        max_tokens_teacher: Most new tokens of the teacher.
        max_tokens_sys1: Most new tokens of the System 1 student.
        max_tokens_sys2: Most new tokens of the System 2 student.
        temperature: 0 is greedy, and the same every time.
        seed: Of samples.
        return_rows: Give the whole texts back.
        out: JSON file that the whole texts are written to.
        strict: Raise where a model is missing, in place of leaving its column out.

    Returns:
        None; with `return_rows` a list of `{prompt, teacher, system1, system2}`, None in the place
        of a text where there is no model.
    """
    columns = [
        _teacher(teacher_path, teacher_model, teacher_tokenizer, max_tokens_teacher, strict),
        _student("system1", system1_path, (sys1_model, sys1_tokenizer), max_tokens_sys1, strict),
        _student("system2", system2_path, (sys2_model, sys2_tokenizer), max_tokens_sys2, strict),
    ]
    rows = []
    for number, prompt in enumerate(prompts, start=1):
        head = prompt[:_LONGEST_PROMPT] + ("..." if len(prompt) > _LONGEST_PROMPT else "")
        print(f"\n{_RULE}\n[Prompt {number}] {head}\n{_RULE}")
        row: dict[str, str | None] = {"prompt": prompt}
        for column in columns:
            row[column.key] = _ask(column, prompt, temperature, seed)
            text = row[column.key]
            print(f"{column.title}: {_cut(text)}" if text is not None else column.missing)
        print()
        rows.append(row)
    if out is not None:
        write_json(out, rows)
    return rows if return_rows else None


def _ask(column: _Column, prompt: str, temperature: float, seed: int) -> str | None:
    if column.model is None:
        return None
    return infer_student(
        column.model,
        column.tokenizer,
        prompt,
        column.mode,
        column.max_tokens,
        temperature=temperature,
        seed=seed,
    )


def _teacher(
    path: str | None,
    model: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    most: int,
    strict: bool,
) -> _Column:
    if model is None and path is not None:
        if not Path(path).exists() and not _is_hub_name(path):
            _give_up(f"Teacher model not found at {path} (skipping teacher)", None, strict)
        else:
            model, tokenizer = _load(load_teacher, path, strict)
    mode = trained_mode(model, "system1")
    title = "Teacher (truncated)"
    return _Column("teacher", title, mode, model, tokenizer, most, "Teacher: (skipped)")


def _student(
    mode: SystemMode, path: str | None, loaded: tuple[Any, Any], most: int, strict: bool
) -> _Column:
    title = f"System {mode[-1]} student"
    missing = "skipped"
    model, tokenizer = loaded
    if model is None and path is not None:
        if Path(path).exists() or _is_hub_name(path):
            model, tokenizer = _load(load_student, path, strict)
            missing = "not loaded"
        else:
            _give_up(f"Model not found at {path}", None, strict)
    return _Column(mode, title, mode, model, tokenizer, most, f"{title}: ({missing})")


def _is_hub_name(path: str) -> bool:
    return _HUB_NAME.fullmatch(path) is not None


def _load(load: Any, path: str, strict: bool) -> tuple[Any, Any]:  # noqa: ANN401
    try:
        model, tokenizer = load(path)
    except StillroomError as fault:
        _give_up(f"Model not found at {path} ({fault})", fault, strict)
        return None, None
    return model, tokenizer


def _give_up(message: str, fault: StillroomError | None, strict: bool) -> None:
    """Tell that a column is left out: by a line, or by an error."""
    if strict:
        raise fault or ModelNotFoundError(message)
    print(message)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3].rstrip() + "..."
