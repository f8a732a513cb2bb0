"""Adapt chat turns to a form that a model's chat template renders completely.

Templates differ: some have no system role (Gemma 1 and 2, the first Mistral) or allow it only
first, require that user and assistant alternate, do not support tools, expect arguments as text or
content as a list of parts. Some raise an error, others silently omit what they do not support.
Forms of the turns are therefore tried with markers in place of the texts, from the smallest to the
largest change, until the rendered prompt contains all markers.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from ...errors import GenerationError
from ..tool_calls.parse import call_text

Turn = dict[str, Any]
Turns = list[Turn]
_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")
_MOST_KEPT = 1000
"""Most shapes of conversations whose form is cached, per tokenizer."""
_CLOCK = (
    "{% macro strftime_now(form='') %}"
    "{{ '2024-07-26' if '%m' in form else '26 Jul 2024' }}"
    "{% endmacro +%}"
)
"""Prefix of templates that write today's date, so that a prompt has the same tokens every day. The
date is the default of Llama's templates."""
_forms: WeakKeyDictionary[Any, dict[object, Callable[[Turns], Turns]]] = WeakKeyDictionary()
_frames: WeakKeyDictionary[Any, dict[str, AnswerFrame]] = WeakKeyDictionary()


@dataclass(frozen=True)
class AnswerFrame:
    """What a chat template writes around an answer."""

    header: str
    """The end of the prompt that the template omits when it renders a prompt alone: the
    assistant's header in templates without `add_generation_prompt`, or the end of the reasoning
    that the prompt opens."""
    lead: str
    """Blanks between prompt and answer. They belong to the answer, because many tokenizers join a
    blank with the following word."""
    end_id: int
    """Id of the token that ends an answer."""


def template_ids(
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped
    turns: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
    tools_text: str = "",
) -> list[int]:
    """Render turns with a tokenizer's chat template, in the form that loses least of them.

    Args:
        tokenizer: A tokenizer with a chat template.
        turns: At least one turn, from `prompts.as_turns` or `messages.chat_turns`.
        tools: Tools that may be called, for templates that describe tools.
        tools_text: The tools as text, for other templates; it becomes a system turn.

    Returns:
        Token ids of the prompt.

    Raises:
        GenerationError: The template refuses the turns in every form.
    """
    given = [dict(turn) for turn in turns]
    if tools and not _tells_tools(tokenizer):
        given.insert(0, {"role": "system", "content": tools_text.strip()})
        tools = None
    change = _change(tokenizer, given, tools)
    ids: list[int] = _render(tokenizer, change(given), tools, tokenize=True)
    header = answer_frame(tokenizer).header
    return ids + tokenizer(header, add_special_tokens=False)["input_ids"] if header else ids


def template_text(tokenizer: Any, turns: Sequence[Mapping[str, Any]]) -> str:  # noqa: ANN401
    """Render turns as the text of a prompt, for trainers that tokenise it themselves.

    Names of special tokens in the turns become special tokens there, so the caller must compare the
    ids.

    Raises:
        GenerationError: The template refuses the turns in every form.
    """
    given = [dict(turn) for turn in turns]
    change = _change(tokenizer, given, None)
    text: str = _render(tokenizer, change(given), None, tokenize=False)
    return text + answer_frame(tokenizer).header


def answer_frame(tokenizer: Any) -> AnswerFrame:  # noqa: ANN401 - transformers is untyped
    """Find out what a tokenizer's chat template writes around an answer."""
    kept = _frames.setdefault(tokenizer, {})
    template = str(tokenizer.chat_template)
    if template not in kept:
        kept[template] = _find_frame(tokenizer)
    return kept[template]


def _find_frame(tokenizer: Any) -> AnswerFrame:  # noqa: ANN401
    asked: Turns = [{"role": "user", "content": "zq0text"}]
    answered: Turns = [*asked, {"role": "assistant", "content": "zq1text"}]
    try:
        change = _change(tokenizer, asked, None)
        prompt = _render(tokenizer, change(asked), None, tokenize=False)
        whole = _render(tokenizer, change(answered), None, tokenize=False, asks=False)
    except GenerationError:  # such as a template that needs tools
        return AnswerFrame("", "", int(tokenizer.eos_token_id))
    before, found, after = whole.rpartition("zq1text")
    ends = tokenizer(after, add_special_tokens=False)["input_ids"] if found else []
    # Not `all_special_ids`: it lacks tokens that only tokenizer.json names.
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    end = next((token for token in ends if token in special), tokenizer.eos_token_id)
    between = before[len(prompt) :] if before.startswith(prompt) else ""
    if not between and prompt.rstrip().endswith("<think>"):
        between = "\n</think>\n\n"
    header = between.rstrip(" ")
    return AnswerFrame(header, between[len(header) :], int(end))


