"""Files and models that a configuration names: below the current folder, or beside it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def found_beside(name: str, beside: Path) -> str | None:
    """Find a file that is read: from the current folder, then beside the configuration."""
    given = Path(name).expanduser()
    place = next((place for place in (given, beside / given) if place.exists()), None)
    if place not in (None, given):
        logger.info("%s: taken from %s", name, place)
    return None if place is None else str(place)


def found_model(name: Any, beside: Path) -> Any:  # noqa: ANN401 - a name, or a list of them
    """Find a model folder likewise; what is in neither place may be a name of the hub."""
    if isinstance(name, list):
        return [found_model(one, beside) for one in name]
    return (isinstance(name, str) and found_beside(name, beside)) or name
