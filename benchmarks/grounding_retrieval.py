"""Measure how often each retrieval method ranks the record of a question among the first four."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grounding_questions import Case
from stillroom.agentic_workflow.grounding.grounded_answer import Grounding

K = 4
FOUND_IN = ("answerable", "misspelt key")
"""Kinds of question that mean a record of the table."""


def retrieval(cases: Sequence[Case], grounding: Grounding) -> dict[str, dict[str, tuple[int, int]]]:
    """Count hits.

    Returns:
        Way -> kind of question -> hits and questions.
    """
    retriever = grounding.retriever
    assert retriever is not None
    table, vectors = grounding.reader.table, retriever.vectors

    def by_key(question: str) -> list[int]:
        return grounding.reader.rows_named(question)[:K]

    def by_text(question: str) -> list[int]:
        return [row for row, _ in retriever.store.search(question, K)]

    def by_vector(question: str) -> list[int]:
        assert vectors is not None
        return [int(d.metadata["row"]) for d in vectors.similarity_search(question, k=K)]

    def fused(question: str) -> list[int]:
        return [int(d.metadata["row"]) for d in retriever.find(question, K)]

    def offered(question: str) -> list[int]:
        keys = set(grounding.near(question))
        return [row.row for row in table.rows if row.key in keys]

    ways: dict[str, Callable[[str], list[int]]] = {"exact key": by_key, "full text": by_text}
    if vectors is not None:
        ways["the student's vectors"] = by_vector
    ways["fused"] = fused
    ways["offered to the user"] = offered
    asked = {kind: [case for case in cases if case.kind == kind] for kind in FOUND_IN}
    return {
        name: {
            kind: (sum(bool({*find(c.question)} & {*c.rows}) for c in found), len(found))
            for kind, found in asked.items()
        }
        for name, find in ways.items()
    }


def retrieval_lines(hits: dict[str, dict[str, tuple[int, int]]]) -> list[str]:
    """Write the hits as a table."""
    return [
        f"Share of questions whose record is among the first {K} found:",
        "",
        "| way | " + " | ".join(FOUND_IN) + " |",
        "|---|" + "--:|" * len(FOUND_IN),
        *(
            f"| {way} | "
            + " | ".join(f"{100 * part / whole:.1f} %" for part, whole in kinds.values())
            + " |"
            for way, kinds in hits.items()
        ),
    ]
