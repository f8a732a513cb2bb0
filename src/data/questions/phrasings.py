"""Wordings of a question: templates for tables of facts, and paraphrases of given questions.

A template has `{key}` for the key of a record and `{label}` for the column in words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from ...errors import ConfigError

QUESTION_TEMPLATES: tuple[str, ...] = (
    "What is the {label} of {key}?",
    "Which {label} does {key} have?",
    "Tell me the {label} of {key}.",
    "{key}: {label}?",
    "What {label} is listed for {key}?",
    "Give the {label} for {key}.",
)

CONDITION_TEMPLATES: tuple[str, ...] = (
    "What is the {label} where {key}?",
    "Which {label} is listed where {key}?",
    "Tell me the {label} where {key}.",
    "Where {key}: {label}?",
    "Where {key}, what is the {label}?",
    "Give the {label} where {key}.",
)
"""For tables without a key: `{key}` is a condition such as `opponent is Lions and year is 1999`."""

SUMMARY_TEMPLATES: tuple[str, ...] = (
    "{key}",
    "the record of {key}",
    "everything about {key}",
    "what is known about {key}",
    "the entry for {key}",
    "all facts on {key}",
)

_PARAPHRASES: tuple[str, ...] = (
    "{question}",
    "Please tell me: {question}",
    "I would like to know: {question}",
    "Can you answer this? {question}",
    "{question} Please answer.",
    "A question: {question}",
)

_OPENINGS = ("Please: ", "Hello. ", "Quick question: ", "Hi, ", "Could you help? ", "OK, ", "So, ")
_ENDINGS = (" Thanks.", " Please.", " Thank you.", " I need it for a report.", " Be brief.")
SMALL_WORDS = frozenset(
    ["the", "of", "is", "does", "for", "a", "an", "what", "which", "tell", "me", "give", "please"]
)
"""Words that a varied question may omit."""


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Check question templates given by a user.

    Raises:
        ConfigError: There are fewer than two, two are equal, or one lacks `{key}` or has another
            name in braces; all faults at once.
    """
    faults = [] if len(templates) >= 2 else ["give at least two templates: one is held out"]
    for template in templates:
        names = set(re.findall(r"{(\w*)}", template))
        if "key" not in names:
            faults.append(f"template {template!r} lacks {{key}}")
        if names - {"key", "label"}:
            faults.append(f"template {template!r}: only {{key}} and {{label}} are filled in")
    if len(set(templates)) != len(templates):
        faults.append("two templates are the same")
    if faults:
        raise ConfigError(faults)
    return tuple(templates)


def fill(template: str, key: str, label: str = "") -> str:
    """Fill in a template; braces inside the values are kept."""
    filled = re.sub(r"{(key|label)}", lambda m: key if m[1] == "key" else label, template)
    return filled[:1].upper() + filled[1:] if template.startswith("{label}") else filled


def paraphrases(question: str) -> tuple[str, ...]:
    """Write a question in several wordings; the first is the question itself."""
    return tuple(p.replace("{question}", question, 1) for p in _PARAPHRASES)


def vary(question: str, key: str, rng: random.Random) -> str:
    """Vary the wording as people do: small letters, an opening, an ending, omitted small words.

    Args:
        question: The question as a template wrote it.
        key: The part that stays whole; only its case may change.
        rng: Random generator; the same state gives the same text.
    """
    text = question
    chance = rng.random()
    if chance < 0.25:
        text = text.lower()
    elif chance < 0.4:
        text = _drop_small_words(text, key, rng)
    if rng.random() < 0.25:
        text = rng.choice(_OPENINGS) + text
    if rng.random() < 0.2:
        text = text + rng.choice(_ENDINGS)
    if rng.random() < 0.15:
        text = text.rstrip("?.!")
    return text


def _drop_small_words(text: str, key: str, rng: random.Random) -> str:
    before, found, after = text.partition(key)
    sides = [
        " ".join(w for w in side.split(" ") if w.lower() not in SMALL_WORDS or rng.random() < 0.5)
        for side in (before, after)
    ]
    return (sides[0] + found + sides[1]).strip() if found else sides[0]
