"""A teacher writes the instructions of an agent, and those that are of no use are left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...labeling.tasks.duplicates import SeenTexts

if TYPE_CHECKING:
    from ..records.teacher_steps.llms import LLM

PER_CALL: Final = 8
"""Instructions that are asked for at once: small models repeat themselves in longer lists."""
MOST_ROUNDS: Final = 6
"""Rounds of calls; each asks for what is still missing."""
LIKENESS: Final = 0.75
"""Least similarity of duplicates, as in `duplicates.SeenTexts`."""
_ASKED: Final = "The assistant's task: {}. Write {} user requests."
_SHOWN: Final = (
    ("help people cook with few ingredients", (
        "What can I cook with two eggs and a potato?", "Give me a dinner without an oven.",
        "How do I keep rice from sticking?", "Suggest a soup for a cold day.",
        "Which spice goes well with lentils?",
    )),
    ("explain train tickets to travellers", (
        "Is my ticket valid on the night train?", "Explain the difference between first and second "
        "class.", "My train was late; whom do I write to?", "Can a child of five ride for free?",
        "How early should I be at the station?",
    )),
    ("correct short texts in plain English", (
        "Shorten this sentence: We are in the process of looking into it.", "Is it its or it's?",
        "Make this note friendlier: Pay by Monday.", "When do I write a semicolon?",
        "Turn these three words into a headline.",
    )),
)  # fmt: skip
"""Tasks and requests that are shown as examples, in turn."""
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
    is_near = nearness(task)
    for text in (task, *(one for _, requests in _SHOWN for one in requests)):
        seen.add(text)
    for number in range(MOST_ROUNDS):
        missing = count - len(kept)
        if missing <= 0:
            break
        wanted = -(-missing // PER_CALL) + (1 if number else 0)
        prompts = [_prompt(task, calls + place) for place in range(wanted)]
        calls += wanted
        answers = llm.generate(prompts, temperature=0.8, top_p=0.9, max_new_tokens=320, seed=number)
        before = len(kept)
        for answer in answers:
            for line in listed_lines(answer["generations"][0] or ""):
                reason = fault_of(line) or ("duplicate" if seen.add(line) is not None else "")
                if not reason and not is_near(line):
                    reason = "off_topic"
                if reason:
                    left_out[reason] += 1
                else:
                    kept.append(line)
        if len(kept) == before:
            break
    left_out["not_needed"] += max(0, len(kept) - count)
    return WrittenInstructions(kept[:count], +left_out, calls)


def nearness(task: str) -> Callable[[str], bool]:
    """Make a function that tells whether a request is nearer to a task than to those shown.

    A small teacher goes on with the examples that it was shown. Meanings are compared by the
    packaged sentence encoder; without it, every request is taken as near.
    """
    from ...data.identity.sentence_vectors import sentence_vectors
    from ...errors import ModelNotFoundError

    try:
        vectors = sentence_vectors()
    except ModelNotFoundError:
        return lambda line: True
    shown = [text for other, requests in _SHOWN for text in (other, *requests)]
    known = _unit(vectors([task, *shown]))

    def is_near(line: str) -> bool:
        nearest = (known @ _unit(vectors([line]))[0]).argmax()
        return bool(nearest == 0)

    return is_near


def _unit(rows: Any) -> Any:  # noqa: ANN401 - an array
    """Scale each row to length 1."""
    return rows / (rows**2).sum(axis=1, keepdims=True) ** 0.5


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
    """Show a list for another task, then ask for one: small models follow examples, not rules."""
    shown, requests = _SHOWN[number % len(_SHOWN)]
    listed = "\n".join(f"{place}. {one}" for place, one in enumerate(requests, start=1))
    return [
        {"role": "system", "content": "You write examples of what users ask an assistant."},
        {"role": "user", "content": _ASKED.format(shown, len(requests))},
        {"role": "assistant", "content": listed},
        {"role": "user", "content": _ASKED.format(task.strip().rstrip("."), PER_CALL)},
    ]
