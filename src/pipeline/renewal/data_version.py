"""The next version of a student's data: what it was trained on before, and what people accepted.

An accepted answer about a cell also replaces the labels that the teacher gave to other wordings of
the same fact, which would otherwise teach the opposite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ...agentic_workflow.feedback.claims import Judged
from ...data.readers.cells import compared
from ...errors import DataError
from ...files import atomic_folder, file_sha256, read_json, write_json, write_json_lines
from ...prompts import render, verdict_focus, write_verdict
from ...records import Example, Source, data_hash, read_examples, write_examples
from ...tables import FactTable
from .frozen_test import TRAINED_FILE, FrozenTest

LABELS_FILE: Final = "data/teacher_labels.jsonl"
REJECTED_FILE: Final = "data/teacher_labels_rejected.json"
MANIFEST_FILE: Final = "manifest.json"
PARTS: Final = ("old", "new")
"""Files of training examples: what there was before, and what is new."""


@dataclass(frozen=True)
class DataVersion:
    """The data of one renewal."""

    old: list[Example]
    """Training examples from before, with the labels that were replaced."""
    new: list[Example]
    """One example for each accepted answer."""
    preferences: list[dict[str, str]] = field(default_factory=list)
    """Pairs for the DPO stage: `prompt` (rendered), `chosen` and `rejected`; see
    `distillation.training.preference_training`."""
    judged: list[Judged] = field(default_factory=list)
    """All answers of people, with the reason why each is in or not."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Ids of accepted answers and of old examples that are not trained on, with the reason."""
    replaced: int = 0
    """Labels of the teacher that an accepted answer replaced."""

    def counts(self) -> dict[str, int]:
        """Count what is in it."""
        status = [one.status for one in self.judged]
        return {
            "old": len(self.old),
            "new": len(self.new),
            "preference_pairs": len(self.preferences),
            "accepted": status.count("accepted"),
            "waiting": status.count("waits"),
            "rejected": status.count("rejected"),
            "left_out": len(self.left_out),
            "replaced_labels": self.replaced,
        }

    def new_sha256(self) -> str:
        """Hash what is new: questions and answers, whatever else is told about them."""
        return data_hash({"prompt": one.prompt, "target": one.target} for one in self.new)

    def write(self, folder: Path, lineage: dict[str, Any]) -> None:
        """Write the files and a manifest with their hashes; all of them or none.

        Args:
            folder: The folder to make.
            lineage: What the version is made from.
        """
        with atomic_folder(folder) as made:
            for name in PARTS:
                write_examples(str(made / f"{name}.jsonl"), getattr(self, name))
            write_json_lines(made / "preferences.jsonl", self.preferences)
            write_json_lines(made / "answers.jsonl", [one.to_dict() for one in self.judged])
            write_json_lines(
                made / "left_out.jsonl", [{"id": at, "reason": why} for at, why in self.left_out]
            )
            files = {path.name: file_sha256(path) for path in sorted(made.iterdir())}
            manifest = {
                "schema_version": 1,
                **lineage,
                "new_sha256": self.new_sha256(),
                "counts": self.counts(),
                "files": files,
            }
            write_json(made / MANIFEST_FILE, manifest)


def read_parts(folder: Path, files: dict[str, str]) -> tuple[list[Example], list[Example]]:
    """Read the old and the new examples of a version, and check them against its manifest.

    Raises:
        DataError: A file was changed since the version was made.
    """
    for name in PARTS:
        path = folder / f"{name}.jsonl"
        if file_sha256(path) != files[path.name]:
            raise DataError("was changed after this version of the data was made", path=path)
    old, new = (read_examples(str(folder / f"{name}.jsonl")) for name in PARTS)
    return old, new


