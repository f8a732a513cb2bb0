"""Compute the cache keys of tasks, and group tasks with equal keys into one label each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ...errors import DataError
from ...records import sha256_text, stable_json
from ..teachers.protocol import DecodeProfile, Teacher, prompt_turns
from .label_run import LabelTask


@dataclass(frozen=True)
class PlannedLabel:
    """One label to get, for one task or for several with the same key."""

    key: str
    """SHA-256 over prompt, model, revision and decode profile, 64 hex digits."""
    task: LabelTask
    """The first task with this key."""
    profile: DecodeProfile
    places: list[int]
    """Indices of the tasks that get the label."""


def plan_labels(
    tasks: Iterable[LabelTask], profile: DecodeProfile, teacher: Teacher
) -> tuple[list[LabelTask], list[PlannedLabel]]:
    """Compute the keys of tasks and group tasks with equal keys.

    Returns:
        The tasks, and the labels in the order in which they are first asked for.

    Raises:
        DataError: An id occurs twice, or a prompt is empty or no valid Unicode text.
    """
    listed: list[LabelTask] = []
    seen: dict[str, int] = {}
    planned: dict[str, PlannedLabel] = {}
    decode: dict[int, tuple[DecodeProfile, dict[str, object]]] = {}
    for place, task in enumerate(tasks):
        if task.id in seen:
            raise DataError(
                f"id {task.id!r} is that of record {seen[task.id] + 1} too; ids are unique",
                row=place + 1,
            )
        seen[task.id] = place
        listed.append(task)
        _check_prompt(task, place)
        if task.sample not in decode:
            own = replace(profile, seed=profile.seed + task.sample)
            # Greedy decoding ignores the seed, so the number of the sample is hashed as well.
            number = {"sample": task.sample} if task.sample else {}
            decode[task.sample] = own, own.to_dict() | number
        own, hashed = decode[task.sample]
        # A text and the same text as one turn differ: a local teacher renders them differently.
        text = (
            task.prompt if isinstance(task.prompt, str) else stable_json(prompt_turns(task.prompt))
        )
        parts = {"prompt": sha256_text(text), "model": teacher.name, "revision": teacher.revision}
        key = sha256_text(stable_json({**parts, "decode": hashed}))
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
