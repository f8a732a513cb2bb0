"""Compare oracles on one sample: how many replies are valid, and how far their scores differ.

found = compare_oracles(package, articles, [flash, pro], "replies", sample_size=100)
found["pairs"][0]["weighted_average_mae"]
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import EmptyDataError, LabelingStoppedError
from ....records import sha256_text
from ...batch.label_run import LabelRun, LabelSettings, LabelTask
from ...batch.labeler import BatchLabeler
from ...teachers.protocol import DecodeProfile, Teacher
from ..filter_config import FilterConfig
from ..filter_package import FilterPackage
from ..oracle_reply import oracle_check, read_reply
from ..scored_record import Analysis
from ..scoring.score_order import judge_scores


def compare_oracles(
    package: FilterPackage,
    articles: Iterable[Mapping[str, Any]],
    oracles: Sequence[Teacher],
    folder: str | Path,
    *,
    sample_size: int = 100,
    seed: int = 42,
    settings: LabelSettings | None = None,
    profile: DecodeProfile | None = None,
) -> dict[str, Any]:
    """Ask all oracles about the same sample, and compare what they say.

    Args:
        package: The filter.
        articles: Where the sample is drawn from, among those that pass the prefilter; read once.
        oracles: One or more.
        folder: Keeps the replies, so that a second call pays for none twice.
        sample_size: Articles to ask about, 1 or more.
        seed: Of the draw, which depends on ids alone.
        settings: Limits, retries and budget.
        profile: How replies are decoded.

    Returns:
        `sample`; `oracles` (name -> `valid`, `failed`, `reasons`, `cost`, tokens, and `tiers` and
        mean and deviation of each dimension); `pairs` (of two oracles, over the articles that both
        have judged: `compared`, per dimension `mae` and `pearson`, `weighted_average_mae`,
        `same_tier`; of classes `same_class`).

    Raises:
        EmptyDataError: No article passes.
        LabelingStoppedError: An oracle could not be asked to the end.
    """
    drawn = _sample(package, articles, sample_size, seed)
    if not drawn:
        raise EmptyDataError("no article passes the prefilter, so there is nothing to compare")
    tasks = [
        LabelTask(str(one["id"]), package.view.oracle_prompt(package.view.read(one)), one)
        for one in drawn
    ]
    read: dict[str, dict[str, Analysis]] = {}
    told: dict[str, Any] = {}
    for oracle in oracles:
        labeler = BatchLabeler(
            oracle, folder, settings=settings, check=oracle_check(package.config),
            profile=profile or DecodeProfile(max_tokens=1024),
        )  # fmt: skip
        run = labeler.run(tasks)
        if run.stopped is not None:
            raise LabelingStoppedError(
                f"{oracle.name} could not be asked to the end ({run.stopped}): {run.message}"
            )
        read[oracle.name] = {
            one.task.id: read_reply(one.answer.text, package.config)
            for one in run.labelled
            if one.answer is not None
        }
        told[oracle.name] = _described(run, list(read[oracle.name].values()), package.config)
    return {
        "schema_version": 1,
        "filter": f"{package.config.name} {package.config.version}",
        "prompt_hash": package.prompt.prompt_hash,
        "view_hash": package.view.sha256,
        "seed": seed,
        "sample": len(tasks),
        "oracles": told,
        "pairs": [
            _pair(one, other, read[one], read[other], package.config)
            for one, other in itertools.combinations(read, 2)
        ],
    }


def report_text(found: Mapping[str, Any]) -> str:
    """Write a comparison as Markdown."""
    lines = [f"# Oracles of {found['filter']}, {found['sample']} articles", "",
             "| oracle | valid | failed | cost |", "|---|---|---|---|"]  # fmt: skip
    for name, one in found["oracles"].items():
        cost = "unknown" if one["cost"] is None else f"{one['cost']:.4g}"
        lines.append(f"| {name} | {one['valid']} | {one['failed']} | {cost} |")
    for pair in found["pairs"]:
        lines += ["", f"## {' and '.join(pair['oracles'])}: {pair['compared']} articles", ""]
        if pair.get("same_class") is not None:
            lines.append(f"The same class: {100 * pair['same_class']:.1f} %.")
        if pair.get("dimensions"):
            lines += ["| dimension | mean difference | correlation |", "|---|---|---|"]
            for name, one in pair["dimensions"].items():
                same = "" if one["pearson"] is None else f"{one['pearson']:.2f}"
                lines.append(f"| {name} | {one['mae']:.2f} | {same} |")
            lines.append(f"| weighted average | {pair['weighted_average_mae']:.2f} | |")
            lines += ["", f"The same tier: {100 * pair['same_tier']:.1f} %."]
    return "\n".join(lines) + "\n"


def _sample(
    package: FilterPackage, articles: Iterable[Mapping[str, Any]], size: int, seed: int
) -> list[dict[str, Any]]:
    """Draw articles by the hash of seed and id, in memory that does not grow with the corpus."""
    heap: list[tuple[int, int, dict[str, Any]]] = []
    seen: set[str] = set()
    for number, article in enumerate(articles):
        identity = article.get("id")
        if identity in (None, "") or str(identity) in seen:
            continue
        if package.prefilter is not None and not package.prefilter.apply_filter(article)[0]:
            continue
        seen.add(str(identity))
        one = (-int(sha256_text(f"{seed}:{identity}"), 16), number, dict(article))
        if len(heap) < size:
            heapq.heappush(heap, one)
        elif one > heap[0]:
            heapq.heapreplace(heap, one)
    return [article for _, _, article in sorted(heap, key=lambda one: one[1])]


def _described(run: LabelRun, own: Sequence[Analysis], config: FilterConfig) -> dict[str, Any]:
    told: dict[str, Any] = {
        "valid": len(own),
        "failed": len(run.failed),
        "reasons": dict(run.reasons.most_common(5)),
        "cost": run.numbers.cost,
        "tokens_in": run.numbers.prompt_tokens,
        "tokens_out": run.numbers.completion_tokens,
    }
    if config.is_classifier:
        return told | {"classes": dict(Counter(str(one.label) for one in own))}
    tiers = Counter(judge_scores(one.scores, config).tier for one in own)
    rows = np.array(
        [[one.scores[name] for name in config.dimension_names] for one in own]
    )  # (N, D)
    return told | {
        "tiers": {one.name: tiers[one.name] for one in config.tiers},
        "dimensions": {
            name: {"mean": float(rows[:, place].mean()), "std": float(rows[:, place].std())}
            for place, name in enumerate(config.dimension_names if len(own) else ())
        },
    }


def _pair(
    one: str,
    other: str,
    first: Mapping[str, Analysis],
    second: Mapping[str, Analysis],
    config: FilterConfig,
) -> dict[str, Any]:
    both = [(first[name], second[name]) for name in first if name in second]
    told: dict[str, Any] = {"oracles": [one, other], "compared": len(both)}
    if not both:
        return told
    if config.is_classifier:
        return told | {"same_class": float(np.mean([a.label == b.label for a, b in both]))}
    dimensions = {}
    for name in config.dimension_names:
        a = np.array([pair[0].scores[name] for pair in both])
        b = np.array([pair[1].scores[name] for pair in both])
        constant = a.std() == 0 or b.std() == 0
        dimensions[name] = {
            "mae": float(np.abs(a - b).mean()),
            "pearson": None if constant else float(np.corrcoef(a, b)[0, 1]),
        }
    verdicts = [[judge_scores(x.scores, config) for x in pair] for pair in both]
    return told | {
        "dimensions": dimensions,
        "weighted_average_mae": float(
            np.mean([abs(a.weighted_average - b.weighted_average) for a, b in verdicts])
        ),
        "same_tier": float(np.mean([a.tier == b.tier for a, b in verdicts])),
    }