def trained_before(run: Path, table: FactTable) -> tuple[list[Example], list[tuple[str, str]]]:
    """Read what the student of a run was trained on: gold answers, and labels of its teacher.

    Args:
        run: The run's folder.
        table: The student's table as it is now.

    Returns:
        The examples, and the ids of those that are outdated, since rows were updated.
    """
    labels, rejected = run / LABELS_FILE, run / REJECTED_FILE
    labelled = read_examples(str(labels)) if labels.is_file() else []
    without_gold = {one.fact for one in labelled}
    questions = read_examples(str(run / TRAINED_FILE))
    if rejected.is_file():
        cut_off = {one["id"] for one in read_json(rejected)}
        without_gold |= {one.fact for one in questions if one.id in cut_off}
    gold = [one for one in questions if one.fact not in without_gold]
    kept, outdated = [], []
    cells = cells_of(table)
    for one in (*gold, *labelled):
        if is_outdated(one, cells):
            outdated.append((one.id, "its row was updated since"))
        else:
            kept.append(one)
    return kept, outdated


def cells_of(table: FactTable) -> dict[tuple[str, str], str]:
    """Map the key, or condition, and the column of each cell to its text."""
    return {
        (row.asked_by.get(column, row.key), column): text
        for row in table.rows
        for column, text in row.values.items()
    }


def is_outdated(example: Example, cells: dict[tuple[str, str], str]) -> bool:
    """Tell whether the cell that a question is about has another value now, or is gone."""
    column, right = example.fields.get("column"), example.fields.get("right")
    if not column or right is None:
        return False
    return cells.get((str(example.fields.get("key")), str(column))) != str(right)


def build_version(
    before: Sequence[Example], judged: Sequence[Judged], table: FactTable, frozen: FrozenTest
) -> DataVersion:
    """Make the next version of the data.

    Args:
        before: What the student was trained on.
        judged: All answers of people; the accepted ones become examples.
        table: The student's table.
        frozen: The test, of which nothing is taken in.
    """
    accepted = [one for one in judged if one.status == "accepted"]
    made = [(one, example_of(one, table)) for one in accepted]
    kept, refused = frozen.split(example for _, example in made)
    known = {one.id for one in kept}
    old, differing = frozen.split(before)
    facts = {one.fact: str(one.target) for one in kept if one.fact and one.source}
    corrected = [_corrected(one, facts) for one in old]
    replaced = sum(one.target != other.target for one, other in zip(old, corrected, strict=True))
    pairs = [
        {"prompt": example.prompt, "chosen": one.answer, "rejected": answer}
        for one, example in made
        if example.id in known
        for answer in one.claim.rejected
        if answer.strip() and answer.strip() != one.answer.strip()
    ]
    left = [(example.id, why) for example, why in (*refused, *differing)]
    return DataVersion(corrected, kept, pairs, list(judged), left, replaced)


def example_of(judged: Judged, table: FactTable) -> Example:
    """Make the training example of an accepted answer."""
    claim, known = judged.claim, judged.reference
    cells = known.cells if known is not None else ()
    source = fact = None
    key = column = ""
    if len(cells) == 1:
        number, column = cells[0]
        source, fact = Source(table.source, number, column), f"{number}:{column}"
        row = next((one for one in table.rows if one.row == number), None)
        key = "" if row is None else row.asked_by.get(column, row.key)
    return Example(
        id=f"feedback:{claim.id}",
        prompt=render("s2-qa", claim.question),
        target=judged.answer,
        task="qa",
        fact=fact or f"feedback:{claim.id}",
        source=source,
        fields={
            "key": key if key and key in claim.question else claim.question,
            "text": claim.question,
            "column": column,
            "right": judged.answer,
            "context": None,
            "held_out": False,
        },
        label={
            "people": len(claim.people),
            "reason": judged.reason,
            "run_ids": list(claim.run_ids),
        },
    )


def _corrected(example: Example, facts: dict[str, str]) -> Example:
    """Replace a label that differs from an accepted answer to the same fact."""
    right = facts.get(example.fact or "")
    if right is None or example.task not in ("qa", "validate"):
        return example
    target = right
    if example.task == "validate":
        target = write_verdict(right, compared(example.fields["proposed"]) == compared(right))
    if target == example.target:
        return example
    focus = verdict_focus(target) if example.task == "validate" else example.focus
    label = {**(example.label or {}), "replaced": True}
    return replace(example, target=target, focus=focus, label=label)
