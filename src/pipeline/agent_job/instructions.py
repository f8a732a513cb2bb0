"""A teacher writes the instructions of an agent, and those that are of no use are left out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...labeling.tasks.duplicates import SeenTexts
from ...labeling.tasks.new_examples import PERSONAS

if TYPE_CHECKING:
    from ..records.teacher_steps.llms import LLM

PER_CALL: Final = 8
"""Instructions that are asked for at once: small models repeat themselves in longer lists."""
MOST_ROUNDS: Final = 4
"""Rounds of calls; each asks for what is still missing."""
LIKENESS: Final = 0.75
"""Least similarity of duplicates, as in `duplicates.SeenTexts`."""
_MARK: Final = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.):])\s+")
_FRAME: Final = re.compile(r"^(sure|here are|here is|certainly|of course|okay|requests?:)\b", re.I)
_REFUSAL: Final = re.compile(
    r"\b(as an ai|i cannot|i can't|i'm sorry|i am sorry|i'm unable)\b", re.I
)


@dataclass(frozen=True)
class WrittenInstructions:
    """What a teacher wrote."""

    kept: list[str]
    left_out: Counter[str]
    """Reason -> count."""
    calls: int


def write_instructions(task: str, llm: LLM, count: int) -> WrittenInstructions:
    """Let a teacher write what users may ask an agent.

    Args:
        task: What the agent is for.
        llm: The teacher; it is asked with a temperature, from the view of several persons.
        count: Instructions wanted, 1 or more.

    Returns:
        At most `count` instructions; fewer where the teacher repeats itself.
    """
    seen, kept, calls = SeenTexts(LIKENESS), list[str](), 0
    left_out: Counter[str] = Counter()
    seen.add(task)
    for number in range(MOST_ROUNDS):
        missing = count - len(kept)
        if missing <= 0:
            break
        wanted = -(-missing // PER_CALL) + (1 if number else 0)
        prompts = [_prompt(task, calls + place) for place in range(wanted)]
        calls += wanted
        answers = llm.generate(
            prompts, temperature=0.9, top_p=0.95, max_new_tokens=320, seed=number
        )
        before = len(kept)
        for answer in answers:
            for line in listed_lines(answer["generations"][0] or ""):
                reason = fault_of(line) or ("duplicate" if seen.add(line) is not None else "")
                if reason:
                    left_out[reason] += 1
                else:
                    kept.append(line)
        if len(kept) == before:
            break
    left_out["not_needed"] += max(0, len(kept) - count)
    return WrittenInstructions(kept[:count], +left_out, calls)


def listed_lines(text: str) -> list[str]:
    """Take the items of a list out of an answer; without a list, its lines.

    >>> listed_lines("Here are two:\\n1. What is a stock?\\n2) Who buys it?")
    ['What is a stock?', 'Who buys it?']
    """
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if _MARK.match(line)]
    return [_MARK.sub("", line).strip().strip('"*').strip() for line in marked or lines]


def fault_of(line: str) -> str | None:
    """Say why a line is no instruction; None where it is one.

    >>> fault_of("Sure, here you go"), fault_of("Explain what a bond is.")
    ('frame', None)
    """
    if _FRAME.match(line):
        return "frame"
    if _REFUSAL.search(line):
        return "refusal"
    if len(line) < 12 or len(line.split()) < 3:
        return "too_short"
    if len(line) > 400:
        return "too_long"
    return "cut_off" if line[-1] in ",:;-([" else None


def _prompt(task: str, number: int) -> list[dict[str, str]]:
    person = PERSONAS[number % len(PERSONAS)]
    asked = (
        f"An assistant has this task: {task.strip()}\n\nWrite {PER_CALL} short, different requests "
        f"that {person} could send to this assistant. Number them, one request per line, and write "
        "nothing else."
    )
    return [{"role": "user", "content": asked}]
