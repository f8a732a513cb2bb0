"""Sections on what a model costs: size, memory, speed, money, and the price of int8."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from ..scores import ModelScores
from .content import Bar, Bars, Block, Bullets, Paragraph, Section, Table, section
from .quality import Words, percents

_HOUR: Final = 3600.0


@dataclass(frozen=True)
class Prices:
    """What answers cost; a model on this machine costs electricity, one on a server tokens."""

    watts: float = 65.0
    """Power of this machine while it answers or trains."""
    kwh_price: float = 0.30
    """Of electricity."""
    currency: str = "EUR"
    teacher_input: float | None = None
    """Price of a million tokens that the teacher reads; None: it runs on this machine."""
    teacher_output: float | None = None
    """Price of a million tokens that it writes."""
    prompt_tokens: float = 60.0
    """Tokens of a prompt to a priced teacher, on average."""
    answer_tokens: float = 10.0
    """Tokens of its answer, on average."""

    def of_seconds(self, seconds: float) -> float:
        """Give the price of the electricity of some seconds."""
        return self.watts * seconds / _HOUR / 1000 * self.kwh_price

    def teacher_answer(self) -> float:
        """Give the price of one answer of a teacher that is paid by tokens."""
        return (
            (self.teacher_input or 0.0) * self.prompt_tokens
            + (self.teacher_output or 0.0) * self.answer_tokens
        ) / 1e6


def size_section(scores: Mapping[str, ModelScores], words: Words) -> tuple[Section, dict[str, Any]]:
    """Show parameters, bytes, memory, tokens per second and latency of every model."""
    rows = tuple(
        (
            words[name][0], count(one.parameters), milliseconds(one.latency_p50_ms),
            milliseconds(one.latency_p95_ms), number(one.tokens_per_second),
            megabytes(one.bytes_on_disk), megabytes(one.peak_memory_bytes),
        )
        for name, one in scores.items()
    )  # fmt: skip
    head = ("model", "parameters", "p50", "p95", "tokens/s", "on disk", "memory")
    timed = {name: one for name, one in scores.items() if one.latency_p50_ms is not None}
    bars = tuple(
        Bar(f"{words[name][0]}, half of the answers within", one.latency_p50_ms or 0.0,
            is_main=name == "student")
        for name, one in timed.items()
    )  # fmt: skip
    blocks: list[Block | None] = [
        Bars("Time of one answer, one question at a time", bars, "ms") if bars else None,
        Table(head, rows, "Memory is that of a whole process with Python and its libraries. p50 "
              "and p95: half of the answers, and 95 of 100, came within this time. Measured on "
              "the machine of the run; compare rows with each other.") if rows else None,
    ]  # fmt: skip
    made = section(
        "size", "How big and how fast it is",
        "Look at the student's row beside the teacher's: that is what distilling has saved.",
        blocks, "Neither sizes nor speeds were measured.",
    )  # fmt: skip
    return made, {
        name: {
            key: getattr(one, key)
            for key in ("parameters", "weights_bytes", "bytes_on_disk", "peak_memory_bytes",
                        "tokens_per_second", "latency_p50_ms", "latency_p95_ms", "latency_mean_ms")
        }
        for name, one in scores.items()
    }  # fmt: skip


def cost_section(
    scores: Mapping[str, ModelScores],
    words: Words,
    prices: Prices,
    training_seconds: float | None,
    *,
    main: str = "student",
    teacher: str = "teacher",
) -> tuple[Section, dict[str, Any]]:
    """Show the cost of a thousand answers, and after how many the training has paid for itself."""
    per_answer: dict[str, float] = {}
    for name in (main, teacher):
        one = scores.get(name)
        if one is not None and one.latency_mean_ms is not None:
            per_answer[name] = prices.of_seconds(one.latency_mean_ms / 1000)
    if prices.teacher_input is not None or prices.teacher_output is not None:
        per_answer[teacher] = prices.teacher_answer()
    numbers: dict[str, Any] = {
        "assumptions": asdict(prices),
        "cost_per_1000_answers": {name: 1000 * one for name, one in per_answer.items()},
        "training_seconds": training_seconds,
    }
    blocks: list[Block | None] = []
    if main in per_answer:
        rows = tuple(
            (words[name][0] if name in words else name, money(1000 * one, prices))
            for name, one in per_answer.items()
        )
        blocks.append(Table(("model", "a thousand answers"), rows))
        blocks.append(Paragraph(_break_even(per_answer, prices, training_seconds, numbers,
                                            main, teacher)))  # fmt: skip
        blocks.append(Bullets(_assumptions(prices, teacher in per_answer)))
    made = section(
        "cost", "What answers cost, and when training pays off",
        "Look at the cost of a thousand answers and at the break-even; the assumptions below can "
        "be changed with stillroom report --watts, --kwh-price, --teacher-price.",
        blocks,
        "The time of single answers was not measured in this run, so there is no cost; a new run "
        "measures it.",
    )  # fmt: skip
    return made, numbers


def int8_section(found: Mapping[str, Any] | None, missing: str) -> Section:
    """Show what eight bits change: right answers, size and speed.

    Args:
        found: What `export_price` measured; None where nothing was.
        missing: Why not, and what to run.
    """
    blocks: list[Block] = []
    if found is not None:
        before, after = found["float32"], found["int8"]
        rows = tuple(
            (
                told, f"{one['right']:,} of {one['n']:,}",
                percents(one["rate_ci95"]), megabytes(one["weights_bytes"]),
                milliseconds(one["latency_p50_ms"]), milliseconds(one["latency_p95_ms"]),
                number(one["tokens_per_second"]),
            )
            for told, one in (("float32", before), ("int8", after))
        )  # fmt: skip
        lost = before["right"] - after["right"]
        change = "no answer" if lost == 0 else f"{abs(lost)} of {before['n']:,} answers"
        way = "" if lost == 0 else (" fewer right" if lost > 0 else " more right")
        blocks = [
            Paragraph(
                f"Eight bits cost {change}{way}; the weights shrink to "
                f"{after['weights_bytes'] / before['weights_bytes']:.0%}, and an answer takes "
                f"{after['latency_p50_ms'] / before['latency_p50_ms']:.0%} of the time. "
                f"{found['words']}."
            ),
            Table(("weights", "right", "95 % interval", "size", "latency p50", "latency p95",
                   "tokens/s"), rows,
                  f"The same {before['n']:,} held-out questions, one at a time; both were "
                  "computed by ONNX Runtime on this machine's processor."),
        ]  # fmt: skip
    return section(
        "int8", "What int8 costs",
        "Look whether fewer answers are right with eight bits per weight, and what is gained in "
        "size and speed.",
        blocks, missing,
    )  # fmt: skip


def money(value: float, prices: Prices) -> str:
    """Write an amount in three digits."""
    if value == 0:
        return f"0 {prices.currency}"
    digits = max(2, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 8)}f} {prices.currency}"


def megabytes(value: float | None) -> str:
    """Write bytes as megabytes."""
    return "-" if value is None else f"{value / 1e6:,.1f} MB"


def milliseconds(value: float | None) -> str:
    """Write a time."""
    return "-" if value is None else (f"{value:,.0f} ms" if value >= 10 else f"{value:.1f} ms")


def number(value: float | None) -> str:
    """Write a rate."""
    return "-" if value is None else f"{value:,.0f}"


def count(value: int) -> str:
    """Write a number of parameters."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return str(value) if value else "-"


