"""Sections on what was distilled from what, and how training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from .content import Block, Facts, Line, Lines, Paragraph, Section, section

_MOST_POINTS: Final = 120

Losses = Sequence[tuple[int, float]]
"""(step, loss in nats per token)."""


def lineage_section(
    entries: Sequence[tuple[str, str | None]], told: str
) -> tuple[Section, dict[str, Any]]:
    """Say what was distilled from what, with the hashes that identify data, settings and weights.

    Args:
        entries: Name and value; those without a value are left out.
        told: The chain in one sentence.
    """
    known = tuple((name, value) for name, value in entries if value)
    made = section(
        "lineage", "What was distilled from what",
        "Look at the data and the teacher; two runs with the same hashes were made from the same "
        "data, settings and prompts.",
        [Paragraph(told), Facts(known)],
    )  # fmt: skip
    return made, dict(known)


def curves_section(
    losses: Mapping[str, Losses], divergence: Mapping[str, float] | None = None
) -> tuple[Section, dict[str, Any]]:
    """Show the loss of each training over its steps, as a running mean.

    Args:
        losses: Name that is shown -> losses.
        divergence: Name that is shown -> mean divergence from the teacher on held-out questions.
    """
    lines = tuple(Line(name, _smooth(own)) for name, own in losses.items() if own)
    blocks: list[Block] = []
    if lines:
        blocks.append(Lines("Loss while training, running mean", "optimizer step",
                            "nats per token", lines))  # fmt: skip
        ends = "; ".join(f"{name}: {own[-1][1]:.3f} after {own[-1][0]:,} steps"
                         for name, own in losses.items() if own)  # fmt: skip
        blocks.append(
            Paragraph(
                f"Last losses: {ends}. Losses with soft targets count the divergence from the "
                "teacher too, so compare shapes, not heights."
            )
        )
    made = section(
        "training", "How training went",
        "Look whether the lines are flat at the end: a line that still falls says that longer "
        "training (--effort) would help.",
        blocks, "No losses were kept with these models.",
    )  # fmt: skip
    return made, {name: {"steps": own[-1][0], "last": own[-1][1]} for name, own in losses.items()
                  if own}  # fmt: skip


def _smooth(losses: Losses) -> tuple[tuple[float, float], ...]:
    """Average neighbours, and take few points of many."""
    width = max(1, len(losses) // 20)
    step = max(1, len(losses) // _MOST_POINTS)
    points = []
    for place in sorted({*range(0, len(losses), step), len(losses) - 1}):
        window = losses[max(0, place - width + 1) : place + 1]
        points.append((float(losses[place][0]), sum(value for _, value in window) / len(window)))
    return tuple(points)
