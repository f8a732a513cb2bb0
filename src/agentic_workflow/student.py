"""Opening a student: its weights as a chat model, and the table that lies beside them."""

from __future__ import annotations

from pathlib import Path

from langchain_core.language_models import BaseChatModel

from ..tables import FactTable

MAX_NEW_TOKENS = 128
"""Longest answer, in tokens; prompt tokens do not count."""


def open_student(
    folder: str | Path,
    *,
    temperature: float = 0.0,
    max_tokens: int = MAX_NEW_TOKENS,
    device: str | None = None,
) -> BaseChatModel:
    """Open a checkpoint folder as a chat model.

    Args:
        folder: The student's folder.
        temperature: 0 is greedy; above 0 samples.
        max_tokens: Cap on new tokens.
        device: `cpu`, `cuda` and so on; None lets the engine choose.

    Raises:
        ModelNotFoundError: There is no such folder.
        CheckpointError: It is not a checkpoint, or not safe to load.
    """
    from ..inference.chat_model import ChatStudent  # torch loads here, not with the graphs

    return ChatStudent(
        model=str(folder), temperature=temperature, max_tokens=max_tokens, device=device
    )


def open_table(folder: str | Path) -> FactTable | None:
    """Read the table beside a student; None where there is none."""
    return FactTable.read(folder)
