"""Parse a claim ("Validate this: the symbol of gold is Ag") and decide it in code."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..record_search.lookup import Match, RecordLookup
from ..text_matching import as_number, clean, numbers, words
from .answer_check import Finding, check_answer, record_says

_COMMAND = re.compile(
    r"^\s*(?:(?:please|can you|could you|now)[\s,]+)*(?:validate|check|verify)\b"
    r"(?:\s+(?:this|that|whether|if|for me|the\s+(?:claim|statement)))*\s*[:,\-\u2013]?\s*",
    re.IGNORECASE,
)
_LATE_COMMAND = re.compile(
    r"(?<=[,.;?!])\s*(?:please[\s,]+)?(?:validate|check|verify)\b[\w\s]{0,20}[.!?]*$", re.IGNORECASE
)
_SUMMARY_COMMAND = re.compile(
    r"^\s*(?:(?:please|can you|could you|now)[\s,]+)*(?:give\s+(?:me\s+)?|write\s+(?:me\s+)?)?"
    r"(?:(?:a|the)\s+)?(?:short\s+|brief\s+)?"
    r"(?:summari[sz]e|summary)\b(?:\s+(?:the\s+following(?:\s+text)?|of|for|about))*\s*[:\-\u2013]?\s*",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"[\s,.]*(?:\b(?:is|are)\s+(?:that|this|it)\s+)?(?:\bis\s+)?"
    r"(?:\b(?:right|correct|true|ok(?:ay)?)\b)?\s*[?.!]*\s*$",
    re.IGNORECASE,
)
_QUOTE = "'\"\u201c\u201d\u2018\u2019`"
_ANSWER_TO = (
    re.compile(
        rf"\banswer\s+(?P<value>.+?)\s+(?:to|for)\s+(?:the\s+question\s+)?[{_QUOTE}](?P<question>.+)[{_QUOTE}]",
        re.IGNORECASE | re.DOTALL,
    ),
    re.compile(
        rf"\banswer\s+(?:to|for)\s+(?:the\s+question\s+)?[{_QUOTE}](?P<question>.+)[{_QUOTE}]"
        r"\s+(?:is|=|:)\s*(?P<value>.+)",
        re.IGNORECASE | re.DOTALL,
    ),
    re.compile(r"\bquestion:\s*(?P<question>.+?)\s*\banswer:\s*(?P<value>.+)", re.I | re.DOTALL),
    re.compile(r"^(?P<question>.+\?)\s*(?:answer:|->|=)?\s*(?P<value>[^?]*\w[^?]*)$", re.DOTALL),
)
_EQUALS = re.compile(
    r"\s(?:is|are|was|were|equals|reads)\s|\s*(?:=|(?<!\d):|:(?!\d)|\u2192|->)\s*", re.I
)
"""Separators of subject and value; not the colon of 12:30 or 4:0."""
_NOT = re.compile(r"^not\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Claim:
    """A parsed claim."""

    question: str
    """The subject of the claim."""
    value: str
    """The claimed value; empty where there is none."""
    match: Match | None = None
    """Record and column of the subject; None without a table or where none is named."""
    denied: bool = False
    """The claim is negated: "is not"."""

    @property
    def about(self) -> str:
        """The claim without the claimed value, which need not be in the table."""
        return self.question.replace(self.value, " ") if self.value else self.question


def subject_of(query: str) -> str:
    """Strip the command from a request for a summary.

    >>> subject_of("Summarize the following: gold"), subject_of("Give me a summary of gold")
    ('gold', 'gold')
    """
    return _SUMMARY_COMMAND.sub("", query, count=1).strip()


def read_claim(query: str, lookup: RecordLookup | None) -> Claim:
    """Parse a claim into subject and value.

    Args:
        query: The user's words.
        lookup: The table's index, which finds the end of the subject; None without a table.
    """
    text = _LATE_COMMAND.sub("", _COMMAND.sub("", query, count=1)).strip() or query.strip()
    for form in _ANSWER_TO:
        if found := form.search(text):
            value = _claimed(found["value"])
            match = lookup.find(found["question"]) if lookup else None
            return Claim(found["question"].strip(), value, match)
    plain = _TAIL.sub("", text)
    splits = [(plain[: m.start()], plain[m.end() :]) for m in _EQUALS.finditer(plain)]
    if lookup is not None:
        read: list[tuple[str, Claim]] = []
        for before, after in [*reversed(splits), *((b, a) for a, b in splits)]:
            match = lookup.find(before)
            if match is not None and match.column is not None and clean(after):
                denied = _NOT.match(after.strip()) is not None
                claim = Claim(before.strip(), _claimed(after), match, denied)
                read.append((match.column.name, claim))
        # "Ag is the symbol of gold" is about gold's symbol, not about the name of Ag.
        of_record = [claim for column, claim in read if column != lookup.table.key]
        return (of_record or [claim for _, claim in read] or [_claim_by_value(plain, lookup)])[0]
    if splits:
        before, after = splits[-1]
        return Claim(before.strip(), _claimed(after), None, _NOT.match(after.strip()) is not None)
    return Claim(plain or text, "")


def decide_claim(claim: Claim, lookup: RecordLookup) -> Finding:
    """Compare a claim with the record; undecided where record, column or value is missing."""
    match = claim.match
    if match is None or match.column is None or match.others or not match.values():
        return Finding(None, "no record decides it")
    row, says = match.row.row, record_says(match, lookup)
    if not claim.value:
        return Finding(None, f"nothing is claimed; row {row} says {says}")
    right = check_answer(claim.value, match, lookup).agrees is True
    if right != claim.denied:
        return Finding(True, f"row {row} says {says}")
    return Finding(False, f"row {row} says {says}" + ("" if right else f", not {claim.value}"))


def _claimed(text: str) -> str:
    return clean(_NOT.sub("", _TAIL.sub("", text).strip(" ,")))


def _claim_by_value(text: str, lookup: RecordLookup) -> Claim:
    """Parse a claim without "is": the value is a text of the column beside the record's name."""
    match = lookup.find(text)
    if match is None:
        return Claim(text, "")
    rest = re.sub(re.escape(match.row.key), " ", text, count=1, flags=re.IGNORECASE)
    names = [match.column.name] if match.column else [c.name for c in lookup.table.columns]
    for name in names:
        value = _known_value(rest, name, lookup)
        column = match.column or next(c for c in lookup.table.columns if c.name == name)
        if value:
            found = Match(match.rows, column, match.key_column, match.confidence, match.others)
            return Claim(text, value, found, re.search(r"\bnot\b", rest) is not None)
    return Claim(text, "", match)


def _known_value(text: str, column: str, lookup: RecordLookup) -> str:
    known = lookup.column_values.get(column, {})
    parts = text.split()
    for size in range(min(6, len(parts)), 0, -1):
        for first in range(len(parts) - size + 1):
            part = clean(" ".join(parts[first : first + size]))
            spellings = known.get(words(part), set())
            if part in spellings or (len(part) > 3 and spellings):
                return part
    claimed = [part for part in map(clean, parts) if as_number(part) is not None]
    numeric = any(numbers(" ".join(name)) for name in list(known)[:20])
    return claimed[-1] if claimed and numeric else ""
