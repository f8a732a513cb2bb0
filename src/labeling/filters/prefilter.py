"""`BasePreFilter`: decides by patterns, without a model, whether an article is worth an oracle.

class PreFilter(BasePreFilter):
    VERSION = "1.0"
    EXCLUSION_PATTERNS = {"vaporware": [r"concept (design|study)", r"could one day"]}
    CATEGORY_OVERRIDES = {"vaporware": [r"\\bin operation\\b"]}

passed, reason = PreFilter().apply_filter(article)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from .patterns import PatternTimeError, SearchTime, compile_pattern, join_patterns

PASSED: Final = "passed"
PASSED_BY_TIME: Final = "passed_pattern_time"
"""Reason of an article that passes because the patterns take too long on it."""
Patterns = Mapping[str, Sequence[str]]


class BasePreFilter:
    """A prefilter is a subclass that sets the class attributes; hooks are for the rest.

    Patterns are regular expressions that ignore case. They are looked up in the first
    `MAX_PREFILTER_CONTENT` characters of title and content. An article on which they take more than
    `SEARCH_S` of processor time passes, as nothing has been found against it. The order is: a valid
    article, its length, `_pre_exclusion_check`, excluded domains, exclusions with their overrides,
    required patterns, `_filter_specific_final_check`.
    """

    VERSION: ClassVar[str] = "0.0"
    MIN_CONTENT_LENGTH: ClassVar[int] = 300
    """Characters of content below which an article is blocked."""
    MAX_PREFILTER_CONTENT: ClassVar[int] = 2000
    """Characters of content that are looked at."""
    EXCLUSION_PATTERNS: ClassVar[Patterns] = {}
    """Category -> patterns; a match blocks the article, unless it is overridden."""
    OVERRIDE_KEYWORDS: ClassVar[Sequence[str]] = ()
    """Patterns of which one overrides every exclusion."""
    CATEGORY_OVERRIDES: ClassVar[Patterns] = {}
    """Category -> patterns of which one overrides that exclusion."""
    POSITIVE_PATTERNS: ClassVar[Sequence[str]] = ()
    """Patterns of which `POSITIVE_THRESHOLD` together override every exclusion."""
    POSITIVE_THRESHOLD: ClassVar[int] = 0
    """Number of positive patterns that must match; 0 turns this override off."""
    DOMAIN_EXCLUSIONS: ClassVar[Patterns] = {}
    """Category -> domains; articles from them and their subdomains are blocked."""
    REQUIRED_PATTERNS: ClassVar[Patterns] = {}
    """Category -> patterns; an article that matches none of them is blocked."""
    REQUIRED_LANGUAGES: ClassVar[Sequence[str]] = ()
    """Languages that the required patterns are written in, such as `en`. Articles marked with
    another `language` need not match. Empty applies them to all."""

    def __init__(self) -> None:
        """Compile the patterns.

        Raises:
            re.error: One is no regular expression.
        """
        self._exclusions = _joined_by_category(self.EXCLUSION_PATTERNS)
        self._category_overrides = _joined_by_category(self.CATEGORY_OVERRIDES)
        self._required = _joined_by_category(self.REQUIRED_PATTERNS)
        self._override = join_patterns(self.OVERRIDE_KEYWORDS)
        self._positives = [compile_pattern(one) for one in self.POSITIVE_PATTERNS]

    def apply_filter(self, article: Any) -> tuple[bool, str]:  # noqa: ANN401 - may be anything
        """Decide on one article.

        Args:
            article: A record with `title` and `content` (or `text`); `url` and `language` are used
                where they are there.

        Returns:
            Whether it passed, and the reason: `passed`, `passed_pattern_time`, or one of
            `missing_title`, `empty_title`, `missing_content`, `empty_content`, `invalid_type_<T>`,
            `content_too_short_<n>chars`, `excluded_domain_<category>`, `excluded_<category>`, or
            that of a hook.
        """
        fault = article_fault(article)
        if fault is not None:
            return False, fault
        content = content_of(article)
        if len(content) < self.MIN_CONTENT_LENGTH:
            return False, f"content_too_short_{len(content)}chars"
        most = self.MAX_PREFILTER_CONTENT
        title, text = article["title"][:most], content[:most]
        found = self._pre_exclusion_check(title, text, article)
        if found is not None:
            return found
        try:
            reason = self._excluded(title, text, article)
        except PatternTimeError:
            return True, PASSED_BY_TIME
        if reason is not None:
            return False, reason
        return self._filter_specific_final_check(title, text, article) or (True, PASSED)

    def _pre_exclusion_check(
        self, title: str, text: str, article: Mapping[str, Any]
    ) -> tuple[bool, str] | None:
        """Decide before the exclusions; None leaves the decision to them."""
        return None

    def _filter_specific_final_check(
        self, title: str, text: str, article: Mapping[str, Any]
    ) -> tuple[bool, str] | None:
        """Decide on articles that nothing has excluded; None lets them pass."""
        return None

    def _compound_override_applies(
        self, category: str, title: str, text: str, article: Mapping[str, Any]
    ) -> bool:
        """Tell whether an exclusion is overridden by something that patterns cannot express."""
        return False

    def _excluded(self, title: str, text: str, article: Mapping[str, Any]) -> str | None:
        host = host_of(article.get("url")) if self.DOMAIN_EXCLUSIONS else ""
        for category, domains in self.DOMAIN_EXCLUSIONS.items():
            if any(host == one or host.endswith(f".{one}") for one in domains):
                return f"excluded_domain_{category}"
        both, time = f"{title}\n{text}", SearchTime()
        for category, pattern in self._exclusions.items():
            if time.search(pattern, both) and not (
                self._overridden(category, both, time)
                or self._compound_override_applies(category, title, text, article)
            ):
                return f"excluded_{category}"
        language = article.get("language")
        if self.REQUIRED_LANGUAGES and language and not self._is_required_in(str(language)):
            return None
        for category, pattern in self._required.items():
            if not time.search(pattern, both):
                return f"excluded_{category}"
        return None

    def _overridden(self, category: str, both: str, time: SearchTime) -> bool:
        for pattern in (self._category_overrides.get(category), self._override):
            if pattern is not None and time.search(pattern, both):
                return True
        if self.POSITIVE_THRESHOLD <= 0:
            return False
        found = sum(1 for one in self._positives if time.search(one, both))
        return found >= self.POSITIVE_THRESHOLD

    def _is_required_in(self, language: str) -> bool:
        short = language.lower().replace("_", "-").split("-")[0]
        return short in {one.lower() for one in self.REQUIRED_LANGUAGES}


def article_fault(article: Any) -> str | None:  # noqa: ANN401 - may be anything
    """Name the reason why a value is no article; None where it is one."""
    if not isinstance(article, Mapping):
        return f"invalid_type_{type(article).__name__}"
    content_key = "content" if article.get("content") is not None else "text"
    for name, key in (("title", "title"), ("content", content_key)):
        value = article.get(key)
        if value is None:
            return f"missing_{name}"
        if not isinstance(value, str):
            return f"invalid_type_{type(value).__name__}"
        if not value.strip():
            return f"empty_{name}"
    return None


def content_of(article: Mapping[str, Any]) -> str:
    """Give the content of an article, which stands under `content` or `text`; else empty."""
    value = article.get("content")
    if value is None:
        value = article.get("text")
    return value if isinstance(value, str) else ""


def host_of(url: Any) -> str:  # noqa: ANN401 - any JSON value
    """Give the host of an address in lower case, without `www.`; empty where there is none.

    >>> host_of("https://WWW.Example.com:80/a")
    'example.com'
    """
    try:
        host = urlsplit(url).hostname if isinstance(url, str) else None
    except ValueError:
        host = None
    return (host or "").removeprefix("www.")


def _joined_by_category(patterns: Patterns) -> dict[str, Any]:
    made = {category: join_patterns(ones) for category, ones in patterns.items()}
    return {category: one for category, one in made.items() if one is not None}
