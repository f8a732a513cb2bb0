"""A student that understands: it reads a question over a table and says which plan is meant."""

from __future__ import annotations

import json
import zlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..plans.list_plans import Candidate, Question, list_plans, read_question
from ..plans.run_plan import PlanRunner
from ..table.typed_table import TypedTable
from ..table.values import fold, stem
from .encoder import Encoder
from .features import NAMES, NUMBERS, column_features, column_text, plan_features
from .model import Ranker

BUCKETS: Final = 8192
WEIGHTS: Final = "ranker.safetensors"
SETTINGS: Final = "ranker.json"
LARGEST: Final = 20.0
"""Of any number that the ranker sees."""


@dataclass(frozen=True)
class Seen:
    """A question as the ranker sees it; the last plan stands for "the table cannot answer"."""

    hashed: torch.Tensor
    encoded: torch.Tensor | None
    structure: torch.Tensor
    numbers: torch.Tensor


@dataclass(frozen=True)
class Reading:
    """One way to read a question.

    Attributes:
        probability: Of all readings with the same answer together.
        candidate: The likeliest plan with that answer; None where the table cannot answer.
    """

    probability: float
    candidate: Candidate | None


class AskedTable:
    """A table that is asked: its rows by condition and the vectors of its columns are kept.

    Args:
        table: The table.
        encoder: A sentence encoder; without one, columns are met by their words alone.
        common: Words that say nothing alone.
    """

    def __init__(self, table: TypedTable, encoder: Encoder | None, common: Container[str]) -> None:
        """Prepare a table for questions."""
        self.table, self.encoder, self.common = table, encoder, common
        self.runner = PlanRunner(table)

    @cached_property
    def _vectors(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert self.encoder is not None
        columns = self.table.columns
        return (
            self.encoder.encode([column.label for column in columns]),
            self.encoder.encode([column_text(column) for column in columns]),
        )

    def read(self, text: str) -> tuple[Question, list[Candidate]]:
        """Find what a question names and list what it may mean."""
        question = read_question(text, self.table, self.common)
        return question, list_plans(question, self.table, self.runner)

    def see(self, question: Question, candidates: Sequence[Candidate]) -> Seen:
        """Give what the ranker sees of a question and its plans."""
        similarity = np.zeros((len(self.table.columns), 3))
        encoded = None
        if self.encoder is not None and question.text.strip() and self.table.columns:
            whole, tokens = self.encoder.encode_question(question.text)
            labels, texts = self._vectors
            words = (tokens @ labels.T).max(0) if len(tokens) else np.zeros(len(labels))
            similarity = np.stack([labels @ whole, texts @ whole, words], axis=1).astype(float)
            encoded = torch.from_numpy(whole)
        columns = column_features(question, self.table, similarity, self.common)
        structure, numbers = plan_features(question, self.table, candidates, columns, self.common)
        numbers = np.nan_to_num(numbers, posinf=LARGEST, neginf=-LARGEST)
        return Seen(
            torch.tensor(hash_words(question.words)),
            encoded,
            torch.from_numpy(structure),
            torch.from_numpy(numbers.clip(-LARGEST, LARGEST)),
        )


def hash_words(words: Sequence[str]) -> list[int]:
    """Give the buckets of a question's words, their pairs, and its beginning.

    Numbers are alike to a ranker: which of them is meant is told by the conditions.
    """
    stems = ["#" if word[0].isdigit() else stem(word) for word in words] or [""]
    found = [*stems, *map(" ".join, pairwise(stems))]
    found += ["^ " + stems[0], "^ " + " ".join(stems[:2])]
    return [zlib.crc32(one.encode()) % BUCKETS for one in found]


def new_ranker(encoded: int, *, width: int = 64, dropout: float = 0.2) -> Ranker:
    """Make an untrained ranker for an encoder of so many dimensions; 0 for none."""
    return Ranker([len(names) for names in NAMES], NUMBERS, encoded, BUCKETS, width, dropout)


def rank(ranker: Ranker, seen: Seen, candidates: Sequence[Candidate]) -> list[Reading]:
    """Rank the readings of a question, the likeliest first; those with one answer are one.

    Args:
        ranker: A trained ranker.
        seen: What it sees.
        candidates: The plans, in the order in which they were seen.
    """
    with torch.inference_mode():
        scores = ranker(seen.hashed, seen.encoded, seen.structure, seen.numbers)
        chances = torch.softmax(scores, 0).tolist()
    together: dict[tuple[str, ...], list[float | int]] = {}
    for number, (chance, candidate) in enumerate(zip(chances, candidates, strict=False)):
        key = tuple(sorted(fold(value) for value in candidate.answer.values))
        held = together.setdefault(key, [0.0, number, 0.0])
        held[0] += chance
        if chance > held[2]:
            held[1:] = [number, chance]
    readings = [Reading(float(held[0]), candidates[int(held[1])]) for held in together.values()]
    readings.append(Reading(chances[-1], None))
    return sorted(readings, key=lambda one: -one.probability)


def save_ranker(
    folder: str | Path, ranker: Ranker, common: Sequence[str], told: dict[str, Any]
) -> None:
    """Write a ranker in half precision, with its common words and how it was made."""
    from safetensors.torch import save_file

    from ...files import write_json

    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in ranker.state_dict().items()
    }
    save_file(weights, where / WEIGHTS)
    encoded = 0 if ranker.encoded is None else ranker.encoded.in_features
    width = ranker.fit.out_features
    write_json(where / SETTINGS, {"encoded": encoded, "width": width, "common": sorted(common),
                                  **told})  # fmt: skip


def load_ranker(folder: str | Path) -> tuple[Ranker, frozenset[str], dict[str, Any]]:
    """Read a ranker, its common words, and its settings."""
    from safetensors.torch import load_file

    settings = json.loads((Path(folder) / SETTINGS).read_text(encoding="utf-8"))
    ranker = new_ranker(settings["encoded"], width=settings["width"])
    weights = load_file(Path(folder) / WEIGHTS)
    ranker.load_state_dict(
        {name: value.float() if value.is_floating_point() else value
         for name, value in weights.items()}
    )  # fmt: skip
    return ranker.eval(), frozenset(settings["common"]), settings
