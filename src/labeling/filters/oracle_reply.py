"""Read the reply of an oracle: what is certain is repaired, anything else is a reason to ask again.

labeler = BatchLabeler(teacher, folder, check=oracle_check(package.config),
                       profile=DecodeProfile(extra=response_format(package.config)))
analysis = read_reply(answer.text, package.config)

| reply | what happens |
|---|---|
| code fences or prose around one object | the object is read |
| comma before a closing bracket, comments, line ends in texts, `True` or `None` | repaired |
| names of dimensions in another case, or with blanks or hyphens | repaired |
| the same object twice; another object without a dimension | the one that has the scores |
| two objects with different scores, one key twice | `several_objects`, `duplicate_key` |
| cut off | `truncated` |
| a dimension missing or translated | `missing_dimension` |
| 11, "7", true, null, NaN | `out_of_range`, `not_a_number`, `missing_score` |
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from ..batch.label_run import Check, LabelTask
from ..teachers.protocol import TeacherAnswer
from .filter_config import HIGHEST, LOWEST, FilterConfig
from .scored_record import CLASS_KEY, Analysis, AnalysisFault, read_analysis

MOST_OBJECTS: Final = 20
"""A reply with more objects is not read."""
_LITERALS: Final = {"True": "true", "False": "false", "None": "null"}
_TOKEN: Final = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*+")'
    r"|(?P<comment>//[^\n]*|/\*.*?\*/)"
    r"|(?P<comma>,)(?=(?:\s|//[^\n]*\n|/\*.*?\*/)*[}\]])"
    r"|(?P<word>\b(?:True|False|None)\b)",
    re.DOTALL,
)


def read_reply(text: str, config: FilterConfig) -> Analysis:
    """Read a reply.

    Args:
        text: The oracle's answer.
        config: Names the dimensions or classes.

    Returns:
        The analysis; `repairs` says what was repaired.

    Raises:
        AnalysisFault: The reply is not certain; the message starts with the reason.
    """
    written = _objects(text)
    found = [_parsed(one) for one in written]
    unique = [one for n, one in enumerate(found) if one not in found[:n]]
    own = [_unwrapped(value, config) for value, _ in unique]
    with_scores = [n for n, value in enumerate(own) if _names_any(value, config)]
    if len(unique) == 1:
        place = 0
    elif len(with_scores) == 1:
        place = with_scores[0]
    else:
        raise AnalysisFault(f"several_objects: {len(unique)} that differ")
    repairs = list(unique[place][1])
    if text.strip() != written[0]:
        repairs.insert(0, "text around the object")
    made = read_analysis(own[place], config)
    return replace(made, repairs=(*repairs, *made.repairs))


def oracle_check(config: FilterConfig) -> Check:
    """Make the check of a `BatchLabeler`: it rejects what is not certain, with a reason."""

    def check(task: LabelTask, answer: TeacherAnswer) -> str | None:
        try:
            read_reply(answer.text, config)
        except AnalysisFault as fault:
            return str(fault)
        return None

    return check


def response_schema(config: FilterConfig) -> dict[str, Any]:
    """Write the JSON schema of a reply: every dimension required, each from 0 to 10."""
    reasoning = {"type": "string"}
    if config.is_classifier:
        fields: dict[str, Any] = {
            CLASS_KEY: {"type": "string", "enum": list(config.classes)},
            "reasoning": reasoning,
        }
        return _closed(fields)
    score = {"type": "number", "minimum": LOWEST, "maximum": HIGHEST}
    fields = {
        "dimensions": _closed(dict.fromkeys(config.dimension_names, score)),
        "reasoning": reasoning,
    }
    if config.caps:
        types = [one.content_type for one in config.caps]
        fields["content_type"] = {"type": "string", "enum": [*types, "other"]}
    return _closed(fields)


def response_format(config: FilterConfig) -> dict[str, Any]:
    """Write the `response_format` of a server's request, for `DecodeProfile.extra`."""
    schema = {"name": config.analysis_field, "strict": True, "schema": response_schema(config)}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def extract_json_from_response(text: str) -> str | None:
    """Give the one JSON object of a reply as it stands; None where there is none or several.

    >>> extract_json_from_response('Sure: {"a": "https://x/{y}"} Done.')
    '{"a": "https://x/{y}"}'
    """
    try:
        found = _objects(text)
    except AnalysisFault:
        return None
    return found[0] if len(found) == 1 else None


def repair_json(text: str) -> str:
    """Repair what has one reading: trailing commas, comments, Python's literals; texts are kept.

    >>> repair_json('{"url": "https://a//b", "x": True, } // note')
    '{"url": "https://a//b", "x": true } '
    """

    def put(found: re.Match[str]) -> str:
        if found["text"] is not None:
            return found[0]
        return _LITERALS[found[0]] if found["word"] is not None else ""

    return _TOKEN.sub(put, text)


def _parsed(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Parse an object; a second time with repairs."""
    try:
        return _loaded(text, strict=True), ()
    except json.JSONDecodeError:
        pass
    try:
        return _loaded(repair_json(text), strict=False), ("JSON",)
    except json.JSONDecodeError as fault:
        raise AnalysisFault(f"json_parse_error: {fault.msg} at character {fault.pos}") from fault


def _loaded(text: str, *, strict: bool) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(text, strict=strict, object_pairs_hook=_no_doubles)
    except RecursionError as fault:
        raise AnalysisFault("json_parse_error: nested too deeply") from fault
    return value


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise AnalysisFault(f"duplicate_key {double!r}")
    return made


def _objects(text: str) -> list[str]:
    """Find the outermost `{...}` of a reply, with regard to texts in them."""
    found = list(_spans(text))
    if not found:
        raise AnalysisFault("empty_response" if not text.strip() else "json_extraction_failed: "
                            "there is no JSON object")  # fmt: skip
    if len(found) > MOST_OBJECTS:
        raise AnalysisFault(f"several_objects: {len(found)}")
    return [text[a:b] for a, b in found]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    depth = start = 0
    place = text.find("{")
    while 0 <= place < len(text):
        letter = text[place]
        if letter == '"' and depth:
            place = _end_of_text(text, place)
            continue
        if letter == "{":
            start = place if depth == 0 else start
            depth += 1
        elif letter == "}" and depth:
            depth -= 1
            if depth == 0:
                yield start, place + 1
                place = text.find("{", place)
                continue
        place += 1
    if depth:
        raise AnalysisFault("truncated: the object is not closed")


def _end_of_text(text: str, place: int) -> int:
    found = _STRING.match(text, place)
    if found is None:
        raise AnalysisFault("truncated: a text is not closed")
    return found.end()


_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)


def _unwrapped(value: dict[str, Any], config: FilterConfig) -> Mapping[str, Any]:
    inner = value.get(config.analysis_field)
    return inner if isinstance(inner, Mapping) else value


def _names_any(value: Mapping[str, Any], config: FilterConfig) -> bool:
    if config.is_classifier:
        return CLASS_KEY in value or "label" in value
    inner = value.get("dimensions")
    names = inner if isinstance(inner, Mapping) else value
    return any(name in names for name in config.dimension_names)


def _closed(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
