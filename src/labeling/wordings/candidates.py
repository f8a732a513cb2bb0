"""Collect the candidate wordings of each column, from a teacher's answers and from frames."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest

from ...tables import Column, FactTable
from ..tasks.duplicates import SeenTexts
from .column_meaning import ColumnMeanings, example_cells
from .column_values import value_forms
from .outcome import DUPLICATE, Origin, WordingResult
from .question_frames import CONDITION_FRAMES, KINDS, LABEL_FRAMES, Kind
from .teacher_wordings import Asked
from .wording_form import form_fault


def collect(
    table: FactTable,
    written: Iterable[tuple[Asked, str]],
    meanings: ColumnMeanings | None,
    *,
    frames: bool,
    seed: int,
    measured: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, list[WordingResult]]:
    """Collect the wordings of each column, and reject those with a wrong form and duplicates.

    Args:
        table: A table of kind `facts` or `rows`.
        written: Lines that a teacher wrote, with the call that asked for them.
        meanings: Finds the kinds of values whose frames a column uses. Without it, frames that do
            not name the column are used for columns of yes and no only, whose kind is known from
            the cells.
        frames: Whether to use the project's frames.
        seed: Seed of the order of the frames that name the column.
        measured: Column -> wordings that models are measured on; duplicates of them are rejected.

    Returns:
        Column -> its wordings; the sources alternate.
    """
    by_column: defaultdict[str, list[tuple[Asked, str]]] = defaultdict(list)
    for asked, line in written:
        by_column[asked.column].append((asked, line))
    pool = {}
    for column in table.columns:
        sources = [_read(column, by_column[column.name])]
        if frames:
            kinds = _kinds(table, column, meanings)
            own = list(LABEL_FRAMES if table.kind == "facts" else CONDITION_FRAMES)
            random.Random(f"{seed}:frames:{column.name}").shuffle(own)
            by_kind = zip_longest(*(kind.frames for kind in kinds))  # the kinds take turns
            sources += [
                _fill(column, "frame", [f for turn in by_kind for f in turn if f]),
                _fill(column, "label frame", own),
            ]
        turns = chain.from_iterable(zip_longest(*sources))
        pool[column.name] = _without_known(
            column, (measured or {}).get(column.name, ()), [one for one in turns if one is not None]
        )
    return pool


def _kinds(table: FactTable, column: Column, meanings: ColumnMeanings | None) -> list[Kind]:
    """Choose a column's kinds of values: yes and no from its cells, others by the encoder."""
    if table.kind != "facts":
        return []  # a condition such as "opponent is Lions" does not fit these frames
    if "yes_no" in value_forms(example_cells(table, column.name)):
        return [kind for kind in KINDS if kind.values == ("yes_no",)]
    return meanings.kinds(column.name) if meanings is not None else []


def _read(column: Column, written: Sequence[tuple[Asked, str]]) -> list[WordingResult]:
    return [
        WordingResult(
            column.name, line, "teacher", form_fault(line, asked.cell, asked.question)
        )
        for asked, line in written
    ]  # fmt: skip


def _fill(column: Column, origin: Origin, frames: Sequence[str]) -> list[WordingResult]:
    filled = []
    for frame in frames:
        text = frame.replace("{label}", column.label)
        if frame.startswith("{label}"):
            text = text[:1].upper() + text[1:]
        named: Origin = "label frame" if "{label}" in frame else origin
        filled.append(WordingResult(column.name, text, named))
    return filled


def _without_known(
    column: Column, measured: Sequence[str], ones: Sequence[WordingResult]
) -> list[WordingResult]:
    """Mark a teacher's duplicates as rejected, and drop duplicate frames."""
    seen, kept = SeenTexts(likeness=1.0), []
    for template in (*column.templates, *measured):
        seen.add(template)
    for one in ones:
        if one.reason is not None or seen.add(one.wording) is None:
            kept.append(one)
        elif one.origin == "teacher":
            kept.append(WordingResult(one.column, one.wording, one.origin, DUPLICATE))
    return kept
