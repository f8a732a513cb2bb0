"""`GenericBatchLabeler` and `GenericBatchScorer`: labelling for a filter as a class.

labeler = GenericBatchLabeler("filters/uplifting/v1/prompt-compressed.md", llm_provider="gemini")
labeler.run("raw/*.jsonl", target_count=2000)

The prompt belongs to a package, whose config names the dimensions that a reply must have.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from ....errors import ConfigError, DataError
from ....records import sha256_text
from ...batch.label_run import LabelSettings, LabelTask
from ...batch.labeler import BatchLabeler
from ...teachers.open_teacher import open_teacher
from ...teachers.protocol import Teacher
from ..curation.merge import read_json_objects
from ..filter_package import FilterPackage, load_filter
from ..label_articles import CALLS_FOLDER, PROFILE, FilterLabels, label_articles
from ..label_folder import LabelFolder
from ..oracle_reply import oracle_check, read_reply
from ..scored_record import scored_record
from .oracle_errors import ErrorType, LLMAuthError, LLMRateLimitError, error_type_of
from .oracle_names import named_oracle, thinking_fields

PreFilter = Callable[[Mapping[str, Any]], Any]
"""Article -> whether it is labelled, or `(bool, reason)` as `apply_filter` gives it."""


class GenericBatchScorer:
    """Labels articles into `scored_batch_NNN.jsonl`; a run that ended early goes on."""

    form: ClassVar[str] = "scored"

    def __init__(
        self,
        prompt_path: str | Path,
        llm_provider: str = "claude",
        api_key: str | None = None,
        output_dir: str | Path = "datasets",
        filter_name: str | None = None,
        filter_version: str | None = None,
        thinking_budget: int = 0,
        *,
        teacher: Teacher | None = None,
        settings: LabelSettings | None = None,
        allow_code: bool = False,
    ) -> None:
        """Load the package of a prompt; nothing is asked yet.

        Args:
            prompt_path: Prompt in the folder of a package.
            llm_provider: `claude`, `gemini`, `gemini-pro`, `gemini-flash`, `gpt4`, or a source of
                `open_teacher`.
            api_key: Kept in memory alone; prefer the provider's environment variable.
            output_dir: Labels go to `<output_dir>/<filter>`.
            filter_name: Must be the package's own, where it is given.
            filter_version: Must be the package's own, where it is given.
            thinking_budget: Tokens of reasoning before a reply, of Gemini and Claude; 0 or more.
            teacher: The oracle itself, in place of `llm_provider`.
            settings: Limits, retries and budget.
            allow_code: Whether the package's `prefilter.py` may be run.

        Raises:
            FileNotFoundError: There is no such prompt or package.
            ConfigError: The package has faults, or another name or version.
        """
        self.prompt_path = Path(prompt_path)
        if not self.prompt_path.is_file():
            raise FileNotFoundError(f"there is no prompt {str(prompt_path)!r}")
        self.package: FilterPackage = load_filter(self.prompt_path.parent, allow_code=allow_code)
        config = self.package.config
        faults = [
            f"{name} is {given!r}; the package in {self.package.folder} says {own!r}"
            for name, given, own in (
                ("filter_name", filter_name, config.name),
                ("filter_version", filter_version, config.version),
            )
            if given is not None and given.removeprefix("v") != own.removeprefix("v")
        ]
        if thinking_budget < 0:
            faults.append(f"thinking_budget is {thinking_budget}; allowed is 0 or more")
        if faults:
            raise ConfigError(faults)
        self.llm_provider = llm_provider
        self.output_dir = Path(output_dir)
        self.filter_name, self.filter_version = config.name, config.version
        self.thinking_budget = thinking_budget
        self.settings = settings or LabelSettings()
        self._api_key, self._teacher = api_key, teacher
        self.profile = replace(
            PROFILE, extra=thinking_fields([named_oracle(llm_provider)[0]], thinking_budget)
        )
        self.last_error: ErrorType | None = None
        """Why the last `analyze_article` gave None."""

    @property
    def folder(self) -> Path:
        """Folder of the labels."""
        return self.output_dir / self.filter_name

    @property
    def teacher(self) -> Teacher:
        """The oracle, which is opened when it is first needed."""
        if self._teacher is None:
            source, model = named_oracle(self.llm_provider)
            self._teacher = open_teacher(source, model=model, api_key=self._api_key)
        return self._teacher

    def build_prompt(self, article: Mapping[str, Any]) -> str:
        """Write what the oracle is asked about an article.

        Raises:
            DataError: The article has no title or no content.
        """
        return self.package.view.oracle_prompt(self.package.view.read(article))

    def analyze_article(
        self, article: Mapping[str, Any], timeout_seconds: float = 60, max_retries: int = 3
    ) -> dict[str, Any] | None:
        """Ask about one article; give its analysis, or None after `max_retries` calls.

        Args:
            article: With `id`, `title` and `content`.
            timeout_seconds: Longest wait for all calls together is `max_retries` times this.
            max_retries: Most calls, 1 or more.

        Raises:
            LLMAuthError: The key is missing or refused.
            LLMRateLimitError: The server takes no more calls for now.
        """
        if max_retries < 1 or timeout_seconds <= 0:
            raise ConfigError([
                f"max_retries is {max_retries} and timeout_seconds {timeout_seconds}; allowed are "
                "1 or more, and above 0"
            ])  # fmt: skip
        settings = LabelSettings(
            concurrency=1, max_attempts=max_retries, max_rejections=max_retries,
            max_error_rate=None, retry_failed=True,
        )  # fmt: skip
        labeler = BatchLabeler(
            _InTime(self.teacher, timeout_seconds), self.folder / CALLS_FOLDER, settings=settings,
            profile=self.profile, check=oracle_check(self.package.config),
        )  # fmt: skip
        run = labeler.run([LabelTask(str(article.get("id", "")), self.build_prompt(article),
                                     dict(article))])  # fmt: skip
        if run.stopped == "auth_error":
            raise LLMAuthError(run.message)
        if run.stopped is not None:
            raise LLMRateLimitError(run.message)
        answer = run.results[0].answer
        self.last_error = None
        if answer is None:
            fault = run.results[0].fault
            self.last_error = ErrorType.UNKNOWN if fault is None else error_type_of(fault)
            return None
        config = self.package.config
        made = scored_record(
            article,
            read_reply(answer.text, config),
            config,
            prompt_hash=self.package.prompt.prompt_hash,
            oracle=self.teacher.name,
            view_hash=self.package.view.sha256,
        )
        analysis: dict[str, Any] = made[config.analysis_field]
        return analysis

    def process_batch(
        self, articles: Iterable[Mapping[str, Any]], batch_num: int
    ) -> dict[str, Any]:
        """Label some articles.

        Args:
            articles: With `id`, `title` and `content`.
            batch_num: Number of the batch, for the report; the files number themselves.

        Returns:
            `batch`, `labelled`, `failed`, `total`, and `stopped` where the run ended early.
        """
        made = self._label(articles)
        return {"batch": batch_num, "labelled": made.labelled, "failed": made.failed,
                "total": made.total, "stopped": made.stopped}  # fmt: skip

    def load_all_articles(
        self, source_files: str | Path | Iterable[str | Path], pre_filter: PreFilter | None = None
    ) -> list[dict[str, Any]]:
        """Read all articles, those that a function lets pass.

        Raises:
            DataNotFoundError: A file does not exist.
            DataError: A line is no JSON object; names file and line.
        """
        return list(self._read(source_files, pre_filter))

    def load_unscored_articles(
        self,
        source_files: str | Path | Iterable[str | Path],
        batch_size: int = 50,
        pre_filter: PreFilter | None = None,
    ) -> list[dict[str, Any]]:
        """Read the next articles that have no label and are no dead letter.

        Raises:
            DataNotFoundError: A file does not exist.
            DataError: A line is no JSON object; names file and line.
        """
        folder = self._folder()
        left = (one for one in self._read(source_files, pre_filter)
                if not folder.is_done(str(one.get("id"))))  # fmt: skip
        return list(itertools.islice(left, batch_size))

    def run(
        self,
        source_files: str | Path | Iterable[str | Path],
        max_batches: int | None = None,
        target_count: int | None = None,
        batch_size: int = 50,
        pre_filter: PreFilter | None = None,
        random_sample: bool = False,
        random_seed: int = 42,
    ) -> dict[str, Any]:
        """Label until the target, the batches or the articles are used up.

        Args:
            source_files: Files or patterns of JSON Lines.
            max_batches: Most batch files that this run adds.
            target_count: Labels that the folder shall hold.
            batch_size: Lines of a batch file.
            pre_filter: Used beside the package's own prefilter.
            random_sample: Take articles in an order that depends on seed and ids alone.
            random_seed: Of that order.

        Returns:
            `labelled`, `failed`, `total`, and `stopped` and `message` where it ended early.
        """
        articles: Iterable[dict[str, Any]] = self._read(source_files, pre_filter)
        if random_sample:
            articles = sorted(
                articles, key=lambda one: sha256_text(f"{random_seed}:{one.get('id')}")
            )
        made = self._label(articles, max_batches=max_batches, target_count=target_count,
                           batch_size=batch_size)  # fmt: skip
        return {"labelled": made.labelled, "failed": made.failed, "total": made.total,
                "stopped": made.stopped, "message": made.message}  # fmt: skip

    def _label(
        self,
        articles: Iterable[Mapping[str, Any]],
        *,
        max_batches: int | None = None,
        target_count: int | None = None,
        batch_size: int = 50,
    ) -> FilterLabels:
        return label_articles(
            self.package, articles, self.teacher, self.output_dir, settings=self.settings,
            most_batches=max_batches, target_count=target_count, batch_size=batch_size,
            form=self.form, profile=self.profile,
        )  # fmt: skip

    def _folder(self) -> LabelFolder:
        return LabelFolder(self.output_dir, self.package.config, oracle=self.teacher.name,
                           prompt=self.package.prompt, form=self.form)  # fmt: skip

    def _read(
        self, source_files: str | Path | Iterable[str | Path], pre_filter: PreFilter | None
    ) -> Iterator[dict[str, Any]]:
        rejected: list[str] = []
        for _, record in read_json_objects(source_files, rejected):
            if rejected:
                raise DataError(rejected[0])
            kept = True if pre_filter is None else pre_filter(record)
            if kept[0] if isinstance(kept, tuple) else kept:
                yield record
        if rejected:
            raise DataError(rejected[0])


class GenericBatchLabeler(GenericBatchScorer):
    """Labels articles into `labeled_batch_NNN.jsonl`; the name of the first version."""

    form = "labeled"

    def load_unlabeled_articles(
        self,
        source_files: str | Path | Iterable[str | Path],
        batch_size: int = 50,
        pre_filter: PreFilter | None = None,
    ) -> list[dict[str, Any]]:
        """Read the next articles without a label: see `load_unscored_articles`."""
        return self.load_unscored_articles(source_files, batch_size, pre_filter)


class _InTime:
    """An oracle whose calls are cancelled after some seconds."""

    def __init__(self, teacher: Teacher, timeout_s: float) -> None:
        self._teacher, self._timeout_s = teacher, timeout_s
        self.name, self.revision = teacher.name, teacher.revision
        self.honours_idempotency = getattr(teacher, "honours_idempotency", False)

    async def ask(self, prompt: Any, profile: Any, *, call_id: str = "") -> Any:  # noqa: ANN401
        import asyncio

        from ....errors import DeadlineError

        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._teacher.ask(prompt, profile, call_id=call_id)
        except TimeoutError as fault:
            raise DeadlineError(f"no answer in {self._timeout_s:g} s") from fault

    async def close(self) -> None:
        await self._teacher.close()
