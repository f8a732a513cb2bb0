"""Prepare training data for System 1 (instructions) and System 2 (reasoning in steps).

The data comes from the hub, from a file, or from generated samples.

prepare_system1_dataset("train[:500]", source="instruction-data.json")
prepare_system2_dataset("train[:500]", source="gsm8k/train.jsonl.gz")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...data.datasets.chat_records import instruction_records
from ...data.datasets.json_files import read_json, save_json
from ...data.datasets.sample_instructions import SAMPLE, sample_instructions, sample_problems
from ...data.datasets.splits import take_slice
from ...data.datasets.thought_records import OnMiss, schema_fault, thought_records, thresholds
from ...data.datasets.thought_views import two_task_views
from ...data.readers.parquet_arrow import dataset_records
from ...data.readers.read_table import read_table
from ...errors import (
    ConfigError,
    DataError,
    DataNotFoundError,
    EmptyDataError,
    MissingDependencyError,
)

Rows = Sequence[Mapping[str, Any]]
Source = str | Path | Rows | None

SYSTEM1_HUB: Final = "alibaba-pai/DistilQwen_100k"
SYSTEM2_HUB: Final = "alibaba-pai/OmniThought"
NO_DATA_1: Final = "No data for System 1 distillation"
NO_DATA_2: Final = "No data for System 2 distillation"
UNKNOWN_SCHEMA: Final = "Unexpected OmniThought schema, please inspect omni[0]"


def prepare_system1_dataset(
    slice_str: str = "train[:1000]",
    teacher_model: Any = None,  # noqa: ANN401 - transformers is untyped
    teacher_tokenizer: Any = None,  # noqa: ANN401
    relabel_with_teacher: bool = False,
    out_instructions: str = "data/train_instructions.json",
    out_labeled: str = "data/train_labeled.json",
    *,
    source: Source = None,
    max_new_tokens: int = 256,
    batch_size: int = 2,
    temperature: float = 0.8,
    strict: bool = False,
    reading: Mapping[str, Any] | None = None,
) -> None:
    """Write instructions, and instructions with answers, as JSON lists.

    Args:
        slice_str: Part of the data in the notation of `datasets`: `train[:1000]`,
            `train[10%:20%]`.
        teacher_model: Teacher for `relabel_with_teacher`.
        teacher_tokenizer: Tokenizer of the teacher.
        relabel_with_teacher: Whether to replace the answers in the data by the teacher's. Records
            without a usable answer are left out of `out_labeled`.
        out_instructions: File to write, with `{instruction, input, output}` as in the data.
        out_labeled: File to write, with the same records and the answers to train on.
        source: A file or folder that `data` can read, records, or `sample`; None takes
            `alibaba-pai/DistilQwen_100k` from the hub.
        max_new_tokens: Most tokens of a teacher's answer.
        batch_size: Number of records that the teacher answers together.
        temperature: Sampling temperature of the teacher.
        strict: Whether to raise an error, instead of printing a line, if there is nothing to write.
        reading: Options for reading a file: `query`, `table`, and the fields of `ReadOptions`.

    Raises:
        ValueError: The slice is malformed, or a teacher is needed and not given.
        EmptyDataError: With `strict`, the slice is empty or has no usable answer.
        DataError: A record cannot be used; nothing was written.
    """
    if relabel_with_teacher and (teacher_model is None or teacher_tokenizer is None):
        raise ConfigError(["Teacher model/tokenizer required for relabeling."])
    records = system1_records(slice_str, source=source, strict=strict, reading=reading)
    labelled = records
    if records and relabel_with_teacher:
        from ...labeling.tasks.reasoning_labels import label_with_teacher

        labelled = label_with_teacher(
            teacher_model,
            teacher_tokenizer,
            records,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            work_dir=Path(f"{out_labeled}.work"),
        ) or _none(NO_DATA_1, EmptyDataError, strict)
    if labelled:
        save_json(out_instructions, records)
        save_json(out_labeled, labelled)


def system1_records(
    slice_str: str, *, source: Source, strict: bool, reading: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return the instruction records that `prepare_system1_dataset` writes."""
    rows = _rows(source, slice_str, SYSTEM1_HUB, sample_instructions, reading)
    if not rows:
        return _none(NO_DATA_1, EmptyDataError, strict)
    return [dict(record) for record in instruction_records(rows)]


