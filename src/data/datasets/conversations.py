"""Conversations as ShareGPT writes them, to one instruction record per turn of the assistant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ...errors import DataError

_SPEAKERS: Final = {
    "human": "User", "user": "User", "gpt": "Assistant", "assistant": "Assistant",
    "function_call": "Assistant", "tool": "Tool", "observation": "Tool",
}  # fmt: skip


def conversation_records(row: Mapping[str, Any], number: int) -> Iterator[dict[str, str]]:
    """Turn a ShareGPT conversation into one record per turn of the assistant.

    `format_prompt` puts `User: ` before the instruction, so that of the first turn is left out.

    Args:
        row: `{conversations: [{from: human | gpt | system | tool, value: ...}]}`.
        number: Of the row, for messages.

    Raises:
        DataError: There is no conversation, or it does not begin with the user and end with the
            assistant.
    """

    def fault(reason: str) -> DataError:
        return DataError(reason, row=number, column="conversations")

    turns, before = row.get("conversations"), list[str]()
    if not isinstance(turns, list) or not turns:
        raise fault("has no conversation")
    for place, turn in enumerate(turns, start=1):
        if not isinstance(turn, Mapping) or not isinstance(turn.get("value"), str):
            raise fault("needs turns of 'from' and 'value'")
        speaker, text = _SPEAKERS.get(str(turn.get("from"))), turn["value"]
        if speaker == "Assistant":
            if not before:
                raise fault("begins with the assistant")
            instruction = "\n".join(before).removeprefix("User: ")
            yield {"instruction": instruction, "input": "", "output": text}
        elif place == len(turns):
            raise fault("does not end with the assistant")
        before.append(f"{speaker}: {text}" if speaker else text)
