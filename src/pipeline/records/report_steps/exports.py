"""`WriteMlxDataset` and `WriteDataset`: records as files that trainers read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import ClassVar

from ....labeling.reports.export_forms import Exporter, ExportFields, FormName
from ..step import Record, RunContext
from .dataset_files import DatasetFiles
from .report_step import RunFolderStep


class ExportStep(RunFolderStep):
    """Writes records as a data set, split by hash, with the files of `dataset_files`.

    A record that lacks what the form needs ends the run, named by its id: nothing missing is
    trained as an empty text.
    """

    train_ratio: float = 0.9
    """Share of the training part, 0 to 1."""
    sample_id_field: str = "sample_id"
    """Column whose hash decides the part of a record."""
    prompt_template: str = "{{ instruction }}"
    """Jinja text of the prompt, with the columns as variables; an undefined one is an error."""
    assistant_field: str = "generation"
    """Column of the answer."""
    system_prompt: str | None = None
    system_prompt_field: str | None = None
    """Column of a record's own system prompt, which goes before `system_prompt`."""
    metadata_fields: list[str] = field(default_factory=list)
    """Columns that are kept in `metadata` of `messages` and `mlx`, where a record has them."""

    def __post_init__(self) -> None:
        """Check the template."""
        super().__post_init__()
        self._files: DatasetFiles | None = None
        Exporter(self.form_name, self.fields())

    @property
    @abstractmethod
    def form_name(self) -> FormName:
        """Form of the objects."""

    @abstractmethod
    def open_files(self) -> DatasetFiles:
        """Begin the files."""

    def fields(self) -> ExportFields:
        """Tell where the parts of an object come from."""
        return ExportFields(
            prompt_template=self.prompt_template,
            assistant_field=self.assistant_field,
            system_prompt=self.system_prompt,
            system_prompt_field=self.system_prompt_field,
            metadata_fields=tuple(self.metadata_fields),
        )

    def start(self, context: RunContext) -> None:
        """Begin the files.

        Raises:
            ConfigError: The folder holds the data of another run.
        """
        self._context = context
        self.unload()
        self._files = self.open_files()

    def observe(self, rows: Sequence[Record]) -> None:
        """Take a batch.

        Raises:
            DataError: A record lacks what the form needs; names it.
        """
        try:
            for row in rows:
                self._opened.add(row)
        except BaseException:
            self.unload()
            raise

    def finish(self) -> list[Path]:
        """Write the files."""
        try:
            return self._opened.finish(partial=self._context.partial)
        finally:
            self.unload()

    def unload(self) -> None:
        """Drop what was held of an export that did not finish."""
        if self._files is not None:
            self._files.close()
            self._files = None

    @property
    def _opened(self) -> DatasetFiles:
        if self._files is None:
            raise RuntimeError(f"{type(self).__name__}: call start before observe and finish")
        return self._files


class WriteDataset(ExportStep):
    """Writes records in the form of Alpaca, chat messages, ShareGPT, DPO or MLX."""

    output_dir: str = "artifacts/exports"
    """Folder of the folder `<form>` with the files."""
    form: FormName = "messages"
    """`alpaca`, `messages`, `sharegpt`, `dpo` or `mlx`; see `export_forms`."""
    val_ratio: float | None = None
    """Share of the validation part, the rest is a test part; None: there is no test part."""
    input_field: str | None = "input"
    """Column of Alpaca's `input`; a record without it has an empty one."""
    chosen_field: str = "chosen"
    rejected_field: str = "rejected"
    """Columns of the better and the worse answer, for `dpo`."""

    run_subfolder: ClassVar[str] = "exports"

    @property
    def form_name(self) -> FormName:
        """Form of the objects."""
        return self.form

    def fields(self) -> ExportFields:
        """Tell where the parts of an object come from."""
        return replace(
            super().fields(),
            input_field=self.input_field,
            chosen_field=self.chosen_field,
            rejected_field=self.rejected_field,
        )

    def open_files(self) -> DatasetFiles:
        """Begin the files."""
        return DatasetFiles(
            self.below(self.form),
            self.form,
            self.fields(),
            train=self.train_ratio,
            val=self.val_ratio,
            sample_id_field=self.sample_id_field,
            run_id=self.named_run,
        )


class WriteMlxDataset(ExportStep):
    """Writes records as MLX trains them: chat messages, in `train.jsonl` and `valid.jsonl`."""

    output_dir: str = "artifacts/exports/mlx"
    train_filename: str = "train.jsonl"
    valid_filename: str = "valid.jsonl"
    prompt_template: str = "Schema: {{ schema }}\nQuestion: {{ instruction }}\nSQL:"
    system_prompt: str | None = "Return SQL only."
    metadata_fields: list[str] = field(default_factory=lambda: ["sample_id"])

    run_subfolder: ClassVar[str] = "exports/mlx"

    @property
    def form_name(self) -> FormName:
        """Form of the objects."""
        return "mlx"

    def open_files(self) -> DatasetFiles:
        """Begin the files."""
        return DatasetFiles(
            self.below(""),
            "mlx",
            self.fields(),
            train=self.train_ratio,
            sample_id_field=self.sample_id_field,
            names={"train": self.train_filename, "val": self.valid_filename},
            run_id=self.named_run,
        )
