"""A gate for the language of a text, by the classifier of the package `py3langid`.

The classifier (Lui and Baldwin 2012, ACL P12-3005, retrained) runs offline and knows some hundred
languages. Short texts are often misjudged, so that a text must have some letters and its language
some probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ...errors import ConfigError, MissingDependencyError
from .record_values import read_text
from .verdict import OK, Verdict


@dataclass(frozen=True)
class LanguageGate:
    """Passes texts in one of some languages."""

    languages: tuple[str, ...]
    """ISO 639-1 codes, such as `en`; at least one."""
    text_field: str = "generation"
    min_probability: float = 0.5
    """Least probability of the likeliest language, 0 to 1."""
    min_letters: int = 20
    """Fewest letters of a text whose language can be told, 1 or more."""
    name: str = "language"

    def __post_init__(self) -> None:
        """Refuse settings out of range.

        Raises:
            ConfigError: A language is unknown, or a number out of range.
            MissingDependencyError: `py3langid` is not installed.
        """
        known = set(_classifier().labels)
        faults = [f"language {one!r} is unknown; known are {sorted(known)}"
                  for one in self.languages if one not in known]  # fmt: skip
        if not self.languages:
            faults.append("languages is empty; give at least one code, such as 'en'")
        if not 0 <= self.min_probability <= 1:
            faults.append(f"min_probability is {self.min_probability}; allowed is 0 to 1")
        if self.min_letters < 1:
            faults.append(f"min_letters is {self.min_letters}; allowed is 1 or more")
        if faults:
            raise ConfigError(faults)

    def judge(self, record: Mapping[str, Any]) -> Verdict:
        """Check a record.

        Returns:
            A verdict with `ok`, `wrong_language: <code>`, `language_uncertain`, `too_few_letters`,
            `not_finite`, `not_text` or `missing <field>`; the facts `language` and
            `language_probability` if the text has enough letters.
        """
        text, reason = read_text(record, self.text_field)
        if text is None:
            return Verdict(self.name, False, reason)
        if sum(map(str.isalpha, text)) < self.min_letters:
            return Verdict(self.name, False, "too_few_letters")
        language, probability = _classifier().classify(text)
        reason = OK if language in self.languages else f"wrong_language: {language}"
        if probability < self.min_probability:
            reason = "language_uncertain"
        facts = {"language": language, "language_probability": round(probability, 6)}
        return Verdict(self.name, reason == OK, reason, facts)


@cache
def _classifier() -> Any:  # noqa: ANN401 - a class of an optional package
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as fault:
        raise MissingDependencyError("py3langid", "language") from fault
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
