"""Parse a claim ("Validate this: the symbol of gold is Ag") and check it against the table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ...understanding.table.same_value import same_value
from ..reading.table_reader import Match, TableReader, Understood, Verdict
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
_WHETHER = (("yes",), ("no",))
"""Answers to a side of a claim that names a value alone: there is a row that has it."""


@dataclass(frozen=True)
class Claim:
    """A parsed claim."""

    question: str
    """The subject of the claim."""
    value: str
    """The claimed value; empty if there is none."""
    understood: Understood | None = None
    """Interpretation of the subject; None without a table, or if it was not found."""
    denied: bool = False
    """Whether the claim is negated: "is not"."""

    @property
    def match(self) -> Match | None:
        """Record and column of the subject; None if it is not one cell."""
        return None if self.understood is None else self.understood.match


def subject_of(query: str) -> str:
    """Strip the command from a request for a summary.

    >>> subject_of("Summarize the following: gold"), subject_of("Give me a summary of gold")
    ('gold', 'gold')
    """
    return _SUMMARY_COMMAND.sub("", query, count=1).strip()


def read_claim(query: str, reader: TableReader | None) -> Claim:
    """Parse a claim into subject and value.

    Args:
        query: The user's words.
        reader: Reader of the table; None without a table.
    """
    text = _LATE_COMMAND.sub("", _COMMAND.sub("", query, count=1)).strip() or query.strip()
    for form in _ANSWER_TO:
        if found := form.search(text):
            asked = found["question"].strip()
            understood = reader.read(asked) if reader else None
            return Claim(asked, _claimed(found["value"]), understood)
    plain = _TAIL.sub("", text)
    splits = [(plain[: m.start()], plain[m.end() :]) for m in _EQUALS.finditer(plain)]
    if reader is not None:
        read = list(_answered(splits, reader))
        # "Ag is the symbol of gold" is about gold's symbol, not about the name of Ag.
        of_record = [claim for claim in read if not _is_name(claim, reader)]
        if of_record or (read and reader.read_record(plain).match is None):
            return (of_record or read)[0]
        return _claim_by_value(plain, reader)
    if splits:
        before, after = splits[-1]
        return Claim(before.strip(), _claimed(after), None, _NOT.match(after.strip()) is not None)
    return Claim(plain or text, "")


def decide_claim(claim: Claim, reader: TableReader) -> Finding:
    """Compare a claim with the table; undecided if subject or claimed value is missing."""
    understood, match = claim.understood, claim.match
    if understood is None or understood.verdict != "answered":
        return Finding(None, "no record decides it")
    if match is not None:
        says = f"row {match.row.row} says {record_says(match)}"
    else:
        says = f"{understood.plan}: {', '.join(understood.answer)}"
    if not claim.value:
        return Finding(None, f"nothing is claimed; {says}")
    if match is not None:
        right = check_answer(claim.value, match, reader).agrees is True
    else:
        right = same_value(claim.value, ", ".join(understood.answer))
    if right != claim.denied:
        return Finding(True, says)
    return Finding(False, says + ("" if right else f", not {claim.value}"))


def _answered(splits: list[tuple[str, str]], reader: TableReader) -> Iterator[Claim]:
    """Yield the claims for which the table answers one side; the other side is the value."""
    for before, after in [*reversed(splits), *((b, a) for a, b in splits)]:
        if not clean(after) or not before.strip():
            continue
        understood = reader.read(before.strip())
        if understood.verdict == "answered" and understood.answer not in _WHETHER:
            denied = _NOT.match(after.strip()) is not None
            yield Claim(before.strip(), _claimed(after), understood, denied)


def _is_name(claim: Claim, reader: TableReader) -> bool:
    """Tell whether the answer to the subject of a claim is the name of a record."""
    cells = () if claim.understood is None else claim.understood.cells
    return bool(cells) and cells[0][1] == reader.table.key


def _claimed(text: str) -> str:
    return clean(_NOT.sub("", _TAIL.sub("", text).strip(" ,")))


def _claim_by_value(text: str, reader: TableReader) -> Claim:
    """Parse a claim without "is", in which a value of a column stands beside a record's name."""
    record = reader.read_record(text)
    match = record.match
    if match is None:
        return Claim(text, "")
    rest = re.sub(re.escape(match.row.key), " ", text, count=1, flags=re.IGNORECASE)
    said = reader.columns_said(rest)
    for column in said or reader.table.columns:
        value = _known_value(rest, column.name, reader)
        if value:
            found = Match(match.rows, column, match.key_column)
            plan = f"the {column.label} of {match.row.key}"
            cells = tuple((row.row, column.name) for row in match.rows if found.value_of(row))
            strange = set(record.left) - set(words(value)) - set(words(column.label))
            verdict: Verdict = "answered" if cells and not strange else "abstained"
            understood = Understood(
                text, verdict, 1.0, plan, tuple(found.values()), cells, found, record.message
            )
            return Claim(text, value, understood, re.search(r"\bnot\b", rest) is not None)
    return Claim(text, "", reader.read(text) if said else record)


def _known_value(text: str, column: str, reader: TableReader) -> str:
    known = reader.column_values.get(column, {})
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
