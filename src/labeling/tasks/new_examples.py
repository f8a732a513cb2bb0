"""Expand a few records to many: a teacher writes new questions similar to the given ones.

    teacher = open_teacher("ollama", model="qwen3:8b")
    grown = expand_records(fifty, teacher, "outputs/grown", ExpansionPlan(target=500))

Three methods alternate. `instruction` shows some records and asks for another one of the same kind
(Self-Instruct, Wang et al. 2022, arXiv 2212.10560); `persona` asks for a related one from the view
of a certain person (Persona Hub, Ge et al. 2024, arXiv 2406.20094); `paraphrase` rewords a record
and keeps its answer. The first two give questions without an answer, to be labelled next.

The same call continues after an interruption: the prompts depend only on the records, the plan and
the earlier answers, which are in the folder.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ...errors import ConfigError, DataError, EmptyDataError
from ...record_shapes import MARK_KEYS, label_mark
from ...records import sha256_text
from ..batch.label_run import Labelled, LabelSettings, LabelTask, Stopped
from ..batch.labeler import BatchLabeler
from ..batch.progress import LabelProgress
from ..teachers.protocol import DecodeProfile, Teacher
from .duplicates import SeenTexts
from .free_text import needs_tags, tagged

Method = Literal["instruction", "paraphrase", "persona"]
Record = Mapping[str, Any]
Origin = dict[str, Any]
"""How a record was made: `method`, and `parent` and `persona` if any."""
METHODS: tuple[Method, ...] = get_args(Method)
TEXT_KEYS = {"question": "answer", "instruction": "output", "prompt": "completion"}
"""Keys of questions and of their answers; the first question key that a record has counts."""

_OURS, _OURS_BESIDE = "origin", "stillroom_origin"
"""Key of the origin, and the key used instead if the table has a column of that name."""

PERSONAS = (
    "a curious child of ten", "a teacher who prepares a lesson", "an engineer who needs the exact "
    "value", "a journalist with a deadline", "a student before an exam", "a customer on the phone",
    "a researcher who doubts what they read", "a translator who weighs every word",
    "a manager with one minute", "a grandparent who is new to computers",
    "a nurse on a night shift", "a clerk who fills in a form",
)  # fmt: skip
_END = "Write it between <answer> and </answer>, and nothing else between them."


@dataclass(frozen=True)
class ExpansionPlan:
    """How records are expanded."""

    target: int
    """Wanted number of records, including the given ones."""
    methods: tuple[Method, ...] = METHODS
    """Methods, used in turn."""
    in_context: int = 3
    """Records shown by the method `instruction`, 1 or more; all of them if there are fewer."""
    likeness: float = 0.9
    """Least similarity of duplicates, as in `duplicates.SeenTexts`."""
    personas: tuple[str, ...] = PERSONAS
    """Personas of the method `persona`."""
    seed: int = 0
    """Seed of the choice of examples, parents and personas."""
    most_rounds: int = 8
    """Most rounds; a round without a new record is the last one too."""

    def __post_init__(self) -> None:
        """Refuse settings out of range, all at once."""
        wrong = [name for name in self.methods if name not in METHODS]
        checks = (
            (self.target < 1, f"target is {self.target}; allowed is 1 or more"),
            (not self.methods, "methods are missing; name at least one"),
            (bool(wrong), f"methods are {wrong}; allowed are {list(METHODS)}"),
            (self.in_context < 1, f"in_context is {self.in_context}; allowed is 1 or more"),
            (not self.personas, "personas are missing; give at least one, or leave them out"),
            (self.most_rounds < 1, f"most_rounds is {self.most_rounds}; allowed is 1 or more"),
        )
        faults = [message for broken, message in checks if broken]
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True)
class Expansion:
    """Outcome of an expansion."""

    records: list[dict[str, Any]]
    """The given records without duplicates, then the new ones."""
    new: int
    duplicates: int
    """Duplicates among answers and given records."""
    failed: int
    """Number of calls without an answer."""
    rounds: int
    methods: Mapping[str, int] = field(default_factory=dict)
    """New records by method."""
    stopped: Stopped | None = None
    """Why the labeler ended early; None if it did not."""
    message: str = ""


def expand_records(
    records: Sequence[Record],
    teacher: Teacher,
    folder: str | Path,
    plan: ExpansionPlan,
    *,
    profile: DecodeProfile | None = None,
    settings: LabelSettings | None = None,
    progress: Callable[[LabelProgress], None] | None = None,
) -> Expansion:
    """Let a teacher write new records until there are enough.

    Args:
        records: Records with `question`, `instruction` or `prompt`; a few dozen are enough.
        teacher: The model that writes.
        folder: Folder of the labeler, which keeps the calls.
        plan: How many records to write, and by which methods.
        profile: How the teacher decodes; None samples at temperature 0.9.
        settings: Settings of the labeler.
        progress: Called during each round with its numbers.

    Raises:
        EmptyDataError: There are no records.
        DataError: A record has none of the keys, or no text there.
    """
    pool = _Pool(records, _text_key(records), plan)
    labeler = BatchLabeler(
        teacher,
        folder,
        profile=profile or DecodeProfile(temperature=0.9, top_p=0.95),
        settings=settings,
        check=needs_tags("answer"),
    )
    rounds, run = 0, None
    while len(pool.records) < plan.target and rounds < plan.most_rounds:
        before, missing = len(pool.records), plan.target - len(pool.records)
        # A quarter more than is missing, because some answers will be duplicates.
        asked = [pool.ask(rounds, number) for number in range(missing + missing // 4 + 1)]
        rounds += 1
        run = labeler.run([task for task, _ in asked], progress=progress)
        for one, (_, origin) in zip(run.results, asked, strict=True):
            pool.take(one, origin)
        if run.stopped or len(pool.records) == before:
            break
    return Expansion(
        records=pool.records,
        new=len(pool.records) - len(pool.seeds),
        duplicates=pool.duplicates,
        failed=pool.failed,
        rounds=rounds,
        methods=dict(pool.methods),
        stopped=run.stopped if run else None,
        message=run.message if run else "",
    )


class _Pool:
    """Collects the records, writes the next prompts and adds their answers."""

    def __init__(self, records: Sequence[Record], key: str, plan: ExpansionPlan) -> None:
        self._key, self._plan, self._seen = key, plan, SeenTexts(plan.likeness)
        new = [dict(record) for record in records if self._seen.add(record[key]) is None]
        self.records, self.seeds = new, list(new)
        self.duplicates, self.failed = len(records) - len(new), 0
        self.methods: Counter[str] = Counter()
        own = any(_OURS in one and not _is_origin(one[_OURS]) for one in records)
        self._origin_key = _OURS_BESIDE if own else _OURS

    def ask(self, round_: int, number: int) -> tuple[LabelTask, Origin]:
        """Write a prompt that depends only on the plan, the records and the two numbers."""
        plan, key = self._plan, self._key
        chance = random.Random(f"{plan.seed} {round_} {number}")
        method = plan.methods[number % len(plan.methods)]
        origin: Origin = {"method": method}
        if method == "instruction":
            shown = chance.sample(self.records, min(plan.in_context, len(self.records)))
            text = "Here are some texts of one kind.\n\n" + "".join(f"- {r[key]}\n" for r in shown)
            text += "\nWrite one more of the same kind, about something else, in another form. "
        else:
            parent = origin["parent"] = chance.choice(self.seeds)
            text = f"Here is a text.\n\n{parent[key]}\n\n"
        if method == "paraphrase":
            text += "Say the same in other words, so that the right answer to it stays the same. "
        elif method == "persona":
            persona = origin["persona"] = chance.choice(plan.personas)
            text += f"Write a new one of its kind, on a related matter, as {persona} would put it. "
        # A sample number of its own, so that equal prompts get different answers.
        sample = round_ * 1_000_000 + number
        return LabelTask(f"{round_}-{number}", text + _END, {"method": method}, sample), origin

    def take(self, one: Labelled, origin: Origin) -> None:
        """Add an answer as a record, unless it is a duplicate or the target is reached."""
        if one.answer is None:
            self.failed += one.fault is not None
            return
        if len(self.records) == self._plan.target:
            return
        text = tagged(one.answer.text, "answer")
        if text is None or self._seen.add(text) is not None:
            self.duplicates += 1
            return
        self.records.append(_new_record(text, origin, self._key, self._origin_key))
        self.methods[origin["method"]] += 1


def _text_key(records: Sequence[Record]) -> str:
    if not records:
        raise EmptyDataError("there are no records to expand; give at least one")
    key = next((key for key in TEXT_KEYS if key in records[0]), None)
    if key is None:
        raise DataError(
            f"has the keys {list(records[0])}; one of {list(TEXT_KEYS)} is needed", row=1
        )
    for number, record in enumerate(records, 1):
        text = record.get(key)
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"is {text!r}; a text is needed", row=number, column=key)
    return key


def _is_origin(value: object) -> bool:
    return isinstance(value, Mapping) and value.get("method") in METHODS


def _new_record(text: str, origin: Origin, key: str, origin_key: str) -> dict[str, Any]:
    parent = origin.get("parent", {})
    kept = dict(parent) if origin["method"] == "paraphrase" else {}
    # The label's provenance describes the answer to the parent's text, not to this one.
    marks = [name for name in MARK_KEYS if label_mark({name: kept.get(name)}) is not None]
    for name in ("id", *marks):
        kept.pop(name, None)
    told = {"method": origin["method"]}
    if parent:
        told["parent"] = str(parent.get("id", parent[key]))
    if "persona" in origin:
        told["persona"] = origin["persona"]
    return {"id": f"new-{sha256_text(text)[:12]}", **kept, key: text, origin_key: told}