def _break_even(
    per_answer: Mapping[str, float],
    prices: Prices,
    training_seconds: float | None,
    numbers: dict[str, Any],
    main: str,
    teacher: str,
) -> str:
    if teacher not in per_answer:
        return (
            "The teacher's answers have no price here, so there is no break-even; give one with "
            "stillroom report --teacher-price INPUT,OUTPUT, per million tokens."
        )
    saved = per_answer[teacher] - per_answer[main]
    if training_seconds is None:
        return "The time of the training was not kept, so there is no break-even."
    spent = prices.of_seconds(training_seconds)
    numbers["training_cost"] = spent
    if saved <= 0:
        numbers["break_even_answers"] = None
        return (f"An answer of the student costs no less than one of the teacher, so the "
                f"{money(spent, prices)} of its training are not earned back by answers; its "
                "reason must be another, such as memory or privacy.")  # fmt: skip
    answers = math.ceil(spent / saved)
    numbers["break_even_answers"] = answers
    return (
        f"Training took {training_seconds / 60:,.1f} minutes, {money(spent, prices)} of "
        f"electricity; a thousand answers of the student save {money(1000 * saved, prices)}, so "
        f"it has paid for itself after {answers:,} answers."
    )


def _assumptions(prices: Prices, has_teacher: bool) -> tuple[str, ...]:
    told = [
        f"A model on this machine costs electricity alone: {prices.watts:g} W while it answers, "
        f"{prices.kwh_price:g} {prices.currency} per kWh, one question at a time; no share of the "
        "machine's price, and no idle time.",
        "The time of training is that of teacher, labels, student and controls together.",
    ]
    if prices.teacher_input is not None or prices.teacher_output is not None:
        told.append(
            f"The teacher costs {prices.teacher_input or 0:g} {prices.currency} per million tokens "
            f"read and {prices.teacher_output or 0:g} per million written; a question has "
            f"{prices.prompt_tokens:g} and an answer {prices.answer_tokens:g} tokens."
        )
    elif has_teacher:
        told.append("The teacher runs on the same machine.")
    return tuple(told)
