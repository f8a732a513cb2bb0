"""Self-consistency: sample several chains of thought per question, and keep the majority answer.

Source: Wang et al. 2022, arXiv 2203.11171, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ...errors import ConfigError
from ...inference.system_pair.final_answers import final_answer, same_answer
from ..batch.label_run import LabelSettings, LabelTask
from ..batch.labeler import BatchLabeler
from ..teachers.protocol import DecodeProfile, Teacher
from .reasoning_labels import prompt_of

Reason = Literal["no_answer", "no_majority", "wrong_answer"]


@dataclass(frozen=True)
class ConsistentThoughts:
    """Accepted records, and rejected ones with the reasons."""

    records: list[dict[str, Any]]
    """Accepted records with the chosen chain as `output`, and with `agreement`, the share of the
    samples that have its answer."""
    rejected: list[tuple[Mapping[str, Any], Reason]] = field(default_factory=list)


def consistent_thoughts(
    teacher: Teacher,
    records: Sequence[Mapping[str, Any]],
    folder: str | Path,
    *,
    samples: int = 5,
    least_share: float = 0.5,
    profile: DecodeProfile | None = None,
    settings: LabelSettings | None = None,
) -> ConsistentThoughts:
    """Sample several chains of thought per question, and keep one with the majority answer.

    Args:
        teacher: The model that reasons.
        records: `{instruction, input}`. If a record has an `output`, its final answer is taken as
            right, and the record is rejected if the majority has another answer.
        folder: Folder of the labeler, which keeps the calls.
        samples: Chains per question, 2 or more.
        least_share: Share of the samples that the majority must exceed, 0 up to 1.
        profile: How to decode; None samples at temperature 0.7.
        settings: Settings of the labeler.

    Raises:
        ConfigError: A setting is out of range, or the profile does not sample.
    """
    used = profile or DecodeProfile(temperature=0.7, top_p=0.95)
    faults = []
    if samples < 2:
        faults.append(f"samples is {samples}; allowed is 2 or more")
    if not 0.0 <= least_share < 1.0:
        faults.append(f"least_share is {least_share}; allowed is 0 up to 1")
    if used.temperature == 0.0:
        faults.append("temperature is 0; samples would all be the same")
    if faults:
        raise ConfigError(faults)
    tasks = [
        LabelTask(f"{number} {sample}", prompt_of(record, "system2"), record, sample)
        for number, record in enumerate(records)
        for sample in range(samples)
    ]
    kept = replace(settings or LabelSettings(), keep_thoughts=True)  # the chains are the output
    run = BatchLabeler(teacher, folder, profile=used, settings=kept).run(tasks)
    found = ConsistentThoughts([])
    for number, record in enumerate(records):
        own = run.results[number * samples : (number + 1) * samples]
        chains = [one.answer.text for one in own if one.answer is not None]
        chosen = choose_chain(chains, samples, least_share, right=str(record.get("output") or ""))
        if isinstance(chosen, tuple):
            text, share = chosen
            found.records.append({**record, "output": text, "agreement": share})
        else:
            found.rejected.append((record, chosen))
    return found


def choose_chain(
    chains: Sequence[str], samples: int, least_share: float, *, right: str = ""
) -> tuple[str, float] | Reason:
    """Choose the shortest chain among those that end with the most frequent answer.

    Args:
        chains: Texts of the samples that did not fail.
        samples: Number of samples, including failed ones.
        least_share: As in `consistent_thoughts`.
        right: A text that ends with the right answer; empty if it is unknown.

    Returns:
        The chain and the share of the samples with its answer, or the reason for having none.
    """
    groups: list[tuple[str, list[str]]] = []
    for chain in chains:
        answer = final_answer(chain)
        group = next((g for g in groups if same_answer(g[0], answer)), None)
        if group is not None:
            group[1].append(chain)
        elif answer:
            groups.append((answer, [chain]))
    if not groups:
        return "no_answer"
    answer, agreeing = max(groups, key=lambda group: len(group[1]))
    share = len(agreeing) / samples
    if share <= least_share:
        return "no_majority"
    if right and not same_answer(answer, final_answer(right)):
        return "wrong_answer"
    return min(agreeing, key=len), share
