"""Rank the plans of a question over a table; save and load rankers."""

from __future__ import annotations

import json
import zlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from ..plans.list_plans import Candidate, Question, list_plans, read_question
from ..plans.run_plan import PlanRunner
from ..table.typed_table import TypedTable
from ..table.values import fold, stem
from .encoder import Encoder, QuestionTokens
from .features import NAMES, NUMBERS, column_features, plan_features
from .hints import Hints
from .model import Ranker
from .polarity import polarity

BUCKETS: Final = 4096
WEIGHTS: Final = "ranker.safetensors"
LEXICAL: Final = "lexical.safetensors"
SETTINGS: Final = "ranker.json"
LARGEST: Final = 20.0
"""Numeric features are clipped to this absolute value."""


@dataclass(frozen=True)
class Seen:
    """The inputs of a ranker for one question; the last plan stands for "the table cannot answer".

    The fields are as in `Ranker.forward`; `tokens` is None without an encoder, and `prior` is added
    to the scores, see `polarity`.
    """

    hashed: torch.Tensor
    tokens: QuestionTokens | None
    structure: torch.Tensor
    columns: torch.Tensor
    numbers: torch.Tensor
    prior: torch.Tensor


@dataclass(frozen=True)
class Reading:
    """One interpretation of a question.

    Attributes:
        probability: Summed probability of all plans with the same answer.
        candidate: The likeliest plan with that answer; None for "the table cannot answer".
    """

    probability: float
    candidate: Candidate | None


class AskedTable:
    """A table prepared for questions: it caches the rows of conditions and the vectors of values.

    Args:
        table: The table.
        encoder: A sentence encoder; without one, columns are matched by their words alone.
        common: Words without content of their own, such as articles.
        known: Words that are usual in questions; they are not taken for misspelled values.
    """

    def __init__(
        self,
        table: TypedTable,
        encoder: Encoder | None,
        common: Container[str],
        known: Container[str] = (),
    ) -> None:
        """Prepare a table for questions."""
        self.table, self.encoder, self.common, self.known = table, encoder, common, known
        self.runner = PlanRunner(table)
        self.hints = None if encoder is None else Hints(table, encoder)

    def read(self, text: str) -> tuple[Question, list[Candidate]]:
        """Find what a question names and list its candidate plans."""
        question = read_question(text, self.table, self.common, self.known)
        if self.hints is not None:
            question.hints = self.hints.find(question)
        return question, list_plans(question, self.table, self.runner)

    def see(self, question: Question, candidates: Sequence[Candidate]) -> Seen:
        """Compute the ranker's inputs for a question and its plans."""
        columns = column_features(question, self.table, self.common)
        structure, roles, numbers = plan_features(
            question, self.table, candidates, columns, self.common
        )
        numbers = np.nan_to_num(numbers, posinf=LARGEST, neginf=-LARGEST)
        return Seen(
            torch.tensor(hash_words(question.words)),
            None if self.encoder is None else self.encoder.prepare(question, self.table),
            torch.from_numpy(structure),
            torch.from_numpy(roles),
            torch.from_numpy(numbers.clip(-LARGEST, LARGEST)),
            torch.from_numpy(polarity(question, self.table, candidates, self.common)),
        )


def hash_words(words: Sequence[str]) -> list[int]:
    """Hash the stems of a question's words, of its word pairs, and of its first words to buckets.

    All numbers get the same bucket, since the conditions of a plan say which number is meant.
    """
    stems = ["#" if word[0].isdigit() else stem(word) for word in words] or [""]
    found = [*stems, *map(" ".join, pairwise(stems))]
    found += ["^ " + stems[0], "^ " + " ".join(stems[:2])]
    return [zlib.crc32(one.encode()) % BUCKETS for one in found]


def new_ranker(encoded: int, *, width: int = 64, dropout: float = 0.2) -> Ranker:
    """Make an untrained ranker.

    Args:
        encoded: Dimensions of the encoder; 0 without one.
        width: As in `Ranker`.
        dropout: As in `Ranker`.
    """
    return Ranker([len(names) for names in NAMES], NUMBERS, encoded, BUCKETS, width, dropout)


def plan_scores(ranker: Ranker, seen: Seen) -> torch.Tensor:
    """Score the plans of a question; a softmax of the scores gives calibrated probabilities.

    Args:
        ranker: A trained ranker.
        seen: Its inputs.

    Returns:
        One score for each plan, then that of "the table cannot answer".
    """
    with torch.inference_mode():
        read = None
        if ranker.reader is not None and seen.tokens is not None:
            read = ranker.reader.read([seen.tokens])[0]
        scores = ranker(seen.hashed, read, seen.structure, seen.columns, seen.numbers)
        return torch.as_tensor(scores / ranker.temperature + seen.prior)


