"""The frozen test of a run: what a renewed student is judged on, and never trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...errors import DataError, DataNotFoundError
from ...files import file_sha256
from ...records import Example, Source, read_examples
from ...understanding.verified.verified_questions import question_key

HELD_OUT_FILE: Final = "data/held_out.jsonl"
TRAINED_FILE: Final = "data/train.jsonl"
_SHOWN: Final = 3


@dataclass(frozen=True)
class FrozenTest:
    """The held-out questions of a run."""

    examples: tuple[Example, ...]
    sha256: str
    """Of the file."""
    ids: frozenset[str]
    questions: frozenset[str]
    """Keys of their texts: equal apart from case, accents and punctuation."""
    prompts: frozenset[str]
    records: frozenset[tuple[str, int]]
    """File and row of records that no training question of the run is about."""

    @classmethod
    def read(cls, run: Path) -> FrozenTest:
        """Read the held-out questions from the folder of a run.

        Raises:
            DataNotFoundError: There are none.
        """
        path, trained = run / HELD_OUT_FILE, run / TRAINED_FILE
        for one in (path, trained):
            if not one.is_file():
                raise DataNotFoundError(f"there is no file {str(one)!r}; a student is renewed in "
                                        "the folder of the run that made it")  # fmt: skip
        return cls.of(read_examples(str(path)), read_examples(str(trained)), file_sha256(path))

    @classmethod
    def of(
        cls, held_out: Sequence[Example], trained: Iterable[Example], sha256: str = ""
    ) -> FrozenTest:
        """Freeze held-out questions.

        Args:
            held_out: The questions.
            trained: The training questions of the run, which tell whole records that are held out.
            sha256: Hash of the file with the questions.
        """
        seen = {place for one in trained if (place := _record(one)) is not None}
        records = {place for one in held_out if (place := _record(one)) is not None} - seen
        return cls(
            tuple(held_out),
            sha256,
            frozenset(one.id for one in held_out),
            frozenset(_key(one) for one in held_out if one.task == "qa"),
            frozenset(one.prompt for one in held_out),
            frozenset(records),
        )

    def has_question(self, question: str) -> bool:
        """Tell whether a question is one of the test, apart from case and punctuation."""
        return question_key(question) in self.questions

    def why_not(self, example: Example) -> str:
        """Say why an example must not be trained on; empty if it may."""
        if example.id.partition("#")[0] in self.ids:
            return "its id is one of the test"
        if example.task == "qa" and _key(example) in self.questions:
            return "its question is one of the test"
        if example.prompt in self.prompts:
            return "its prompt is one of the test"
        if _record(example) in self.records:
            return "its record is held out"
        return ""

    def split(self, examples: Iterable[Example]) -> tuple[list[Example], list[tuple[Example, str]]]:
        """Part examples into those that may be trained on, and the others with the reason."""
        kept: list[Example] = []
        left: list[tuple[Example, str]] = []
        for one in examples:
            why = self.why_not(one)
            if why:
                left.append((one, why))
            else:
                kept.append(one)
        return kept, left

    def require_absent(self, examples: Iterable[Example]) -> None:
        """Refuse a training that has an example of the test.

        Raises:
            DataError: There is one; names some.
        """
        _, found = self.split(examples)
        if found:
            named = "; ".join(f"{one.id!r}: {why}" for one, why in found[:_SHOWN])
            raise DataError(f"{len(found):,} training examples belong to the frozen test "
                            f"({named}); nothing was trained")  # fmt: skip


def _key(example: Example) -> str:
    return question_key(str(example.fields.get("text") or example.prompt))


def _record(example: Example) -> tuple[str, int] | None:
    source: Source | None = example.source
    return None if source is None else (source.file, source.row)
