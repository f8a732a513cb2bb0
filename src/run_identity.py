"""Whether two runs are the same: one hash for each thing that decides a result, and what differs.

| part | hash of |
|---|---|
| `config_hash` | the settings |
| `data_hash` | the examples: id, prompt, target, and turns if any |
| `prompt_sha256` | the form of the prompts |
| `models_hash` | the models, and the teacher's kept logits |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .records import Example, data_hash, record_hash

_NAMES: Final = {
    "config_hash": "settings",
    "data_hash": "data",
    "prompt_sha256": "prompts",
    "models_hash": "models",
    "prompt_format": "form of the prompts",
}


def examples_hash(examples: Iterable[Example]) -> str:
    """Hash what is trained on, whatever the order."""
    return data_hash(
        {"id": e.id, "prompt": e.prompt, "target": e.target}
        | ({} if e.turns is None else {"turns": e.turns})
        for e in examples
    )


def run_identity(
    *, config_hash: str, examples: Iterable[Example], prompt_sha256: str, models: Mapping[str, Any]
) -> dict[str, str]:
    """Hash the parts that decide what a training makes.

    Args:
        config_hash: Of the settings, without folders and names of models.
        examples: What is trained on.
        prompt_sha256: Of the form of the prompts.
        models: Role -> what tells the model from others, in plain JSON values.
    """
    return {
        "config_hash": config_hash,
        "data_hash": examples_hash(examples),
        "prompt_sha256": prompt_sha256,
        "models_hash": record_hash(models),
    }


def changed_parts(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name the parts in which two identities differ; empty where the runs are the same.

    >>> changed_parts({"config_hash": 1, "data_hash": 2}, {"config_hash": 3, "data_hash": 2})
    'other settings'
    """
    names = [
        _NAMES.get(name, name)
        for name in dict.fromkeys([*earlier, *now])
        if earlier.get(name) != now.get(name)
    ]
    return f"other {', '.join(names)}" if names else ""


def changed_values(theirs: Any, ours: Any, place: str = "") -> str:  # noqa: ANN401 - JSON values
    """Write the first few values that differ.

    >>> changed_values({"seed": 0, "rows": 5}, {"seed": 1, "rows": 5})
    'seed: 0 there, 1 here'
    """
    if not isinstance(theirs, Mapping) or not isinstance(ours, Mapping):
        shown = [f"{v:.4g}" if isinstance(v, float) else repr(v) for v in (theirs, ours)]
        return f"{place}: {shown[0]} there, {shown[1]} here"
    found = [
        changed_values(theirs.get(name), ours.get(name), f"{place}.{name}" if place else name)
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    ]
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
