"""The prompt of a filter: read from its file, hashed as used, filled with an article.

Two forms are read. With a heading `## PROMPT TEMPLATE`, the template is the first fenced block
below it, with `{title}`, `{source}`, `{published_date}` and `{text}`. Otherwise it is the whole
file, and the article replaces `[Paste the summary of the article here]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ...errors import ConfigError
from ...records import sha256_text

PROMPT_FILES: Final = ("prompt-compressed.md", "prompt.md")
"""Names of the prompt file; the first that exists is taken."""
PASTE_MARK: Final = "[Paste the summary of the article here]"
_HEADING: Final = re.compile(r"^## PROMPT TEMPLATE[^\n]*$", re.MULTILINE)
_LAST_LINE: Final = "DO NOT include any text outside the JSON object."
_FENCE: Final = re.compile(r"^(`{3,}|~{3,})[^\n]*\n", re.MULTILINE)
_FIELD: Final = re.compile(r"\{(title|source|published_date|text)\}")
_FIELD_OR_BRACES: Final = re.compile(r"\{(title|source|published_date|text)\}|\{\{|\}\}")
_MISSING: Final = "N/A"


@dataclass(frozen=True)
class PromptTemplate:
    """A template as it is used: LF line ends, no white space at its ends."""

    text: str
    has_fields: bool
    """Whether the article replaces `{text}` and so on, instead of the paste mark."""
    file_hash: str = field(default="", compare=False)
    """First 12 digits of the hash of the file as it stands, which LLM Distillery's scorer wrote."""

    @property
    def sha256(self) -> str:
        """Hash of the template, 64 hex digits."""
        return sha256_text(self.text)

    @property
    def prompt_hash(self) -> str:
        """First 12 digits of `sha256`, which records carry.

        >>> PromptTemplate("Rate this.", False).prompt_hash
        '8b5f4fe3a6a1'
        """
        return self.sha256[:12]

    def is_hash(self, value: object) -> bool:
        """Tell whether a `prompt_hash` of a record is one of this prompt; older ones count."""
        return value in {self.prompt_hash, self.file_hash} - {""}

    def render(self, values: Mapping[str, str | None]) -> str:
        """Fill in an article; its own text is never read as a template.

        Args:
            values: `title`, `source`, `published_date`, `text`; one that is missing or empty is
                written as N/A.
        """
        if not self.has_fields:
            article = (
                f"Title: {_value(values, 'title')}\nSource: {_value(values, 'source')}\n"
                f"Published: {_value(values, 'published_date')}\n\n{_value(values, 'text')}"
            )
            return self.text.replace(PASTE_MARK, article)
        if _has_lone_brace(self.text):  # braces of JSON that were not doubled stay as they are
            return _FIELD.sub(lambda found: _value(values, found[1]), self.text)

        def put(found: re.Match[str]) -> str:
            return found[0][0] if found[1] is None else _value(values, found[1])

        return _FIELD_OR_BRACES.sub(put, self.text)


def prompt_path(folder: str | Path) -> Path:
    """Find the prompt file of a package.

    Raises:
        FileNotFoundError: There is none.
    """
    for name in PROMPT_FILES:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise FileNotFoundError(f"there is no {' or '.join(PROMPT_FILES)} in {folder}")


def parse_prompt(written: str, file: str = PROMPT_FILES[0]) -> PromptTemplate:
    """Take the template out of the text of a prompt file.

    Raises:
        ConfigError: The template is empty or has no place for the article.
    """
    written = written.replace("\r\n", "\n").replace("\r", "\n")
    file_hash = sha256_text(written)[:12]
    heading = _HEADING.search(written)
    if heading is None:
        made = PromptTemplate(written.strip(), has_fields=False, file_hash=file_hash)
        if PASTE_MARK not in made.text:
            raise ConfigError([
                f"{file}: there is no place for the article; write {PASTE_MARK!r}, or a template "
                "with {text} below '## PROMPT TEMPLATE'"
            ])  # fmt: skip
        return made
    made = PromptTemplate(_fenced(written[heading.end() :], file), True, file_hash)
    if "{text}" not in made.text:
        raise ConfigError([f"{file}: the template has no {{text}}, the place for the article"])
    return made


def _fenced(below: str, file: str) -> str:
    """Give the first fenced block; the last line may stand behind fences inside the block."""
    opened = _FENCE.search(below)
    if opened is None:
        raise ConfigError([f"{file}: no fenced block (```) follows '## PROMPT TEMPLATE'"])
    body = below[opened.end() :]
    last = body.find(_LAST_LINE)
    if last >= 0:
        return body[: last + len(_LAST_LINE)].strip()
    closed = re.search(rf"^{re.escape(opened[1])}\s*$", body, re.MULTILINE)
    if closed is None:
        raise ConfigError([f"{file}: the block below '## PROMPT TEMPLATE' is not closed"])
    return body[: closed.start()].strip()


def _has_lone_brace(text: str) -> bool:
    left = _FIELD.sub("", text).replace("{{", "").replace("}}", "")
    return "{" in left


def _value(values: Mapping[str, str | None], name: str) -> str:
    return values.get(name) or _MISSING
