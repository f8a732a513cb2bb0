"""Training files of LLM Distillery's forms: vectors of scores, and instruction tuning.

| form | a record |
|---|---|
| `vectors` | `id, title, content, url, labels: [score], dimension_names: [name]` |
| `instructions` | `instruction, input: "Title: ...\\nContent: ...", output: "<JSON>"` |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from ...errors import ConfigError
from ...files import write_json, write_json_lines
from ...labeling.filters.curation.distribution import label_group
from ...labeling.filters.curation.merge import merge_labels, read_json_objects
from ...labeling.filters.curation.splits import PARTS, RATIOS, create_splits, overlap_faults
from ...labeling.filters.filter_config import HIGHEST, LOWEST, FilterConfig
from ...labeling.filters.filter_package import FilterPackage
from ...labeling.filters.input_view import require_same_view
from ...labeling.filters.scored_record import AnalysisFault, analysis_of
from ...labeling.filters.scoring.score_order import is_score

Form = Literal["vectors", "instructions"]
VIEW_FILE: Final = "view.json"
"""Beside the files: the prompt and the view that the labels were made with."""
LEAST_EXAMPLES: Final = 50
"""A part of training with fewer records is noticed."""
_VECTOR_KEYS: Final = ("id", "title", "content", "labels", "dimension_names")


def prepare_training_data(
    package: FilterPackage,
    sources: str | Sequence[str],
    output_dir: str | Path,
    *,
    form: Form = "vectors",
    ratios: tuple[float, float, float] = RATIOS,
    seed: int = 42,
    allow_view_mismatch: bool = False,
) -> dict[str, int]:
    """Merge labels, split them by tier, and write the parts in a form.

    Args:
        package: The filter; articles are shown as its view shows them.
        sources: Files or patterns of labels.
        output_dir: Folder to write.
        form: Of the records.
        ratios: Shares of train, val and test.
        seed: Of the order.
        allow_view_mismatch: Accept labels of another prompt or shortening.

    Returns:
        Part -> records.

    Raises:
        ConfigError: The filter classifies, or the labels are of another view.
        DataError: Labels are mixed or in conflict; see `merge_labels`.
    """
    if package.config.is_classifier:
        raise ConfigError([f"{package.config.name} chooses a class and has no scores"])
    merged = merge_labels(sources, package.config)
    for record in merged.records:
        require_same_view(
            record[package.config.analysis_field], package.view,
            where=f"the label of {record['id']!r}", allow_view_mismatch=allow_view_mismatch,
        )  # fmt: skip
    made = create_splits(
        merged.records, lambda one: label_group(one, package.config), ratios=ratios, seed=seed
    )
    write = _FORMS[form]
    for part, own in made.parts().items():
        write_json_lines(
            Path(output_dir) / f"{part}.jsonl", [write(package, record) for record in own]
        )
    identity = {"prompt_hash": package.prompt.prompt_hash, "view_hash": package.view.sha256}
    write_json(Path(output_dir) / VIEW_FILE, {"form": form, **identity, **made.to_dict()})
    return {part: len(own) for part, own in made.parts().items()}


def vector_record(package: FilterPackage, record: Mapping[str, Any]) -> dict[str, Any]:
    """Write a label as a vector in the order of the config."""
    scores = _scores(record, package.config)
    shown = package.view.read(record)
    return {
        "id": str(record["id"]),
        "title": shown.title,
        "content": shown.text,
        "url": str(record.get("url") or ""),
        "labels": list(scores.values()),
        "dimension_names": list(scores),
    }


def instruction_record(package: FilterPackage, record: Mapping[str, Any]) -> dict[str, Any]:
    """Write a label as instruction tuning; the answer is the scores alone."""
    scores = _scores(record, package.config)
    shown = package.view.read(record)
    names = ", ".join(scores)
    return {
        "instruction": f"Score the article from {LOWEST:g} to {HIGHEST:g} on each dimension: "
        f"{names}. Answer with JSON alone.",
        "input": f"Title: {shown.title}\nContent: {shown.text}",
        "output": json.dumps(scores, ensure_ascii=False),
    }


_FORMS: Final[Mapping[str, Callable[[FilterPackage, Mapping[str, Any]], dict[str, Any]]]] = {
    "vectors": vector_record,
    "instructions": instruction_record,
}


@dataclass
class TrainingDataFaults:
    """What was found in training files."""

    counts: dict[str, int] = field(default_factory=dict)
    """Part -> records."""
    faults: list[str] = field(default_factory=list)
    """What makes them useless, with file and line."""
    notices: list[str] = field(default_factory=list)
    """What is allowed and yet worth a look."""


def validate_training_data(package: FilterPackage, data_dir: str | Path) -> TrainingDataFaults:
    """List the faults of training files in any form: scored records, vectors or instructions."""
    found, config = TrainingDataFaults(), package.config
    parts: dict[str, list[dict[str, Any]]] = {}
    for part in PARTS:
        path = Path(data_dir) / f"{part}.jsonl"
        if not path.is_file():
            found.faults.append(f"{path}: there is no such file")
            continue
        parts[part] = []
        for place, record in read_json_objects(path, found.faults):
            parts[part].append(record)
            found.faults += [f"{place}: {fault}" for fault in _record_faults(record, config)]
        found.counts[part] = len(parts[part])
        if not parts[part]:
            found.faults.append(f"{path}: holds no records")
    shown = {
        part: [{"id": one.get("id", f"{part} {n}"), **one} for n, one in enumerate(own)]
        for part, own in parts.items()
    }
    found.faults += overlap_faults(shown)
    train = parts.get("train", [])
    if 0 < len(train) < LEAST_EXAMPLES:
        found.notices.append(f"train.jsonl holds {len(train)} records; a student of them says "
                             f"little below {LEAST_EXAMPLES}")  # fmt: skip
    rows = [row for row in (_row(one, config) for one in train) if row is not None]
    for n, name in enumerate(config.dimension_names):
        if rows and len({row[n] for row in rows}) == 1:
            found.notices.append(f"{name} is {rows[0][n]:g} in all records of train.jsonl")
    return found


def _record_faults(record: Mapping[str, Any], config: FilterConfig) -> list[str]:
    if "labels" in record:
        faults = [f"{name} is missing" for name in _VECTOR_KEYS if name not in record]
        names = record.get("dimension_names")
        if names is not None and names != list(config.dimension_names):
            faults.append(f"dimension_names are {names!r}; {list(config.dimension_names)} are "
                          "needed, in this order")  # fmt: skip
        labels = record["labels"]
        if not isinstance(labels, list) or len(labels) != len(config.dimension_names):
            return [*faults, f"labels are {labels!r}; {len(config.dimension_names)} are needed"]
        return faults + [
            f"the label of {name} is {value!r}; allowed are numbers from 0 to 10"
            for name, value in zip(config.dimension_names, labels, strict=True)
            if not is_score(value) or not LOWEST <= value <= HIGHEST
        ]
    if "instruction" in record:
        faults = [f"{name} is no text" for name in ("instruction", "input", "output")
                  if not isinstance(record.get(name), str)]  # fmt: skip
        return faults or ([] if _row(record, config) is not None else ["output is no JSON object "
                          "with a score of 0 to 10 for each dimension"])  # fmt: skip
    try:
        return [] if analysis_of(record, config) is not None else [f"no {config.analysis_field}"]
    except AnalysisFault as fault:
        return [str(fault)]


def _row(record: Mapping[str, Any], config: FilterConfig) -> list[float] | None:
    """Give the scores of a valid record in any form."""
    from ...labeling.filters.scored_record import read_analysis

    try:
        if "labels" in record:
            return [float(one) for one in record["labels"]]
        if "instruction" in record:
            given = json.loads(record["output"])
            scores = read_analysis(given, config).scores if isinstance(given, dict) else {}
        else:
            analysis = analysis_of(record, config)
            scores = {} if analysis is None else analysis.scores
        return [scores[name] for name in config.dimension_names]
    except (AnalysisFault, ValueError, TypeError, KeyError):
        return None


def _scores(record: Mapping[str, Any], config: FilterConfig) -> dict[str, float]:
    analysis = analysis_of(record, config)
    assert analysis is not None  # merge_labels rejects records without one
    return dict(analysis.scores)
