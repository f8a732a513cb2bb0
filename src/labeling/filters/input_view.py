"""The one view of an article that oracle, training and inference share.

view = package.view
shown = view.read(article)              # title, source, date, shortened content
view.oracle_prompt(shown)               # what the oracle is asked
view.student_text(shown)                # what the student is trained on and scores
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from ...errors import ConfigError, DataError
from ...records import record_hash
from .compression import COMPRESSION_VERSION, compress_text
from .filter_config import DEFAULT_COMPRESSION, CompressionSettings
from .prefilter import article_fault, content_of
from .prompt_template import PromptTemplate


@dataclass(frozen=True)
class ShownArticle:
    """What is visible of an article."""

    title: str
    source: str
    published_date: str
    text: str
    """The content, shortened."""

    @property
    def sha256(self) -> str:
        """Hash of what is visible; equal for oracle, training and inference."""
        return record_hash(asdict(self))


@dataclass(frozen=True)
class InputView:
    """Prompt and compression of a filter; its hash is kept with labels and checkpoints."""

    prompt: PromptTemplate
    compression: CompressionSettings = DEFAULT_COMPRESSION

    def read(self, article: Mapping[str, Any]) -> ShownArticle:
        """Take what is visible from an article.

        Raises:
            DataError: It has no title or no content, or `keep_patterns` take too long on it.
        """
        fault = article_fault(article)
        if fault is not None:
            raise DataError(f"the article {_name(article)!r} cannot be shown: {fault}")
        return ShownArticle(
            _text(article, "title"),
            _text(article, "source"),
            _text(article, "published_date"),
            compress_text(content_of(article), self.compression),
        )

    def oracle_prompt(self, shown: ShownArticle) -> str:
        """Write what the oracle is asked."""
        return self.prompt.render(asdict(shown))

    def student_text(self, shown: ShownArticle) -> str:
        """Write what a student reads: title and content, without the prompt.

        LLM Distillery measured an error of 1.36 with the prompt and of 0.67 without.
        """
        return f"{shown.title}\n\n{shown.text}"

    @property
    def sha256(self) -> str:
        """Hash of prompt and compression, 64 hex digits (`view_hash` in `run.json`)."""
        return record_hash(self.identity())

    def identity(self) -> dict[str, Any]:
        """Give what the hash is taken of, as JSON values."""
        return {
            "fields": list(_FIELDS),
            "prompt_sha256": self.prompt.sha256,
            "compression": {
                **asdict(self.compression),
                "keep_patterns": list(self.compression.keep_patterns),
                "version": COMPRESSION_VERSION,
            },
        }


MOST_CHARACTERS: Final = 500
"""Of title, source and date; what is behind them is not shown."""
_FIELDS: Final = ("title", "source", "published_date", "content")


def require_same_view(
    recorded: Mapping[str, Any],
    view: InputView,
    *,
    where: str,
    allow_view_mismatch: bool = False,
) -> None:
    """Refuse to use labels or a checkpoint with another view than the one they were made with.

    Args:
        recorded: What was stored: `view_hash`, or at least `prompt_sha256` or `prompt_hash`.
        view: The view of now.
        where: What holds the record, for the message, such as `labels.jsonl, record 3`.
        allow_view_mismatch: Accept a difference.

    Raises:
        ConfigError: Prompt or compression have changed, or nothing was recorded.
    """
    if allow_view_mismatch:
        return
    ours = {
        "prompt_hash": view.prompt.prompt_hash,
        "prompt_sha256": view.prompt.sha256,
        "view_hash": view.sha256,
    }
    given = {name: recorded[name] for name in ours if recorded.get(name) is not None}
    if not given:
        raise ConfigError([
            f"{where}: holds no prompt_hash and no view_hash, so nothing shows which view of the "
            "articles was used; label again, or set allow_view_mismatch=True"
        ])  # fmt: skip
    for name, value in given.items():
        same = view.prompt.is_hash(value) if name == "prompt_hash" else value == ours[name]
        if not same:
            what = "the prompt" if name != "view_hash" else "the shortening of articles"
            raise ConfigError([
                f"{where}: {what} has changed since ({name} is {value}, now {ours[name]}); restore "
                "it, label again, or set allow_view_mismatch=True"
            ])  # fmt: skip


def _text(article: Mapping[str, Any], name: str) -> str:
    value = article.get(name)
    return "" if value is None else str(value).strip()[:MOST_CHARACTERS].strip()


def _name(article: Any) -> object:  # noqa: ANN401 - may be anything
    return article.get("id") if isinstance(article, Mapping) else article
