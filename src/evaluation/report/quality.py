"""Sections on how good the models are: rates, the paired difference, parts, who agrees with whom.

Models are compared on the same questions, paired by `sample_id`. Sizes: N questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ...rate_interval import rate_with_interval, wilson_interval
from ..metrics import exact_match
from ..predictions import Prediction
from ..statistics.alignment import Outcome, align
from ..statistics.comparison import Comparison, compare_by_category, compare_paired
from .content import Bar, Bars, Block, Facts, Matrix, Paragraph, Section, Table, section

MARGIN: Final = 0.02
"""Loss of right answers that counts as not worse: two points."""
LENGTHS: Final = ((0, 10, "up to 10 characters"), (11, 30, "11 to 30"), (31, 100, "31 to 100"),
                  (101, None, "over 100"))  # fmt: skip
"""Lengths of the right answer, in characters."""
_LEAST_PART: Final = 5

Answered = Mapping[str, Sequence[Prediction]]
"""Name of a model -> its answers; all models were asked the same questions."""
Words = Mapping[str, tuple[str, str]]
"""Name of a model -> name that is shown, and what it is."""


def outcomes(answers: Sequence[Prediction]) -> list[Outcome]:
    """Give the answers to the statistics: 1 for a right and 0 for a wrong one."""
    return [
        Outcome(one.sample_id, float(one.right), one.source_id, one.category) for one in answers
    ]


def rate_of(answers: Sequence[Prediction]) -> dict[str, Any]:
    """Count right answers: `right`, `n`, `rate`, and `rate_ci95` (Wilson)."""
    right = sum(one.right for one in answers)
    return {"right": right, "n": len(answers), **rate_with_interval("rate", right, len(answers))}


def compare_models(
    answered: Answered, candidate: str, baseline: str, *, margin: float = MARGIN
) -> tuple[Comparison, dict[str, Comparison]]:
    """Compare two models on the same questions, overall and by category."""
    paired = align(outcomes(answered[candidate]), outcomes(answered[baseline]))
    by_category = (
        compare_by_category(paired, margin=margin) if len(set(paired.categories)) > 1 else {}
    )
    return compare_paired(paired, margin=margin), by_category


def quality_section(answered: Answered, words: Words, main: str) -> tuple[Section, dict[str, Any]]:
    """Show the share of right answers of every model, and say what each model is."""
    rates = {name: rate_of(answers) for name, answers in answered.items()}
    bars = tuple(_bar(words[name][0], one, is_main=name == main) for name, one in rates.items())
    rows = tuple(
        (words[name][0], f"{one['right']:,} of {one['n']:,}", percents(one["rate_ci95"]))
        for name, one in rates.items()
    )
    made = section(
        "quality", "How good it is",
        "Look at how far the student's bar is from the teacher's above it, and from the controls "
        "and plain methods below: where intervals overlap widely, a difference may be chance.",
        (
            Bars("Right answers to the held-out questions, with 95 % intervals", bars, "%", 100.0),
            Table(("model", "right", "95 % interval"), rows),
            Facts(tuple(words[name] for name in rates)),
        ),
    )  # fmt: skip
    return made, rates


def difference_section(
    answered: Answered, words: Words, main: str, baselines: Sequence[str]
) -> tuple[Section, dict[str, Any]]:
    """Say whether the student is better or worse than others, and how sure that is."""
    blocks: list[Block] = []
    numbers: dict[str, Any] = {}
    against: list[tuple[str, ...]] = []
    for baseline in baselines:
        whole, parts = compare_models(answered, main, baseline)
        ours, theirs = (f"the {words[one][0]}" for one in (main, baseline))
        told = whole.in_words(ours, theirs)
        numbers[baseline] = {
            **whole.to_dict(), "words": told,
            "by_category": {name: one.to_dict() for name, one in parts.items()},
        }  # fmt: skip
        against.append((words[baseline][0], *_cells(whole)))
        if baseline != baselines[0]:
            continue
        blocks.append(Paragraph(sentence(told)))
        if parts:
            rows = tuple((f"{name} ({one.records:,})", *_cells(one))
                         for name, one in parts.items())  # fmt: skip
            blocks.append(Table(("category", *_HEAD), rows, f"Points of right answers of {ours} "
                                f"less those of {theirs}; intervals and p-values hold for all "
                                "categories together (Holm)."))  # fmt: skip
    if len(against) > 1:
        blocks.append(Table((f"{words[main][0]} less", *_HEAD), tuple(against), "The same "
                            "comparison with every other model, each for itself."))  # fmt: skip
    made = section(
        "difference", "How much worse than its teacher, and is that sure?",
        "Look at the verdict and at the interval of the difference: both models answered the same "
        f"questions, and 'not worse' means a loss of less than {100 * MARGIN:g} points.",
        blocks,
        "There is no answer of another model to the same questions, so there is nothing to "
        "compare with; run with controls, or with a teacher that can be asked again.",
    )  # fmt: skip
    return made, numbers


def parts_section(
    answered: Answered, words: Words, main: str, shown: Sequence[str]
) -> tuple[Section, dict[str, Any]]:
    """Show the share of right answers by category, by column, and by length of the answer."""
    names = [name for name in shown if name in answered]
    ways: tuple[tuple[str, str, Callable[[Prediction], str]], ...] = (
        ("category", "By category", lambda one: one.category or "none"),
        ("column", "By column that is asked about, or by wording", lambda one: one.column),
        ("length", "By length of the right answer", lambda one: _length(one.gold)),
    )
    blocks: list[Block] = []
    numbers: dict[str, Any] = {}
    for key, caption, part_of in ways:
        parts = _parts(answered[main], part_of)
        if key == "length":
            parts = [label for *_, label in LENGTHS if label in parts]
        if len(parts) < 2:
            continue
        rates = {
            part: {
                name: rate_of([one for one in answered[name] if part_of(one) == part])
                for name in names
            }
            for part in parts
        }
        numbers[key] = rates
        bars = tuple(
            _bar(f"{part} ({rates[part][main]['n']:,})", rates[part][main], is_main=True)
            for part in parts
        )
        blocks.append(Bars(f"{caption}: right answers of the {words[main][0]}", bars, "%", 100.0))
        if len(names) > 1:
            rows = tuple(
                (part, *(f"{100 * rates[part][name]['rate']:.1f} %" for name in names))
                for part in parts
            )
            blocks.append(Table(("", *(words[name][0] for name in names)), rows))
    made = section(
        "parts", "Where it is good and where it fails",
        "Look for a bar that is much shorter than the others: that is the kind of question not to "
        "give to this student (the number of questions is in brackets).",
        blocks,
        "All questions are of one kind and of one length, so there are no parts to compare.",
    )  # fmt: skip
    return made, numbers


def agreement_section(answered: Answered, words: Words) -> tuple[Section, dict[str, Any]]:
    """Show for each pair of models the share of questions to which both give the same answer."""
    names = list(answered)
    texts = {name: {one.sample_id: one.answer for one in answered[name]} for name in names}

    def share(one: str, other: str) -> float:
        pairs = [(text, texts[other][key]) for key, text in texts[one].items()]
        return sum(exact_match(*pair) for pair in pairs) / max(1, len(pairs))

    cells = tuple(tuple(share(one, other) for other in names) for one in names)
    made = section(
        "agreement", "Which models give the same answers",
        "Look at the student's row: a high number beside the teacher means that it says what the "
        "teacher says, right or wrong.",
        [Matrix("Same answer to the same question, % of the questions",
                tuple(words[name][0] for name in names), cells)] if len(names) > 1 else [],
        "Only one model was asked.",
    )  # fmt: skip
    return made, {
        one: dict(zip(names, row, strict=True)) for one, row in zip(names, cells, strict=True)
    }


_HEAD: Final = ("points", "95 % interval", "p", "verdict")


def _cells(one: Comparison) -> tuple[str, ...]:
    verdict = "not worse" if one.verdict == "not_worse" else one.verdict
    return (
        points(one.difference),
        f"{points(one.low)} to {points(one.high)}",
        f"{one.p_value:.2g}",
        verdict,
    )


def _bar(label: str, rate: Mapping[str, Any], *, is_main: bool) -> Bar:
    low, high = rate["rate_ci95"]
    return Bar(label, 100 * rate["rate"], 100 * low, 100 * high, is_main)


def sentence(words: str) -> str:
    """Write words as a sentence."""
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def percents(ends: Sequence[float]) -> str:
    """Write an interval of a rate in percent."""
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} %"


def points(value: float) -> str:
    """Write a difference of rates in points."""
    return f"{100 * value:+.1f}" if abs(value) < 10 else "unknown"


def rate_words(answers: Sequence[Prediction]) -> str:
    """Write the rate of right answers with its interval."""
    right = sum(one.right for one in answers)
    ends = wilson_interval(right, len(answers))
    return f"{100 * right / len(answers):.1f} % ({percents(ends)})"


def _parts(answers: Sequence[Prediction], part_of: Callable[[Prediction], str]) -> list[str]:
    """List the parts with enough questions, the largest first."""
    counts: dict[str, int] = {}
    for one in answers:
        counts[part_of(one)] = counts.get(part_of(one), 0) + 1
    return [
        part
        for part, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        if part and count >= _LEAST_PART
    ]


def _length(gold: str) -> str:
    size = len(gold)
    return next(told for low, high, told in LENGTHS if low <= size and (not high or size <= high))
