"""The models of a run side by side: teacher, student, and the student that had no teacher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

from ...errors import StillroomError
from ...prompts import render
from ..distilled_agent import open_student
from ..reading.table_reader import TableReader

PLACES: Final = {
    "Teacher": "teacher",
    "Student": "student",
    "Student without teacher": "controls/student_without_teacher",
}
"""Name of a model -> its folder below the run's."""


@dataclass(frozen=True)
class ModelAnswer:
    """The answer of one model, as it writes it: not checked against the table."""

    model: str
    """Name of the model, as in `PLACES`."""
    text: str
    """The answer; empty where there is none."""
    seconds: float = 0.0
    """How long it took, without loading the model."""
    fault: str = ""
    """Why there is no answer, in one sentence."""


@dataclass(frozen=True)
class Compared:
    """The answers so far."""

    models: tuple[str, ...]
    """Names of all models, in the order that they are asked."""
    answers: tuple[ModelAnswer, ...]
    right: str
    """What the table says; empty where it does not."""


class Comparison:
    """Asks the models of a run the same question; each is loaded when it is first asked.

    Args:
        folders: Name of a model -> its folder.
        opened: Models that are open already, by name.
        reader: Tells what the table says; None for no table.
        open_model: Opens a folder as a chat model.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        opened: Mapping[str, BaseChatModel] | None = None,
        reader: TableReader | None = None,
        open_model: Callable[[Path], BaseChatModel] = open_student,
    ) -> None:
        """Load nothing."""
        self._folders = dict(folders)
        self._opened = dict(opened or {})
        self._reader = reader
        self._open = open_model

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order that they are asked."""
        return list(dict.fromkeys((*self._folders, *self._opened)))

    async def ask(self, question: str) -> AsyncIterator[Compared]:
        """Ask one model after the other; yield the answers so far after each of them."""
        models, given = tuple(self.models), list[ModelAnswer]()
        yield Compared(models, (), "")
        right = await asyncio.to_thread(self._right, question)
        for name in models:
            given.append(await self._answer(name, question))
            yield Compared(models, tuple(given), right)

    async def _answer(self, name: str, question: str) -> ModelAnswer:
        prompt = [HumanMessage(render("s2-qa", question, context=None))]
        try:
            model = await self._model(name)
            began = time.perf_counter()
            text = str((await model.ainvoke(prompt)).text).strip()
        except StillroomError as fault:
            return ModelAnswer(name, "", fault=str(fault))
        return ModelAnswer(name, text, time.perf_counter() - began)

    def _right(self, question: str) -> str:
        """Read the answer from the table; empty where the table does not hold it."""
        if self._reader is None:
            return ""
        found = self._reader.read(question)
        values = found.answer or (tuple(found.match.values()) if found.match else ())
        return ", ".join(values) if found.verdict == "answered" else ""

    async def _model(self, name: str) -> BaseChatModel:
        if name not in self._opened:
            self._opened[name] = await asyncio.to_thread(self._open, self._folders[name])
        return self._opened[name]


def compared_folders(run: Path) -> dict[str, Path]:
    """Find the models that a run's folder has, by name; see `PLACES`."""
    places = {name: run / place for name, place in PLACES.items()}
    return {name: path for name, path in places.items() if (path / "config.json").is_file()}
