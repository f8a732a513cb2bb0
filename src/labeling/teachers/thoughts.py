r"""What a reasoning model thinks before it answers, told from the answer.

    split_thoughts("<think>\nHm.\n</think>\n\nGold")     # ('Gold', 'Hm.')

| models | thoughts |
|---|---|
| DeepSeek-R1, Qwen3, QwQ, GLM, MiniMax | `<think>...</think>`, the first tag often in the prompt |
| others | `<thinking>`, `<thought>`, `<reasoning>`, `<seed:think>`, in any case |
| Magistral | `[THINK]...[/THINK]` |
| Kimi-VL | `◁think▷...◁/think▷` |
| Sky-T1, OpenThinker | `<|begin_of_thought|>...<|end_of_thought|>`, then a solution |
| gpt-oss | channels: `analysis` and `commentary` before `final`, with their marks or without |

Tags in code stay, and so do those that the prompt itself names: there they are asked for.
"""

from __future__ import annotations

import re
from typing import Final

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
"""The same once a tokenizer has dropped the marks."""


def split_thoughts(text: str, prompt: str = "") -> tuple[str, str]:
    r"""Tell answer and thoughts of a text apart.

    Args:
        text: What a model said.
        prompt: What it was asked.

    Returns:
        The answer and the thoughts, without white space at their ends. Thoughts that never end are
        all there is: the answer is empty.

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


def ends_thought(text: str) -> bool:
    """Say whether a text ends with the end of a thought, and not in the middle of one.

    >>> ends_thought("<think>Hm.</think>"), ends_thought("<think>Hm")
    (True, False)
    """
    return _LAST_END.search(text.rstrip()) is not None


def _may_think(text: str) -> bool:
    """Look for a mark at all: most texts have none."""
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
    """Take what stands between tags out of a text, and what stands before an end alone."""
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
