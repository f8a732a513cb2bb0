"""What kinds of values the keys of an EasyDistill configuration take, in both generations.

They are checked before anything is read or asked, so that a text in the place of a number is told
by the name that the file has. Null counts as not given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ..options import LARGEST_SEED

Check = Callable[[Any], bool]


def _number(least: float, most: float = math.inf, *, above: bool = False) -> Check:
    def fits(value: Any) -> bool:  # noqa: ANN401
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return (
            math.isfinite(value) and (value > least if above else value >= least) and value <= most
        )

    return fits


def _whole(least: int, most: float = math.inf) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def _text(value: object) -> bool:
    return isinstance(value, str)


_KINDS: Final[dict[str, tuple[Check, str]]] = {
    **dict.fromkeys(
        (
            "base_url", "model", "model_id", "prompt", "system_prompt", "positive_system_prompt",
            "negative_system_prompt", "api_key", "api_key_env", "template", "prompt_template",
            "prompt_template_file", "instruction_key", "system_key", "problem_key", "answer_key",
            "output_key", "text_key", "instruction_path", "labeled_path", "logits_path",
            "input_path", "output_path",
        ),
        (_text, "a text"),
    ),
    **dict.fromkeys(
        ("max_workers", "num_in_context_samples", "num_output_samples", "batch_size", "max_tokens"),
        (_whole(1), "a whole number from 1 on"),
    ),
    "max_new_tokens": (lambda value: type(value) is int, "a whole number from 1 on"),
    "seed": (_whole(0, LARGEST_SEED), f"0 to {LARGEST_SEED}"),
    **dict.fromkeys(
        ("timeout", "requests_per_minute", "tokens_per_minute"),
        (_number(0, above=True), "a number above 0"),
    ),
    **dict.fromkeys(
        ("budget", "prompt_price", "completion_price"), (_number(0), "a number from 0 on")
    ),
    "temperature": (_number(0, 100), "0 to 100"),
    "top_p": (_number(0, 1, above=True), "above 0 to 1"),
    "kd_ratio": (_number(0, 1), "0 to 1"),
    "train_ratio": (_number(0, 1), "0 to 1"),
}  # fmt: skip


def kind_faults(section: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Name the values of a section that are of a wrong kind or out of range.

    Args:
        section: Its name.
        values: What it holds; keys that are not known here are not looked at.
    """
    for name, value in values.items():
        fits, allowed = _KINDS.get(name, (None, ""))
        if value is not None and fits is not None and not fits(value):
            yield f"{section}.{name} is {value!r}; allowed is {allowed}"
