r"""Separate an answer from the model's reasoning, refusals and tool calls.

    split_thoughts("<think>\nHm.\n</think>\n\nGold")     # ('Gold', 'Hm.')

Providers mark reasoning in two ways: as separate content blocks, which
`inference/remote/content_blocks.py` reads, or inside the text:

| models | reasoning in the text |
|---|---|
| DeepSeek-R1, Qwen3, QwQ, GLM, MiniMax | `<think>...</think>`, the first tag often in the prompt |
| others | `<thinking>`, `<thought>`, `<reasoning>`, `<seed:think>`, in any case |
| Magistral | `[THINK]...[/THINK]` |
| Kimi-VL | `◁think▷...◁/think▷` |
| Sky-T1, OpenThinker | `<|begin_of_thought|>...<|end_of_thought|>`, then a solution |
| gpt-oss | channels: `analysis` and `commentary` before `final`, with or without their marks |

Tags inside code, and tags that the prompt itself mentions, are kept as part of the answer.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from ...errors import GenerationError
from ...inference.remote.content_blocks import read_content
from ...inference.remote.finish_reasons import AnswerEnd, refusal_end
from .protocol import Prompt, TeacherAnswer, count_tokens, prompt_bytes, prompt_text

_TAGS: Final = "think|thinking|thought|thoughts|reasoning|seed:think"
_OPENING: Final = (
    rf"<(?P<tag>{_TAGS})(?:\s[^<>]*)?>|\[(?P<square>THINK)\]|◁(?P<kimi>think)▷"
    r"|<\|begin_of_(?P<sky>thought)\|>"
)
_CLOSING: Final = (
    rf"</(?:{_TAGS})\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>"  # each with its own opening
)
_FLAGS: Final = re.DOTALL | re.IGNORECASE
_MARK: Final = re.compile(
    rf"(?P<code>```.*?(?:```|\Z)|`[^`\n]+`)|{_OPENING}|(?P<end>{_CLOSING})", _FLAGS
)
_OPENED: Final = re.compile(_OPENING, _FLAGS)
_ENDED: Final = re.compile(rf"(?<!`)(?:{_CLOSING})(?!`)", _FLAGS)
_LAST_END: Final = re.compile(rf"(?:{_CLOSING})\Z", _FLAGS)
_ENDS: Final = {
    "tag": r"(?<!`)</{}\s*>(?!`)",
    "square": r"\[/{}\]",
    "kimi": "◁/{}▷",
    "sky": r"<\|end_of_{}\|>",
}
_ANY: Final = re.compile(rf"{_OPENING}|{_CLOSING}", _FLAGS)
_NAME: Final = re.compile(rf"(?:seed:)?(?:{_TAGS})", re.IGNORECASE)
_SOLUTION: Final = re.compile(r"<\|(?:begin|end)_of_solution\|>")
_CHANNEL: Final = re.compile(
    r"(?:<\|start\|>\w*)?<\|channel\|>\s*(?P<name>\w+)[^<]*<\|message\|>"
    r"(?P<said>.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)(?:<\|(?:end|return|call)\|>)?",
    re.DOTALL,
)
_BARE_CHANNELS: Final = re.compile(
    r"\A(?:analysis|commentary)(?P<thought>.*)assistantfinal(?P<said>.*)\Z", re.DOTALL
)
"""Channels after a tokenizer has removed their special tokens."""


def make_answer(
    said: object,
    end: AnswerEnd,
    prompt: Prompt,
    *,
    tool_calls: object = None,
    thoughts: str = "",
    prompt_tokens: object = None,
    completion_tokens: object = None,
    model: str = "",
) -> TeacherAnswer:
    """Build the answer of a server or a chat model.

    Args:
        said: Content of the message.
        end: Why the answer ended.
        prompt: The prompt of the call.
        tool_calls: Tool calls in the message.
        thoughts: Reasoning that is returned beside the content.
        prompt_tokens: Tokens as counted by the server; otherwise every byte counts as a token.
        completion_tokens: As `prompt_tokens`.
        model: Name of the model that answered.

    Raises:
        GenerationError: The message is a tool call or a refusal, was withheld, or may not be
            complete.
    """
    end.raise_fault()
    if tool_calls:
        raise GenerationError("the teacher called a tool in place of an answer; a label is a text")
    content = read_content(said)
    text = content.text.strip()
    if not text and (refused := refusal_end(content.refusal)):
        refused.raise_fault()
    return TeacherAnswer(
        text=text,
        finish_reason="length" if end.verdict == "cut" else "stop",
        prompt_tokens=count_tokens(prompt_tokens, prompt_bytes(prompt)),
        completion_tokens=count_tokens(
            completion_tokens, len(content.text.encode("utf-8", "replace"))
        ),
        model=model,
        thoughts=content.thoughts or thoughts,
    )


def label_view(answer: TeacherAnswer, prompt: Prompt, *, keep_thoughts: bool) -> TeacherAnswer:
    """Return an answer in the form of a label, with or without the model's reasoning in the text.

    Returns:
        The answer with its reasoning in `thoughts`. Its text is empty if the model returned only
        reasoning; with `keep_thoughts`, finished reasoning counts as text.
    """
    text, inside = split_thoughts(answer.text, prompt_text(prompt))
    if text == answer.text and not answer.thoughts:
        return answer
    thoughts = "\n\n".join(part for part in (answer.thoughts, inside) if part)
    if keep_thoughts and (text or _LAST_END.search(answer.text.rstrip()) is not None):
        told = f"<think>\n{answer.thoughts}\n</think>\n\n" if answer.thoughts else ""
        text = f"{told}{answer.text.strip()}"
    return replace(answer, text=text, thoughts=thoughts)


def split_thoughts(text: str, prompt: str = "") -> tuple[str, str]:
    r"""Separate the answer and the reasoning in a text.

    Args:
        text: The model's output.
        prompt: The prompt; tags that it mentions are kept in the answer.

    Returns:
        The answer and the reasoning, without white space at their ends. The answer is empty if the
        reasoning does not end.

    >>> split_thoughts("Hm, a metal.\n</think>\n\nGold")
    ('Gold', 'Hm, a metal.')
    >>> split_thoughts("The tag `<think>` opens a thought.")
    ('The tag `<think>` opens a thought.', '')
    """
    if not _may_think(text):
        return text.strip(), ""
    thoughts: list[str] = []
    named = {_name(found[0]) for found in _ANY.finditer(prompt)}
    text = _without_tags(_without_channels(text, thoughts), named, thoughts)
    text = _SOLUTION.sub("", text)
    return text.strip(), "\n\n".join(t.strip() for t in thoughts if t.strip())


def _may_think(text: str) -> bool:
    """Tell whether a text contains any mark of reasoning; most do not."""
    return (
        _ANY.search(text) is not None
        or "<|channel|>" in text
        or "<|begin_of_solution|>" in text
        or _BARE_CHANNELS.match(text) is not None
    )


def _name(mark: str) -> str:
    found = _NAME.search(mark)
    return "" if found is None else found[0].lower()


def _without_tags(text: str, named: set[str], thoughts: list[str]) -> str:
    """Remove the text between tags, and the text before a closing tag without an opening one."""
    end = _ENDED.search(text)
    if end is not None and _name(end[0]) not in named and not _OPENED.search(text, 0, end.start()):
        thoughts.append(text[: end.start()])  # the prompt opened the thought
        text = text[end.end() :]
    kept, place, endless = [], 0, set[str]()
    while (mark := _MARK.search(text, place)) is not None:
        kept.append(text[place : mark.start()])
        place = mark.end()
        if mark["code"] is not None or _name(mark[0]) in named:
            kept.append(mark[0])
        elif mark["end"] is not None:  # a second end
            thoughts.append("".join(kept))
            kept.clear()
        else:
            kind = next(kind for kind in _ENDS if mark[kind] is not None)
            wanted = _ENDS[kind].format(re.escape(mark[kind]))
            end = None if wanted in endless else re.compile(wanted, _FLAGS).search(text, place)
            if end is not None:
                thoughts.append(text[place : end.start()])
                place = end.end()
            elif text[: mark.start()].rpartition("\n")[2].strip():  # words about the tag
                endless.add(wanted)
                kept.append(mark[0])
            else:
                thoughts.append(text[place:])
                return "".join(kept)
    return "".join(kept) + text[place:]


def _without_channels(text: str, thoughts: list[str]) -> str:
    bare = _BARE_CHANNELS.match(text)
    if bare is not None:
        thoughts.append(bare["thought"].strip())
        return bare["said"]
    if "<|channel|>" not in text:
        return text
    final: list[str] = []
    for found in _CHANNEL.finditer(text):
        (final if found["name"] == "final" else thoughts).append(found["said"].strip())
    return "".join(final)
