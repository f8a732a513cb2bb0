"""Names of oracles in LLM Distillery's commands: the provider, its model, its reasoning budget."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ....errors import ConfigError

ORACLES: Final[Mapping[str, tuple[str, str]]] = {
    "claude": ("anthropic", "claude-sonnet-4-5"),
    "gemini": ("gemini", "gemini-2.5-flash"),
    "gemini-flash": ("gemini", "gemini-2.5-flash"),
    "gemini-pro": ("gemini", "gemini-2.5-pro"),
    "gpt4": ("openai", "gpt-4o"),
}
"""Name -> provider, and the model that is asked where none is named."""


def named_oracle(name: str, model: str | None = None) -> tuple[str, str | None]:
    """Give the source and model of an oracle, for `open_teacher`.

    Args:
        name: One of `ORACLES`, or any source of `open_teacher`.
        model: Goes before the provider's variable, such as `GEMINI_MODEL`, and the usual model.

    >>> named_oracle("gpt4", "gpt-4o-mini"), named_oracle("http://127.0.0.1:8000/v1")
    (('openai', 'gpt-4o-mini'), ('http://127.0.0.1:8000/v1', None))
    """
    if name not in ORACLES:
        return name, model
    provider, usual = ORACLES[name]
    return provider, model or os.environ.get(f"{provider.upper()}_MODEL", "").strip() or usual


def thinking_fields(sources: Iterable[str], budget: int) -> dict[str, Any]:
    """Write a budget of reasoning as the field of a request that a provider reads.

    Args:
        sources: Sources of the oracles.
        budget: Tokens of reasoning before a reply; 0 sends nothing.

    Raises:
        ConfigError: The oracles are not all of Gemini, or all of Claude.
    """
    providers = set(sources)
    if not budget:
        return {}
    if providers == {"gemini"}:
        return {"extra_body": {"google": {"thinking_config": {"thinking_budget": budget}}}}
    if providers == {"anthropic"}:
        return {"thinking": {"type": "enabled", "budget_tokens": budget}}
    raise ConfigError([f"thinking_budget is {budget}; it is for Gemini or Claude alone, and the "
                       f"oracles are {sorted(providers)}"])  # fmt: skip
