"""Read a split of oracle labels as examples: the view's text, the scores, and their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from ...config import as_settings, read_written_json
from ...distillation.score_students.score_examples import ScoreExamples, agreement_weights
from ...errors import ConfigError, DataError, DataNotFoundError, EmptyDataError
from ...labeling.filters.curation.merge import read_json_objects
from ...labeling.filters.curation.splits import PARTS, Part, overlap_faults
from ...labeling.filters.filter_config import FilterConfig
from ...labeling.filters.filter_package import FilterPackage
from ...labeling.filters.input_view import require_same_view
from ...labeling.filters.scored_record import AnalysisFault, analysis_of
from ...labeling.filters.scoring.score_order import judge_scores
from ...records import data_hash
from .training_forms import VIEW_FILE

MOST_TOLD: Final = 5
"""Faults that a message lists of a file."""


@dataclass(frozen=True)
class LabelledPart:
    """One part of the split."""

    examples: ScoreExamples
    ids: tuple[str, ...]
    data_hash: str
    """Of the records of the part, whatever their order."""
    shown_sha256: tuple[str, ...]
    """Hash of what is visible of each article, as the oracle saw it."""


def read_split(
    package: FilterPackage,
    data_dir: str | Path,
    *,
    sample_weight_scale: float = 0.0,
    by_agreement: bool = True,
    allow_view_mismatch: bool = False,
) -> dict[Part, LabelledPart]:
    """Read `train.jsonl`, `val.jsonl` and `test.jsonl`.

    Args:
        package: The filter.
        data_dir: Folder of the files, as `stillroom filter split` writes them.
        sample_weight_scale: Training examples weigh 1 + scale x weighted average / 10.
        by_agreement: Whether training examples on which several oracles agree count more.
        allow_view_mismatch: Accept labels of another prompt or another shortening of articles.

    Raises:
        ConfigError: The filter classifies, or the view of the labels is not the package's.
        DataNotFoundError: A file is missing.
        DataError: A record cannot be used, or one is in two parts; lists the first ones.
    """
    if package.config.is_classifier:
        raise ConfigError([f"{package.config.name} chooses a class; score students need "
                           "dimensions, and stillroom distill trains classifiers"])  # fmt: skip
    records = {part: _records(Path(data_dir) / f"{part}.jsonl", package.config) for part in PARTS}
    faults = overlap_faults({part: [one for _, one in own] for part, own in records.items()})
    if faults:
        more = f" and {len(faults) - MOST_TOLD} more" if len(faults) > MOST_TOLD else ""
        raise DataError(f"the parts share records: {'; '.join(faults[:MOST_TOLD])}{more}",
                        path=data_dir)  # fmt: skip
    return {
        part: _part(
            package, own, scale=sample_weight_scale if part == "train" else 0.0,
            by_agreement=by_agreement and part == "train",
            allow_view_mismatch=allow_view_mismatch,
        )
        for part, own in records.items()
    }  # fmt: skip


def _records(path: Path, config: FilterConfig) -> list[tuple[str, dict[str, Any]]]:
    if not path.is_file():
        raise DataNotFoundError(f"there is no {path}; stillroom filter split writes it")
    rejected: list[str] = []
    found = list(read_json_objects(path, rejected))
    if rejected:
        raise DataError(f"{len(rejected)} lines cannot be read, the first: {rejected[0]}")
    if not found:
        raise EmptyDataError("there are no records", path=path)
    identity = {}
    if (path.parent / VIEW_FILE).is_file():
        identity = as_settings(read_written_json(path.parent / VIEW_FILE), path.parent / VIEW_FILE)
    return [(place, _scored(record, config, identity)) for place, record in found]


def _scored(
    record: dict[str, Any], config: FilterConfig, identity: Mapping[str, Any]
) -> dict[str, Any]:
    """Read a vector of `stillroom filter prepare` as a scored record; others stay as they are."""
    labels, names = record.get("labels"), record.get("dimension_names")
    if not isinstance(labels, list) or not isinstance(names, list) or len(labels) != len(names):
        return record
    scores = dict(zip(names, labels, strict=True))
    known = {name: identity.get(name) for name in ("prompt_hash", "view_hash")}
    return {**record, config.analysis_field: {"dimensions": scores, **known}}


def _part(
    package: FilterPackage,
    records: list[tuple[str, dict[str, Any]]],
    *,
    scale: float,
    by_agreement: bool,
    allow_view_mismatch: bool,
) -> LabelledPart:
    texts, targets, ratings, weights, shown_sha256, faults = [], [], [], [], [], []
    config = package.config
    for place, record in records:
        try:
            analysis = analysis_of(record, config)
            if analysis is None:
                raise AnalysisFault(f"no {config.analysis_field}")
            shown = package.view.read(record)
        except (AnalysisFault, DataError) as fault:
            faults.append(f"{place}: {fault}")
            continue
        given = cast("Mapping[str, Any]", record[config.analysis_field])
        require_same_view(given, package.view, where=place, allow_view_mismatch=allow_view_mismatch)
        texts.append(package.view.student_text(shown))
        shown_sha256.append(shown.sha256)
        row = [analysis.scores[name] for name in config.dimension_names]
        targets.append(row)
        own = [one for one in dict(given.get("oracles") or {}).values() if isinstance(one, Mapping)]
        ratings.append(
            np.array(
                [[float(one[name]) for name in config.dimension_names] for one in own] or [row]
            )
        )
        average = judge_scores(analysis.scores, config).raw_weighted_average
        weights.append(1.0 + scale * average / 10.0)
    if faults:
        more = f" and {len(faults) - MOST_TOLD} more" if len(faults) > MOST_TOLD else ""
        raise DataError(f"{'; '.join(faults[:MOST_TOLD])}{more}")
    several = any(len(own) > 1 for own in ratings)
    counted = np.array(weights)
    if by_agreement and several:
        counted = counted * agreement_weights(ratings)
    return LabelledPart(
        ScoreExamples(texts, np.array(targets), counted, ratings if several else ()),
        tuple(str(one.get("id")) for _, one in records),
        data_hash(one for _, one in records),
        tuple(shown_sha256),
    )
