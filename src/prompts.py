"""The prompt formats, and `render`, which labelling, training, evaluation and serving all call.

A format is a template and the text that joins prompt and completion. Its hash is stored with every
checkpoint, so that a student is never prompted in another format than it was trained on.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .errors import ConfigError

FormatName = Literal["s2-qa", "s2-summarize", "s2-validate", "system1", "system2"]
SystemMode = Literal["system1", "system2"]
"""System 1 follows an instruction; System 2 reasons in steps before its answer."""
Turn = Mapping[str, Any]
"""A chat turn: `role` (`system`, `user` or `assistant`) and `content`."""
Prompt = str | Sequence[Turn]
"""A rendered prompt, or chat turns of which the last is the user's."""

THINK = "Please think step by step and explain your reasoning before giving the final answer."


@dataclass(frozen=True)
class PromptFormat:
    """Templates of a prompt, and the text between prompt and completion."""

    without_context: str
    with_context: str
    joint: str = " "
    """Between prompt and completion, in training and serving."""


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
        # The prompt starts with the bytes of s2-qa, so the model has its own answer at hand when it
        # judges: a small model learns the comparison in a fraction of the steps.
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
        context: Text that holds the answer; None or blank for none.
        answer: The answer to judge, for `s2-validate`.

    Returns:
        The prompt, without the joint before the completion.

    >>> render("s2-qa", "Q")
    'Question: Q\n\nAnswer:'
    """
    form = FORMATS[name]
    template = form.with_context if context and context.strip() else form.without_context
    # One pass over the template, so that braces in users' texts are kept.
    values = {"text": text, "context": context or "", "answer": answer}
    parts = template.split("{")
    out = [parts[0]]
    for part in parts[1:]:
        key, rest = part.split("}", 1)
        out.append(values[key] + rest)
    return "".join(out)


def format_prompt(instruction: str, input_text: str = "", mode: SystemMode = "system1") -> str:
    r"""Write the prompt of an instruction.

    Args:
        instruction: The instruction or question.
        input_text: Its input; blank for none.
        mode: `system1` asks for the answer, `system2` for reasoning and then the answer.

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
    """Give the joint of a rendered prompt, whichever its format."""
    if prompt.endswith("\nAssistant:"):  # first, as the user's text may look like another format
        return FORMATS["system1"].joint
    last = prompt.rsplit("\n\n", 1)[-1]
    return FORMATS["s2-summarize"].joint if last.startswith("Summarize the following: ") else " "


def form_of(prompt: str) -> FormatName | None:
    """Recognise the format of a rendered prompt; None for any other text.

    >>> form_of(render("s2-qa", "Q")), form_of("Q")
    ('s2-qa', None)
    """
    if prompt.startswith("User: ") and prompt.endswith("\nAssistant:"):
        return "system2" if prompt.endswith(f"\n{THINK}\nAssistant:") else "system1"
    if prompt.startswith(("Question: ", "Context: ")):
        if prompt.endswith("\n\nAnswer:"):
            return "s2-qa"
        if _JUDGED.fullmatch(prompt):
            return "s2-validate"
    begins = "Summarize the following: "
    with_context = prompt.startswith("Context: ") and f"\n\n{begins}" in prompt
    return "s2-summarize" if prompt.startswith(begins) or with_context else None


def question_form(prompts: Iterable[str]) -> FormatName | None:
    """Find the format in which most questions among prompts are asked.

    Args:
        prompts: Of a training.

    Returns:
        `s2-qa`, `system1` or `system2`; None where most prompts that are no summaries or verdicts
        are texts in no format.
    """
    forms = Counter(form_of(prompt) for prompt in prompts if prompt)
    asked = {form: n for form, n in forms.items() if form in (None, "s2-qa", *SYSTEM_MODES)}
    return max(asked, key=lambda form: asked[form], default=None)


def ask_in(form: FormatName | None, text: str, context: str = "") -> str:
    r"""Write a user's words as the question of a format.

    Args:
        form: From `question_form`; None changes nothing.
        text: A bare question. A rendered prompt, and a text that ends with a colon, which asks to
            be continued, are kept as they are.
        context: Text before the question, where it is a bare one.

    >>> ask_in("s2-qa", "Q"), ask_in("s2-qa", "SQL:")
    ('Question: Q\n\nAnswer:', 'SQL:')
    """
    if form is None or form_of(text) is not None or text.rstrip().endswith(":"):
        return text
    return render(form, text, context=context)


