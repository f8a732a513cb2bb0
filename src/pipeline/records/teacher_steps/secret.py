"""An API key in a setting: used, and never printed, hashed or written."""

from __future__ import annotations

import logging
import os
import re
from typing import Any, Final

from ....errors import ConfigError

logger = logging.getLogger(__name__)
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


class Secret:
    """A key, or the environment variable `${NAME}` that holds it."""

    def __init__(self, given: str) -> None:
        """Take the key or `${NAME}`."""
        self._given = given

    @property
    def variable(self) -> str | None:
        """The environment variable that holds the key; None if it was given as it is."""
        found = _VARIABLE.fullmatch(self._given)
        return None if found is None else found[1]

    def reveal(self) -> str:
        """Return the key.

        Raises:
            ConfigError: The environment variable is not set.
        """
        if self.variable is None:
            return self._given
        value = os.environ.get(self.variable, "").strip()
        if not value:
            raise ConfigError([f"api_key names the variable {self.variable}, which is not set"])
        return value

    def __repr__(self) -> str:
        """Show the variable, or stars."""
        return "***" if self.variable is None else self._given

    __str__ = __repr__


def read_secret(given: Any) -> Secret | None:  # noqa: ANN401 - of a configuration
    """Read an API key: a text, `${NAME}`, a secret of ours or of pydantic, or None.

    A key that is written out gives a warning, since a file with it may be shared.
    """
    if given is None or isinstance(given, Secret):
        return given
    reveal = getattr(given, "get_secret_value", None)
    secret = Secret(str(reveal()) if callable(reveal) else str(given))
    if secret.variable is None:
        logger.warning(
            "api_key is written out; name the environment variable that holds it instead: "
            "api_key_env=NAME, or api_key='${NAME}'"
        )
    return secret
