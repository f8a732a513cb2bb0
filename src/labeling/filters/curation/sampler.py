"""`StratifiedSampler`: draw articles to label, by category, at the edges, and at random.

StratifiedSampler("raw").stratified_sample(1000, {"energy": ["solar", "wind"]})
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ....errors import ConfigError, EmptyDataError
from ....records import sha256_text
from ..prefilter import content_of
from .merge import read_json_objects

_BY_CATEGORY: Final = 0.7
_EDGES: Final = 0.2


class StratifiedSampler:
    """Draws 70 % by category, 20 % edge cases and 10 % at random.

    An edge case belongs to several categories, or to one by a single word. What one kind lacks is
    filled up at random.
    """

    def __init__(self, data_dir: str | Path, *, seed: int = 42) -> None:
        """Set the folder of JSON Lines; it is read by `stratified_sample`."""
        self.data_dir, self.seed = Path(data_dir), seed

    def stratified_sample(
        self,
        num_samples: int,
        categories: Mapping[str, Sequence[str]],
        max_articles: int = 100_000,
    ) -> list[dict[str, Any]]:
        """Draw articles; the same for the same seed, whatever the order of the files.

        Args:
            num_samples: Articles to draw, 1 or more; fewer where there are fewer.
            categories: Name -> words; whole words count, in any case.
            max_articles: Most articles to read.

        Raises:
            ConfigError: `num_samples` is below 1, or there are no categories.
            EmptyDataError: The folder holds no articles with an id.
        """
        if num_samples < 1 or not categories or not all(categories.values()):
            raise ConfigError([f"num_samples is {num_samples} and categories {dict(categories)}; "
                               "allowed are 1 or more, and words for each category"])  # fmt: skip
        patterns = {
            name: re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words), re.I)
            for name, words in categories.items()
        }
        held: dict[str, dict[str, Any]] = {}
        kinds: dict[str, list[str]] = {name: [] for name in categories}
        edges: list[str] = []
        files = sorted(self.data_dir.rglob("*.jsonl"))
        for number, (_, article) in enumerate(read_json_objects(files, [])):
            if number >= max_articles:
                break
            identity = str(article.get("id", ""))
            if not identity or identity in held:
                continue
            held[identity] = article
            both = f"{article.get('title', '')}\n{content_of(article)}"
            counts = {name: len(one.findall(both)) for name, one in patterns.items()}
            found = [name for name, count in counts.items() if count]
            for name in found:
                kinds[name].append(identity)
            if len(found) > 1 or (found and sum(counts.values()) == 1):
                edges.append(identity)
        if not held:
            raise EmptyDataError(f"there are no articles with an id in {self.data_dir}")
        chosen: dict[str, None] = {}
        share = round(_BY_CATEGORY * num_samples / len(kinds))
        for own in kinds.values():
            self._take(own, share, chosen)
        self._take(edges, round(_EDGES * num_samples), chosen)
        self._take(list(held), num_samples - len(chosen), chosen)
        return [held[identity] for identity in list(chosen)[:num_samples]]

    def _take(self, ids: Sequence[str], count: int, chosen: dict[str, None]) -> None:
        left = sorted((one for one in ids if one not in chosen),
                      key=lambda one: sha256_text(f"{self.seed}:{one}"))  # fmt: skip
        chosen |= dict.fromkeys(left[: max(0, count)])
