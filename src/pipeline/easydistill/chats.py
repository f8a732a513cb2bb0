"""EasyDistill's `agentkd_distill`: a student learns what a talk's assistant says, turn by turn.

Talks are ShareGPT's: `conversations: [{from: human | gpt | system | tool, value: ...}]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from ...errors import DataError
from ..reasoning.rows import read_rows
from ..reasoning.train_student import train_student
from .config import JobConfig
from .settings import training_settings

_SPEAKERS: Final = {"human": "User", "gpt": "Assistant", "tool": "Tool", "observation": "Tool"}
_TAGS: Final = {"function_call": "gpt", "assistant": "gpt", "user": "human"}


def run_talks(config: JobConfig) -> str:
    """Train on each of the assistant's turns, after all that was said before it.

    Returns:
        The student's folder.

    Raises:
        DataError: A record holds no talk.
    """
    rows = read_rows(config.dataset["labeled_path"])
    records = [record for n, row in enumerate(rows, start=1) for record in talk_records(row, n)]
    nested = config.training.get("output")
    if isinstance(nested, Mapping) and "output_dir" in nested:
        training = {**config.training, "output_dir": nested["output_dir"]}
        config = replace(config, training=training)
    return train_student(training_settings(config), records, "system1")


def talk_records(row: Mapping[str, Any], number: int) -> Iterator[dict[str, str]]:
    """Turn a talk into one record per turn of the assistant.

    The prompt is written as by `format_prompt`: the last turn is asked, those before it stand
    above it with the name of who spoke.

    Args:
        row: With `conversations`.
        number: Of the row, for messages.

    Raises:
        DataError: It holds no talk, or one that does not end with the assistant.
    """
    turns = row.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise DataError("has no talk", row=number, column="conversations")
    before: list[str] = []
    for turn in turns:
        speaker, text = _turn(turn, number)
        if speaker == "gpt" and before:
            yield {"instruction": _without_first_name(before), "input": "", "output": text}
        elif speaker == "gpt":
            raise DataError("begins with the assistant", row=number, column="conversations")
        name = _SPEAKERS.get(speaker)
        before.append(f"{name}: {text}" if name else text)
    if not before or _turn(turns[-1], number)[0] != "gpt":
        raise DataError("does not end with the assistant", row=number, column="conversations")


def _turn(turn: object, number: int) -> tuple[str, str]:
    if not isinstance(turn, Mapping) or not isinstance(turn.get("value"), str):
        raise DataError("needs turns of 'from' and 'value'", row=number, column="conversations")
    speaker = str(turn.get("from"))
    return _TAGS.get(speaker, speaker), turn["value"]


def _without_first_name(lines: list[str]) -> str:
    """The prompt's own form puts `User: ` in front."""
    return "\n".join(lines).removeprefix("User: ")