def prepare_system2_dataset(
    slice_str: str = "train[:2000]",
    rv_min: float = 0.6,
    cd_min: float = 0.6,
    out_cot: str = "data/omnithought_cot.json",
    *,
    source: Source = None,
    on_miss: OnMiss = "drop",
    two_tasks: bool = False,
    strict: bool = False,
    reading: Mapping[str, Any] | None = None,
) -> None:
    """Write questions with a chain of thought as their output, as a JSON list.

    Args:
        slice_str: Part of the data in the notation of `datasets`.
        rv_min: Least reasoning verbosity: a level from 0 to 9, or up to 1.0 a tenth of it.
        cd_min: Least cognitive difficulty, in the same units.
        out_cot: File to write, with `{instruction, input, output}`.
        source: A file or folder that `data` can read, records, or `sample`; None takes
            `alibaba-pai/OmniThought` from the hub.
        on_miss: What to do if no chain of a question passes: `drop` the question, or keep its
            `first` chain.
        two_tasks: Whether to make two records of each question, `[label]` with only the final
            answer and `[rationale]` with the whole chain.
        strict: Whether to raise an error, instead of printing a line, if there is nothing to write.
        reading: As in `prepare_system1_dataset`.

    Raises:
        ValueError: The slice is malformed, or a setting is out of range.
        DataError: With `strict`, the rows have an unknown shape, or no record is left.
    """
    records = system2_records(
        slice_str,
        rv_min,
        cd_min,
        source=source,
        on_miss=on_miss,
        two_tasks=two_tasks,
        strict=strict,
        reading=reading,
    )
    if records:
        save_json(out_cot, records)


def system2_records(
    slice_str: str,
    rv_min: float,
    cd_min: float,
    *,
    source: Source,
    strict: bool,
    on_miss: OnMiss = "drop",
    two_tasks: bool = False,
    reading: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the records that `prepare_system2_dataset` writes."""
    least = thresholds(rv_min, cd_min)
    rows = _rows(source, slice_str, SYSTEM2_HUB, sample_problems, reading)
    if not rows:
        return _none(f"{NO_DATA_2} after filtering.", EmptyDataError, strict)
    if schema_fault(rows[0]) is not None:
        return _none(UNKNOWN_SCHEMA, DataError, strict)
    records = thought_records(rows, least, on_miss=on_miss)
    if not records:
        return _none(f"{NO_DATA_2} after filtering.", EmptyDataError, strict)
    return [dict(r) for r in (two_task_views(records) if two_tasks else records)]


def _none(message: str, kind: type[DataError], strict: bool) -> list[dict[str, Any]]:
    """Raise an error (`strict`) or print why there are no records, and return none."""
    if strict:
        raise kind(message)
    print(message)
    return []


def _rows(
    source: Source,
    slice_str: str,
    hub_name: str,
    sample: Any,  # noqa: ANN401
    reading: Mapping[str, Any] | None,
) -> Rows:
    if source is None:
        return _from_hub(hub_name, slice_str)
    return take_slice(sample() if source == SAMPLE else read_rows(source, reading), slice_str)


def read_rows(source: str | Path | Rows, reading: Mapping[str, Any] | None = None) -> Rows:
    """Read all rows of a file, a folder or a `datasets.Dataset`; other rows are returned as given.

    Args:
        source: A file, a folder, or rows.
        reading: Keywords for `data.readers`.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: The file cannot be read, or is no list of objects.
    """
    if not isinstance(source, str | Path):
        return dataset_records(source) if hasattr(source, "with_format") else source
    # `read_table` would take a single JSON object that contains a list for a wrapped table.
    if reading or Path(source).suffix.lower() not in (".json", ".jsonl", ".ndjson"):
        return read_table(source, **(reading or {}))
    rows = read_json(source)
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise DataError("is not a list of JSON objects", path=source)
    return rows


def _from_hub(name: str, slice_str: str) -> Rows:
    try:
        import datasets
    except ImportError as fault:
        raise MissingDependencyError("datasets", "hub") from fault
    try:
        found = datasets.load_dataset(name, split=slice_str)
        return dataset_records(found) if isinstance(found, datasets.Dataset) else list(found)
    except ValueError:  # the slice cannot be read
        raise
    except Exception as fault:  # each of its libraries has errors of its own
        raise DataNotFoundError(
            f"{name!r} was not fetched from the Hugging Face hub ({fault}). Connect, or name a "
            "file as source"
        ) from fault