def _render(
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped
    turns: Turns,
    tools: Any,  # noqa: ANN401
    *,
    tokenize: bool,
    asks: bool = True,
) -> Any:  # noqa: ANN401
    """Render turns, up to the answer that is asked for.

    Raises:
        GenerationError: The template refuses them.
    """
    from jinja2 import TemplateError

    # Templates concatenate these tokens, so missing ones are passed as empty texts.
    lacking = {name: "" for name in _SPECIAL if getattr(tokenizer, name, None) is None}
    template: str = tokenizer.get_chat_template(None, list(tools) if tools else None)
    try:
        made = tokenizer.apply_chat_template(
            turns,
            chat_template=_CLOCK + template if "strftime_now" in template else template,
            tools=list(tools) if tools else None,
            add_generation_prompt=asks,
            enable_thinking=False,  # students are not trained on reasoning
            # Names of special tokens in a message stay plain text; markers contain none.
            sanitize_control_tokens=tokenize,
            tokenize=tokenize,
            return_dict=tokenize,
            **lacking,
        )
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as fault:
        raise GenerationError(
            f"the model's chat template does not take these messages ({fault}); give a system "
            "message first and then human and AI messages in turn, or mend the chat_template"
        ) from fault
    return made["input_ids"] if tokenize else made


def _tells_tools(tokenizer: Any) -> bool:  # noqa: ANN401
    """Tell whether a template describes tools, by rendering a probe tool."""
    name = "zq0tool"
    parameters = {"type": "object", "properties": {"a": {"type": "string", "description": "A."}}}
    function = {"name": name, "description": "B.", "parameters": {**parameters, "required": ["a"]}}
    tool = {"type": "function", "function": function}
    for content in ("Q", [{"type": "text", "text": "Q"}]):
        try:
            turns = [{"role": "user", "content": content}]
            told = _render(tokenizer, turns, [tool], tokenize=False)
        except GenerationError:
            continue
        if name in told:
            return True
    return False


def _change(
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped
    turns: Turns,
    tools: Sequence[Mapping[str, Any]] | None,
) -> Callable[[Turns], Turns]:
    """Find the smallest change with which a template renders turns of this shape completely."""
    shape = [
        (turn["role"], bool(turn["content"]), len(turn.get("tool_calls", ()))) for turn in turns
    ]
    key = (str(tokenizer.chat_template), bool(tools), *shape)
    kept = _forms.setdefault(tokenizer, {})
    if key not in kept:
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[key] = _try_forms(tokenizer, turns, tools)
    return kept[key]


def _try_forms(
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped
    turns: Turns,
    tools: Sequence[Mapping[str, Any]] | None,
) -> Callable[[Turns], Turns]:
    marked, markers = _with_markers(turns)
    best: tuple[int, Callable[[Turns], Turns]] | None = None
    refusal: GenerationError | None = None
    tried: list[Turns] = []
    for steps in itertools.product(_CONTENTS, _CALLS, _SYSTEMS, _ROLES):
        change = partial(_changed, steps=steps)
        form = change(marked)
        if form in tried:
            continue
        tried.append(form)
        try:
            told = _render(tokenizer, form, tools, tokenize=False)
        except GenerationError as fault:
            refusal = refusal or fault
            continue
        lost = sum(mark not in told for mark in markers)
        if not lost:
            return change
        if best is None or lost < best[0]:
            best = lost, change
    if best is None:
        raise refusal or GenerationError("the model's chat template makes no prompt")
    # Every form loses something: take the one that loses least.
    return best[1]


