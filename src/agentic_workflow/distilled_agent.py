"""A student that answers prompts and questions; both workflows call it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

from ..prompts import render
from ..tables import FactTable
from .nodes.toolbox import Tools
from .reading.table_reader import TableReader

ModelPath = str | Path | BaseChatModel | None
"""A checkpoint folder, or a chat model in its place."""
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
    from ..inference.chat.chat_model import ChatStudent  # torch loads here, not with the graphs

    return ChatStudent(
        model=str(folder), temperature=temperature, max_tokens=max_tokens, device=device
    )


def open_table(folder: str | Path) -> FactTable | None:
    """Read the table beside a student; None where there is none."""
    return FactTable.read(folder)


class DistilledModelAgent:
    """A student that answers prompts and questions.

    Args:
        model_path: The student's folder, or a chat model in its place.
        device: Torch device.
        max_length: Cap on new tokens; prompt tokens do not count.
        temperature: 0 is greedy; above 0 samples.
        chat_model: A chat model to use instead of loading the folder.
        table: The student's table; by default the one in the folder.

    Raises:
        ModelNotFoundError: There is no such folder.
        CheckpointError: The folder is no checkpoint, or not safe to load.
    """

    def __init__(
        self,
        model_path: ModelPath,
        device: str = "cpu",
        max_length: int = 100,
        temperature: float = 0.7,
        *,
        chat_model: BaseChatModel | None = None,
        table: FactTable | None = None,
    ) -> None:
        """Load the student."""
        folder = None if isinstance(model_path, BaseChatModel) else model_path
        given = model_path if isinstance(model_path, BaseChatModel) else chat_model
        if given is None and folder is None:
            raise ValueError("give a checkpoint folder, or chat_model=...")
        self.model_path = folder
        self.device = device
        self.max_length = max_length
        self.temperature = temperature
        self.chat_model: BaseChatModel = given or open_student(
            folder or "", temperature=temperature, max_tokens=max_length, device=device
        )
        self.table = table if table is not None or folder is None else open_table(folder)

    @cached_property
    def reader(self) -> TableReader | None:
        """Reads the student's table; None without one."""
        if self.table is None:
            return None
        return TableReader(self.table, folder=self.model_path)

    @property
    def tools(self) -> Tools:
        """The model and table for the graph's nodes."""
        return Tools(self.chat_model, self.reader)

    def generate(self, prompt: str) -> str:
        """Continue a rendered prompt; raises what the model raises."""
        return str(self.chat_model.invoke([HumanMessage(prompt)]).text).strip()

    def answer_question(self, question: str, context: str | None = None) -> str:
        """Answer a question, from the context if one is given."""
        return self.generate(render("s2-qa", question, context=context))
