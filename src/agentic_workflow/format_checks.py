"""Checks of an answer's format, which need neither record nor model: JSON schema and script.

    AnswerPolicy(checks=(fits(Reading), written_in("LATIN")))

A check is a function of the state and the answer that gives the reason for a rejection, or None;
users add their own. Checks run first, since they cost nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from .state import AgentState, query_of

Check = Callable[[AgentState, str], str | None]
"""State and answer -> reason for a rejection; None where the answer passes."""


def fits(form: Any) -> Check:  # noqa: ANN401 - whatever pydantic takes
    """Make a check that an answer is JSON of a type.

    Args:
        form: A pydantic class, a TypedDict, a dataclass, or a type such as `list[int]`.

    >>> fits(list[int])({}, "[1, 2]"), fits(list[int])({}, "gold")
    (None, 'it does not fit list[int]: Invalid JSON')
    """
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(form)
    name = getattr(form, "__name__", "") if isinstance(form, type) else ""
    shown = str(form) if "[" in str(form) or not name else name

    def check_form(state: AgentState, answer: str) -> str | None:
        try:
            adapter.validate_json(answer)
        except ValidationError as fault:
            first = fault.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            message = first["msg"].split(":")[0]
            return f"it does not fit {shown}: {f'{place}: ' if place else ''}{message}"
        return None

    return check_form


def written_in(*scripts: str) -> Check:
    """Make a check that an answer is written in given scripts.

    It detects a small student that changes to another language, without a model.

    Args:
        scripts: First words of Unicode letter names: LATIN, GREEK, CYRILLIC, CJK, HIRAGANA, ARABIC
            and so on. By default those of the request and its context.

    >>> written_in("LATIN")({}, "Gold"), written_in("LATIN")({}, "золото")
    (None, 'it is written in CYRILLIC, not in LATIN')
    """

    def check_script(state: AgentState, answer: str) -> str | None:
        allowed = set(scripts) or _scripts(f"{query_of(state)} {state.get('context') or ''}")
        others = sorted(_scripts(answer) - allowed)
        if not others or not allowed:
            return None
        return f"it is written in {', '.join(others)}, not in {', '.join(sorted(allowed))}"

    return check_script


def _scripts(text: str) -> set[str]:
    # NFKC first: it makes the micro sign a Greek letter and a full-width A a Latin one.
    letters = {c for c in unicodedata.normalize("NFKC", text) if c.isalpha()}
    return {unicodedata.name(letter, "UNKNOWN").split()[0] for letter in letters}
