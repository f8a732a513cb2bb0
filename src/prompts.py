"""The one renderer of prompts: labelling, training, evaluation and serving all call `render`.

A format is a template and the text that joins prompt and completion. Its hash is stored with every
checkpoint, so that a student is never asked in another form than it was trained in.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from .errors import ConfigError

FormatName = Literal["s2-qa", "s2-summarize", "s2-validate", "system1", "system2"]
SystemMode = Literal["system1", "system2"]
"""Following instructions, and reasoning in steps before the answer."""

THINK = "Please think step by step and explain your reasoning before giving the final answer."


@dataclass(frozen=True)
class PromptFormat:
    """A named way of writing a prompt."""

    without_context: str
    with_context: str
    joint: str = " "
    """Stands between prompt and completion, in training and in serving alike."""


FORMATS: dict[str, PromptFormat] = {
    "s2-qa": PromptFormat(
        without_context="Question: {text}\n\nAnswer:",
        with_context="Context: {context}\n\nQuestion: {text}\n\nAnswer:",
    ),
    "s2-summarize": PromptFormat(
        without_context="Summarize the following: {text}",
        with_context="Context: {context}\n\nSummarize the following: {text}",
        joint="\n\n",
    ),
    "s2-validate": PromptFormat(
        # Up to "Answer:" the bytes are those of s2-qa: what the model would answer itself is then
        # at hand when it
        # judges, and a small model learns the comparison in a fraction of the steps.
        without_context="Question: {text}\n\nAnswer: {answer}\n\nIs this answer right?",
        with_context=(
            "Context: {context}\n\nQuestion: {text}\n\nAnswer: {answer}\n\nIs this answer right?"
        ),
    ),
    "system1": PromptFormat(
        without_context="User: {text}\nAssistant:",
        with_context="User: {text}\nInput: {context}\nAssistant:",
    ),
    "system2": PromptFormat(
        without_context=f"User: {{text}}\n{THINK}\nAssistant:",
        with_context=f"User: {{text}}\nInput: {{context}}\n{THINK}\nAssistant:",
    ),
}
SYSTEM_MODES: tuple[SystemMode, ...] = get_args(SystemMode)


def render(name: FormatName, text: str, *, context: str | None = None, answer: str = "") -> str:
    r"""Write a prompt.

    Args:
        name: One of `FORMATS`.
        text: The question, or the text to summarise.
        context: Text the answer is to be found in; None or blank for none.
        answer: The answer to be judged, for `s2-validate`.

    Returns:
        The prompt, without the joint that stands before the completion.

    >>> render("s2-qa", "Q")
    'Question: Q\n\nAnswer:'
    """
    form = FORMATS[name]
    template = form.with_context if context and context.strip() else form.without_context
    # One pass over the template, so that braces in users' texts stay what they are.
    values = {"text": text, "context": context or "", "answer": answer}
    parts = template.split("{")
    out = [parts[0]]
    for part in parts[1:]:
        key, rest = part.split("}", 1)
        out.append(values[key] + rest)
    return "".join(out)


def format_prompt(instruction: str, input_text: str = "", mode: SystemMode = "system1") -> str:
    r"""Write the prompt of an instruction, as it is labelled, trained, scored and served.

    Args:
        instruction: What is to be done, or the question.
        input_text: What it is to be done with; blank for none.
        mode: `system1` asks for the answer, `system2` for the reasoning and then the answer.

    Raises:
        ConfigError: The mode is unknown.

    >>> format_prompt("Q", "I")
    'User: Q\nInput: I\nAssistant:'
    """
    if mode not in SYSTEM_MODES:
        raise ConfigError([f"mode is {mode!r}; allowed are {', '.join(SYSTEM_MODES)}"])
    return render(mode, instruction, context=input_text)


def joint(name: FormatName) -> str:
    """Give the text between prompt and completion."""
    return FORMATS[name].joint


def join_of(prompt: str) -> str:
    """Give the joint that belongs to a rendered prompt, whichever format it was rendered in."""
    if prompt.endswith("\nAssistant:"):  # whatever the user's text above it begins with
        return FORMATS["system1"].joint
    last = prompt.rsplit("\n\n", 1)[-1]
    return FORMATS["s2-summarize"].joint if last.startswith("Summarize the following: ") else " "


_VERDICT = re.compile(
    r"(?:^\W*|: |, so )(yes|no|true|false|right|wrong|correct|incorrect)\b", re.IGNORECASE
)


def write_verdict(right: str, agrees: bool) -> str:
    """Write the completion of `s2-validate`: the right answer first, then the verdict.

    What a small model has just written it can compare with what stands in the prompt. In single
    trials on the elements table, judging without writing, and words between answer and verdict
    ("Au, so no"), were both learned later.

    >>> write_verdict("Au", False)
    'Au: no'
    """
    return f"{right}: {'yes' if agrees else 'no'}"


VERDICT_WEIGHT = 8.0
"""How much the word yes or no counts in the training loss. At 1 it is a sixth of the words of its
task, and was not learned within the steps that all the rest takes."""


def verdict_focus(target: str) -> tuple[int, float]:
    """Give the place of the verdict in a completion of `s2-validate`, and its weight in the loss.

    >>> verdict_focus("Au: no")
    (4, 8.0)
    """
    return target.rfind(" ") + 1, VERDICT_WEIGHT


def read_verdict(text: str) -> bool | None:
    """Read a verdict, in our form or as other models put it; None where there is none.

    >>> read_verdict("Au: no"), read_verdict("Yes, that is right."), read_verdict("Au")
    (False, True, None)
    """
    found = _VERDICT.findall(text)
    return found[-1].lower() in ("yes", "true", "right", "correct") if found else None


def prompts_sha256() -> str:
    """Hash the formats of questions about a table; 64 hex digits. Stored as `prompt_sha256` in
    every `run.json`.

    The forms of instructions are left out: what is trained on one of them stores `format_sha256`.
    """
    return _hash_of(name for name in FORMATS if name not in SYSTEM_MODES)


def format_sha256(name: str) -> str:
    """Hash one format; 64 hex digits."""
    return _hash_of([name])


def _hash_of(names: Iterable[str]) -> str:
    text = "\n".join(
        f"{name}\n{form.without_context}\n{form.with_context}\n{form.joint}"
        for name, form in ((name, FORMATS[name]) for name in sorted(names))
    )
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
