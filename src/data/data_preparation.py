"""The loader that users call: from a table to question-answer pairs and training texts.

    loader = StructuredDataLoader()
    loader.load_from_csv("faq.csv")
    pairs = loader.create_qa_pairs()
    texts = loader.prepare_distillation_dataset()

Without keywords files are read by our strict readers; with keywords of pandas `load_from_csv` and
`load_from_parquet` call pandas.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, DataError, DataNotFoundError, EmptyDataError, UnreadableFileError
from .datasets.sample import create_sample_dataset
from .questions.qa_pairs import iter_qa_pairs, pairs_of_records
from .questions.training_texts import texts_of_records
from .readers.column_names import check_columns, own_names
from .readers.frames import column_cells, double_frame, frame_from_records
from .readers.nulls import NullPolicy, check_null_policy
from .readers.options import ReadOptions
from .readers.read_report import ReadReport
from .readers.read_table import (
    SourcedRecord,
    columns_of,
    iter_records,
    iter_sourced_records,
    read_table,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ReadOptions",
    "ReadReport",
    "SourcedRecord",
    "StructuredDataLoader",
    "create_sample_dataset",
    "iter_qa_pairs",
    "iter_records",
    "iter_sourced_records",
    "read_table",
]

_OWN_OPTIONS = {field.name for field in fields(ReadOptions)} - {
    "columns", "comment", "encoding", "format", "header", "sep",
}  # fmt: skip
"""Options of our reader that `pandas.read_csv` does not have."""
_LOADED = "the loaded table"
"""Its name in messages."""


class StructuredDataLoader:
    """Loads a table and makes training data of it.

    Args:
        data_path: Path for `load()` and `iter_qa_pairs()` without a path.
    """

    def __init__(self, data_path: str | Path | None = None) -> None:
        """See the class."""
        self.data_path = data_path
        self.data: pd.DataFrame | None = None
        """The table loaded last."""
        self.report = ReadReport()
        """What the last load and the steps after it skipped, filled or dropped."""

    def load_from_csv(self, file_path: str | Path, **kwargs: Any) -> pd.DataFrame:  # noqa: ANN401
        """Load a CSV file, compressed or not.

        Args:
            file_path: File.
            **kwargs: None, or fields of `ReadOptions` that pandas does not have, such as
                `skip_lines=2`: our reader, with columns of numbers where that changes no cell.
                Otherwise arguments of `pandas.read_csv`, with only the empty cell as null and
                nullable integers unless they say otherwise.

        Raises:
            DataNotFoundError: There is no such file.
            DataError: The file cannot be used; the message names row and line.
        """
        if not kwargs or _OWN_OPTIONS & kwargs.keys():
            return self._load(file_path, format="csv", **kwargs)
        if "chunksize" in kwargs or kwargs.get("iterator"):
            raise ConfigError(
                ["chunksize and iterator give no table; use iter_records(path) instead"]
            )
        defaults = {"keep_default_na": False, "na_values": [""], "dtype_backend": "numpy_nullable"}
        if "keep_default_na" in kwargs:
            del defaults["na_values"]
        return self._load_with_pandas("read_csv", file_path, {**defaults, **kwargs})

    def load_from_json(
        self,
        file_path: str | Path,
        *,
        records_path: str | None = None,
        parent_fields: tuple[str, ...] = (),
        flatten: bool = False,
    ) -> pd.DataFrame:
        """Load a JSON file: a list of objects, one object, JSON Lines, or a list inside an object.

        Args:
            file_path: File, compressed or not.
            records_path: Keys that lead to the list, `"data.paragraphs.qas"`.
            parent_fields: Fields of enclosing objects to add to each record.
            flatten: Flatten nested objects to dotted columns.

        Raises:
            DataNotFoundError: There is no such file.
            DataError: The file is not JSON, or has no table.
        """
        return self._load(
            file_path,
            format="json",
            records_path=records_path,
            parent_fields=parent_fields,
            flatten=flatten,
        )

    def load_from_parquet(self, file_path: str | Path, **kwargs: Any) -> pd.DataFrame:  # noqa: ANN401
        """Load a Parquet file.

        Args:
            file_path: File.
            **kwargs: None: our reader, with dates as ISO text. Otherwise arguments of
                `pandas.read_parquet`. Either way floats of 16 and 32 bits become doubles with the
                same digits.

        Raises:
            DataNotFoundError: There is no such file.
            DataError: The file is damaged or encrypted.
        """
        if not kwargs:
            return self._load(file_path, format="parquet")
        data = self._load_with_pandas(
            "read_parquet", file_path, {"dtype_backend": "numpy_nullable", **kwargs}
        )
        self.data = double_frame(data)
        return self.data

    def load_from_database(self, connection_string: str, query: str) -> pd.DataFrame:
        """Load the result of a query, read only. Subclasses may override this method.

        Args:
            connection_string: SQLAlchemy URL, or the path of a SQLite file.
            query: One SELECT.

        Raises:
            DataNotFoundError: There is no such SQLite file.
            MissingDependencyError: The database's driver is not installed.
            DataError: The query fails or would write.
        """
        return self._load(connection_string, format="sqlite", query=query)

    def load(self, path: str | Path | None = None, **options: Any) -> pd.DataFrame:  # noqa: ANN401
        """Load a file, folder, pattern or database, whose format is detected.

        Args:
            path: Path or URL; None for `data_path`.
            **options: `query`, `table`, and the fields of `ReadOptions`.

        Raises:
            ValueError: There is neither a path nor a `data_path`.
            DataError: As in `iter_records`.
        """
        return self._load(self._path(path), **options)

    def iter_qa_pairs(
        self,
        question_col: str = "question",
        answer_col: str = "answer",
        context_col: str | None = None,
        *,
        path: str | Path | None = None,
        null: NullPolicy = "drop",
        **options: Any,  # noqa: ANN401 - the fields of ReadOptions
    ) -> Iterator[dict[str, str]]:
        """Read pairs from `path` or `data_path` in constant memory, as `qa_pairs.iter_qa_pairs`."""
        self.report = ReadReport()
        return iter_qa_pairs(
            self._path(path),
            question_col,
            answer_col,
            context_col,
            null=null,
            report=self.report,
            **options,
        )

    def create_qa_pairs(
        self,
        question_col: str = "question",
        answer_col: str = "answer",
        context_col: str | None = None,
        *,
        null: NullPolicy = "drop",
    ) -> list[dict[str, str]]:
        """Make question-answer pairs of the loaded table.

        Args:
            question_col: Column of the questions.
            answer_col: Column of the answers.
            context_col: Column of the contexts; ignored with a note if the table lacks it.
            null: Policy for null or blank cells: "drop" the record, "empty" text, "error".

        Returns:
            Dictionaries with `question`, `answer` and, if the column exists, `context`.

        Raises:
            ValueError: Nothing is loaded, or `null` is not a policy.
            UnknownColumnError: A column is missing; the message lists the columns.
            DataError: A cell is null and `null` is "error".
        """
        check_null_policy(null)
        data = self._loaded()
        wanted = own_names(_columns(data), [question_col, answer_col])
        check_columns(_LOADED, _columns(data), tuple(wanted))
        if context_col is not None and self._has(data, context_col):
            wanted += own_names(_columns(data), [context_col])
        return list(pairs_of_records(self._records(data, wanted), wanted, null, self._new_counts()))

    def prepare_distillation_dataset(
        self, text_col: str = "text", label_col: str | None = None, *, null: NullPolicy = "drop"
    ) -> list[dict[str, str]]:
        """Make training texts of the loaded table.

        Without a `text` column the text is the question's prompt, a space and the answer.

        Args:
            text_col: Column of the texts.
            label_col: Column of the labels; ignored with a note if the table lacks it.
            null: As in `create_qa_pairs`, for text, question, answer and label.

        Returns:
            Dictionaries with `text` and, if the column exists, `label`.

        Raises:
            ValueError: As in `create_qa_pairs`.
            UnknownColumnError: The table has neither the text column nor question and answer.
            DataError: A cell is null and `null` is "error".
        """
        check_null_policy(null)
        data = self._loaded()
        names = _columns(data)
        (text_col,) = own_names(names, [text_col])
        if text_col == "question" and "answer" in names:
            warnings.warn(
                "text_col='question' makes texts without answers: the student never sees one. "
                "Leave text_col out to train on question and answer",
                UserWarning,
                stacklevel=2,
            )
        label = None
        if label_col is not None and self._has(data, label_col):
            (label,) = own_names(names, [label_col])
        body, context = [text_col], None
        if text_col not in names:
            if text_col != "text" or not {"question", "answer"} <= set(names):
                check_columns(_LOADED, names, (text_col,))
            body, context = ["question", "answer"], "context" if "context" in names else None
        records = self._records(
            data, [name for name in (*body, label, context) if name is not None]
        )
        return texts_of_records(records, body, label, context, null, self._new_counts())

    def _load(self, source: str | Path, **options: Any) -> pd.DataFrame:  # noqa: ANN401
        """Read with our readers; CSV columns become numbers where that is lossless."""
        self.report = ReadReport()
        names, kinds = columns_of(source, **options)
        records = iter_records(source, report=self.report, **options)
        self.data = frame_from_records(records, columns=names, parse_text=kinds == {"csv"})
        return self.data

    def _load_with_pandas(
        self, function: str, path: str | Path, arguments: dict[str, Any]
    ) -> pd.DataFrame:
        import pandas as pd

        self.report = ReadReport()
        try:
            data = getattr(pd, function)(path, **arguments)
        except FileNotFoundError:
            raise DataNotFoundError(f"{path}: no such file; check the spelling") from None
        except pd.errors.EmptyDataError as fault:
            raise EmptyDataError(f"pandas: {fault}", path=path) from fault
        except (ValueError, OSError, KeyError) as fault:  # include errors of pandas and Arrow
            raise UnreadableFileError(f"pandas: {fault}", path=path) from fault
        if not isinstance(data, pd.DataFrame):
            raise DataError(f"pandas gave a {type(data).__name__} instead of a table", path=path)
        self.report.files, self.report.records = 1, len(data)
        self.data = data
        return data

    def _path(self, path: str | Path | None) -> str | Path:
        chosen = self.data_path if path is None else path
        if chosen is None:
            raise ValueError("No path given. Pass one, or make StructuredDataLoader(data_path).")
        return chosen

    def _loaded(self) -> pd.DataFrame:
        if self.data is None:
            raise EmptyDataError("No data loaded. Call load_from_csv or load_from_json first.")
        return self.data

    def _has(self, data: pd.DataFrame, name: str) -> bool:
        names = _columns(data)
        found = own_names(names, [name])[0] in names
        if not found:
            self.report.note(f"there is no column {name!r}, so it is left out")
        return found

    def _new_counts(self) -> ReadReport:
        self.report.dropped.clear()
        self.report.filled.clear()
        return self.report

    def _records(self, data: pd.DataFrame, wanted: list[str]) -> Iterator[SourcedRecord]:
        columns = [column_cells(data[name]) for name in wanted]
        for row, cells in enumerate(zip(*columns, strict=True), 1):
            yield SourcedRecord(_LOADED, row, dict(zip(wanted, cells, strict=True)))


def _columns(data: pd.DataFrame) -> list[str]:
    return [str(name) for name in data.columns]