def _with_markers(turns: Turns) -> tuple[Turns, list[str]]:
    """Replace texts by markers of letters and digits, which no template changes.

    An assistant's text beside its calls is not marked, because many templates write only the calls.
    """
    marked: Turns = []
    marks: list[str] = []
    for place, turn in enumerate(turns):
        calls, new = turn.get("tool_calls"), dict(turn)
        if turn["content"]:
            new["content"] = f"zq{place}text"
            if not calls:
                marks.append(new["content"])
        for number, call in enumerate(calls or ()):
            name = f"zq{place}call{number}z"
            new["tool_calls"] = new["tool_calls"] if number else list(turn["tool_calls"])
            new["tool_calls"][number] = {**call, "function": {**call["function"], "name": name}}
            marks.append(name)
        marked.append(new)
    return marked, marks


def _changed(turns: Turns, steps: Sequence[Callable[[Turns], Turns]]) -> Turns:
    contents, *others = steps
    for step in others:
        turns = step(turns)
    return contents(turns)


def _as_they_are(turns: Turns) -> Turns:
    return turns


def _content_parts(turns: Turns) -> Turns:
    return [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]


def _short_ids(turns: Turns) -> Turns:
    """Shorten call ids to nine letters and digits, as Mistral's templates require."""

    def short(call_id: str) -> str:
        return hashlib.sha256(call_id.encode()).hexdigest()[:9]

    return [
        {
            **turn,
            **({"tool_call_id": short(turn["tool_call_id"])} if "tool_call_id" in turn else {}),
            **({"tool_calls": [{**call, "id": short(call["id"])} for call in turn["tool_calls"]]}
               if "tool_calls" in turn else {}),
        }
        for turn in turns
    ]  # fmt: skip


def _arguments_text(turns: Turns) -> Turns:
    """Write arguments of calls as JSON text, as DeepSeek's templates require."""
    return [
        turn if "tool_calls" not in turn else {
            **turn,
            "tool_calls": [
                {**call, "function": {
                    **call["function"],
                    "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False),
                }}
                for call in turn["tool_calls"]
            ],
        }
        for turn in turns
    ]  # fmt: skip


def _calls_as_text(turns: Turns) -> Turns:
    """Write calls and their results as text of the assistant and the user."""
    written: Turns = []
    for turn in turns:
        if turn["role"] == "tool":
            written.append({"role": "user", "content": f"Tool: {turn['content']}"})
            continue
        calls = [
            call_text({"name": call["function"]["name"], "args": call["function"]["arguments"]})
            for call in turn.get("tool_calls", ())
        ]
        said = "\n".join(part for part in (turn["content"], *calls) if part)
        written.append({"role": turn["role"], "content": said})
    return written


def _system_first(turns: Turns) -> Turns:
    """Join leading system turns to one; put later ones into the following user turn."""
    leading = list(itertools.takewhile(lambda turn: turn["role"] == "system", turns))
    rest = _no_system(turns[len(leading) :])
    if not leading:
        return rest
    told = "\n\n".join(turn["content"] for turn in leading)
    return [{"role": "system", "content": told}, *rest]


def _no_system(turns: Turns) -> Turns:
    """Put each system turn into the user turn that follows it."""
    out: Turns = []
    held: list[str] = []
    for turn in turns:
        if turn["role"] == "system":
            held.append(turn["content"])
            continue
        if held and turn["role"] == "user":
            turn = {**turn, "content": "\n\n".join([*held, turn["content"]])}
        elif held:
            out.append({"role": "user", "content": "\n\n".join(held)})
        held = []
        out.append(turn)
    if held:
        out.append({"role": "user", "content": "\n\n".join(held)})
    return out


def _alternating(turns: Turns) -> Turns:
    """Join neighbouring turns of one role, and begin with a user turn."""
    out: Turns = []
    for turn in turns:
        last = out[-1] if out else None
        joins = last is not None and last["role"] == turn["role"] != "tool"
        if last is not None and joins and "tool_calls" not in last and "tool_calls" not in turn:
            said = [text for text in (last["content"], turn["content"]) if text]
            out[-1] = {**last, "content": "\n\n".join(said)}
        else:
            out.append(turn)
    begins = 1 if out and out[0]["role"] == "system" else 0
    if len(out) > begins and out[begins]["role"] != "user":
        out.insert(begins, {"role": "user", "content": ""})
    return out


# Each list is ordered from the smallest to the largest change. Contents are changed last.
_CONTENTS = (_as_they_are, _content_parts)
_CALLS = (_as_they_are, _short_ids, _arguments_text, _calls_as_text)
_SYSTEMS = (_as_they_are, _system_first, _no_system)
_ROLES = (_as_they_are, _alternating)
