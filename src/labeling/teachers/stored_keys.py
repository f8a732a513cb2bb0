"""API keys of providers: from the environment, else from `config/credentials/secrets.ini`.

[api_keys]
anthropic_api_key = ...
gemini_api_key = ...
openai_api_key = ...

The environment goes first. A key that is read here is kept in memory alone.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ...errors import ConfigError

SECRETS_FILE: Final = Path("config/credentials/secrets.ini")
"""Below the current directory."""
_SECTION: Final = "api_keys"
_ALSO: Final[Mapping[str, tuple[str, ...]]] = {"GEMINI_API_KEY": ("GOOGLE_API_KEY",)}
"""Variable -> others that are read where it is not set."""


def key_variable(name: str) -> str | None:
    """Find the environment variable that holds a provider's key; None where none is set.

    Args:
        name: The provider's own variable, such as `GEMINI_API_KEY`.
    """
    names = (name, *_ALSO.get(name, ()))
    return next((one for one in names if os.environ.get(one, "").strip()), None)


def stored_key(name: str, path: Path = SECRETS_FILE) -> str | None:
    """Read a provider's key from the file of secrets; None where it is not there.

    Raises:
        ConfigError: The file is there and cannot be read; the message holds none of its lines.
    """
    if not path.is_file():
        return None
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    except (configparser.Error, OSError, UnicodeError):
        # The error of the parser would quote a line, which may be a key.
        raise ConfigError([
            f"{path} is no INI file; write [{_SECTION}] and lines such as {name.lower()} = ..."
        ]) from None  # fmt: skip
    for one in (name, *_ALSO.get(name, ())):
        value = parser.get(_SECTION, one.lower(), fallback="").strip()
        if value:
            return value
    return None
