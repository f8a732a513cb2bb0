"""What a filter asks and how its scores are combined: the contents of `config.yaml`.

The constants of a filter have this one home; prompts, oracle labels, students and reports read
them from here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

LOWEST: Final = 0.0
HIGHEST: Final = 10.0
"""Scores are numbers from `LOWEST` to `HIGHEST`."""
OPERATING_POINT: Final = 4.0
"""Weighted average from which an article passes, where a config does not say."""


@dataclass(frozen=True)
class Dimension:
    """One aspect that an article is scored on."""

    name: str
    weight: float
    """Share in the weighted average, 0 or more; the weights of a filter sum to 1."""
    description: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further keys for prompts and cards, such as `scale` and `examples`."""


@dataclass(frozen=True)
class Tier:
    """A named range of the weighted average."""

    name: str
    threshold: float
    """Least weighted average, 0 to 10."""
    description: str = ""


@dataclass(frozen=True)
class Gatekeeper:
    """Caps the weighted average of articles that score low on one dimension."""

    dimension: str
    threshold: float
    """The cap applies to scores below this one."""
    cap: float
    """Largest weighted average then."""
    reason: str = ""


@dataclass(frozen=True)
class ContentCap:
    """Caps the weighted average of articles that the oracle finds to be of a type."""

    content_type: str
    cap: float
    details: Mapping[str, Any] = field(default_factory=dict)
    """`triggers`, `exceptions`, `requirements_to_pass`, for the prompt."""


@dataclass(frozen=True)
class CompressionSettings:
    """How long articles are shortened; the same for oracle, training and inference."""

    max_words: int = 800
    """Most words that are kept, 20 or more."""
    tail_share: float = 0.3
    """Share of the words for the end of the article, 0 to 0.8."""
    keep_patterns: tuple[str, ...] = ()
    """Regular expressions; matching paragraphs are kept before others, up to a quarter of the
    words."""


DEFAULT_COMPRESSION: Final = CompressionSettings()


@dataclass(frozen=True)
class HeadTail:
    """Student input of a head and a tail of tokens, for students with a short context."""

    enabled: bool = False
    head_tokens: int = 256
    tail_tokens: int = 256
    separator: str = " [...] "


@dataclass(frozen=True)
class FilterConfig:
    """A valid `config.yaml`. A filter scores dimensions, or chooses one of several classes."""

    name: str
    version: str
    """As written, for example `1.0`; its first number is that of the folder `v1`."""
    description: str = ""
    dimensions: tuple[Dimension, ...] = ()
    tiers: tuple[Tier, ...] = ()
    """From the highest threshold to the lowest."""
    gatekeepers: tuple[Gatekeeper, ...] = ()
    caps: tuple[ContentCap, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)
    """Name of a class -> description, for filters that classify."""
    pass_threshold: float = OPERATING_POINT
    """Weighted average from which an article passes."""
    pass_classes: tuple[str, ...] = ()
    """Classes that pass."""
    tier_from_normalized: bool = False
    """Whether the tier is taken from the percentile instead of the weighted average."""
    compression: CompressionSettings = DEFAULT_COMPRESSION
    head_tail: HeadTail = HeadTail()
    prefilter: Mapping[str, Any] = field(default_factory=dict)
    """`enabled`, `expected_pass_rate`, `block_keywords`, `pass_keywords`, `description`."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """`target_samples`, `recommended_model`, `expected_mae` and so on."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The whole file."""

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """Names of the dimensions, in the order of the file."""
        return tuple(one.name for one in self.dimensions)

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each dimension."""
        return {one.name: one.weight for one in self.dimensions}

    @property
    def is_classifier(self) -> bool:
        """Whether the filter chooses a class instead of scoring dimensions."""
        return bool(self.classes)

    @property
    def analysis_field(self) -> str:
        """Key under which the oracle's analysis stands in a record."""
        return analysis_field_name(self.name)


def analysis_field_name(name: str) -> str:
    """Name the key of a filter's analysis in a record.

    >>> analysis_field_name("uplifting")
    'uplifting_analysis'
    """
    return f"{name}_analysis"


def major_version(version: str) -> int | None:
    """Give the first number of a version; None if it is no version.

    >>> major_version("1.0"), major_version("v2"), major_version("new")
    (1, 2, None)
    """
    found = re.fullmatch(r"v?(\d+)(\.\d+)*", version.strip())
    return None if found is None else int(found[1])