def rank(ranker: Ranker, seen: Seen, candidates: Sequence[Candidate]) -> list[Reading]:
    """Rank the readings of a question, the likeliest first; plans with the same answer are merged.

    Args:
        ranker: A trained ranker.
        seen: Its inputs.
        candidates: The plans, in the order of `seen`.
    """
    chances = torch.softmax(plan_scores(ranker, seen), 0).tolist()
    readings = [one for one, _ in merge_readings(chances[:-1], candidates)]
    readings.append(Reading(chances[-1], None))
    return sorted(readings, key=lambda one: -one.probability)


def merge_readings(
    chances: Sequence[float], candidates: Sequence[Candidate]
) -> list[tuple[Reading, int]]:
    """Merge the plans that give the same answer into one reading and add their probabilities.

    Args:
        chances: Probability of each plan.
        candidates: The plans.

    Returns:
        The readings in the order of their first plans, each with the number of its likeliest plan.
    """
    together: dict[tuple[str, ...], list[int]] = {}
    same: dict[tuple[str, ...], tuple[str, ...]] = {}
    for number, candidate in enumerate(candidates):
        values = candidate.answer.values
        key = same.get(values)
        if key is None:
            key = same[values] = tuple(sorted(map(fold, values)))
        together.setdefault(key, []).append(number)
    found = []
    for numbers in together.values():
        best = max(numbers, key=lambda number: chances[number])
        total = sum(chances[number] for number in numbers)
        found.append((Reading(total, candidates[best]), best))
    return found


def save_ranker(
    folder: str | Path,
    ranker: Ranker,
    lexical: Ranker,
    adapter: Mapping[str, torch.Tensor],
    common: Sequence[str],
    told: dict[str, Any],
) -> None:
    """Write two rankers and an encoder adapter to a folder, in half precision or eight bits.

    Args:
        folder: Folder to write to; it is created if it does not exist.
        ranker: The ranker with an encoder.
        lexical: The ranker without one.
        adapter: Adapter of the encoder, as `adapter_weights` returns it.
        common: Words without content of their own, such as articles.
        told: Further settings, such as temperatures and thresholds.
    """
    from safetensors.torch import save_file

    from ...files import write_json

    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    whole = {f"ranker.{name}": value for name, value in ranker.state_dict().items()}
    whole |= {f"adapter.{name}": value for name, value in adapter.items()}
    save_file(_small(whole), where / WEIGHTS)
    save_file(_small(lexical.state_dict()), where / LEXICAL)
    encoded = 0 if ranker.encoded is None else ranker.encoded.in_features
    width = ranker.fit.out_features
    write_json(where / SETTINGS, {"encoded": encoded, "width": width, "common": sorted(common),
                                  **told})  # fmt: skip


def _small(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Convert weights to half precision, word vectors and adapters to eight bits with scales."""
    found = {}
    for name, value in weights.items():
        if name.endswith("words.weight") or name.startswith("adapter."):
            scale = (value.abs().amax(1, keepdim=True) / 127).clamp_min(1e-8).half()
            found[f"{name}.scale"] = scale
            value = (value / scale.float()).round().clamp(-127, 127).to(torch.int8)
        found[name] = (value.half() if value.is_floating_point() else value).contiguous()
    return found


def _whole(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Convert the weights of `_small` back to single precision."""
    found = {}
    for name, value in weights.items():
        if not name.endswith(".scale"):
            scale = weights.get(f"{name}.scale")
            whole = value.float() if value.is_floating_point() or scale is not None else value
            found[name] = whole if scale is None else whole * scale.float()
    return found


def load_adapter(folder: str | Path) -> dict[str, torch.Tensor]:
    """Load the encoder adapter of a ranker, for `Encoder.adapted`."""
    from safetensors.torch import load_file

    weights = _whole(load_file(Path(folder) / WEIGHTS))
    return {n.removeprefix("adapter."): v for n, v in weights.items() if n[:8] == "adapter."}


def load_ranker(
    folder: str | Path, encoder: Encoder | None = None
) -> tuple[Ranker, frozenset[str], dict[str, Any]]:
    """Load a ranker, its common words, and its settings.

    Args:
        folder: Folder that `save_ranker` wrote.
        encoder: The encoder that it was trained with; without one, the ranker that uses words
            alone is loaded.
    """
    from safetensors.torch import load_file

    settings = json.loads((Path(folder) / SETTINGS).read_text(encoding="utf-8"))
    told = settings["with encoder" if encoder is not None else "without encoder"]
    encoded = settings["encoded"] if encoder is not None else 0
    ranker = new_ranker(encoded, width=settings["width"])
    file = WEIGHTS if encoder is not None else LEXICAL
    weights = _whole(load_file(Path(folder) / file))
    if encoder is not None:
        adapter = load_adapter(folder)
        weights = {n.removeprefix("ranker."): v for n, v in weights.items() if n[:7] == "ranker."}
        ranker.reader = encoder.adapted(adapter) if adapter else encoder
    ranker.load_state_dict(weights)
    ranker.temperature = float(told["temperature"])
    return ranker.eval(), frozenset(settings["common"]), {**settings, **told}