_JUDGED = re.compile(r"(.*)\n\nAnswer: (.*)\n\n(Is this answer right\?)", re.DOTALL)
_SPEAKERS = {"user": "User: ", "assistant": "Assistant: "}


def as_turns(prompt: Prompt) -> list[dict[str, Any]]:
    r"""Write a prompt as turns for a model with a chat template.

    The words that a format puts around a question are for models that continue a text: a chat model
    gets the question alone, so a rendered question and the bare one are the same prompt. The
    question of `s2-validate` comes after the answer to be judged, as a turn of its own, so the
    prompt begins as that of `s2-qa`. Other texts are one user turn as they are.

    Args:
        prompt: A text, or at least one turn. Earlier turns are kept as they are.

    >>> [turn["content"] for turn in as_turns("Question: Q\n\nAnswer:")]
    ['Q']
    >>> [turn["content"] for turn in as_turns(render("s2-validate", "Q", answer="A"))]
    ['Q', 'A', 'Is this answer right?']
    """
    if not isinstance(prompt, str):
        earlier, last = [dict(turn) for turn in prompt[:-1]], dict(prompt[-1])
        asks = last["role"] == "user" and isinstance(last["content"], str)
        return [*earlier, *(as_turns(last["content"]) if asks else [last])]
    form = form_of(prompt)
    if form == "s2-qa":
        return [_user(prompt.removesuffix("\n\nAnswer:").removeprefix("Question: "))]
    if form in SYSTEM_MODES:
        return [_user(prompt.removeprefix("User: ").removesuffix("\nAssistant:"))]
    judged = _JUDGED.fullmatch(prompt) if form == "s2-validate" else None
    if judged is None:
        return [_user(prompt)]
    question, answer, ask = judged.groups()
    said = {"role": "assistant", "content": answer}
    return [_user(question.removeprefix("Question: ")), said, _user(ask)]


def as_text(prompt: Prompt, form: FormatName = "s2-qa") -> str:
    r"""Write a prompt as text for a model without a chat template.

    Args:
        prompt: A text, which is kept, or turns. The system's words and the conversation before the
            last turn become the context.
        form: Format of the last turn.

    >>> as_text([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}])
    'Context: S\n\nQuestion: Q\n\nAnswer:'
    """
    if isinstance(prompt, str):
        return prompt
    return render(form, prompt[-1]["content"], context=context_of(prompt))


def context_of(turns: Sequence[Turn]) -> str:
    """Write what was said before the last turn, one line each, and after it the system's words."""
    before = turns[:-1]
    said = [f"{_SPEAKERS[t['role']]}{t['content']}" for t in before if t["role"] in _SPEAKERS]
    told = [turn["content"] for turn in before if turn["role"] not in _SPEAKERS]
    return "\n\n".join(part for part in ("\n".join(said), *told) if part)


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


_VERDICT = re.compile(
    r"(?:^\W*|: |, so )(yes|no|true|false|right|wrong|correct|incorrect)\b", re.IGNORECASE
)


def write_verdict(right: str, agrees: bool) -> str:
    """Write the completion of `s2-validate`: the right answer first, then the verdict.

    A small model can compare the answer it has just written with the one in the prompt. In single
    trials on the elements table it learned to judge later without that answer, and later with words
    between answer and verdict ("Au, so no").

    >>> write_verdict("Au", False)
    'Au: no'
    """
    return f"{right}: {'yes' if agrees else 'no'}"


VERDICT_WEIGHT = 8.0
"""Weight of the word yes or no in the training loss. At 1 it was not learned within the steps that
the other words take."""


def verdict_focus(target: str) -> tuple[int, float]:
    """Give the start of the verdict in a completion of `s2-validate`, and its weight in the loss.

    >>> verdict_focus("Au: no")
    (4, 8.0)
    """
    return target.rfind(" ") + 1, VERDICT_WEIGHT


def read_verdict(text: str) -> bool | None:
    """Read a verdict in our form or in another model's words; None where there is none.

    >>> read_verdict("Au: no"), read_verdict("Yes, that is right."), read_verdict("Au")
    (False, True, None)
    """
    found = _VERDICT.findall(text)
    return found[-1].lower() in ("yes", "true", "right", "correct") if found else None


def prompts_sha256() -> str:
    """Hash the formats of questions about a table; 64 hex digits, `prompt_sha256` in `run.json`.

    The formats of instructions are not included; their students store `format_sha256`.
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
