"""The folder of a labelling run: batch files, state, metrics, dead letters, replies that failed.

Both public forms are read and continued: `labeled_batch_001.jsonl` with `.labeled_ids.json`, and
`scored_batch_001.jsonl` with `.scored_ids.json`. The batch files are the truth: a state that
disagrees with them is made again, and a last line that was cut off is removed.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ...config import read_written_json
from ...errors import ConfigError, DataError
from ...files import write_json
from .filter_config import FilterConfig
from .prompt_template import PromptTemplate
from .scored_record import AnalysisFault, analysis_of

SCHEMA_VERSION: Final = 1
FORMS: Final = {"labeled": "total_labeled", "scored": "total_scored"}
"""Form of a folder -> key of the number of labels in its state."""
METRICS_FILE: Final = "metrics.jsonl"
SUMMARY_FILE: Final = "session_summary.json"
DEAD_LETTERS_FILE: Final = "dead_letter.jsonl"
EVENTS_FILE: Final = "events.jsonl"
LOG_FILE: Final = "distillation.log"
_LONGEST_ID: Final = 64
_SECRET: Final = re.compile(
    r"\b(?:sk|pk|rk|hf|gsk|AIza|ghp|xai)[-_]?[A-Za-z0-9_-]{16,}|(?<=Bearer )\S+"
)


class LabelFolder:
    """Labels of one filter, appended one by one; opening it repairs what a crash left behind.

    Attributes:
        labelled: Id of each labelled record -> place of its line.
        dead: Ids of the dead letters; `retry_failed` asks for them again.
    """

    def __init__(
        self,
        output_dir: str | Path,
        config: FilterConfig,
        *,
        oracle: str,
        prompt: PromptTemplate,
        batch_size: int = 50,
        allow_change: bool = False,
        retry_failed: bool = False,
        view_hash: str | None = None,
        form: str | None = None,
    ) -> None:
        """Open or make `<output_dir>/<filter>`.

        Args:
            output_dir: Folder for labels of all filters.
            config: Of the filter.
            oracle: Provider or model that labels now.
            prompt: Of now.
            batch_size: Lines of a batch file, 1 or more.
            allow_change: Continue with another oracle or prompt than that of the labels; the change
                is written to `events.jsonl`.
            retry_failed: Forget the dead letters.
            view_hash: Of the view of articles; None does not compare it.
            form: `labeled` or `scored`, for a new folder; None takes the first. A folder that is
                there keeps its own.

        Raises:
            ConfigError: `batch_size` is below 1, or oracle or prompt have changed.
            DataError: A line that is not the last of its file is no valid label, or an id occurs
                twice; names file and line.
        """
        if batch_size < 1:
            raise ConfigError([f"batch_size is {batch_size}; allowed is 1 or more"])
        self.folder = Path(output_dir) / config.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = config
        self.oracle = oracle
        self.prompt = prompt
        self.batch_size = batch_size
        self.form = self._find_form(form)
        self.labelled: dict[str, str] = {}
        self.sources: Counter[tuple[str, str]] = Counter()
        self._view_hash = view_hash
        self._views: set[str] = set()
        self._batch = 0
        self._lines = 0
        self._read_batches()
        self.dead = self._read_dead(retry_failed=retry_failed)
        self._check_source(allow_change=allow_change)
        self.write_state()

    @property
    def state_path(self) -> Path:
        """Path of the state file."""
        return self.folder / f".{self.form}_ids.json"

    def is_done(self, identity: str) -> bool:
        """Tell whether a record is labelled, or a dead letter."""
        return identity in self.labelled or identity in self.dead

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one label, on the disk before this returns.

        Raises:
            DataError: The record has no valid analysis, or its id is there already.
        """
        identity = self._checked(record, "the record")
        if self._lines >= self.batch_size or self._batch == 0:
            self._batch, self._lines = self._batch + 1, 0
            self.write_state()
        path = self._batch_path(self._batch)
        _append_line(path, record)
        self._lines += 1
        self._count(record, identity, f"{path.name}, line {self._lines}")

    def fail(
        self,
        record: Mapping[str, Any],
        *,
        attempts: int,
        error_type: str,
        error_message: str,
        response: str | None = None,
    ) -> None:
        """Write a dead letter; the reply that failed goes to `error_logs`, without secrets."""
        identity = str(record.get("id"))
        _append_line(self.folder / DEAD_LETTERS_FILE, {
            "id": identity,
            "attempts": attempts,
            "error_type": error_type,
            "error_message": without_secrets(error_message),
            "record": dict(record),
        })  # fmt: skip
        self.dead.add(identity)
        if response is not None:
            self.keep_reply(identity, attempts, response)

    def keep_reply(self, identity: str, attempt: int, response: str) -> None:
        """Write a reply that was not accepted to `error_logs`, without secrets."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        name = re.sub(r"[^A-Za-z0-9_-]", "_", identity)[:_LONGEST_ID]
        path = self.folder / "error_logs" / f"{name}_attempt{attempt}_{moment}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(without_secrets(response), encoding="utf-8")

    def write_metrics(
        self,
        article_id: str,
        *,
        success: bool,
        attempts: int,
        seconds: float | None,
        repaired: bool = False,
        **more: Any,  # noqa: ANN401 - JSON values
    ) -> None:
        """Add a line to `metrics.jsonl`.

        Args:
            article_id: Id of the article.
            success: Whether there is a label.
            attempts: Calls.
            seconds: Time from the first call to the last answer; None where it is not known.
            repaired: Whether the reply was repaired.
            more: `error_type`, `tokens_in`, `cost` and so on; None is left out.
        """
        _append_line(self.folder / METRICS_FILE, {
            "timestamp": datetime.now(UTC).isoformat(),
            "article_id": article_id,
            "filter_name": self.config.name,
            "llm_provider": self.oracle,
            "success": success,
            "attempts_made": attempts,
            "time_taken_seconds": seconds,
            "json_repaired": repaired,
            "prompt_hash": self.prompt.prompt_hash,
            **{key: value for key, value in more.items() if value is not None},
        })  # fmt: skip

    def log(self, message: str, level: str = "INFO") -> None:
        """Add a line `time | LEVEL | message` to `distillation.log`, without secrets."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = f"{now} | {level} | {without_secrets(' '.join(message.split()))}\n"
        with open(self.folder / LOG_FILE, "a", encoding="utf-8") as stream:
            stream.write(line)

    def write_state(self) -> None:
        """Write the state, in the form of the folder."""
        write_json(self.state_path, {
            "schema_version": SCHEMA_VERSION,
            "processed": list(self.labelled),
            FORMS[self.form]: len(self.labelled),
            "batches_completed": self._batch - int(0 < self._lines < self.batch_size),
            "last_updated": datetime.now(UTC).isoformat(),
            "filter_name": self.config.name,
            "llm_provider": self.oracle,
            "prompt_hash": self.prompt.prompt_hash,
        })  # fmt: skip

    def close(
        self,
        *,
        started_at: datetime,
        attempted: int,
        succeeded: int,
        retries: int = 0,
        errors: Mapping[str, int] | None = None,
        processing_s: float = 0.0,
        cost: float | None = None,
    ) -> None:
        """Write the state, and `session_summary.json` of this run."""
        self.write_state()
        ended = datetime.now(UTC)
        write_json(self.folder / SUMMARY_FILE, {
            "schema_version": SCHEMA_VERSION,
            "started_at": started_at.isoformat(),
            "ended_at": ended.isoformat(),
            "duration_seconds": (ended - started_at).total_seconds(),
            "articles_attempted": attempted,
            "articles_succeeded": succeeded,
            "articles_failed": attempted - succeeded,
            "total_retries": retries,
            "errors_by_type": dict(errors or {}),
            "total_processing_time": processing_s,
            "cost": cost,
        })  # fmt: skip

    def _find_form(self, wanted: str | None) -> str:
        """Find which of the two forms a folder has; a new one has the first."""
        found = [
            form for form in FORMS
            if any(self.folder.glob(f"{form}_batch_*.jsonl"))
            or (self.folder / f".{form}_ids.json").exists()
        ]  # fmt: skip
        if len(found) > 1:
            raise ConfigError([f"{self.folder} holds labeled_batch and scored_batch files; move "
                               "those of one form away"])  # fmt: skip
        if wanted is not None and wanted not in FORMS:
            raise ConfigError([f"form is {wanted!r}; allowed are {', '.join(FORMS)}"])
        return found[0] if found else wanted or next(iter(FORMS))

    def _batch_path(self, number: int) -> Path:
        return self.folder / f"{self.form}_batch_{number:03d}.jsonl"

    def _read_batches(self) -> None:
        numbered = sorted(
            (int(found[1]), path)
            for path in self.folder.glob(f"{self.form}_batch_*.jsonl")
            if (found := re.fullmatch(rf"{self.form}_batch_(\d+)\.jsonl", path.name))
        )
        for place, (number, path) in enumerate(numbered):
            if place == len(numbered) - 1:
                _cut_partial_line(path)
            lines = 0
            with open(path, encoding="utf-8-sig") as stream:
                for lines, line in enumerate(stream, start=1):
                    where = f"{path.name}, line {lines}"
                    try:
                        record = json.loads(line)
                    except ValueError as fault:
                        raise DataError(f"is no JSON ({fault}); delete the line",
                                        path=path, line=lines) from fault  # fmt: skip
                    identity = self._checked(record, where)
                    self._count(record, identity, where)
            self._batch, self._lines = number, lines

    def _checked(self, record: Any, where: str) -> str:  # noqa: ANN401 - any JSON value
        """Check a label; give its id."""
        identity = record.get("id") if isinstance(record, Mapping) else None
        if identity is None or identity == "":
            raise DataError(f"{where}: there is no id", path=self.folder)
        try:
            analysis = analysis_of(record, self.config)
        except AnalysisFault as fault:
            raise DataError(f"{where}: {fault}", path=self.folder) from fault
        if analysis is None:
            raise DataError(f"{where}: there is no {self.config.analysis_field}", path=self.folder)
        if str(identity) in self.labelled:
            raise DataError(f"{where}: the id {identity!r} is in {self.labelled[str(identity)]} "
                            "too", path=self.folder)  # fmt: skip
        return str(identity)

    def _count(self, record: Mapping[str, Any], identity: str, where: str) -> None:
        self.labelled[identity] = where
        told = record[self.config.analysis_field]
        self.sources[(str(told.get("prompt_hash", "")), str(told.get("analyzed_by", "")))] += 1
        if told.get("view_hash"):
            self._views.add(str(told["view_hash"]))

    def _read_dead(self, *, retry_failed: bool) -> set[str]:
        path = self.folder / DEAD_LETTERS_FILE
        if not path.exists():
            return set()
        if retry_failed:
            path.unlink()
            return set()
        _cut_partial_line(path)
        lines = path.read_text(encoding="utf-8").splitlines()
        return {str(json.loads(line)["id"]) for line in lines} - self.labelled.keys()

    def _check_source(self, *, allow_change: bool) -> None:
        """Refuse to mix labels of several prompts or oracles without a word."""
        state = read_written_json(self.state_path) if self.state_path.exists() else {}
        prompts = {prompt for prompt, _ in self.sources if prompt}
        oracles = {oracle.removesuffix("-api-batch") for _, oracle in self.sources if oracle}
        if self.sources and isinstance(state, Mapping) and state.get("llm_provider"):
            oracles.add(str(state["llm_provider"]))
        faults = []
        if not all(map(self.prompt.is_hash, prompts)):
            faults.append(f"the labels were made with the prompt {sorted(prompts)}, and that of "
                          f"now is {self.prompt.prompt_hash!r}")  # fmt: skip
        if oracles - {self.oracle}:
            faults.append(f"the labels are of the oracle {sorted(oracles)}, and that of now is "
                          f"{self.oracle!r}")  # fmt: skip
        if self._view_hash is not None and not faults and self._views - {self._view_hash}:
            faults.append("the articles were shortened in another way when they were labelled "
                          f"(view_hash {sorted(self._views)}, now {self._view_hash})")  # fmt: skip
        if faults and not allow_change:
            raise ConfigError([f"{self.folder}: {one}; label into another folder, or set "
                               "allow_change=True" for one in faults])  # fmt: skip
        for one in faults:
            self.log(one, "WARNING")
            event = {"timestamp": datetime.now(UTC).isoformat(), "event": one}
            _append_line(self.folder / EVENTS_FILE, {**event, "labels_before": len(self.labelled)})


def without_secrets(text: str) -> str:
    """Replace what looks like an API key.

    >>> without_secrets("key sk-abcdefghijklmnop1234 refused")
    'key [secret] refused'
    """
    return _SECRET.sub("[secret]", text)


def _append_line(path: Path, record: Mapping[str, Any]) -> None:
    line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    with open(path, "ab") as stream:
        stream.write(line.encode("utf-8"))
        stream.flush()
        os.fsync(stream.fileno())


def _cut_partial_line(path: Path) -> None:
    """Remove what follows the last line end: a record whose writing was cut off."""
    with open(path, "r+b") as stream:
        data = stream.read()
        end = data.rfind(b"\n") + 1
        if end < len(data):
            stream.truncate(end)
            stream.flush()
            os.fsync(stream.fileno())
