"""Limits on the cost of a tokenizer.json.

The Rust library checks the structure of the file but not its cost: a pattern can take exponential
time, a replacement can grow a text without bound, padding can be of any length. Such a tokenizer
loads, and hangs at the first text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MODELS = ("BPE", "Unigram", "WordPiece", "WordLevel")
_MOST_PATTERN = 2000
_MOST_STEPS = 32
_MOST_GROWTH = 1000
_MOST_LENGTH = 1 << 20
_MOST_TEMPLATE = 64

_ESCAPED = re.compile(r"\\(?:[pP]\{[^}]*\}|x\{[^}]*\}|.)", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?(?:\[[^\]]*\]|[^\]\[])*\]")
_QUANTIFIER = re.compile(r"[*+]|\{\d*,\d*\}|\{\d{2,}\}")
_GROUP = re.compile(r"\((?:\?[a-zA-Z<>=!:-]*)?")
_REFERENCE = re.compile(r"\\[1-9gkK]|\(\?(?:R|&|P[>=]|\d|\()")


def tokenizer_faults(tokenizer: Mapping[str, Any]) -> list[str]:
    """Describe everything that is not allowed in a tokenizer.json; empty if it is allowed.

    Args:
        tokenizer: The parsed file.
    """
    model = tokenizer.get("model")
    if not isinstance(model, Mapping) or model.get("type", "BPE") not in MODELS:
        return [f"model type is not one of {MODELS}"]
    faults = []
    if model.get("dropout"):
        faults.append("model.dropout is set, so the same text would get other ids every time")
    for part in ("normalizer", "pre_tokenizer", "decoder", "post_processor"):
        faults += [f"{part}: {fault}" for fault in _part_faults(tokenizer.get(part))]
    return [*faults, *_length_faults(tokenizer)]


def _part_faults(part: object) -> Iterator[str]:
    """Check every step of a normalizer, pre-tokenizer, decoder or post-processor."""
    steps = list(_steps(part))
    if len(steps) > _MOST_STEPS:
        yield f"has more than {_MOST_STEPS} steps"
        return
    growth = 1
    for step in steps:
        content = step.get("content", step.get("prepend", ""))
        growth *= max(1, len(content)) if isinstance(content, str) else 1
        pattern = step.get("pattern")
        if isinstance(pattern, Mapping) and isinstance(regex := pattern.get("Regex"), str):
            yield from _pattern_faults(regex)
        for name in ("single", "pair"):
            if isinstance(step.get(name), list) and len(step[name]) > _MOST_TEMPLATE:
                yield f"{name} adds more than {_MOST_TEMPLATE} tokens to every text"
    if growth > _MOST_GROWTH:
        yield f"its replacements can make a text more than {_MOST_GROWTH} times as long"


def _steps(part: object) -> Iterator[Mapping[str, Any]]:
    """Yield the steps of nested sequences."""
    waiting = [part]
    while waiting:
        step = waiting.pop()
        if isinstance(step, Mapping):
            yield step
            for name in ("normalizers", "pretokenizers", "decoders", "processors"):
                waiting += step[name] if isinstance(step.get(name), list) else []


def _pattern_faults(pattern: str) -> Iterator[str]:
    """Refuse patterns that can take exponential time: a repeated group that repeats or chooses."""
    shown = repr(pattern[:60])
    if len(pattern) > _MOST_PATTERN:
        yield f"pattern {shown}... is longer than {_MOST_PATTERN} characters"
        return
    if _REFERENCE.search(pattern):
        yield f"pattern {shown} refers to a group, which can take exponential time"
        return
    plain = _CLASS.sub("c", _ESCAPED.sub("e", pattern))
    several = [False]  # per open group: can it match one text in several ways
    place = 0
    while place < len(plain):
        if opened := _GROUP.match(plain, place):
            several.append(False)
            place = opened.end()
            continue
        if plain[place] == ")" and len(several) > 1:
            inner = several.pop()
            several[-1] = several[-1] or inner
            if inner and _QUANTIFIER.match(plain, place + 1):
                yield f"pattern {shown} repeats a group of several ways, which can take for ever"
                return
        elif plain[place] in "|?" or _QUANTIFIER.match(plain, place):
            several[-1] = True
        place += 1


def _length_faults(tokenizer: Mapping[str, Any]) -> Iterator[str]:
    padding = tokenizer.get("padding")
    if isinstance(padding, Mapping):
        strategy = padding.get("strategy")
        fixed = strategy.get("Fixed") if isinstance(strategy, Mapping) else None
        for name, value in (
            ("strategy.Fixed", fixed),
            ("pad_to_multiple_of", padding.get("pad_to_multiple_of")),
        ):
            if value is not None and not (type(value) is int and 0 < value <= _MOST_LENGTH):
                yield f"padding.{name} is {value!r}; allowed: 1 to {_MOST_LENGTH}"
