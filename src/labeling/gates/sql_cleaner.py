r"""Finding the SQL in what a model wrote: reasoning, fences, prose and stop markers fall away.

The steps, in this order: blocks of reasoning, fences, the first statement that is no prose (one at
the start of a line before one inside a line), stop markers, the first semicolon. Quotes and
comments of SQL are respected, so `SELECT ';' AS a -- answer: 1` stays whole. Nothing is corrected:
SQL that is wrong stays wrong.

    clean_sql_output("Sure!\n```sql\nSELECT name FROM users;\n```")
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

THINK_TAGS: Final = ("think", "analysis", "reasoning", "thought")
STOP_MARKERS: Final = ("explanation:", "reasoning:", "analysis:", "answer:", "final:", "notes:")

_START = re.compile(r"\b(?:select|with|values|insert|update|delete)\b", re.IGNORECASE)
_LINE_START = re.compile(
    r"^[^\S\n]*\b(select|with|values|insert|update|delete)\b", re.IGNORECASE | re.MULTILINE
)
_FENCE = re.compile(r"```[^\S\n]*([\w+#.-]*)(.*?)(?:```|\Z)", re.DOTALL)
_PREFIX = re.compile(r"\s*sql\s*[:\uff1a]\s*", re.IGNORECASE)
_TOKEN = re.compile(r"(?P<nothing>\s+|--[^\n]*)|(?P<word>[^\W\d]\w*)|(?P<other>\w+|.)", re.DOTALL)
_CLOSERS: Final = {"'": "'", '"': '"', "`": "`", "[": "]", "/*": "*/"}
_IS_WORD = re.compile(r"(?!NULL$)[^\W\d]")
_AFTER_QUERY: Final = frozenset({"UNION", "ALL", "INTERSECT", "EXCEPT", "MINUS"})
_MOST_STARTS: Final = 12
"""Words such as `select` that are tried as the start of a statement."""


@dataclass(frozen=True)
class SqlOutputCleaner:
    """Settings of `clean_sql_output`, for many texts.

    >>> SqlOutputCleaner(require_sql_keyword=False).clean(" I cannot do that. ")
    'I cannot do that.'
    """

    think_tags: Sequence[str] = THINK_TAGS
    stop_markers: Sequence[str] = STOP_MARKERS
    require_sql_keyword: bool = True

    def clean(self, text: str | None) -> str:
        """Find the SQL in a text; see `clean_sql_output`."""
        return clean_sql_output(
            text,
            think_tags=self.think_tags,
            stop_markers=self.stop_markers,
            require_sql_keyword=self.require_sql_keyword,
        )


def clean_sql_output(
    text: str | None,
    *,
    think_tags: Sequence[str] = THINK_TAGS,
    stop_markers: Sequence[str] = STOP_MARKERS,
    require_sql_keyword: bool = True,
) -> str:
    r"""Find the first SQL statement in what a model wrote.

    Args:
        text: An answer; None is an empty one.
        think_tags: Names of tags around reasoning. What a tag begins and nothing ends is reasoning
            up to the end of the text; what a tag ends and nothing began, from its beginning.
        stop_markers: Texts that end the statement, in any case, outside quotes and comments.
        require_sql_keyword: Give an empty text where there is no statement; otherwise the text
            without its reasoning.

    Returns:
        One statement with its semicolon if it has one, or an empty text.

    >>> clean_sql_output("<think>SELECT 2?</think>With pleasure! SELECT ';' AS c; done")
    "SELECT ';' AS c;"
    >>> clean_sql_output("I cannot do that.")
    ''
    """
    answer = _without_reasoning(text or "", think_tags)
    markers = _marker_pattern(stop_markers)
    for part in _parts(answer):
        statement = _first_statement(part, markers)
        if statement:
            return statement
    return "" if require_sql_keyword else _PREFIX.sub("", answer.strip(), count=1)


def _without_reasoning(text: str, tags: Sequence[str]) -> str:
    """Take away blocks of reasoning, also those that lack a beginning or an end."""
    if not tags:
        return text
    names = "|".join(re.escape(tag) for tag in tags)
    kept: list[str] = []
    at, inside = 0, ""
    for found in re.finditer(rf"<(/?)({names})\b[^<>]*>", text, re.IGNORECASE):
        name = found[2].lower()
        if inside and found[1] and name == inside:
            at, inside = found.end(), ""
        elif not inside and found[1]:
            # The template of some models opens the block, so the answer holds only its end.
            if text[found.end() :].strip():
                kept.clear()
            else:
                kept.append(text[at : found.start()])
            at = found.end()
        elif not inside:
            kept.append(text[at : found.start()])
            inside = name
    return " ".join(kept if inside else [*kept, text[at:]])


def _parts(text: str) -> list[str]:
    """List where a statement is looked for: fences of SQL in their order, then what is outside."""
    fences = [
        f"{'' if not tag or 'sql' in tag.lower() else tag}{body}"
        for tag, body in _FENCE.findall(text)
        if not tag or "sql" in tag.lower() or _START.fullmatch(tag)
    ]
    return [*fences, _FENCE.sub("\n", text)]


def _marker_pattern(markers: Sequence[str]) -> re.Pattern[str] | None:
    """Match any marker from its first letter; `answer::text` is a cast, and no marker."""
    written = [
        re.escape(marker[:-1]) + r"\s?[:\uff1a](?!:)" if marker.endswith(":") else re.escape(marker)
        for marker in markers
        if marker
    ]
    return re.compile("|".join(written), re.IGNORECASE) if written else None


class _Token(NamedTuple):
    """A piece of a text; a doubled quote inside quotes is two pieces, which changes no border."""

    kind: str
    """`nothing` (white space and comments), `quoted`, `word` or `other`."""
    text: str
    start: int
    end: int


class _Extent(NamedTuple):
    """How far a statement reaches."""

    end: int
    whole: bool
    """Whether it ended by itself, not by a bracket that it did not open."""


def _first_statement(text: str, markers: re.Pattern[str] | None) -> str:
    """Give the first statement that is no prose; an empty text without one."""
    starts = [found.start(1) for found in islice(_LINE_START.finditer(text), _MOST_STARTS)]
    starts += [found.start() for found in islice(_START.finditer(text), _MOST_STARTS)]
    cut = ""
    for start in dict.fromkeys(starts):
        code = _inline_code(text, start)
        extent = _extent(code, start, markers)
        if extent is None:
            continue
        statement = code[start : extent.end].strip()
        if extent.whole:
            return statement
        cut = cut or statement
    return cut


def _inline_code(text: str, start: int) -> str:
    """Cut a text at the end of `inline code`, if a statement stands in it."""
    if start == 0 or text[start - 1] != "`" or text[max(0, start - 3) : start] == "```":
        return text
    for quotes, found in enumerate(re.finditer("`", text[start:])):
        at = start + found.start()
        if quotes % 2 == 0 and not text[at - 1].isspace() and text[at - 1] not in "(,.=":
            return text[:at]
    return text


def _extent(text: str, start: int, markers: re.Pattern[str] | None) -> _Extent | None:
    """Find the end of the statement that starts at a place; None where prose starts there."""
    tokens = [token for token in _until_stop(text, start, markers) if token.kind != "nothing"]
    words = [token.text.upper() if token.kind == "word" else token.text for token in tokens]
    if not _is_statement(words):
        return None
    depth = 0
    for place, (token, word) in enumerate(zip(tokens, words, strict=True)):
        if token.kind == "quoted":
            continue
        if word == ";":
            return _Extent(token.end, whole=True)
        if word == ")" and depth == 0:
            return _Extent(token.start, whole=False)
        depth += {"(": 1, ")": -1}.get(word, 0)
        if place and depth == 0 and word == "SELECT" and not _may_follow(words, place):
            return None
        if place and depth == 0 and word == "WITH" and _names_query(words[place:]):
            return None
    return _Extent(tokens[-1].end, whole=True)


def _until_stop(text: str, start: int, markers: re.Pattern[str] | None) -> list[_Token]:
    """List the tokens of a text up to its first semicolon or stop marker."""
    tokens = []
    for token in _tokens(text, start):
        plain = token.kind in ("word", "other")
        if plain and token.start > start and markers and markers.match(text, token.start):
            break
        tokens.append(token)
        if plain and token.text == ";":
            break
    return tokens


def _tokens(text: str, start: int) -> Iterator[_Token]:
    """Yield the tokens from a place on.

    A quote that nothing closes is a character of its own, since prose has apostrophes; which
    quotes these are is remembered, so that the time stays linear.
    """
    at, never_closed = start, set[str]()
    while at < len(text):
        opener = "/*" if text.startswith("/*", at) else text[at]
        if opener in _CLOSERS and opener not in never_closed:
            closer = _CLOSERS[opener]
            end = text.find(closer, at + len(opener)) + len(closer)
            if end >= at + len(opener):
                yield _Token("nothing" if opener == "/*" else "quoted", text[at:end], at, end)
                at = end
                continue
            never_closed.add(opener)
        found = _TOKEN.match(text, at)
        assert found is not None
        yield _Token(str(found.lastgroup), found[0], at, found.end())
        at = found.end()


def _is_statement(words: Sequence[str]) -> bool:
    """Say whether tokens begin as a statement does, and not as a sentence with the same word."""
    follow = words[1:]
    match words[0]:
        case "WITH":
            return _names_query(words)
        case "VALUES":
            return follow[:1] == ["("] and not _IS_WORD.match("".join(follow[1:2]))
        case "INSERT":
            return "INTO" in follow[:3]
        case "DELETE":
            return follow[:1] == ["FROM"]
        case "UPDATE":
            return "SET" in follow[:8]
    return True


def _names_query(words: Sequence[str]) -> bool:
    """Say whether tokens are `WITH [RECURSIVE] name [(columns)] AS [[NOT] MATERIALIZED] (`."""
    rest = list(words[2:] if words[1:2] == ["RECURSIVE"] else words[1:])[1:]
    if rest[:1] == ["("]:
        rest = rest[rest.index(")") + 1 :] if ")" in rest else []
    if rest[:1] != ["AS"]:
        return False
    after = [word for word in rest[1:4] if word not in ("NOT", "MATERIALIZED")]
    return after[:1] == ["("]


def _may_follow(words: Sequence[str], place: int) -> bool:
    """Say whether a second SELECT, outside brackets, can stand at a place of one statement."""
    before = words[place - 1]
    return (
        before in _AFTER_QUERY
        or "INSERT" in words[:place]
        or (words[0] == "WITH" and before == ")")
    )
