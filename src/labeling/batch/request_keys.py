"""What makes two labels the same: the cache key of a task, and the plan of a run by keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ...errors import DataError
from ...records import sha256_text, stable_json
from ..teachers.protocol import DecodeProfile, Prompt, Teacher, prompt_turns
from .parse_label import LabelTask


def label_key(prompt: Prompt, profile: DecodeProfile, teacher: Teacher) -> str:
    """Hash what decides a label; 64 hex digits.

    Args:
        prompt: What is asked. A text and the same text as one turn have different keys: a local
            teacher reads them differently.
        profile: How the answer is decoded.
        teacher: Who answers.
    """
    return _key(prompt, profile.to_dict(), teacher)


def _key(prompt: Prompt, profile: dict[str, object], teacher: Teacher) -> str:
    text = prompt if isinstance(prompt, str) else stable_json(prompt_turns(prompt))
    return sha256_text(
        stable_json(
            {
                "prompt": sha256_text(text),
                "model": teacher.name,
                "revision": teacher.revision,
                "decode": profile,
            }
        )
    )


@dataclass(frozen=True)
class PlannedLabel:
    """One label to get, for one task or several that ask the same."""

    key: str
    task: LabelTask
    """The first that asks for it."""
    profile: DecodeProfile
    places: list[int]
    """Of the tasks that get the label."""


def plan_labels(
    tasks: Iterable[LabelTask], profile: DecodeProfile, teacher: Teacher
) -> tuple[list[LabelTask], list[PlannedLabel]]:
    """Give tasks their keys and bring equal ones together.

    Returns:
        The tasks, and the labels in the order in which they are first asked for.

    Raises:
        DataError: An id is there twice, or a prompt is empty or no Unicode text.
    """
    listed: list[LabelTask] = []
    seen: dict[str, int] = {}
    planned: dict[str, PlannedLabel] = {}
    profiles: dict[int, tuple[DecodeProfile, dict[str, object]]] = {}
    for place, task in enumerate(tasks):
        if task.id in seen:
            raise DataError(
                f"id {task.id!r} is that of record {seen[task.id] + 1} too; ids are unique",
                row=place + 1,
            )
        seen[task.id] = place
        listed.append(task)
        if task.sample not in profiles:
            own = replace(profile, seed=profile.seed + task.sample)
            # The number of the sample counts as well: greedy answers have no use for the seed.
            profiles[task.sample] = own, own.to_dict() | {"sample": task.sample}
        own, written = profiles[task.sample]
        _check_prompt(task, place)
        key = _key(task.prompt, written if task.sample else own.to_dict(), teacher)
        planned.setdefault(key, PlannedLabel(key, task, own, [])).places.append(place)
    return listed, list(planned.values())


def _check_prompt(task: LabelTask, place: int) -> None:
    texts = [task.prompt] if isinstance(task.prompt, str) else [t["content"] for t in task.prompt]
    if not any(text.strip() for text in texts):
        raise DataError(f"the prompt of {task.id!r} is empty", row=place + 1)
    try:
        "".join([task.id, *texts]).encode()
    except UnicodeEncodeError as fault:
        raise DataError(f"{task.id!r} holds half a surrogate pair", row=place + 1) from fault
